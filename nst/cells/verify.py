"""Recompute a finished cell from the record in its picture, and compare the two pictures.

The record names the settings, the images, the network and the machine of the cell. That machine
reproduces every byte. Another machine rounds differently, and the optimiser propagates the rounding
errors. The tolerance is based on measurements; docs/reproducibility.md has the figures.
"""

from __future__ import annotations

import random
import re
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nst.cells.cell import BITS, PIXELS, Cell, changed_facts, read_record
from nst.cells.metrics import structural_similarity
from nst.cells.pair import stylize_pair
from nst.cells.sources import Given, find_pair
from nst.config.settings import ALGORITHM_VERSION
from nst.errors import CellError, ConfigError, ImageError, UserError
from nst.imaging.images import load_image
from nst.imaging.srgb import on_white, pixel_digest
from nst.system.device import choose_device, reserve_device

# The tolerance. Rounding alone shifts strokes, which changes single pixels by a hundred levels.
# The quality of the picture and its look from afar stay the same. So pictures are reduced before
# they are compared.
REDUCED = 4  # to a quarter of their sides
COARSE = 8.0  # levels of 255: the largest mean difference of the reduced pictures
SSIM = 0.9  # the least structural similarity of the reduced pictures' luma
LOSS = 0.02  # the largest relative difference of the total loss

Verdict = Literal["identical", "close", "different", "edited", "unchecked"]
SAID: Mapping[Verdict, str] = {
    "identical": "identical",
    "close": "within the tolerance",
    "different": "DIFFERENT",
    "edited": "EDITED",
    "unchecked": "NOT CHECKED",
}
MOST_THREADS = 1024  # a record may contain any number
# A damaged photograph can be fetched again, but a cell is not an input of the user's.
ADVICE = re.compile(r"(Fetch or export it again|Export it as PNG)\.$")
ADVICE_FOR_CELL = "Restore it, or delete it and run again."


@dataclass(frozen=True)
class Difference:
    """The difference of two pictures of one cell.

    ``largest`` and ``mean`` are in levels of 255, over all channels composited on white, and over
    the alpha if there is one; ``psnr`` is in dB, None for equal pictures. ``coarse``, a mean
    difference, and ``ssim`` compare the pictures at a quarter of their sides; ``ssim`` is None for
    pictures that are too small. ``losses`` has the relative difference of every loss and measure
    that both cells have.
    """

    largest: int
    mean: float
    psnr: float | None
    coarse: float
    ssim: float | None
    losses: Mapping[str, float]

    @property
    def verdict(self) -> Verdict:
        """Whether the difference is none, within the tolerance, or larger.

        If all pixels are the same, every loss and measure must be within the tolerance.
        """
        if not self.largest:
            near = all(loss <= LOSS for loss in self.losses.values())
            same = not any(self.losses.values())
            return "identical" if same else "close" if near else "different"
        alike = self.ssim is None or self.ssim >= SSIM
        near = self.coarse <= COARSE and self.losses.get("total", 0.0) <= LOSS
        return "close" if alike and near else "different"


def compare(
    one: Image.Image,
    other: Image.Image,
    losses: Mapping[str, float],
    other_losses: Mapping[str, float],
) -> Difference:
    """Compare two pictures of one size, and their losses."""
    levels = _levels_apart(one, other)
    error = float(np.mean(levels**2))
    small, other_small = one.reduce(REDUCED), other.reduce(REDUCED)
    both = [(name, losses[name], other_losses[name]) for name in losses if name in other_losses]
    return Difference(
        largest=int(levels.max()),
        mean=float(levels.mean()),
        psnr=10 * float(np.log10(255**2 / error)) if error else None,
        coarse=float(_levels_apart(small, other_small).mean()),
        ssim=structural_similarity(on_white(small), on_white(other_small)),
        losses={
            name: abs(then - now) / max(abs(then), abs(now), 1e-12) for name, then, now in both
        },
    )


def _levels_apart(one: Image.Image, other: Image.Image) -> NDArray[np.float64]:
    """Return the differences of two pictures in levels: h × w × 3, or 4 if either has an alpha."""
    levels = []
    for each in (one, other):
        seen = on_white(each)
        seen.putalpha(each.convert("RGBA").getchannel("A"))
        levels.append(np.asarray(seen).astype(np.float64))
    apart = np.abs(levels[0] - levels[1])
    return apart if "RGBA" in (one.mode, other.mode) else apart[..., :3]


@dataclass(frozen=True)
class Verification:
    """The result of verifying one picture.

    The verdict is that of the ``difference``. Or it is ``edited``: the picture or its record was
    changed after nst wrote it. Or it is ``unchecked``: the cell could not be recomputed.
    ``message`` has the reason. ``changed`` is the result of ``changed_facts``.
    """

    picture: Path
    verdict: Verdict
    message: str = ""
    difference: Difference | None = None
    changed: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __str__(self) -> str:
        found, reason = self.difference, f": {self.message}" if self.message else ""
        lines = [f"{self.picture}: {SAID[self.verdict]}{reason}"]
        if found and self.verdict != "identical":
            psnr = "" if found.psnr is None else f", PSNR {found.psnr:.1f} dB"
            ssim = "" if found.ssim is None else f", SSIM {found.ssim:.3f} (at least {SSIM:g})"
            lines += [
                f"  levels of 255: mean {found.mean:.2f}, largest {found.largest}{psnr}",
                f"  at a quarter of the size: mean {found.coarse:.2f} (at most {COARSE:g}){ssim}",
            ]
            if found.losses:
                name, worst = max(found.losses.items(), key=itemgetter(1))
                lines.append(
                    f"  total loss: {found.losses.get('total', 0.0):.2%} off (at most {LOSS:.0%}); "
                    f"furthest off is {name}, {worst:.2%}"
                )
        lines += [
            f"  {name}: {fact['then']} then, {fact['now']} now"
            for name, fact in self.changed.items()
        ]
        return "\n".join(lines)


def verify(
    picture: Path, given: Given, device: str = "recorded", *, threads: int | None = None
) -> Verification:
    """Recompute the cell of a picture, and compare the two pictures.

    ``device`` is ``recorded`` or a name that ``choose_device`` knows. ``recorded`` is the kind of
    device that computed the cell, or ``auto`` if this machine has none of that kind. The cell is
    computed in its recorded precision. torch computes on its recorded number of threads, or on
    ``threads``, from then on. A device without bfloat16 emulates it, which is slower but rounds to
    the same set of numbers. Only temporary files are written.

    Raises:
        ConfigError: the named device is not available. A problem with the picture or with its
            inputs raises nothing: the verdict is ``unchecked``.
    """
    if device != "recorded":
        choose_device(device)
    try:
        record, image = _read(picture)
        cell = _cell_of(picture, record)
        if edit := _edit(cell, record, image):
            return Verification(picture, "edited", edit)
        torch.set_num_threads(threads or int(cell.machine["threads"]))
        name = _recorded_device(cell) if device == "recorded" else device
        with tempfile.TemporaryDirectory(prefix="nst-") as folder:
            wanted = replace(cell, path=Path(folder) / "again.png")
            pair = find_pair(picture, cell, given, Path(folder))
            with reserve_device(name) as chosen:
                (again,) = stylize_pair(pair, [wanted], chosen)
            remade = load_image(wanted.path, keep_alpha=True, any_shape=True)
    except UserError as error:
        return Verification(picture, "unchecked", str(error))
    changed = changed_facts(cell, again)
    if again.status == "failed":
        return Verification(picture, "different", again.reason, changed=changed)
    found = compare(image, remade, cell.losses, again.losses)
    verdict, message = found.verdict, ""
    if not found.largest and verdict != "identical":
        message = "its pixels are identical, but the losses in its record differ"
    if lacking := sorted(again.losses.keys() - cell.losses.keys()):
        verdict = "close" if verdict == "identical" else verdict
        message = f"its record does not have {', '.join(lacking)}"
    return Verification(picture, verdict, message, found, changed)


def exit_status(found: Iterable[Verification], *, exact: bool = False) -> int:
    """Return 0 if all pictures passed, 1 if one failed, 2 if one could not be checked."""
    passed = {"identical"} if exact else {"identical", "close"}
    verdicts = {one.verdict for one in found}
    return 2 if "unchecked" in verdicts else int(not verdicts <= passed)


def choose_pictures(paths: Iterable[Path], sample: int | None) -> list[Path]:
    """List the files in ``paths``, and ``sample`` random cells of each folder, or all its cells.

    A folder's cells are its pictures that carry a record, or are damaged. In a run's folder, only
    the pictures below ``cells`` count, not their copies in the store.

    Raises:
        CellError: a folder has no cells.
    """
    chosen: list[Path] = []
    for path in paths:
        if not path.is_dir():
            chosen.append(path)
            continue
        folder = path / "cells" if (path / "cells").is_dir() else path
        pictures = list(folder.rglob("*.png"))
        random.shuffle(pictures)
        cells = sorted(islice(filter(_is_cell, pictures), sample))  # opens files until it has some
        if not cells:
            raise CellError(f"{path} has no pictures made by nst; name the folder of a run")
        chosen += cells
    return chosen


def _is_cell(path: Path) -> bool:
    """Return whether a file carries the record of a cell, or is too damaged to tell."""
    try:
        return BITS not in read_record(path)
    except ImageError:
        return True
    except CellError:
        return False


def _read(path: Path) -> tuple[dict[str, Any], Image.Image]:
    """Return the record and the picture of a cell; raise ``ImageError`` with advice for a cell."""
    try:
        return read_record(path), load_image(path, keep_alpha=True, any_shape=True)
    except ImageError as error:
        raise ImageError(ADVICE.sub(ADVICE_FOR_CELL, str(error))) from error


def _cell_of(path: Path, record: Mapping[str, Any]) -> Cell:
    """Return the cell of a record; raise ``CellError`` if it cannot be recomputed and compared."""
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
        if not 1 <= int(cell.machine["threads"]) <= MOST_THREADS:
            raise ValueError(f"threads {cell.machine['threads']}")
    except ConfigError as error:
        raise CellError(
            f"{path} has settings that this nst does not know: {error} If a package adds them, "
            "install it."
        ) from error
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise CellError(
            f"{path} has a record that cannot be read ({type(error).__name__}: {error})"
        ) from error
    if cell.status == "failed":
        raise CellError(
            f"{path} is a failed cell, crossed out: {cell.reason} There is no picture to verify."
        )
    return cell


def _edit(cell: Cell, record: Mapping[str, Any], image: Image.Image) -> str:
    """Describe how a picture was changed after it was written; "" if it was not."""
    if record.get("fingerprint") != cell.fingerprint:
        return "its record was changed: its settings and sha256 do not match its fingerprint"
    if image.size != (cell.width, cell.height):
        return f"it was {cell.width}x{cell.height} px, and is {image.width}x{image.height}"
    if record.get(PIXELS, pixel_digest(image)) != pixel_digest(image):
        return "its pixels were changed: their sha256 is not the recorded one"
    return ""


def _recorded_device(cell: Cell) -> str:
    """Return the kind of device that computed a cell if this machine has it, else ``auto``."""
    kind = cell.device.partition(":")[0]
    try:
        choose_device(kind)
    except UserError:
        return "auto"
    return kind
