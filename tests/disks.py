"""Small real disks to fill and write-protect, and functions that damage files."""

import contextlib
import ctypes
import functools
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from workflow_runs import unavailable

from nst.system.files import part_of


@dataclass(frozen=True)
class Disk:
    """A file system in memory, mounted at ``folder``."""

    folder: Path

    def fill(self) -> None:
        """Fill the disk with one file."""
        filler = self.folder / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Free the space again."""
        (self.folder / "filler").unlink()

    def protect(self, on: bool = True) -> None:
        """Make the disk read-only, or writable again."""
        mount("-o", "remount,ro" if on else "remount,rw", str(self.folder))


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True, capture_output=True)


@functools.cache
def own_mounts() -> None:
    """Give this process its own mounts, so that a killed test leaves no disk mounted."""
    new_mount_namespace = 0x20000  # CLONE_NEWNS; Python names it from 3.12 on
    if ctypes.CDLL(None, use_errno=True).unshare(new_mount_namespace):
        raise OSError(ctypes.get_errno(), "unshare")
    mount("--make-rprivate", "/")


@contextlib.contextmanager
def mounted(folder: Path, size: str) -> Iterator[Disk]:
    """Mount an empty disk of ``size``, such as ``1m``, at a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        own_mounts()
        mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder))
    except (AttributeError, OSError, subprocess.CalledProcessError):  # no Linux, or no right
        unavailable("a disk can only be mounted by root, with the right to")
    try:
        yield Disk(folder)
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=False)


def cut(path: Path) -> None:
    """Truncate a file to half its length."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def flip(path: Path, place: int) -> None:
    """Flip one bit of a file's byte."""
    content = bytearray(path.read_bytes())
    content[place] ^= 0x10
    path.write_bytes(content)


def part_of_another(path: Path, process: int) -> Path:
    """Return the partial file that another process of this machine would write."""
    part = part_of(path)
    return part.with_name(part.name.replace(f"-{os.getpid()}-", f"-{process}-"))
