"""One run at a time in a folder, and one process at a time at a job.

Snakemake's own lock is a file: it stays when Snakemake is killed, and the same command is then
refused until somebody removes it. The locks here are the operating system's, and end with the
process that holds them. A job outlives a Snakemake that is killed; the next run's process of the
same job waits for its end, and takes what it made from the store.

Locks are bytes of one file: the first is the run's, a job's is found by the name of its log.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import logging
import os
import platform
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from nst.errors import RunError
from nst.system.disk_trouble import explain_disk_trouble
from nst.system.files import part_folder, place_name, remove_parts, write_atomically

logger = logging.getLogger(__name__)

FOLDER = Path(".snakemake")  # of the working directory; Snakemake makes it before any job
LOCKS = FOLDER / "nst.lock"
HOLDER = FOLDER / "nst.run.json"
BUSY = (errno.EACCES, errno.EAGAIN)
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)
RESULTS = Path("results")
RUN = 0  # the byte that is the run's


def begin_run(tell: Callable[[str], object]) -> None:
    """Take the lock of the run for as long as this process lives, and clear up after a killed one.

    ``tell`` gets a line for each thing that is worth knowing.

    Raises:
        RunError: another run is at work in this folder, or may be; or nothing can be written.
    """
    handle = _open()  # closed by the end of the process alone: that would give up the lock
    try:
        alone = _take(handle, RUN)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        tell(f"This file system has no locks ({error.strerror}): start no second run here.")
        alone = True
    before = _read_holder()
    if not alone:
        raise RunError(_refusal(before))
    if before is not None:
        _check_gone(before)
        tell(
            f"The run of {before['since']} was cut off. This one takes up where it was; finished "
            "cells come from results/store."
        )
    _check_writable(RESULTS)
    _write_holder()
    if removed := remove_parts(RESULTS):
        tell(f"Removed {len(removed)} files that killed processes left half written.")


def end_run() -> None:
    """Say that the run came to its end, well or badly, and was not killed."""
    HOLDER.unlink(missing_ok=True)


@contextmanager
def job_lock(log: str) -> Iterator[None]:
    """Hold the lock of the job with this log file; wait for a process that is still at the job.

    Where Snakemake is not at work, do nothing.
    """
    if not FOLDER.is_dir():
        yield
        return
    handle = _open()
    try:
        _await(handle, _byte(log))
        yield
    finally:
        os.close(handle)


def _await(handle: int, byte: int) -> None:
    """Take a job's lock, waiting for it if need be."""
    try:
        if _take(handle, byte):
            return
        process = _holder_of(handle, byte)
        logger.warning(
            "a killed run left this job at work%s; waiting for its end, to take what it makes",
            f" in process {process} (to stop it: kill {process})" if process else "",
        )
        fcntl.lockf(handle, fcntl.LOCK_EX, 1, byte)
        logger.info("that process has ended")
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise


def _open() -> int:
    """Open the file of the locks."""
    return os.open(LOCKS, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _take(handle: int, byte: int) -> bool:
    """Take a lock if it is free."""
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except OSError as error:
        if error.errno in BUSY:
            return False
        raise
    return True


def _byte(log: str) -> int:
    """Return the byte that stands for a job; no two jobs will ever meet in 2^62."""
    return 1 + int.from_bytes(hashlib.sha256(log.encode()).digest()[:8]) % (2**62)


def _holder_of(handle: int, byte: int) -> int | None:
    """Return the number of the process that holds a lock, if it can be known."""
    if not sys.platform.startswith("linux"):
        return None
    form = "hhqqi4x"  # struct flock
    asked = struct.pack(form, fcntl.F_WRLCK, os.SEEK_SET, byte, 1, 0)
    *_, process = struct.unpack(form, fcntl.fcntl(handle, fcntl.F_GETLK, asked))
    return process if process > 0 else None


def _write_holder() -> None:
    """Say who holds the lock of the run."""
    holder = {
        "process": os.getpid(),
        "machine": platform.node(),
        "place": place_name(),
        "since": time.strftime("%Y-%m-%d %H:%M:%S"),
    }
    write_atomically(HOLDER, json.dumps(holder).encode())


def _read_holder() -> dict[str, str] | None:
    """Return who held the lock of the run last and did not say that it ended."""
    unknown = {"process": "?", "machine": "?", "place": "?", "since": "an unknown time"}
    try:
        return {**unknown, **json.loads(HOLDER.read_bytes())}
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):
        return {**unknown, "machine": platform.node()}


def _refusal(holder: dict[str, str] | None) -> str:
    """Say who is at work."""
    who = (
        f"process {holder['process']} on {holder['machine']}, since {holder['since']}"
        if holder
        else "it is just starting"
    )
    stop = f", or stop it: kill -INT {holder['process']}" if holder else ""
    return (
        f"Only one run may be at work in a folder; another is in {Path.cwd()} ({who}). "
        f"Wait for its end{stop}. A run in another folder: --directory FOLDER."
    )


def _check_writable(folder: Path) -> None:
    """Refuse to begin where nothing can be written: Snakemake would end with a traceback."""
    try:
        with part_folder(folder / "run"):
            pass
    except OSError as error:
        error.filename = str(folder)
        raise RunError(explain_disk_trouble(error) or str(error)) from error


def _check_gone(holder: dict[str, str]) -> None:
    """Refuse to take over from a run on another machine, which locks may not reach."""
    if holder["place"] == place_name() or holder["machine"] == platform.node():
        return
    raise RunError(
        f"Only one run may be at work in a folder; one was begun on {holder['machine']} (process "
        f"{holder['process']}, {holder['since']}), and has not said that it ended. If it is not "
        f"at work there any more, delete {Path.cwd() / HOLDER} and run again."
    )
