"""A finished cell recomputed from its own metadata, and compared with the picture at hand.

The picture's record says with which settings, from which images, by which extractor and where it
was made. On that machine it comes out the same in every byte, on another one nearly so.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from PIL import Image

from nst.cells.cell import BITS, PIXELS, Cell, changed_facts, read_record
from nst.cells.difference import Difference, compare, describe_difference
from nst.cells.pair import Pair, stylize_pair
from nst.cells.sources import Given, find_pair
from nst.config.settings import ALGORITHM_VERSION
from nst.errors import CellError, ConfigError, UserError
from nst.imaging.images import load_image, pixel_digest
from nst.system.device import choose_device, reserve_device

Verdict = Literal["identical", "close", "different", "edited", "unchecked"]
SAID: Mapping[Verdict, str] = {
    "identical": "identical",
    "close": "within the tolerance",
    "different": "DIFFERENT",
    "edited": "EDITED",
    "unchecked": "NOT CHECKED",
}
MOST_THREADS = 1024  # a record may say anything


@dataclass(frozen=True)
class Verification:
    """What came of verifying one picture.

    ``identical``: every pixel, loss and measure is the same. ``close``: within the tolerance.
    ``different``: further. ``edited``: it is not what nst wrote. ``unchecked``: it could not be
    recomputed. ``message`` says why; ``changed`` has the facts that differed when it was made, as
    (then, now).
    """

    picture: Path
    verdict: Verdict
    message: str = ""
    difference: Difference | None = None
    changed: Mapping[str, tuple[str, str]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        found = self.difference
        return {
            "picture": str(self.picture),
            "verdict": self.verdict,
            "message": self.message,
            "difference": None if found is None else {**vars(found), "losses": dict(found.losses)},
            "changed": {name: {"then": a, "now": b} for name, (a, b) in self.changed.items()},
        }


def verify(
    picture: Path, given: Given, device: str = "recorded", *, threads: int | None = None
) -> Verification:
    """Recompute the cell of a picture, and compare.

    ``device`` is ``recorded``, for the kind of device that it was made on or else what there is, or
    a name that ``choose_device`` knows. The cell is computed in the precision and, unless
    ``threads`` says otherwise, with the number of threads that it was made with. bfloat16 is
    emulated where the device does not know it: slower, with the same numbers to choose from.
    Nothing is written but temporary files.

    Raises:
        ConfigError: the device is named and not there. What is wrong with the picture or with what
            it was made from is no error, but ``unchecked``.
    """
    if device != "recorded":
        choose_device(device)
    try:
        record = read_record(picture)
        image = load_image(picture, keep_alpha=True, any_shape=True)
        cell = _cell_of(picture, record)
        if edit := _edit(cell, record, image):
            return Verification(picture, "edited", edit)
        name = _recorded_device(cell) if device == "recorded" else device
        with tempfile.TemporaryDirectory(prefix="nst-") as folder:
            pair = find_pair(picture, cell, given, Path(folder))
            with reserve_device(name) as chosen:
                again, remade = _make(cell, pair, chosen, threads, Path(folder) / "again.png")
    except UserError as error:
        return Verification(picture, "unchecked", str(error))
    return _judge(picture, (cell, image), (again, remade))


def exit_status(found: Iterable[Verification], *, exact: bool = False) -> int:
    """Return 0 if all are as they should be, 1 if one is not, 2 if one could not be checked."""
    passed = {"identical"} if exact else {"identical", "close"}
    verdicts = {one.verdict for one in found}
    return 2 if "unchecked" in verdicts else int(not verdicts <= passed)


def choose_pictures(paths: Iterable[Path], sample: int | None) -> list[Path]:
    """List the files among ``paths``, and of each folder so many cells drawn at random, or all.

    A folder's cells are its pictures that carry a record; of a run's folder, its results without
    their copies in the store.

    Raises:
        CellError: a folder has no cells.
    """
    chosen: list[Path] = []
    for path in paths:
        chosen += _cells_in(path, sample) if path.is_dir() else [path]
    return chosen


def _cells_in(folder: Path, sample: int | None) -> list[Path]:
    """Draw cells of a folder; no more files are opened than it takes."""
    inside = folder / "cells" if (folder / "cells").is_dir() else folder
    pictures = list(inside.rglob("*.png"))
    random.shuffle(pictures)
    found = sorted(islice(filter(_is_cell, pictures), sample))
    if not found:
        raise CellError(f"{folder} holds no pictures that nst made; name the folder of a run")
    return found


def describe(found: Verification) -> str:
    """Put what came of a picture into a few lines of text."""
    what = f"{found.picture}: {SAID[found.verdict]}"
    lines = [f"{what}: {found.message}" if found.message else what]
    if found.difference and found.verdict != "identical":
        lines += describe_difference(found.difference)
    lines += [f"  {name}: {then} then, {now} now" for name, (then, now) in found.changed.items()]
    return "\n".join(lines)


# ---------------------------------------------------------------- what the picture says


def _is_cell(path: Path) -> bool:
    """Tell whether a file carries a record, and is not a print's file of 16 bits."""
    try:
        return BITS not in read_record(path)
    except UserError:
        return False


def _cell_of(path: Path, record: Mapping[str, Any]) -> Cell:
    """Read a record, if its cell can be recomputed and compared."""
    if BITS in record:
        raise CellError(
            f"{path} has 16 bits, and cells are compared in 8. Verify the PNG of 8 bits: that "
            "beside a print, or one that nst stylize makes with the same options."
        )
    if record.get("algorithm") != ALGORITHM_VERSION:
        versions = record.get("versions")
        version = versions.get("nst", "?") if isinstance(versions, Mapping) else "?"
        raise CellError(
            f"{path} was made by version {record.get('algorithm')} of the algorithm, and this nst "
            f"has {ALGORITHM_VERSION}. Install nst {version}, which made it, and verify it there."
        )
    try:
        cell = Cell.from_record(record)
        if not 1 <= int(cell.machine.get("threads", 1)) <= MOST_THREADS:
            raise ValueError(f"threads {cell.machine['threads']}")
    except ConfigError as error:
        raise CellError(f"{path} has a record that cannot be used: {error}") from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise CellError(f"{path} has a record that cannot be read ({reason})") from error
    if cell.status == "failed":
        raise CellError(
            f"{path} is a failed cell, crossed out: {cell.reason} There is no picture to verify."
        )
    return cell


def _edit(cell: Cell, record: Mapping[str, Any], image: Image.Image) -> str:
    """Say how a picture was changed after it was made, or nothing."""
    if record.get("fingerprint") != cell.fingerprint:
        return "its record was changed: the settings and digests in it are not its fingerprint's"
    if image.size != (cell.width, cell.height):
        return f"it was {cell.width}x{cell.height} px, and is {image.width}x{image.height}"
    if record.get(PIXELS, pixel_digest(image)) != pixel_digest(image):
        return "its pixels were changed: they are not those that its record was written with"
    return ""


def _recorded_device(cell: Cell) -> str:
    """Name the kind of device that a cell was made on if it is here, else what there is."""
    kind = cell.device.partition(":")[0]
    try:
        choose_device(kind)
    except UserError:
        return "auto"
    return kind


# ---------------------------------------------------------------- making it again, and comparing


def _make(
    cell: Cell, pair: Pair, device: torch.device, threads: int | None, path: Path
) -> tuple[Cell, Image.Image]:
    """Make the cell again with as many threads as then, and return it with its picture."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or int(cell.machine.get("threads", before)))
    try:
        (again,) = stylize_pair(pair, [replace(cell, path=path)], device)
    finally:
        torch.set_num_threads(before)
    return again, load_image(path, keep_alpha=True, any_shape=True)


def _judge(
    picture: Path,
    then: tuple[Cell, Image.Image],
    now: tuple[Cell, Image.Image],
) -> Verification:
    """Compare a cell and its picture with what came out."""
    (cell, image), (again, remade) = then, now
    changed = changed_facts(cell, again)
    if again.status == "failed":
        return Verification(picture, "different", again.reason, changed=changed)
    found = compare(image, remade, cell.losses, again.losses)
    verdict: Verdict = "different"
    if found.tolerated:
        verdict = "identical" if found.none else "close"
    message = ""
    if not found.largest and not found.none:
        message = "its pixels came out the same, but not the losses in its record"
    if lacking := sorted(again.losses.keys() - cell.losses.keys()):
        verdict = "close" if verdict == "identical" else verdict
        message = f"its record does not have {', '.join(lacking)}"
    return Verification(picture, verdict, message, found, changed)
