"""A server on this machine to download from, and what is fetched from it."""

from __future__ import annotations

import gc
import hashlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pooch
import pytest

from nst.config.catalogue import Entry, fetch
from nst.errors import FetchError

CONTENT = bytes(range(256)) * 400


@dataclass(frozen=True)
class Cut:
    """An answer that promises all of ``content`` and breaks off half-way."""

    content: bytes


class Server(ThreadingHTTPServer):
    """A server on this machine that gives its ``answers`` in turn, the last one for ever.

    An answer is a file's bytes, a ``Cut``, or the number of an error.
    """

    daemon_threads = True

    def __init__(self, *answers: bytes | Cut | int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers
        self.asked: list[str] = []
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def server_close(self) -> None:
        self.shutdown()
        self.thread.join()
        super().server_close()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        answers, asked = self.server.answers, self.server.asked
        answer = answers[min(len(asked), len(answers) - 1)]
        asked.append(self.path)
        if isinstance(answer, int):
            self.send_error(answer)
            return
        content = answer.content if isinstance(answer, Cut) else answer
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2] if isinstance(answer, Cut) else content)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def unused_address() -> str:
    """An address on this machine at which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture(autouse=True)
def direct(monkeypatch) -> None:
    """Reach this machine directly, whatever proxy there is."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """Record the pauses between attempts instead of making them."""
    made: list[float] = []
    monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=made.append))
    return made


@pytest.fixture
def serve() -> Iterator:
    servers: list[Server] = []

    def start(*answers: bytes | Cut | int) -> Server:
        servers.append(Server(*answers))
        return servers[-1]

    yield start
    for server in servers:
        server.server_close()
    gc.collect()


def entry_at(source: str, content: bytes = CONTENT, file: str = "photo.jpg") -> Entry:
    return Entry(
        name="photo",
        title="A photograph",
        artist="nobody",
        year="2026",
        licence="CC0 1.0",
        file=file,
        sha256=hashlib.sha256(content).hexdigest(),
        source=source,
    )


def refusal(entry: Entry, destination: Path, mirror: str | None = None) -> str:
    """The one line with which an entry is not fetched; nothing is left of it."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    before = sorted(destination.parent.rglob("*"))
    with pytest.raises(FetchError) as caught:
        fetch(entry, destination, mirror)
    assert sorted(destination.parent.rglob("*")) == before
    message = str(caught.value)
    assert message.splitlines() == [message]
    assert message.startswith(f"{entry.name}: ")
    return message
