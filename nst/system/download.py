"""A download that ends with the whole file or with an error, but never hangs.

The caller checks the sha256 of the file, so the connection need not be trusted. Even so, an
``https:`` address may not redirect to an address of another scheme.
"""

from __future__ import annotations

import re
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
WHO = re.compile(r"^(<.*>|HTTPS?Connection(Pool)?\([^)]*\)): ")  # urllib3's prefix to a message


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
    """Return why a download failed, in a few words: the innermost reason is the most specific."""
    innermost: Any = error
    while inner := getattr(innermost, "reason", None) or next(
        (one for one in innermost.args if isinstance(one, Exception)), None
    ):
        if not isinstance(inner, Exception):
            break
        innermost = inner
    said = WHO.sub("", " ".join(str(innermost).split()))
    return said or type(innermost).__name__
