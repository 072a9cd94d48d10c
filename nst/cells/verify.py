"""A finished cell made again from its own metadata, and compared with the picture at hand.

The picture's record says with which settings, from which images, by which extractor and where it
was made. The images and the extractor are found by their digests, so what they are called and where
they lie does not matter. On the machine that made it, a cell comes out the same in every byte.
Another one rounds differently, and an optimiser carries that on: how far was measured, and
``TOLERANCE`` is what came of it. docs/reproducibility.md has the figures.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from nst.cells.cell import PIXELS, Cell, read_record
from nst.cells.metrics import structural_similarity
from nst.cells.pair import Pair, Wanted, stylize_pair
from nst.config.settings import ALGORITHM_VERSION
from nst.errors import CellError, ConfigError, UserError
from nst.imaging.images import load_image, pixel_digest
from nst.network.extractor import file_digest, save_extractor
from nst.network.provision import provide_extractor
from nst.system.device import choose_device

Verdict = Literal["identical", "close", "different", "edited", "unchecked"]
SAID: Mapping[Verdict, str] = {
    "identical": "identical",
    "close": "within the tolerance",
    "different": "DIFFERENT",
    "edited": "EDITED",
    "unchecked": "NOT CHECKED",
}
SHOWN = 12  # characters of a digest in a message


@dataclass(frozen=True)
class Tolerance:
    """How far a cell may come out from its picture where rounding differs.

    Strokes shift by rounding alone, and with them single pixels by a hundred levels; what stays is
    how good the picture is and what it looks like from afar. So both are reduced to a quarter of
    their sides: ``coarse`` is the largest mean difference then, in levels of 255, and ``ssim`` the
    least structural similarity of their luma. ``loss`` is the largest relative difference of the
    total loss.
    """

    coarse: float
    ssim: float
    loss: float


TOLERANCE = Tolerance(coarse=8.0, ssim=0.9, loss=0.02)
REDUCED = 4  # a quarter of the sides
MOST_THREADS = 1024  # a record may say anything


@dataclass(frozen=True)
class Given:
    """Where to look for what a cell was made from, where the user says so.

    A file that is named must be the right one. ``results`` is the folder of a run; without it, the
    one that the picture lies in is taken, or else ``results`` in the working directory.
    """

    content: Path | None = None
    style: Path | None = None
    extractor: Path | None = None
    start: Path | None = None
    results: Path | None = None
    mirror: str | None = None


@dataclass(frozen=True)
class Difference:
    """How far two pictures of one cell are apart.

    ``largest`` and ``mean`` are in levels of 255, over all channels, and ``psnr`` in dB, None for
    equal pictures. ``coarse`` and ``ssim`` are of the pictures reduced as ``Tolerance`` has them;
    ``ssim`` is None for pictures too small for it. ``losses`` has the relative difference of every
    loss and measure that both have.
    """

    largest: int
    mean: float
    psnr: float | None
    coarse: float
    ssim: float | None
    losses: Mapping[str, float]

    def within(self, tolerance: Tolerance) -> bool:
        """Tell whether this is no more than rounding does.

        Where the pixels are the same, every loss and measure must be.
        """
        if not self.largest:
            return max(self.losses.values(), default=0.0) <= tolerance.loss
        alike = self.ssim is None or self.ssim >= tolerance.ssim
        loss = self.losses.get("total", 0.0)
        return alike and self.coarse <= tolerance.coarse and loss <= tolerance.loss


@dataclass(frozen=True)
class Verification:
    """What came of verifying one picture.

    ``identical``: every pixel is the same. ``close``: within ``TOLERANCE``. ``different``: further.
    ``edited``: it is not what nst wrote. ``unchecked``: it could not be made again. ``message``
    says why; ``changed`` has what was otherwise when it was made, as (then, now).
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
    """Make the cell of a picture again, and compare.

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
        image = _open(picture)
        cell = _cell_of(picture, record)
        if edit := _edit(cell, record, image):
            return Verification(picture, "edited", edit)
        chosen = _recorded_device(cell) if device == "recorded" else choose_device(device)
        with tempfile.TemporaryDirectory(prefix="nst-") as folder:
            pair = _pair_of(picture, cell, given, Path(folder))
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
        lines += _describe(found.difference)
    lines += [f"  {name}: {then} then, {now} now" for name, (then, now) in found.changed.items()]
    return "\n".join(lines)


def _describe(apart: Difference) -> list[str]:
    """Put a difference into words, beside what is tolerated."""
    psnr = "" if apart.psnr is None else f", PSNR {apart.psnr:.1f} dB"
    ssim = "" if apart.ssim is None else f", SSIM {apart.ssim:.3f} (at least {TOLERANCE.ssim:g})"
    lines = [
        f"  levels of 255: mean {apart.mean:.2f}, largest {apart.largest}{psnr}",
        f"  at a quarter of the size: mean {apart.coarse:.2f} (at most {TOLERANCE.coarse:g}){ssim}",
    ]
    if apart.losses:
        worst = max(apart.losses, key=lambda name: apart.losses[name])
        lines.append(
            f"  total loss: {apart.losses.get('total', 0.0):.2%} off (at most "
            f"{TOLERANCE.loss:.0%}); furthest off is {worst}, {apart.losses[worst]:.2%}"
        )
    return lines


# ---------------------------------------------------------------- what the picture says


def _is_cell(path: Path) -> bool:
    """Tell whether a file carries a record."""
    try:
        read_record(path)
    except UserError:
        return False
    return True


def _open(path: Path) -> Image.Image:
    """Read a result; unlike an input, it may be narrow."""
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise CellError(f"{path} is damaged ({error}), so there is nothing to compare") from error


def _cell_of(path: Path, record: Mapping[str, Any]) -> Cell:
    """Read a record, if its cell can be made again at all."""
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


def _recorded_device(cell: Cell) -> torch.device:
    """Return the kind of device that a cell was made on if it is here, else what there is."""
    try:
        return choose_device(cell.device.partition(":")[0])
    except UserError:
        return choose_device("auto")


# ---------------------------------------------------------------- what it was made from


def _pair_of(picture: Path, cell: Cell, given: Given, folder: Path) -> Pair:
    """Find the images and the extractor of a cell; what has to be made is put into ``folder``."""
    results = given.results or _results_of(picture)
    content = _image("content", given.content, cell.content.digest, cell.content.name, results)
    style = _image("style", given.style, cell.style.digest, cell.style.name, results)
    start = None
    if cell.start_digest:
        start = _image("start", given.start, cell.start_digest, "", results)
    extractor = _extractor(cell, given, results) or _made(cell, given, (content, style), folder)
    return Pair(
        content=content,
        content_name=cell.content.name,
        content_title=cell.content.title,
        style=style,
        style_name=cell.style.name,
        style_title=cell.style.title,
        extractor=extractor,
        start=start,
    )


def _results_of(picture: Path) -> Path:
    """Return the folder of the run that a picture lies in."""
    for folder in picture.resolve().parents:
        if (folder / "inputs").is_dir():
            return folder
    return Path("results")


def _image(role: str, given: Path | None, digest: str, name: str, results: Path) -> Path:
    """Return the image of this digest: the one named by the user, or one of the run's inputs."""
    if given is not None:
        found = _image_digest(given)
        if found != digest:
            raise CellError(_mismatch(f"--{role} {given}", "pixels", found, digest))
        return given
    if found_file := _by_digest(_inputs(role, name, results), digest):
        return found_file
    raise CellError(
        f"the {role} {name or 'image'} (pixels' sha256 {digest[:SHOWN]}…) is not in "
        f"{results / 'inputs'}; name its file with --{role}, or the run's folder with --results"
    )


def _inputs(role: str, name: str, results: Path) -> Iterator[Path]:
    """List a run's images, the likeliest first; a start may be any of them."""
    pattern = "inputs/*/*.png" if role == "start" else f"inputs/{role}/*.png"
    yield from sorted(results.glob(pattern), key=lambda path: (path.stem != name, path))


def _by_digest(images: Iterator[Path], digest: str) -> Path | None:
    """Return the first image with these pixels; one that cannot be read is not it."""
    for path in images:
        try:
            if _image_digest(path) == digest:
                return path
        except UserError:
            continue
    return None


def _image_digest(path: Path) -> str:
    """Return the digest of an image's pixels; many cells share an image, so it is remembered."""
    changed = path.stat().st_mtime_ns if path.exists() else 0
    return _remembered_digest(path, changed)


@cache
def _remembered_digest(path: Path, _changed: int) -> str:
    """Read an image whose file has not changed only once."""
    return pixel_digest(load_image(path))


def _extractor(cell: Cell, given: Given, results: Path) -> Path | None:
    """Return the extractor's file, or None if it is neither named nor among the run's."""
    if given.extractor is not None:
        if not given.extractor.is_file():
            raise CellError(f"--extractor {given.extractor}: there is no such file")
        found = file_digest(given.extractor)
        if found != cell.extractor_digest:
            what = f"--extractor {given.extractor}"
            raise CellError(_mismatch(what, "bytes", found, cell.extractor_digest))
        return given.extractor
    for path in sorted((results / "extractors").glob("*.safetensors")):
        if file_digest(path) == cell.extractor_digest:
            return path
    return None


def _made(cell: Cell, given: Given, images: tuple[Path, Path], folder: Path) -> Path:
    """Make the extractor as ``nst stylize`` does, which keeps none, and see if it is the one."""
    name = cell.settings.extractor
    path = folder / "extractor.safetensors"
    made = provide_extractor(name, images=images, seed=cell.settings.seed, mirror=given.mirror)
    save_extractor(made, path)
    if file_digest(path) == cell.extractor_digest:
        return path
    fitted = " fitted to these two images on this machine" if name == "kmeans" else ""
    raise CellError(
        f"the extractor {name} that made it (sha256 {cell.extractor_digest[:SHOWN]}…) is not among "
        f"the run's, and one{fitted} is another. Name its file with --extractor: the run keeps it "
        f"as results/extractors/{name}.safetensors."
    )


def _mismatch(what: str, kind: str, found: str, wanted: str) -> str:
    """Say that a file is another one."""
    return (
        f"{what} is another file than this cell was made from: the sha256 of its {kind} is "
        f"{found[:SHOWN]}…, and must be {wanted[:SHOWN]}…"
    )


# ---------------------------------------------------------------- making it again, and comparing


def _make(
    cell: Cell, pair: Pair, device: torch.device, threads: int | None, path: Path
) -> tuple[Cell, Image.Image]:
    """Make the cell again with as many threads as then, and return it with its picture."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads or int(cell.machine.get("threads", before)))
    try:
        wanted = Wanted(cell.layers, cell.ratio, cell.formulation, cell.settings, path)
        (again,) = stylize_pair(pair, [wanted], device)
    finally:
        torch.set_num_threads(before)
    return again, _open(path)


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
    if found.within(TOLERANCE):
        verdict = "close" if found.largest else "identical"
    message = ""
    if verdict == "different" and not found.largest:
        message = "its pixels came out the same, but not the losses in its record"
    return Verification(picture, verdict, message, found, changed)


def changed_facts(cell: Cell, again: Cell) -> dict[str, tuple[str, str]]:
    """Return what differs between the making of a cell then and now, by name."""
    then, now = (
        {"device": one.device.partition(",")[0], **one.machine, **one.versions}
        for one in (cell, again)
    )
    return {
        name: (then.get(name, "unknown"), now.get(name, "unknown"))
        for name in {**then, **now}
        if then.get(name) != now.get(name)
    }


def compare(
    one: Image.Image,
    other: Image.Image,
    losses: Mapping[str, float],
    other_losses: Mapping[str, float],
) -> Difference:
    """Measure how far two pictures of one size, and their losses, are apart."""
    levels = _levels_apart(one, other)
    error = float(np.mean(levels**2))
    small, other_small = one.reduce(REDUCED), other.reduce(REDUCED)
    return Difference(
        largest=int(levels.max()),
        mean=float(levels.mean()),
        psnr=10 * float(np.log10(255**2 / error)) if error else None,
        coarse=float(_levels_apart(small, other_small).mean()),
        ssim=structural_similarity(small, other_small),
        losses={
            name: _relative(losses[name], other_losses[name])
            for name in losses
            if name in other_losses
        },
    )


def _levels_apart(one: Image.Image, other: Image.Image) -> NDArray[np.float64]:
    """Return the differences of two pictures, in levels."""
    return np.abs(np.asarray(one, np.float64) - np.asarray(other, np.float64))


def _relative(one: float, other: float) -> float:
    """Return a difference over the larger of both; 1 if one of them is no number."""
    if not (isfinite(one) and isfinite(other)):
        return float(one != other)
    return abs(one - other) / max(abs(one), abs(other), 1e-12)
