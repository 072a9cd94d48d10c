"""A local download server, a pip that a test scripts, and the refusals of downloads."""

import gc
import hashlib
import shlex
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pooch
import pytest
from configurations import refused

from nst.config.catalogue import Entry, fetch
from nst.errors import FetchError

CONTENT = bytes(range(256)) * 400
Answer = bytes | int | Callable[[BaseHTTPRequestHandler], None]


def begin(handler: BaseHTTPRequestHandler, length: int | None = len(CONTENT)) -> None:
    """Begin a response that promises ``length`` bytes."""
    handler.send_response(200)
    if length is not None:
        handler.send_header("Content-Length", str(length))
    handler.end_headers()


def break_off(handler: BaseHTTPRequestHandler) -> None:
    """Promise the whole file, and send half of it."""
    begin(handler)
    handler.wfile.write(CONTENT[: len(CONTENT) // 2])


class Server(ThreadingHTTPServer):
    """A local server that sends its ``answers`` in turn and repeats the last one.

    An answer is a file's bytes, an HTTP error status, or a function that handles the request.
    With a ``context``, the server uses HTTPS.
    """

    daemon_threads = True

    def __init__(self, *answers: Answer, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        scheme = "https" if context else "http"
        self.url = f"{scheme}://127.0.0.1:{self.server_address[1]}"
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.answers = answers
        self.asked: list[str] = []
        self.ended = threading.Event()
        threading.Thread(target=self.serve_forever, args=(0.01,)).start()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        answers, asked = self.server.answers, self.server.asked
        answer = answers[min(len(asked), len(answers) - 1)]
        asked.append(self.path)
        with suppress(BrokenPipeError, ConnectionResetError):  # the client has given up
            if isinstance(answer, int):
                self.send_error(answer)
            elif isinstance(answer, bytes):
                begin(self, len(answer))
                self.wfile.write(answer)
            else:
                answer(self)

    def log_message(self, *arguments: object) -> None:
        """Log nothing."""


def unused_address() -> str:
    """Return an address on this machine at which nothing listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """Record the pauses between attempts without waiting."""
    made: list[float] = []
    monkeypatch.setattr(pooch.core, "time", SimpleNamespace(sleep=made.append))
    return made


@pytest.fixture
def serve() -> Iterator:
    servers: list[Server] = []

    def start(*answers: Answer, **options: ssl.SSLContext) -> Server:
        servers.append(Server(*answers, **options))
        return servers[-1]

    yield start
    for server in servers:
        server.ended.set()
        server.shutdown()
        server.server_close()
    gc.collect()


def entry_at(source: str, file: str = "photo.jpg") -> Entry:
    described = {"title": "A photograph", "artist": "nobody", "year": "2026", "licence": "CC0 1.0"}
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    return Entry(name="photo", **described, file=file, sha256=sha256, source=source)


def refusal(entry: Entry, destination: Path, mirror: str | None = None) -> str:
    """Return the one-line message of a failed fetch, and check that no file is left."""
    destination.parent.mkdir(parents=True, exist_ok=True)
    before = sorted(destination.parent.rglob("*"))
    message = refused(fetch, entry, destination, mirror, kind=FetchError)
    assert sorted(destination.parent.rglob("*")) == before
    assert message.startswith(f"{entry.name}: ")
    return message


def replace_pip(monkeypatch: pytest.MonkeyPatch, folder: Path, script: str) -> Path:
    """Run a shell script in place of ``PYTHON -m pip``; return the file with its arguments."""
    folder.mkdir(parents=True, exist_ok=True)
    asked, program = folder / "asked", folder / "python"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" > {shlex.quote(str(asked))}\n{script}\n')
    program.chmod(0o755)
    monkeypatch.setattr(
        "nst.system.download.sys", SimpleNamespace(executable=str(program), argv=[])
    )
    return asked


def saying(words: str, status: int = 1) -> str:
    """Return a script that prints pip's usual warnings and an error message, and fails."""
    warning = (
        "WARNING: Location 'file:///opt/simple/' is ignored: it is neither a file nor a directory."
    )
    return f"printf '%s\\n' {shlex.quote(warning)} {shlex.quote(words)} >&2\nexit {status}"


def bringing(wheel: Path, name: str = "") -> str:
    """Return a script that copies a wheel to pip's folder, under another name if given."""
    return (
        'while [ "$1" != --dest ]; do shift; done\n'
        f'mkdir -p "$2" && cp {shlex.quote(str(wheel))} "$2"/{name}'
    )
