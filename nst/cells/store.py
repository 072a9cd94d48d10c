"""Finished cells by fingerprint, so that a rerun computes only the missing cells.

A job with many outputs loses them all when it fails, and recomputes them all when one is missing.
The store keeps each cell from the moment it is finished. It is safe to delete.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from PIL import Image

from nst.cells.cell import Cell, Pictures, write_pictures
from nst.errors import ImageError
from nst.imaging.images import read_deep, save_deep
from nst.system.files import part_folder, sync_folder, time_stamp, write_atomically

logger = logging.getLogger(__name__)


PICTURE = "cell.png"
DETAILS = "cell.json"
SNAPSHOTS = "snapshots.png"
LEVELS = "levels.tif"
DIGESTS = "cell.sha256"


class CellStore:
    """A folder of finished cells, one sub-folder for each fingerprint.

    An entry is renamed into place when it is complete, so no reader ever sees half an entry. Two
    processes may write the same cell.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def add(self, cell: Cell, pictures: Pictures) -> None:
        """Store a finished cell with its pictures.

        The ``levels`` of a print are always stored, so that its format and resolution can be
        changed later. They replace an entry without levels.
        """
        entry = self._entry(cell.fingerprint)
        with part_folder(entry) as part:
            there = replace(cell, path=part / PICTURE, snapshots=part / SNAPSHOTS, print_file=None)
            try:
                write_pictures(there, pictures)
                if pictures.levels is not None:
                    save_deep(pictures.levels, part / LEVELS)
            except ImageError as error:  # it names the part, which is about to be removed
                raise error.__cause__ or error from None
            details = json.dumps(cell.details(), ensure_ascii=False, sort_keys=True)
            write_atomically(part / DETAILS, f"{details}\n".encode())
            write_atomically(part / DIGESTS, _digests(part).encode())
            if pictures.levels is not None and entry.is_dir() and not (entry / LEVELS).exists():
                shutil.rmtree(entry, ignore_errors=True)
            try:
                os.rename(part, entry)
            except OSError:
                # A folder cannot be renamed onto a folder with files: another job was first.
                if not entry.is_dir():
                    raise
        sync_folder(entry.parent)

    def find(self, fingerprint: str) -> Cell | None:
        """Return the stored cell with this fingerprint, or None; drop a damaged entry."""
        entry = self._entry(fingerprint)
        if not entry.is_dir():
            return None
        with suppress(OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            cell = Cell.from_record(json.loads((entry / DETAILS).read_text("utf-8")))
            intact = _digests(entry) == (entry / DIGESTS).read_text()
            if intact and cell.fingerprint == fingerprint:
                return cell
        logger.warning("the stored cell %s is damaged; recomputing it", entry)
        shutil.rmtree(entry, ignore_errors=True)
        return None

    def time_stamp(self, fingerprint: str) -> int | None:
        """Return when the cell with this fingerprint was stored, in ns; None if it was not."""
        return time_stamp(self._entry(fingerprint))

    def restore(self, wanted: Cell) -> Cell | None:
        """Write the files of a stored cell, and return it; None if the cell must be computed.

        The names and the print format are those of ``wanted``, not those it was stored with. The
        files are copies, because a link would keep the old time stamp, and Snakemake would consider
        the output out of date.
        """
        stored, entry = self.find(wanted.fingerprint), self._entry(wanted.fingerprint)
        if stored is None:
            return None
        if wanted.deep and not (entry / LEVELS).exists():
            logger.info("the stored cell %s has 8 bits; recomputing it in 16", entry)
            return None
        cell = stored.named(wanted)
        try:
            if cell.snapshots is not None:
                write_atomically(cell.snapshots, (entry / SNAPSHOTS).read_bytes())
            if cell.print_file is None and cell.record() == stored.record():
                write_atomically(cell.path, (entry / PICTURE).read_bytes())
                return cell
            levels = read_deep(entry / LEVELS) if cell.deep else None
            with Image.open(entry / PICTURE) as image:  # load_image would refuse a narrow picture
                write_pictures(cell, Pictures(image, levels=levels))
        except FileNotFoundError:
            logger.info("another job replaced the stored cell %s; recomputing it", entry)
            return None
        return cell

    def _entry(self, fingerprint: str) -> Path:
        """Return an entry's folder; two levels keep the folders small."""
        return self._folder / fingerprint[:2] / fingerprint


def _digests(entry: Path) -> str:
    """Return the sha256 of each of an entry's files, in the format of ``sha256sum --check``."""
    names = [one for one in (DETAILS, PICTURE, SNAPSHOTS, LEVELS) if (entry / one).exists()]
    return "".join(
        f"{hashlib.sha256((entry / name).read_bytes()).hexdigest()}  {name}\n" for name in names
    )
