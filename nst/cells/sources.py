"""Find the images and the network of a cell by their sha256, whatever their names and folders."""

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
from nst.imaging.images import load_image
from nst.imaging.srgb import pixel_digest
from nst.network.extractor import file_digest
from nst.network.provision import extractor_file
from nst.system.files import time_stamp

SHOWN = 12  # characters of a digest in a message


@dataclass(frozen=True)
class Given:
    """The user's choices of where to look for a cell's inputs.

    A named file must have the recorded sha256. ``results`` is the folder of a run. It defaults to
    the run's folder that contains the picture, or else to ``results`` in the working directory.
    """

    content: Path | None = None
    style: Path | None = None
    extractor: Path | None = None
    start: Path | None = None
    results: Path | None = None
    mirror: str | None = None


def find_pair(picture: Path, cell: Cell, given: Given, folder: Path) -> Pair:
    """Find the images and the network of a cell; write a network that is missing to ``folder``."""
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
    """Return the folder of the run that contains a picture, or else ``results``."""
    for folder in picture.resolve().parents:
        if (folder / "inputs").is_dir():
            return folder
    return Path("results")


def _image(role: str, given: Path | None, digest: str, name: str, results: Path) -> Path:
    """Return the image with this digest: the user's file, or else one of the run's inputs."""
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
    """Return the run's input with this digest: an image or mask of a composed style."""
    if found := _by_digest("ingredient", digest, "", results):
        return found
    raise CellError(
        f"an image of the style {style!r} (pixels' sha256 {digest[:SHOWN]}…) is "
        f"not in {results / 'inputs'}; name the run's folder with --results"
    )


def _by_digest(role: str, digest: str, name: str, results: Path) -> Path | None:
    """Return the run's image with this digest; try the image with this name first.

    Unreadable files are skipped. A start may be any image or, for a print, a cell.
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
    """Return the sha256 of an image's pixels, cached until the file changes.

    Only a content keeps its alpha; in other roles, an image is composited on white.
    """
    return _remembered_digest(path, time_stamp(path), keep_alpha=role == "content")


@cache
def _remembered_digest(path: Path, _written: int | None, *, keep_alpha: bool) -> str:
    """Load an image and return its digest; cached, because many cells share an image."""
    # The start of a print may be the narrow cell of a panorama.
    return pixel_digest(load_image(path, keep_alpha=keep_alpha, any_shape=True))


def _extractor(cell: Cell, given: Given, results: Path) -> Path | None:
    """Return the network's file; None if the user named none and the run does not have it."""
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
    """Make or fetch the network as ``nst stylize`` does, and require the recorded sha256."""
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
    """Return the message about a file with the wrong sha256."""
    return (
        f"{what} is another file than this cell was made from: the sha256 of its {kind} is "
        f"{found[:SHOWN]}…, and must be {wanted[:SHOWN]}…"
    )
