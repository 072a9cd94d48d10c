"""Locks of devices, tested with real processes and pretended devices."""

import json
import logging
import os
import platform
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from workflow_runs import killed_soon, run_python, unavailable

from nst.errors import ConfigError, UserError
from nst.system import locks
from nst.system.device import choose_device, reserve_device, use_threads
from nst.system.locks import hold_one

ONE = {"cuda:0": "first"}
TWO = {"cuda:0": "first", "cuda:1": "second"}
HOLD = """
import json, os, sys, time
from pathlib import Path
from nst.system import locks
folder, devices, user = sys.argv[1], json.loads(sys.argv[2]), int(sys.argv[3])
if user:  # not from the start, since another user may not be allowed to run this Python
    os.setgroups([])
    os.setgid(user)
    os.setuid(user)
locks.DEVICE_LOCKS = Path(folder)
with locks.hold_one(devices):
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    """Set the folder of the locks in this process."""
    monkeypatch.setattr(locks, "DEVICE_LOCKS", tmp_path)
    monkeypatch.setattr(locks, "SECONDS_BETWEEN_TRIES", 0.02)
    return tmp_path


def test_each_holder_has_a_device_of_its_own_without_a_word(caplog):
    caplog.set_level(logging.INFO)
    with hold_one(TWO) as one, hold_one(TWO) as other:
        assert (one, other) == ("cuda:0", "cuda:1")
    with hold_one(TWO) as one:
        assert one == "cuda:0"
    assert not caplog.messages


def test_waiting_for_a_killed_holder_is_announced_from_time_to_time(folder, caplog, monkeypatch):
    monkeypatch.setattr(locks, "SECONDS_BETWEEN_REPORTS", 0.1)
    second = killed_soon(HOLD, folder, json.dumps({"cuda:1": "second"}), 0)
    with hold_one(ONE), second as other, hold_one(TWO) as name:
        assert (name, other.wait(0.2)) == ("cuda:1", -signal.SIGKILL)
    assert 3 <= len(caplog.messages) <= 6
    start_of_all = f"waiting for a device: other jobs hold cuda:0 ({folder}/nst-device-"
    assert all(message.startswith(start_of_all) for message in caplog.messages)


def test_a_device_is_given_back_when_the_job_fails():
    with pytest.raises(ZeroDivisionError), hold_one(ONE):
        _ = 1 / 0
    with hold_one(ONE) as name:
        assert name == "cuda:0"


def lock_file(folder: Path) -> Path:
    """Hold the first device once, which creates its lock file; return the file."""
    with hold_one(ONE):
        (path,) = folder.glob("nst-device-*.lock")
    return path


@pytest.mark.parametrize("kind", ["a link", "a dangling link", "a folder"])
def test_what_another_user_laid_in_a_lock_s_place_is_refused(folder, kind):
    path, victim = lock_file(folder), folder / "victim"
    path.unlink()
    if kind == "a link":
        victim.write_text("precious")
    path.mkdir() if kind == "a folder" else path.symlink_to(victim)
    before = [victim.read_text()] if victim.exists() else []
    told = r"nst-device-\w+\.lock must be a plain file.*; remove what is there"
    with pytest.raises(UserError, match=told), hold_one(ONE):
        pass
    assert [one.read_text() for one in folder.glob("victim")] == before


def test_a_lock_that_may_not_be_opened_is_not_waited_for_for_ever(folder, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.2)
    tries = []

    def denied(*_, **options):
        tries.append(options)
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(locks.FileLock, "acquire", denied)
    told = r"nst-device-\w+\.lock cannot be opened \(Permission denied\); every user must"
    with pytest.raises(UserError, match=told), hold_one(ONE):
        pass
    assert len(tries) > 2, "it must retry, because another user may be creating the file"


def test_users_share_the_locks_whatever_their_umask(monkeypatch):
    if os.geteuid() != 0:
        unavailable("only root can start a process of another user")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        shared = Path(name)
        shared.chmod(0o1777)  # as /tmp
        monkeypatch.setattr(locks, "DEVICE_LOCKS", shared)
        before = os.umask(0o077)
        try:
            lock_file(shared)
        finally:
            os.umask(before)
        for user in (65534, 12345):
            with killed_soon(HOLD, shared, json.dumps(ONE), user) as other, hold_one(ONE):
                assert other.wait(0.2) == -signal.SIGKILL, "it waits for the other user"


# ---------------------------------------------------------------- visible devices

FLAGS = [
    (torch.backends.cudnn, "allow_tf32"),
    (torch.backends.cuda.matmul, "allow_tf32"),
    (torch.backends.cuda.matmul, "allow_bf16_reduced_precision_reduction"),
    (torch.utils.deterministic, "fill_uninitialized_memory"),
]


class WaitsError(Exception):
    """Raised instead of waiting for a device."""


@pytest.fixture
def show(monkeypatch) -> Iterator[Callable[[str], None]]:
    """Pretend that GPUs with these identities are visible, and never wait for one."""

    def wait(_seconds: float) -> None:
        raise WaitsError

    monkeypatch.setattr(locks, "time", SimpleNamespace(monotonic=time.monotonic, sleep=wait))
    monkeypatch.setattr(torch.cuda, "set_device", lambda _: None)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Pretended GPU")
    # The choice of a GPU sets these for the rest of the process.
    monkeypatch.setattr(torch, "use_deterministic_algorithms", lambda *_, **_options: None)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    before = [getattr(owner, name) for owner, name in FLAGS]

    def visible(identities: str) -> None:
        facts = [SimpleNamespace(uuid=identity) for identity in identities]
        monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(facts))
        monkeypatch.setattr(torch.cuda, "device_count", lambda: len(facts))
        monkeypatch.setattr(torch.cuda, "get_device_properties", facts.__getitem__)

    yield visible
    for (owner, name), value in zip(FLAGS, before, strict=True):
        setattr(owner, name, value)


def reserve_all(name: str) -> list[str]:
    """Reserve devices by this name until none is free."""
    taken: list[str] = []
    with ExitStack() as stack, suppress(WaitsError):
        while len(taken) < 9:
            taken.append(str(stack.enter_context(reserve_device(name))))
    return taken


def test_the_visible_devices_are_taken_one_by_one(show):
    for identities in ("abcd", "ca"):
        show(identities)
        expected = [f"cuda:{number}" for number in range(len(identities))]
        assert reserve_all("auto") == reserve_all("cuda") == expected
        assert reserve_all("cuda:1") == ["cuda:1"], "only this device"
    show("")
    assert set(reserve_all("auto")) == {"cpu"}


def test_a_device_is_the_same_under_whatever_number(show):
    show("bc")
    with reserve_device("cuda"):
        show("dcb")
        assert reserve_all("cuda") == ["cuda:0", "cuda:1"]


def test_a_part_of_a_device_has_a_lock_of_its_own(show, monkeypatch):
    show("a")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-11111111-2222-4333-8444-555555555555")
    with reserve_device("cuda"):
        assert reserve_all("cuda") == []
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-66666666-2222-4333-8444-555555555555")
        assert reserve_all("cuda") == ["cuda:0"]


def test_the_real_locks_are_where_every_user_finds_them():
    code = "from nst.system import locks; print(locks.DEVICE_LOCKS)"
    assert run_python(code, TMPDIR="/elsewhere") == "/tmp\n"


# ---------------------------------------------------------------- the device and its threads


CPU = torch.device("cpu")


def test_there_is_always_a_device():
    assert choose_device().type in ("cpu", "cuda")
    assert choose_device("cpu") == CPU
    assert os.environ["THP_MEM_ALLOC_ENABLE"] == "1", "large pictures must use large pages"


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta", "cuda:99"])
def test_an_unknown_device_is_refused_with_the_remedy(name):
    rule = "must be auto, cpu, cuda, cuda:1 or mps; got"
    missing = r"device cuda:99 is not there: .* Set device to auto"
    with pytest.raises(ConfigError, match=missing if name == "cuda:99" else rule):
        choose_device(name)


@pytest.mark.parametrize(
    ("name", "variable", "warned"),
    [("auto", "0", True), ("auto", "-1", False), ("cpu", "0", False)],
)
def test_a_cpu_in_the_place_of_a_gpu_is_announced(monkeypatch, caplog, name, variable, warned):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    monkeypatch.delenv("SLURM_JOB_GPUS", raising=False)
    caplog.set_level(logging.INFO)
    with reserve_device(name) as device:
        assert device == CPU
    assert f"computing on cpu: {platform.machine()}, {torch.get_num_threads()} " in caplog.text
    warnings = [one.message for one in caplog.records if one.levelno == logging.WARNING]
    if Path("/proc/driver/nvidia/version").exists():
        pytest.skip("this machine has a GPU")
    said = [one.startswith("CUDA_VISIBLE_DEVICES is 0, but torch") for one in warnings]
    assert said == [True] * warned


@pytest.mark.parametrize(("asked", "used"), [(1, 1), (64, 2)])
def test_there_are_no_more_threads_than_cores(monkeypatch, asked, used):
    """More threads would wait for each other: a fit of seconds took three minutes."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    before = torch.get_num_threads()
    try:
        use_threads(asked)
        assert torch.get_num_threads() == used
    finally:
        torch.set_num_threads(before)


FAULTS = """
import resource
import torch
from nst.system.device import reserve_device
counts = []
with reserve_device("cpu"):
    for _ in range(30):
        torch.ones(2**23)  # 32 MB
        counts.append(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
print(counts[-1] - counts[19])  # by then the heap has reached its full size
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left alone")
def test_memory_that_one_evaluation_freed_is_there_for_the_next():
    # With pages of 4 kB, so that a few large pages cannot hold a new tensor.
    assert int(run_python(FAULTS, THP_MEM_ALLOC_ENABLE="0")) < 100
