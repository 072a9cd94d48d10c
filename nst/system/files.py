"""Files and folders that are written whole or not at all, even in a power cut.

A file or folder in progress has a temporary name, a *part*, which identifies its writer. A writer
that is killed leaves its part behind, and a later run removes it. ``explain_disk_trouble`` tells
the user what to do when a disk is full, read-only or not writable.
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
import sysconfig
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

logger = logging.getLogger(__name__)

CHECKOUT = Path(__file__).resolve().parents[2]
INSTALLED = Path(sysconfig.get_path("data")) / "share" / "nst"  # see data-files in pyproject.toml
DATA = CHECKOUT if (CHECKOUT / "config" / "presets").is_dir() else INSTALLED
"""The folder of the package's data files: recipes, schema and catalogue."""
PART = re.compile(r"\..*?-((?P<host>[0-9a-f]{8})-(?P<process>\d+)-)?[0-9a-f]{8}\.part", re.DOTALL)
DAY = 24 * 3600
# Errors of file systems that cannot sync a folder; a rename cannot be made safer there.
NO_FOLDER_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES, errno.EISDIR)
FORBIDDEN = "Get permission to read and write there, or work in another folder"
REMEDIES: Mapping[int | None, str] = {
    errno.ENOSPC: "Free some space on that disk",
    errno.EDQUOT: "Delete some of your files, or ask for a larger quota",
    errno.EFBIG: "Raise the limit on the size of files (ulimit -f)",
    errno.EROFS: "Mount that file system for writing, or work in another folder",
    errno.EACCES: FORBIDDEN,
    errno.EPERM: FORBIDDEN,
    errno.EIO: "The disk or its connection is failing: save what you can, see the system's log",
}


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Provide a file to write, which becomes ``path`` at the end: whole, or not at all.

    The file is written under a temporary name in the same folder, synced to disk and renamed; then
    the folder is synced. Until then, a reader finds the old file or none. Creates parent folders.

    Raises ``OSError`` as the file system does, with ``path`` as its file.
    """
    with _naming(path):
        make_folder(path.parent)
        part = part_of(path)
        try:
            with part.open("xb") as file:  # not tempfile, whose files only the owner can read
                yield file
            rename_durably(part, path)
        except BaseException:  # including an interrupt
            part.unlink(missing_ok=True)
            raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file whole or not at all; raises and creates folders as ``atomic_file`` does."""
    with atomic_file(path) as file:
        file.write(content)


def rename_durably(part: Path, path: Path) -> None:
    """Rename a file, and sync the file and its new name to disk.

    ``part`` is on the same file system as ``path``. Raises ``OSError`` as the file system does.
    """
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    os.replace(part, path)
    sync_folder(path.parent)


@contextmanager
def part_folder(path: Path) -> Iterator[Path]:
    """Provide an empty folder beside ``path``, and remove it at the end if it still exists.

    Creates parent folders of ``path``. An ``OSError`` in the block gets ``path`` as its file.
    """
    folder = part_of(path)
    try:
        with _naming(path):
            make_folder(path.parent)
            folder.mkdir()
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Give an ``OSError`` of the file system ``path`` as its file.

    A full disk names no file, and a failed rename names the part: neither helps the user.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # an error of a connection, not of the file system
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def make_folder(folder: Path) -> None:
    """Create a folder and its parents, and sync their names to disk."""
    missing = [one for one in (folder, *folder.parents) if not one.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for one in missing:
        sync_folder(one.parent)


def sync_folder(folder: Path) -> None:
    """Sync the names in a folder to disk; do nothing where the file system cannot."""
    try:
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        if error.errno not in NO_FOLDER_SYNC:
            raise


def file_digest(path: Path) -> str:
    """Return the sha256 of a file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def time_stamp(path: str | Path) -> int | None:
    """Return when a file or folder was last written, in ns; None if it does not exist."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return None


def part_of(path: Path) -> Path:
    """Return a new temporary name for ``path``, which identifies the writing process."""
    writer = f"{host_identity()}-{os.getpid()}-{secrets.token_hex(4)}"
    return path.with_name(f".{path.name[:40]}-{writer}.part")


def remove_parts(folder: Path) -> list[Path]:
    """Remove the parts that killed writers left below ``folder``, and return their paths.

    The part of a living process is kept. A part from elsewhere (another machine or container, an
    earlier boot of this machine) is kept for a day, because its process cannot be checked.
    """
    removed = []
    for root, folders, files in os.walk(folder):
        parts = [name for name in (*folders, *files) if PART.fullmatch(name)]
        folders[:] = [name for name in folders if name not in parts]
        for part in (Path(root) / name for name in parts):
            if _is_abandoned(part):
                _remove(part)
                removed.append(part)
    return removed


@functools.cache
def host_identity() -> str:
    """Return an identity of this boot of this machine, within which process numbers are unique.

    Each container on a machine has separate process numbers, and so a separate identity.
    """
    try:
        start = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        numbers = os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        start = numbers = ""
    name = f"{platform.node()} {start} {numbers}"
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def _is_abandoned(part: Path) -> bool:
    """Return whether the writer of a part is gone, certainly or probably."""
    named = PART.fullmatch(part.name)
    if named and named["host"] == host_identity():
        return not _lives(int(named["process"]))
    try:
        return time.time() - part.stat().st_mtime > DAY
    except FileNotFoundError:
        return False


def _lives(process: int) -> bool:
    """Return whether a process with this number is alive.

    A dead process whose parent has not collected its exit status is not alive. When a run is killed
    with its jobs, the system becomes their parent, and may take seconds to collect it.
    """
    try:
        with suppress(PermissionError):  # another user's process
            os.kill(process, 0)
        facts = Path(f"/proc/{process}/stat").read_text(encoding="utf-8", errors="replace")
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # gone by now, or not Linux
        return True
    return facts.rpartition(")")[2].split()[0] not in ("Z", "X")


def _remove(part: Path) -> None:
    """Remove a file, or a folder with all its contents, as far as it can be removed."""
    if part.is_dir() and not part.is_symlink():
        shutil.rmtree(part, ignore_errors=True)
        return
    try:
        part.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s is left over and cannot be removed (%s)", part, error.strerror)


def explain_disk_trouble(error: BaseException | None) -> str | None:
    """Return one line with the file, the error and the remedy; None for any other error."""
    if not isinstance(error, OSError) or error.errno not in REMEDIES:
        return None
    file = " ".join(str(error.filename or "a temporary file").splitlines())
    return (
        f"{file}: {error.strerror}. {REMEDIES[error.errno]}, and run the same command again; the "
        "cells that are finished are kept."
    )
