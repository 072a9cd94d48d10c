"""Locks of devices, with real processes; the devices themselves are pretended."""

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nst.errors import UserError
from nst.system import device_lock
from nst.system.device_lock import hold_one

ROOT = Path(__file__).resolve().parents[1]
ONE = {"cuda:0": "first"}
TWO = {"cuda:0": "first", "cuda:1": "second"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """Where the locks are, in this process."""
    monkeypatch.setattr(device_lock, "FOLDER", tmp_path)
    monkeypatch.setattr(device_lock, "SECONDS_BETWEEN_TRIES", 0.02)
    return tmp_path


def start(folder: Path, devices: dict[str, str], body: str, user: int = 0) -> subprocess.Popen[str]:
    """Start a process that holds a device and does ``body`` meanwhile, as another user if given."""
    code = f"""
import os, sys, time, logging
from pathlib import Path
from nst.system import device_lock
logging.basicConfig(format="%(message)s")
device_lock.FOLDER = folder = Path({str(folder)!r})
device_lock.SECONDS_BETWEEN_TRIES = 0.02
if {user}:  # not from the start, since another user may not be allowed to run this Python
    os.setgroups([])
    os.setgid({user})
    os.setuid({user})
with device_lock.hold_one({devices!r}) as name:
{textwrap.indent(textwrap.dedent(body), "    ")}
"""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


FOREVER = "print(name, flush=True); time.sleep(100)"


@pytest.fixture
def holder(folder) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the first device."""
    process = start(folder, ONE, FOREVER)
    assert process.stdout.readline() == "cuda:0\n"
    yield process
    process.kill()
    process.communicate()


def test_each_holder_has_a_device_of_its_own_without_a_word(caplog):
    caplog.set_level(logging.INFO)
    with hold_one(TWO) as one, hold_one(TWO) as other:
        assert (one, other) == ("cuda:0", "cuda:1")
    with hold_one(TWO) as one:
        assert one == "cuda:0"
    assert not caplog.messages


def test_many_processes_never_share_a_device(folder):
    body = """
    mark = folder / f"busy {name}"
    mark.touch(exist_ok=False)
    time.sleep(0.05)
    mark.unlink()
    print(name)
    """
    processes = [start(folder, TWO, body) for _ in range(8)]
    ends = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 8, ends
    assert {out for out, _ in ends} == {"cuda:0\n", "cuda:1\n"}


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_holder_s_device_is_free_at_once(holder, end):
    holder.send_signal(end)
    holder.wait()
    with hold_one(ONE) as name:
        assert name == "cuda:0"


def test_a_stopped_holder_keeps_its_device(holder):
    holder.send_signal(signal.SIGSTOP)
    with hold_one(TWO) as name:
        assert name == "cuda:1"


def test_waiting_is_announced_with_the_locks(folder, holder, caplog):
    other = start(folder, TWO, FOREVER)
    assert other.stdout.readline() == "cuda:1\n"
    threading.Timer(0.5, other.kill).start()
    with hold_one(TWO) as name:
        assert name == "cuda:1"
    other.communicate()
    (message,) = caplog.messages
    assert message.startswith(f"waiting for a device: other jobs hold cuda:0 ({folder}/nst-device-")


def test_waiting_is_announced_again_from_time_to_time(holder, caplog, monkeypatch):
    monkeypatch.setattr(device_lock, "SECONDS_BETWEEN_REPORTS", 0.1)
    threading.Timer(0.5, holder.kill).start()
    with hold_one(ONE):
        assert 3 <= len(caplog.messages) <= 6


def test_a_device_is_given_back_when_the_job_fails():
    with pytest.raises(ZeroDivisionError), hold_one(ONE):
        _ = 1 / 0
    with hold_one(ONE) as name:
        assert name == "cuda:0"


def test_a_child_process_does_not_keep_the_device(folder):
    body = """
    import subprocess
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"])
    print(child.pid, flush=True)
    """
    process = start(folder, ONE, body)
    child = int(process.stdout.readline())
    process.wait()
    with hold_one(ONE) as name:
        assert name == "cuda:0"
    os.kill(child, signal.SIGKILL)
    process.communicate()


# ---------------------------------------------------------------- a folder that all may write to


def lock_file(folder: Path) -> Path:
    """The file of the first device, made by being held once."""
    with hold_one(ONE):
        (path,) = folder.glob("nst-device-*.lock")
    return path


def as_link(path: Path) -> None:
    (path.parent / "victim").write_text("precious")
    path.symlink_to(path.parent / "victim")


def as_dangling_link(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


@pytest.mark.parametrize(
    "trap",
    [as_link, as_dangling_link, Path.mkdir],
    ids=lambda f: f.__name__,
)
def test_what_another_user_laid_in_a_lock_s_place_is_refused(folder, trap):
    path = lock_file(folder)
    path.unlink()
    trap(path)
    told = r"nst-device-\w+\.lock must be a plain file.*; remove what is there"
    with pytest.raises(UserError, match=told), hold_one(ONE):
        pass
    assert not (folder / "nowhere").exists()
    if (folder / "victim").exists():
        assert (folder / "victim").read_text() == "precious"


def test_a_lock_that_may_not_be_opened_is_not_waited_for_for_ever(folder, monkeypatch):
    monkeypatch.setattr(device_lock, "PATIENCE", 0.2)
    tries = []

    def denied(*_, **options):
        tries.append(options)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(device_lock.FileLock, "acquire", denied)
    told = r"nst-device-\w+\.lock cannot be opened \(Permission denied\); every user must"
    with pytest.raises(UserError, match=told), hold_one(ONE):
        pass
    assert len(tries) > 2, "it may be another user's, who is just making it"


@pytest.fixture
def shared_folder() -> Iterator[Path]:
    """A folder as /tmp is."""
    if os.geteuid() != 0:
        assert not os.environ.get("CI"), "CI runs as root, so that this is tested"
        pytest.skip("only root can start a process of another user")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        os.chmod(name, 0o1777)
        yield Path(name)


def test_users_share_the_locks(shared_folder, monkeypatch):
    """Whatever their umask."""
    monkeypatch.setattr(device_lock, "FOLDER", shared_folder)
    before = os.umask(0o077)
    try:
        lock_file(shared_folder)
    finally:
        os.umask(before)
    for user in (65534, 12345):
        other = start(shared_folder, ONE, FOREVER, user=user)
        assert other.stdout.readline() == "cuda:0\n", other.communicate()
        threading.Timer(0.3, other.kill).start()
        started = time.monotonic()
        with hold_one(ONE):
            assert time.monotonic() - started > 0.2
        other.communicate()


# ---------------------------------------------------------------- what is visible of the machine

UUIDS = [f"GPU-{digit * 8}-0000-4000-8000-{digit * 12}" for digit in "abcd"]
VISIBLE = {
    "all, if nothing is said": (None, ["a", "b", "c", "d"]),
    "numbers": ("2,0", ["c", "a"]),
    "numbers with spaces": (" 1 , 3", ["b", "d"]),
    "up to the first that is not there": ("3,9,0", ["d"]),
    "none": ("", []),
    "none, as schedulers write it": ("-1", []),
    "a name": (UUIDS[3], ["d"]),
    "short names": (f"{UUIDS[1][:9]},{UUIDS[0][:8]}", ["b", "a"]),
}


@pytest.fixture(scope="module")
def seen(tmp_path_factory) -> dict[str, list]:
    """What a process reserves under each form of CUDA_VISIBLE_DEVICES, until nothing is left."""
    code = """
import json, os, sys
from contextlib import ExitStack
import logging
from nst.system import device
from nst.system import device_lock
from nst.errors import ConfigError

class Waits(Exception): pass
def wait(_): raise Waits
device_lock.time.sleep = wait
logging.disable()

def reserve_all(name):
    taken = []
    with ExitStack() as stack:
        try:
            while len(taken) < 9:
                taken.append(str(stack.enter_context(device.reserve_device(name))))
                if taken[-1] == "cpu":
                    break
        except Waits:
            taken.append("waits")
        except ConfigError as error:
            taken.append(str(error))
    return taken

def identities():
    return [device._identify(index) for index in range(device.torch.cuda.device_count())]

found = {}
for title, value in json.loads(sys.argv[1]).items():
    os.environ.pop("CUDA_VISIBLE_DEVICES", None)
    if value is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = value
    names = ("auto", "cuda:1", "cpu", "cuda")
    found[title] = [identities(), *map(reserve_all, names)]
os.environ["CUDA_VISIBLE_DEVICES"] = "1,2"
with device.reserve_device("auto"):
    os.environ["CUDA_VISIBLE_DEVICES"] = "3,2,1"
    found["overlapping"] = reserve_all("auto")
print(json.dumps(found))
"""
    forms = {title: value for title, (value, _) in VISIBLE.items()}
    forms["part"] = "MIG-11111111-2222-4333-8444-555555555555"
    run = subprocess.run(
        [sys.executable, "-c", code, json.dumps(forms)],
        cwd=ROOT,
        env=pretending(tmp_path_factory.mktemp("locks")),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def pretending(locks: Path) -> dict[str, str]:
    """The environment of a process that is to think that it has four devices."""
    path = [str(ROOT / "tests" / "pretended"), str(ROOT)]
    return {
        **{name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"},
        "PYTHONPATH": os.pathsep.join(path),
        "PRETENDED_DEVICES": ",".join(UUIDS),
        "PRETENDED_LOCKS": str(locks),
    }


@pytest.mark.parametrize("title", VISIBLE)
def test_the_visible_devices_are_taken_one_by_one(seen, title):
    _, letters = VISIBLE[title]
    identities, *by_name = seen[title]
    assert [one[0] for one in identities] == letters
    expected = [f"cuda:{number}" for number in range(len(letters))]
    automatic, second, cpu, any_gpu = by_name
    assert automatic == ([*expected, "waits"] if expected else ["cpu"])
    assert cpu == ["cpu"]
    if len(letters) > 1:
        assert second == ["cuda:1", "waits"], "exactly that one"
    else:
        assert "device cuda:1 is not there" in second[0]
    if expected:
        assert any_gpu == [*expected, "waits"]


def test_a_device_is_the_same_under_whatever_number(seen):
    """Held as the first of 1,2; of 3,2,1 it is the third."""
    assert seen["overlapping"] == ["cuda:0", "cuda:1", "waits"]


def test_a_part_of_a_device_has_a_lock_of_its_own(seen):
    (identity,) = seen["part"][0]
    assert identity.endswith(" MIG-11111111-2222-4333-8444-555555555555")
    assert seen["part"][1] == ["cuda:0", "waits"]


def test_the_real_locks_are_where_every_user_finds_them():
    code = "from nst.system import device_lock; print(device_lock.FOLDER)"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": "/elsewhere"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout == "/tmp\n"
