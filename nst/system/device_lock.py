"""A lock for each physical device, so that no two jobs of a machine compute on the same one.

A lock is a file that a job holds by ``flock`` for as long as it lives: the kernel frees it, however
the job ends. The file is named after the device itself, and not after its number, which depends on
what is visible to a process. It stays when the lock is given back, since a job that waits for it
would otherwise hold a file that nobody else can find.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import logging
import os
import stat
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from nst.errors import UserError

logger = logging.getLogger(__name__)

FOLDER = Path("/tmp")  # noqa: S108 - not TMPDIR, which may be another one for each user or job
SECONDS_BETWEEN_TRIES = 1.0
SECONDS_BETWEEN_REPORTS = 60.0
# In a folder that everybody may write to, a name may be somebody's trap: no link is followed, and
# no pipe is waited for.
FLAGS = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


@contextmanager
def hold_one(devices: Mapping[str, str]) -> Iterator[str]:
    """Hold one of ``devices`` until the end of the block, and yield its name.

    ``devices`` are identities, the same in every process, by the names that this process has for
    them. The first that is free is taken. While there is none, the log says who holds them, now and
    every minute.

    Raises:
        UserError: what lies in a lock's place is not a lock.
    """
    told = -SECONDS_BETWEEN_REPORTS
    while True:
        holders = []
        for name, identity in devices.items():
            with _try(_lock_file(identity)) as holder:
                if holder is None:
                    yield name
                    return
            holders.append(f"{name} is held by {holder}")
        if time.monotonic() - told >= SECONDS_BETWEEN_REPORTS:
            told = time.monotonic()
            logger.warning("waiting for a device: %s", ", ".join(holders))
        time.sleep(SECONDS_BETWEEN_TRIES)


def _lock_file(identity: str) -> Path:
    """Return where the lock of a device is, whatever its identity is made of."""
    return FOLDER / f"nst-device-{hashlib.sha256(identity.encode()).hexdigest()[:32]}.lock"


@contextmanager
def _try(path: Path) -> Iterator[str | None]:
    """Hold a lock until the end of the block, and yield None; or who holds it."""
    try:
        descriptor = _open(path)
    except PermissionError:
        yield f"another user, who owns {path}"
        return
    try:
        if not _is_free(descriptor):
            yield _read_holder(descriptor)
        elif not _is_in_place(descriptor, path):
            yield "nobody any more"  # it was removed meanwhile, and is tried again
        else:
            with contextlib.suppress(OSError):  # another user's, or the disk is full: a lock still
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, str(os.getpid()).encode(), 0)
            yield None
    finally:
        os.close(descriptor)


def _open(path: Path) -> int:
    """Open a lock, or make it, for every user of the machine."""
    while True:
        try:
            descriptor = _open_existing(path)
        except FileNotFoundError:
            try:
                # Only made where there is nothing: the kernel may refuse to open another user's
                # file with O_CREAT in a folder such as /tmp.
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | FLAGS, 0o666)
            except FileExistsError:
                continue  # another job was first
            os.fchmod(descriptor, 0o666)  # whatever the umask
        return descriptor


def _open_existing(path: Path) -> int:
    """Open a lock that is there; for reading, which is enough to hold it, if no more is allowed."""
    try:
        try:
            descriptor = os.open(path, os.O_RDWR | FLAGS)
        except PermissionError:
            descriptor = os.open(path, os.O_RDONLY | FLAGS)
    except (FileNotFoundError, PermissionError):
        raise
    except OSError as error:  # a symbolic link, a folder
        raise _not_a_lock(path) from error
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:  # a pipe; a name of another file
        os.close(descriptor)
        raise _not_a_lock(path)
    return descriptor


def _not_a_lock(path: Path) -> UserError:
    """Say that something else lies in a lock's place."""
    return UserError(
        f"{path} must be a plain file with one name, to be the lock of a device; remove what is "
        "there, or set device to cpu"
    )


def _is_free(descriptor: int) -> bool:
    """Take a lock if it is free."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_in_place(descriptor: int, path: Path) -> bool:
    """Tell whether an open file is still what others find under its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except FileNotFoundError:
        return False


def _read_holder(descriptor: int) -> str:
    """Return who holds a lock, as its file says; any user may have written there."""
    text = os.pread(descriptor, 20, 0).decode("ascii", "replace")
    return f"process {text}" if text.isascii() and text.isdigit() else "another process"
