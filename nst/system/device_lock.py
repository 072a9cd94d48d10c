"""A lock for each physical device, so that no two jobs of a machine compute on the same one.

A lock is named after the device's identity, because its number depends on the devices that are
visible to a process. The operating system releases the lock, however a job ends. The locks come
from filelock, a dependency of torch, and work across all users of a machine.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from nst.errors import UserError

logger = logging.getLogger(__name__)

FOLDER = Path("/tmp")  # noqa: S108 - not TMPDIR, which may differ between users and jobs
SECONDS_BETWEEN_TRIES = 1.0
SECONDS_BETWEEN_REPORTS = 60.0
PATIENCE = 10.0  # s to retry a lock that may not be opened: another user may be creating it


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
    return FileLock(FOLDER / f"nst-device-{name}.lock", mode=0o666, is_singleton=False)


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
            f"{lock.lock_file} must be a plain file, to be the lock of a device; remove what is "
            f"there ({error.strerror}), or set device to cpu"
        ) from error
    return True
