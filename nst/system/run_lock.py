"""Locks for one run at a time in a folder, and for one process at a time per job.

Snakemake's own lock is a file. It stays when Snakemake is killed, and Snakemake then refuses the
same command until somebody removes the lock. The locks here are the operating system's, through
filelock, and end with the process that holds them. A job outlives a killed Snakemake. In the next
run, the process of the same job waits until the old one ends, and restores its cells from the
store.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from nst.errors import RunError
from nst.system.disk_trouble import explain_disk_trouble
from nst.system.files import part_folder, remove_parts, write_atomically

logger = logging.getLogger(__name__)

FOLDER = Path(".snakemake")  # in the working directory; Snakemake creates it before any job
HOLDER = FOLDER / "nst.run"  # identifies the active run, for the message to a second run
RESULTS = Path("results")
# filelock raises these on a file system without locks. A full disk or a read-only folder is
# detected when the run begins.
NO_LOCKS = (OSError, NotImplementedError)
_held: list[FileLock] = []  # until the process ends


def begin_run(tell: Callable[[str], object]) -> None:
    """Lock the run for as long as this process lives, and clean up after a killed run.

    ``tell`` is called with a line for each event that the user should know of.

    Raises:
        RunError: another run is active in this folder, or nothing can be written.
    """
    holder = HOLDER.read_text("utf-8", "replace") if HOLDER.exists() else ""
    lock = FileLock(FOLDER / "nst.lock", is_singleton=False)
    try:
        lock.acquire(blocking=False)
        _held.append(lock)
    except Timeout:
        raise RunError(
            f"Only one run may be at work in a folder; another is in {Path.cwd()} "
            f"({holder or 'it is just starting'}). Wait "
            "for its end, or stop it with Ctrl-C. A run in another folder: --directory FOLDER."
        ) from None
    except NO_LOCKS as error:
        tell(f"This file system has no locks ({error}): start no second run here.")
    if holder:
        tell(
            f"A run was cut off ({holder}). This one continues it; finished cells come from "
            "results/store."
        )
    _check_writable(RESULTS)
    since = time.strftime("%Y-%m-%d %H:%M:%S")
    note = f"process {os.getpid()} on {platform.node()}, since {since}"
    write_atomically(HOLDER, note.encode())
    if removed := remove_parts(RESULTS):
        tell(f"Removed {len(removed)} files that killed processes left half written.")


def end_run() -> None:
    """Record that the run ended by itself, with or without success, and was not killed."""
    HOLDER.unlink(missing_ok=True)


@contextmanager
def job_lock(log: str) -> Iterator[None]:
    """Hold the lock of the job with this log file; wait for a process that still holds it.

    Outside Snakemake, do nothing.
    """
    if not FOLDER.is_dir():
        yield
        return
    name = hashlib.sha256(log.encode()).hexdigest()[:32]
    lock = FileLock(FOLDER / "nst-jobs" / f"{name}.lock", is_singleton=False)
    Path(lock.lock_file).parent.mkdir(exist_ok=True)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        logger.warning("a job of a killed run is still working; waiting for it")
        lock.acquire()
    except NO_LOCKS:
        pass  # begin_run has reported it
    try:
        yield
    finally:
        lock.release()


def _check_writable(folder: Path) -> None:
    """Refuse to begin if nothing can be written: Snakemake would end with a traceback."""
    try:
        with part_folder(folder / "run"):
            pass
    except OSError as error:
        error.filename = str(folder)
        raise RunError(explain_disk_trouble(error) or str(error)) from error
