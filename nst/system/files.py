"""Files and folders written whole or not at all, through a power cut too.

What is being written has a temporary name, a *part*, which says who writes it. A writer that is
killed leaves its part behind, and a later run removes it.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import logging
import os
import platform
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

logger = logging.getLogger(__name__)

PART = re.compile(r"\..*-(?P<host>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}\.part", re.DOTALL)
DAY = 24 * 3600
# What file systems say that cannot sync a folder; their renames are as safe as they make them.
NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EISDIR)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Provide a file to write, which becomes ``path`` in the end: whole, or not at all.

    A temporary neighbour is written, brought to the disk, renamed, and the folder brought to the
    disk; until then a reader finds the old file or none. Creates parent folders.

    Raises ``OSError`` as the file system does, with ``path`` as its file.
    """
    try:
        make_folder(path.parent)
        part = part_of(path)
        try:
            with part.open("xb") as file:  # not tempfile, whose files only the owner can read
                yield file
            rename_durably(part, path)
        except BaseException:  # an interrupt too
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        if error.errno is None:  # not of the system
            raise
        # A full disk names no file, and a failed rename the part: neither helps who reads it.
        raise _about(error, path) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; raises and creates folders as ``atomic_file`` does."""
    with atomic_file(path) as file:
        file.write(content)


def rename_durably(part: Path, path: Path) -> None:
    """Rename a file, and bring the file and its new name to the disk.

    ``part`` is on the same file system as ``path``. Raises ``OSError`` as the file system does.
    """
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, path)
    sync_folder(path.parent)


@contextmanager
def part_folder(path: Path) -> Iterator[Path]:
    """Provide an empty folder beside ``path``, which is removed in the end if it is still there.

    Creates parent folders of ``path``. An ``OSError`` on the way gets ``path`` as its file.
    """
    folder = part_of(path)
    try:
        make_folder(path.parent)
        folder.mkdir()
        yield folder
    except OSError as error:
        if error.errno is None:  # of a network, not of the disk
            raise
        raise _about(error, path) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, and bring to the disk that they are there."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Bring to the disk which names a folder has; where that is not to be had, do nothing."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError as error:
        if error.errno in NO_FOLDER_SYNC:
            return
        raise
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise
    finally:
        os.close(handle)


def time_stamp(path: str | Path) -> int | None:
    """Return when a file or folder was last written, in ns; None if it is not there."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def part_of(path: Path) -> Path:
    """Return a name, not used before, for what is to become ``path``; it says who writes it."""
    writer = f"{host_identity()}-{os.getpid()}-{secrets.token_hex(4)}"
    return path.with_name(f".{path.name[:40]}-{writer}.part")


def remove_parts(folder: Path) -> list[Path]:
    """Remove what killed writers left below ``folder``, and return what that was.

    The part of a process that lives is left alone. So is one from elsewhere (another machine or
    container, an earlier start of this one), whose process cannot be looked for, for a day.
    """
    removed = []
    for root, folders, files in os.walk(folder):
        parts = [name for name in (*folders, *files) if name[0] == "." and name.endswith(".part")]
        folders[:] = [name for name in folders if name not in parts]
        for part in (Path(root) / name for name in parts):
            if _is_abandoned(part):
                _remove(part)
                removed.append(part)
    return removed


@functools.cache
def host_identity() -> str:
    """Return where process numbers mean what they do here: this start, of this machine.

    Containers on one machine have process numbers of their own.
    """
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        start = numbers = ""
    name = f"{platform.node()} {start} {numbers}"
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def _is_abandoned(part: Path) -> bool:
    """Whether the writer of a part is gone for certain, or probably."""
    named = PART.fullmatch(part.name)
    if named and named["host"] == host_identity():
        return not _lives(int(named["process"]))
    try:
        return time.time() - part.stat().st_mtime > DAY
    except FileNotFoundError:
        return False


def _lives(process: int) -> bool:
    """Whether there is a process of this number."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # somebody else's
    return not _is_zombie(process)


def _is_zombie(process: int) -> bool:
    """Whether a process is dead, and only its number is kept for a parent to ask.

    When a run is killed with its jobs, the system is their parent, and may take seconds to ask.
    """
    try:
        facts = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:  # gone by now, or not Linux
        return False
    return facts.rpartition(")")[2].split()[0] in ("Z", "X")


def _remove(part: Path) -> None:
    """Remove a file or a folder with all that is in it; what cannot be removed stays."""
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part, ignore_errors=True)
        return
    try:
        part.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s is left over and cannot be removed (%s)", part, error.strerror)


def _about(error: OSError, path: Path) -> OSError:
    """Return the same error with ``path`` as its file."""
    return OSError(error.errno, error.strerror, str(path))
