"""Image files that cost far more to read than their pixels: found before Pillow reads them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from nst.errors import ImageError

MOST_VALUES = 150_000  # of a TIFF's tag: four planes of the longest picture, a strip for each row
MOST_SCANS = 1000  # of a JPEG: 10 are usual
BLOCK = 2**20  # bytes
BYTES = (1, 2, 6, 7)  # the types of a TIFF's tag that Pillow keeps as they are


def refuse_lists(path: Path) -> None:
    """Refuse a TIFF, of the usual kind or BigTIFF, whose first directory has too long a list.

    Pillow makes an object of every number in a list of strips: ten million take minutes.

    Raises:
        ImageError: the file is such a one.
        OSError, struct.error: it cannot be read, or is cut off.
    """
    with path.open("rb") as file:
        head = file.read(16)
        if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return
        for tag, kind, count in _directory(file, head):
            if kind not in BYTES and count > MOST_VALUES:
                raise ImageError(
                    f"{path}: may have at most {MOST_VALUES} values in a tag; got {count} in tag "
                    f"{tag}. Export it with larger strips, or as PNG."
                )


def refuse_scans(path: Path) -> None:
    """Refuse a JPEG with too many scans: each is a pass over the whole picture.

    Reads the file. What begins a scan counts in a thumbnail, too.

    Raises:
        ImageError: the file is such a one.
        OSError: it cannot be read.
    """
    scans = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            scans += block.count(b"\xff\xda")
    if scans > MOST_SCANS:
        raise ImageError(
            f"{path}: may have at most {MOST_SCANS} scans; got {scans}. Export it again, not "
            "progressive."
        )


def _directory(file: BinaryIO, head: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield tag, type and number of values of each entry in a TIFF's first directory."""
    order = "<" if head.startswith(b"I") else ">"
    big = b"+" in head[:4]
    offset, number, entry = ("Q", "Q", "HHQ8x") if big else ("I", "H", "HHI4x")
    (start,) = struct.unpack_from(f"{order}{offset}", head, 8 if big else 4)
    file.seek(start)
    (entries,) = struct.unpack(f"{order}{number}", file.read(8 if big else 2))
    kind = struct.Struct(f"{order}{entry}")
    content = file.read(min(entries, 65535) * kind.size)
    yield from kind.iter_unpack(content[: len(content) // kind.size * kind.size])
