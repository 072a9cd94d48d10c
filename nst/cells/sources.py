"""What a cell was made from, found by its digests, whatever it is called and wherever it lies."""

from __future__ import annotations

import itertools
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nst.cells.cell import Cell
from nst.cells.pair import Pair
from nst.config.composition import Composition
from nst.errors import CellError, UserError
from nst.imaging.images import load_image, pixel_digest
from nst.network.extractor import file_digest
from nst.network.provision import extractor_file
from nst.system.files import time_stamp

SHOWN = 12  # characters of a digest in a message


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


def find_pair(picture: Path, cell: Cell, given: Given, folder: Path) -> Pair:
    """Find the images and the extractor of a cell; what has to be made is put into ``folder``."""
    results = given.results or _results_of(picture)
    content = _image("content", given.content, cell.content.digest, cell.content.name, results)
    composition = None
    if cell.composition is None:
        style = _image("style", given.style, cell.style.digest, cell.style.name, results)
    else:
        names = Composition.from_dict(cell.composition)
        composition = names.mapped(lambda digest: _ingredient(digest, cell.style.name, results))
        style = composition.parts[0].image
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
        composition=composition,
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
        found = _image_digest(given, role)
        if found != digest:
            raise CellError(_mismatch(f"--{role} {given}", "pixels", found, digest))
        return given
    if found_file := _by_digest(role, digest, name, results):
        return found_file
    raise CellError(
        f"the {role} {name or 'image'} (pixels' sha256 {digest[:SHOWN]}…) is not in "
        f"{results / 'inputs'}; name its file with --{role}, or the run's folder with --results"
    )


def _ingredient(digest: str, style: str, results: Path) -> Path:
    """Return the image or mask of this digest that a style is made of, one of the run's inputs."""
    if found := _by_digest("ingredient", digest, "", results):
        return found
    raise CellError(
        f"an image of the style {style!r} (pixels' sha256 {digest[:SHOWN]}…) is "
        f"not in {results / 'inputs'}; name the run's folder with --results"
    )


def _by_digest(role: str, digest: str, name: str, results: Path) -> Path | None:
    """Return the run's image with these pixels; the one of this name is tried first.

    One that cannot be read is not it. A start may be any image, and the cell of a print, too.
    """
    folder = role if role in ("content", "style") else "*"
    images = sorted(results.glob(f"inputs/{folder}/*.png"), key=lambda path: path.stem != name)
    cells = results.glob("cells/**/*.png") if role == "start" else ()
    for path in itertools.chain(images, cells):
        with suppress(UserError):
            if _image_digest(path, role) == digest:
                return path
    return None


def _image_digest(path: Path, role: str) -> str:
    """Return the digest of an image's pixels, of a file that has not changed the one before.

    Only a content has an alpha; in other roles, an image is laid on white.
    """
    return _remembered_digest(path, time_stamp(path), keep_alpha=role == "content")


@cache
def _remembered_digest(path: Path, _written: int | None, *, keep_alpha: bool) -> str:
    """Read an image; many cells share one."""
    # The start of a print may be the narrow cell of a panorama.
    return pixel_digest(load_image(path, keep_alpha=keep_alpha, any_shape=True))


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
    """Make or fetch the extractor as ``nst stylize`` does, and see if it is the one."""
    name = cell.settings.extractor
    path = extractor_file(name, folder, images=images, seed=cell.settings.seed, mirror=given.mirror)
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
