"""Locks: one run at a time in a folder, one process at a time per job, one job per device.

The locks are the operating system's, through filelock, a dependency of torch. They end with the
process that holds them, however it ends, and the locks of devices work across all users.

Snakemake's own lock is a file. It stays when Snakemake is killed, and Snakemake then refuses the
same command until somebody removes the lock. A job outlives a killed Snakemake. In the next run,
the process of the same job waits until the old one ends, and restores its cells from the store.

A device's lock is named after the identity of the device, because its number depends on the devices
that are visible to a process.
"""

from __future__ import annotations

import hashlib
import logging
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from nst.errors import UserError, counted
from nst.system.files import explain_disk_trouble, part_folder, remove_parts, write_atomically

logger = logging.getLogger(__name__)

FOLDER = Path(".snakemake")  # in the working directory; Snakemake creates it before any job
HOLDER = FOLDER / "nst.run"  # identifies the active run, for the message to a second run
RESULTS = Path("results")
# filelock raises these on a file system without locks. A full disk or a read-only folder is
# detected when the run begins.
NO_LOCKS = (OSError, NotImplementedError)
_held: list[FileLock] = []  # until the process ends
DEVICE_LOCKS = Path("/tmp")  # noqa: S108 - not TMPDIR, which may differ between users and jobs
SECONDS_BETWEEN_TRIES = 1.0
SECONDS_BETWEEN_REPORTS = 60.0
PATIENCE = 10.0  # s to retry a lock that may not be opened: another user may be creating it


def begin_run(tell: Callable[[str], object]) -> None:
    """Lock the run for as long as this process lives, and clean up after a killed run.

    ``tell`` is called with a line for each event that the user should know of.

    Raises:
        UserError: another run is active in this folder, or nothing can be written.
    """
    holder = HOLDER.read_text("utf-8", "replace") if HOLDER.exists() else ""
    lock = FileLock(FOLDER / "nst.lock", is_singleton=False)
    try:
        lock.acquire(blocking=False)
        _held.append(lock)
    except Timeout:
        raise UserError(
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
        files = counted(len(removed), "file")
        tell(f"Removed {files} that killed processes left half written.")


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
        raise UserError(explain_disk_trouble(error) or str(error)) from error


@contextmanager
def hold_one(devices: Mapping[str, str]) -> Iterator[str]:
    """Hold one of ``devices`` until the end of the block, and yield its name.

    ``devices`` maps this process's names of devices to identities, which are the same in every
    process. The first free device is taken. While none is free, this is logged every minute.

    Raises:
        UserError: a lock's path is not a plain file, or a lock may not be opened.
    """
    locks = {name: _lock(identity) for name, identity in devices.items()}
    denied: dict[str, float] = {}  # since when
    reported = -SECONDS_BETWEEN_REPORTS
    while True:
        for name, lock in locks.items():
            if _acquired(lock, denied):
                try:
                    yield name
                finally:
                    lock.release()
                return
        if time.monotonic() - reported >= SECONDS_BETWEEN_REPORTS:
            reported = time.monotonic()
            held = ", ".join(f"{name} ({lock.lock_file})" for name, lock in locks.items())
            logger.warning("waiting for a device: other jobs hold %s", held)
        time.sleep(SECONDS_BETWEEN_TRIES)


def _lock(identity: str) -> FileLock:
    """Return the machine-wide lock of a device, named after the sha256 of its identity."""
    name = hashlib.sha256(identity.encode()).hexdigest()[:32]
    return FileLock(DEVICE_LOCKS / f"nst-device-{name}.lock", mode=0o666, is_singleton=False)


def _acquired(lock: FileLock, denied: dict[str, float]) -> bool:
    """Take a lock if it is free; ``denied`` has the time since which a file may not be opened."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except PermissionError as error:  # of the file: a lock that is held can still be opened
        now = time.monotonic()
        if now - denied.setdefault(lock.lock_file, now) < PATIENCE:
            return False
        raise UserError(
            f"{lock.lock_file} cannot be opened ({error.strerror}); every user must be able to "
            "write the lock of a device. Ask its owner to delete it, or set device to cpu."
        ) from error
    except OSError as error:  # a symbolic link, a folder
        raise UserError(
            f"{lock.lock_file} must be a plain file, because it locks a device; remove what is "
            f"there ({error.strerror}), or set device to cpu"
        ) from error
    return True
