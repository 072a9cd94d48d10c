"""A lock for each physical device, so that no two jobs of a machine compute on the same one.

A lock is named after the device itself, and not after its number, which depends on what is visible
to a process. It is freed by the system, however a job ends: filelock, which torch brings, does that
for every user of a machine.
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

FOLDER = Path("/tmp")  # noqa: S108 - not TMPDIR, which may be another one for each user or job
SECONDS_BETWEEN_TRIES = 1.0
SECONDS_BETWEEN_REPORTS = 60.0
PATIENCE = 10.0  # s with a lock that may not be opened: another user may just be making it


@contextmanager
def hold_one(devices: Mapping[str, str]) -> Iterator[str]:
    """Hold one of ``devices`` until the end of the block, and yield its name.

    ``devices`` are identities, the same in every process, by the names that this process has for
    them. The first that is free is taken. While there is none, the log says so every minute.

    Raises:
        UserError: something that is not a lock has a lock's name, or a lock may not be opened.
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
    """Return the lock of a device, whatever its identity is made of, for all of the machine."""
    name = hashlib.sha256(identity.encode()).hexdigest()[:32]
    return FileLock(FOLDER / f"nst-device-{name}.lock", mode=0o666, is_singleton=False)


def _acquired(lock: FileLock, denied: dict[str, float]) -> bool:
    """Take a lock if it is free; ``denied`` remembers since when a file may not be opened."""
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    except PermissionError as error:  # of the file: one that is held can be opened all the same
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
