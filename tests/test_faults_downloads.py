"""Servers that are slow, silent, wrong, cut off or gone."""

import shutil
import socket
import ssl
import subprocess
import time
from http.server import BaseHTTPRequestHandler

import pytest
import requests
from disks import mounted
from downloads import CONTENT, begin, break_off, entry_at
from workflow_runs import unavailable

import nst.system.download
from nst.config.catalogue import fetch
from nst.system.download import download

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

BRIEF = 0.4  # seconds; replaces half a minute


@pytest.fixture(autouse=True)
def impatient(monkeypatch) -> None:
    """Give up within a second."""
    for name in ("CONNECT", "SILENCE", "GRACE"):
        monkeypatch.setattr(nst.system.download, name, BRIEF)


def silent_half_way(handler: BaseHTTPRequestHandler) -> None:
    begin(handler)
    handler.wfile.write(CONTENT[:1000])
    handler.server.ended.wait(20)


def dripping(handler: BaseHTTPRequestHandler) -> None:
    """Send bytes slowly without end, and never pause for long."""
    begin(handler)
    while not handler.server.ended.wait(0.02):
        handler.wfile.write(b"x")


def endless(handler: BaseHTTPRequestHandler) -> None:
    begin(handler, None)
    while not handler.server.ended.is_set():
        handler.wfile.write(CONTENT)


def slow_but_steady(handler: BaseHTTPRequestHandler) -> None:
    begin(handler)
    for start in range(0, len(CONTENT), 10_000):
        handler.wfile.write(CONTENT[start : start + 10_000])
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("behave", "message"),
    [
        (lambda handler: handler.server.ended.wait(20), "Read timed out"),
        (silent_half_way, "Read timed out"),
        (dripping, r"only \d+ bytes came in"),
        (break_off, f"IncompleteRead|broke off|{len(CONTENT) // 2} bytes"),
    ],
)
def test_an_attempt_comes_to_an_end(tmp_path, serve, behave, message):
    began = time.monotonic()
    with pytest.raises(requests.RequestException, match=message):
        download(serve(behave).url, tmp_path / "file")
    assert time.monotonic() - began < 10 * BRIEF


def test_a_server_that_never_stops_does_not_fill_the_disk(tmp_path, serve, monkeypatch):
    monkeypatch.setattr(nst.system.download, "MOST", 1_000_000)
    with pytest.raises(requests.RequestException, match="sends more"):
        download(serve(endless).url, tmp_path / "file")
    assert (tmp_path / "file").stat().st_size <= 1_000_000


def test_slow_but_steady_is_fast_enough(tmp_path, serve):
    """The download takes longer than the grace period; only the rate matters."""
    download(serve(slow_but_steady).url, tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_full_disk_is_not_the_server_s_fault(tmp_path, serve):
    with (
        mounted(tmp_path / "disk", "64k") as disk,
        pytest.raises(OSError, match="No space left") as caught,
    ):
        fetch(entry_at(serve(CONTENT).url), disk.folder / "photo.jpg")
    assert not isinstance(caught.value, requests.RequestException)
    assert "photo.jpg" in str(caught.value), "the message must name the file"


@pytest.fixture
def certificate(tmp_path, monkeypatch) -> ssl.SSLContext:
    """Create a certificate for this machine, and make requests trust it."""
    if not shutil.which("openssl"):
        unavailable("a certificate can only be made by openssl")
    key, made = tmp_path / "key.pem", tmp_path / "made.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost"
    subprocess.run(
        [*command.split(), "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", made],
        check=True,
        capture_output=True,
    )
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(made))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(made, key)
    return context


def test_a_secure_address_is_never_left_for_one_that_is_not(tmp_path, serve, certificate):
    insecure = serve(CONTENT)

    def redirect(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(302)
        handler.send_header("Location", f"{insecure.url}/elsewhere")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    secure = serve(redirect, CONTENT, context=certificate)
    with pytest.raises(requests.RequestException, match=r"redirects to .* not https"):
        download(f"{secure.url.replace('https', 'HTTPS')}/file", tmp_path / "file")
    assert insecure.asked == [], "no request may be sent"
    download(f"{secure.url}/file", tmp_path / "file")
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_a_machine_that_never_answers_is_given_up(tmp_path):
    """Use a listening socket with a full queue that never accepts a connection."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with pytest.raises(requests.RequestException, match="timed out"):
            download(address, tmp_path / "file")
