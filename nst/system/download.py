"""Downloads that end with the whole file or with an error, but never hang.

``download`` takes an address. The caller checks the sha256 of the file, so the connection need not
be trusted. Even so, an ``https:`` address may not redirect to an address of another scheme.

``pip_download`` takes a package's file from the index that pip is configured to use. pip's own
settings decide the index, the proxy and the certificates. Nothing is installed, and no code of the
package is run.
"""

from __future__ import annotations

import errno
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

CONNECT = 15.0  # seconds to connect
SILENCE = 30.0  # seconds without a byte
GRACE = 60.0  # seconds before the rate counts
LEAST_RATE = 10_000  # bytes/s on average; at a lower rate, the largest file would take a day
MOST = 2_000_000_000  # bytes; the largest file to download has 575 MB
CHUNK = 1 << 16
LONGEST = 1800.0  # seconds: 30 kB/s are enough for the largest file
OPTIONS = (
    *("--no-input", "--no-color", "--disable-pip-version-check", "--no-cache-dir"),
    "-vv",  # without it, pip does not print an index's answer
    *("download", "--progress-bar", "off", "--no-deps", "--only-binary=:all:"),
    *("--require-hashes", "--ignore-requires-python"),  # the file is read, and never run
)
NO_PIP = "No module named pip"
OTHER_FILE = "DO NOT MATCH THE HASHES"
DISK = re.compile(rf"\[Errno ({errno.ENOSPC}|{errno.EDQUOT}|{errno.EROFS})\]")
OTHER_VERSIONS = re.compile(r"Could not find a version .*\(from versions: (?!none).*\)")
UNREACHABLE = re.compile(
    r"Could not fetch URL \S+: (?P<answer>.*) - skipping"
    r"|after connection broken by '(?P<broken>.*)': "
)
# The prefixes of urllib3 and requests to the message of a network error.
WRAPPED = re.compile(r".*(?:Failed to establish a new connection: |Caused by \w+\()|^\w+Error\(")
LAST_WORD = re.compile(r"^\s*(?:×|ERROR:|error:) (?!Exception:)(.+)", re.MULTILINE)
DEFECT = re.compile(r"^([\w.]*(?:Error|Exception)\b.*)", re.MULTILINE)  # how a traceback ends


def download(url: str, path: Path) -> None:
    """Download ``url`` to ``path``, in one attempt.

    Raises:
        requests.RequestException: the server cannot be reached, answers with an error, stops
            sending, is too slow, breaks off, sends too much, or redirects away from ``https:``.
        OSError: the file cannot be written.
    """
    import requests  # noqa: PLC0415 - only a run that downloads needs it

    secure = {"response": _stay_secure}
    with requests.get(url, stream=True, timeout=(CONNECT, SILENCE), hooks=secure) as answer:
        answer.raise_for_status()
        _receive(answer, path)


def _stay_secure(answer: Any, **_options: Any) -> None:
    """Refuse a redirect away from ``https:``."""
    import requests  # noqa: PLC0415

    target = urljoin(answer.url, answer.headers.get("Location", ""))
    here, there = (urlsplit(address).scheme for address in (answer.url, target))
    if answer.is_redirect and here == "https" and there != "https":
        raise requests.exceptions.SSLError(f"it redirects to {target}, which is not https")


def _receive(answer: Any, path: Path) -> None:
    """Write the body of a response to a file as long as it arrives fast enough."""
    import requests  # noqa: PLC0415
    import urllib3  # noqa: PLC0415

    started, arrived = time.monotonic(), 0
    with path.open("wb") as file:
        try:
            # Not iter_content, which waits for a whole chunk, however slowly it arrives.
            while chunk := answer.raw.read1(CHUNK, decode_content=True):
                arrived += len(chunk)
                seconds = time.monotonic() - started
                if arrived > MOST:
                    raise requests.RequestException(f"it sends more than {MOST} bytes")
                if seconds > GRACE + arrived / LEAST_RATE:
                    raise requests.Timeout(f"only {arrived} bytes came in {seconds:.0f} s")
                file.write(chunk)
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(error) from error
    promised = answer.headers.get("Content-Length")
    if promised and not answer.headers.get("Content-Encoding") and arrived < int(promised):
        raise requests.ConnectionError(f"it broke off after {arrived} of {promised} bytes")


def reason(error: Exception) -> str:
    """Return why a download failed, in a few words: the first error is the most specific."""
    first: BaseException = error
    while first.__context__:
        first = first.__context__
    return " ".join(str(first).split()) or type(first).__name__


class PipError(Exception):
    """pip did not download the file; the text is the cause, in a few words."""


def pip_download(requirement: str, sha256: str, folder: Path) -> Path:
    """Download the wheel of ``requirement`` to ``folder`` with pip; require this sha256.

    Raises:
        PipError: pip is missing, failed, or took longer than ``LONGEST``.
        OSError: the disk is full or cannot be written.
    """
    pins = folder / "requirements.txt"
    pins.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
    arrived = folder / "wheel"
    named = ("--dest", str(arrived), "--requirement", str(pins))
    status, said = _run([*OPTIONS, *named], folder)
    if full := DISK.search(said):
        number = int(full[1])
        raise OSError(number, os.strerror(number), str(folder))
    wheels = sorted(arrived.glob("*.whl"))
    if status or len(wheels) != 1:
        raise PipError(_cause(status, said))
    return wheels[0]


def _run(arguments: list[str], folder: Path) -> tuple[int, str]:
    """Run pip, with its temporary files in ``folder``; return its exit status and its output."""
    settings = {
        **{"PIP_QUIET": "0", "TMPDIR": str(folder), "TEMP": str(folder), "TMP": str(folder)},
        **{"LC_ALL": "C.UTF-8", "PYTHONIOENCODING": "utf-8"},  # its output is parsed
    }
    try:
        done = subprocess.run(  # noqa: S603 - this Python's pip, with a list and no shell
            [sys.executable, "-m", "pip", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **settings},
            timeout=LONGEST,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PipError(f"it took longer than {LONGEST / 60:.0f} minutes") from None
    except OSError as error:
        raise PipError(f"{sys.executable} cannot be started: {error.strerror}") from None
    return done.returncode, done.stdout.decode("utf-8", "replace")


def _cause(status: int, said: str) -> str:
    """Return the line of pip's output that explains the failure; most of its warnings do not."""
    if NO_PIP in said:
        return f"{NO_PIP}: run {sys.executable} -m ensurepip"
    if OTHER_FILE in said:
        got = re.search(r"Got\s+([0-9a-f]{12})", said)
        return f"the index has another file, sha256 {got[1]}…" if got else "it is another file"
    if versions := OTHER_VERSIONS.search(said):
        return versions[0]
    reasons = [one["answer"] or one["broken"] for one in UNREACHABLE.finditer(said)]
    if reasons:
        # Of several indices, most lack the package; an unreachable index may have it.
        reached = [one for one in reasons if not one.startswith("404 ")]
        return WRAPPED.sub("", (reached or reasons)[-1]).rstrip("')\"")
    last = LAST_WORD.findall(said) or DEFECT.findall(said)
    return last[-1] if last else f"pip ended with the status {status} and gave no reason"
