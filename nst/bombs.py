"""Image files that cost far more to read than their pixels: told before Pillow reads them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from nst.errors import ImageError

MOST_VALUES = 150_000  # of a TIFF's tag: four planes of the longest picture, a strip for each row
MOST_SCANS = 1000  # of a JPEG: 10 are usual, each is a pass over the whole picture
BLOCK = 2**20  # bytes
BYTES = (1, 2, 6, 7)  # the types of a TIFF's tag that Pillow keeps as they are


def refuse_bombs(path: Path) -> None:
    """Refuse a TIFF whose lists, or a JPEG whose passes, have no proportion to a picture.

    A megabyte of either can keep Pillow busy for minutes: it makes an object of every number in a
    list of strips, and goes over all the pixels for each scan.

    Raises:
        ImageError: the file is such a one.
        OSError, struct.error: it cannot be read, or is cut off.
    """
    with path.open("rb") as file:
        head = file.read(16)
        if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            _check_tags(path, file, head)
        elif head[:3] == b"\xff\xd8\xff":
            _check_scans(path, file)


def _check_tags(path: Path, file: BinaryIO, head: bytes) -> None:
    """Look through a TIFF's first directory, of the usual kind or of BigTIFF's."""
    order = "<" if head.startswith(b"I") else ">"
    big = b"+" in head[:4]
    (place,) = (
        struct.unpack(f"{order}Q", head[8:]) if big else struct.unpack(f"{order}I", head[4:8])
    )
    file.seek(place)
    (entries,) = struct.unpack(f"{order}{'Q' if big else 'H'}", file.read(8 if big else 2))
    entry = struct.Struct(f"{order}{'HHQ8x' if big else 'HHI4x'}")
    directory = file.read(min(entries, 65535) * entry.size)
    for tag, kind, count in entry.iter_unpack(
        directory[: len(directory) // entry.size * entry.size]
    ):
        if kind not in BYTES and count > MOST_VALUES:
            raise ImageError(
                f"{path}: may have at most {MOST_VALUES} values in a tag; got {count} in tag "
                f"{tag}. Export it with larger strips, or as PNG."
            )


def _check_scans(path: Path, file: BinaryIO) -> None:
    """Count what begins a scan of a JPEG; a thumbnail's count too."""
    scans = 0
    while block := file.read(BLOCK):
        scans += block.count(b"\xff\xda")
    if scans > MOST_SCANS:
        raise ImageError(
            f"{path}: may have at most {MOST_SCANS} scans; got {scans}. Export it again, not "
            "progressive."
        )
