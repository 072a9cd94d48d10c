"""A server on this machine to download from, a pip that does what a test says, and refusals."""

import gc
import hashlib
import shlex
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pooch
import pytest

from nst.config.catalogue import Entry, fetch
from nst.errors import FetchError

CONTENT = bytes(range(256)) * 400


Behaviour = Callable[[BaseHTTPRequestHandler], None]


def begin(handler: BaseHTTPRequestHandler, length: int | None = len(CONTENT)) -> None:
    """Begin an answer that promises ``length`` bytes."""
    handler.send_response(200)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()


@dataclass(frozen=True)
class Cut:
    """An answer that promises all of ``content`` and breaks off half-way."""

    content: bytes

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        begin(handler, len(self.content))
        handler.wfile.write(self.content[: len(self.content) // 2])


class Server(ThreadingHTTPServer):
    """A server on this machine that gives its ``answers`` in turn, the last one for ever.

    An answer is a file's bytes, the number of an error, or what a test does with the request. With
    a ``context``, the address is a secure one.
    """

    daemon_threads = True

    def __init__(
        self, *answers: bytes | int | Behaviour, context: ssl.SSLContext | None = None
    ) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self.server_address[1]}"
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.answers = answers
        self.asked: list[str] = []
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))
        self.thread.start()

    def server_close(self) -> None:
        self.ended.set()
        self.shutdown()
        self.thread.join()
        super().server_close()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        answers, asked = self.server.answers, self.server.asked
        answer = answers[min(len(asked), len(answers) - 1)]
        asked.append(self.path)
        with suppress(BrokenPipeError, ConnectionResetError):  # who asked has given up
            if isinstance(answer, int):
                self.send_error(answer)
            elif isinstance(answer, bytes):
                begin(self, len(answer))
                self.wfile.write(answer)
            else:
                answer(self)

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


def unused_address() -> str:
    """An address on this machine at which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """Record the pauses between attempts instead of making them."""
    made: list[float] = []
    monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=made.append))
    return made


@pytest.fixture
def serve() -> Iterator:
    servers: list[Server] = []

    def start(*answers: bytes | int | Behaviour, context: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(*answers, context=context))
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


def replace_pip(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> Path:
    """Have a shell script run as ``PYTHON -m pip``; return the file with its arguments."""
    folder.mkdir(parents=True, exist_ok=True)
    asked, program = folder / "asked", folder / "python"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {shlex.quote(str(asked))}\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setattr(
        "nst.system.pip_download.sys", SimpleNamespace(executable=str(program), argv=[])
    )
    return asked


def saying(words: str, status: int = 1) -> str:
    """A script that fails with some words, after the warnings that pip has for everybody."""
    warning = (
        "WARNING: Location 'file:///opt/simple/' is ignored: it is neither a file nor a directory."
    )
    return f"printf '%s\\n' {shlex.quote(warning)} {shlex.quote(words)} >&2\nexit {status}"


def bringing(wheel: Path) -> str:
    """A script that puts a wheel where pip is to put it."""
    return (
        'while [ "$1" != --dest ]; do shift; done\n'
        f'mkdir -p "$2" && cp {shlex.quote(str(wheel))} "$2"'
    )
