"""Find the images and the network of a cell by their sha256, whatever their names and folders."""

from __future__ import annotations

from collections.abc import Sequence
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
from nst.network.provision import extractor_file
from nst.system.files import file_digest, time_stamp

SHOWN = 12  # characters of a sha256 in a message
IMAGES = ("inputs/*/*.png",)
PLACES = {"extractor": ("extractors/*.safetensors",), "start": (*IMAGES, "cells/**/*.png")}
"""The files of a run that may be an input, by its role; the other roles are ``IMAGES``."""


@dataclass(frozen=True)
class Given:
    """The user's choices of where to look for a cell's inputs.

    A named file must have the recorded sha256. ``style`` may be several files, in any order: the
    images and masks that a style is made of. ``results`` is the folder of a run. It defaults to
    the run's folder that contains the picture, or else to ``results`` in the working directory.
    """

    content: Path | None = None
    style: tuple[Path, ...] = ()
    extractor: Path | None = None
    start: Path | None = None
    results: Path | None = None
    mirror: str | None = None


def find_pair(picture: Path, cell: Cell, given: Given, folder: Path) -> Pair:
    """Find the images and the network of a cell; write a network that is missing to ``folder``.

    Raises:
        UserError: an input is missing, or a file that the user named has another sha256.
    """
    runs = (one for one in picture.resolve().parents if (one / "inputs").is_dir())
    results = given.results or next(runs, Path("results"))

    def find(role: str, name: str, digest: str) -> Path:
        if path := _search(role, name, digest, given, results):
            return path
        option = "style" if role == "ingredient" else role
        raise CellError(
            f"the {role} {name} (pixels' sha256 {digest[:SHOWN]}…) is not in {results}; name "
            f"its file with --{option}, or the run's folder with --results"
        )

    content = find("content", cell.content.name, cell.content.digest)
    role, named, digests = "style", cell.style.name, Composition.plain(cell.style.digest)
    if cell.composition is not None:
        role, named = "ingredient", f"of the style {cell.style.name}"
        digests = Composition.from_dict(cell.composition)
    style = digests.mapped(lambda digest: find(role, named, digest))
    images = list(dict.fromkeys((content, *(part.image for part in style.parts))))
    start = find("start", "of the cell", cell.start_digest) if cell.start_digest else None
    network = cell.settings.extractor
    return Pair(
        content=content,
        content_name=cell.content.name,
        content_title=cell.content.title,
        style=style.parts[0].image,
        style_name=cell.style.name,
        style_title=cell.style.title,
        extractor=_search("extractor", network, cell.extractor_digest, given, results)
        or _made(cell, given, images, folder),
        start=start,
        composition=style if cell.composition else None,
    )


def _search(role: str, name: str, digest: str, given: Given, results: Path) -> Path | None:
    """Return a file of the user's for a role, or else the run's file with this sha256.

    The file with this name is tried first. Unreadable files of the run are skipped.
    """
    if role in ("style", "ingredient"):
        named = given.style
    else:
        named = tuple(path for path in [getattr(given, role)] if path)
    found = {path: _digest(role, path, time_stamp(path)) for path in named}
    for path in named:
        if found[path] == digest:
            return path
    if named and role != "ingredient":  # an ingredient may also be in the run's folder
        raise CellError(
            f"--{role} {named[0]} is another file than this cell was made from: its sha256 is "
            f"{found[named[0]][:SHOWN]}…, and must be {digest[:SHOWN]}…"
        )
    for place in PLACES.get(role, IMAGES):
        for path in sorted(results.glob(place), key=lambda path: path.stem != name):
            with suppress(UserError):
                if _digest(role, path, time_stamp(path)) == digest:
                    return path
    return None


@cache
def _digest(role: str, path: Path, written: int | None) -> str:
    """Return the sha256 of a network's file, or of an image's pixels.

    Only a content keeps its alpha; in other roles, an image is composited on white. The result is
    cached until the file is ``written`` again, because many cells share an input.
    """
    if role != "extractor":
        # The start of a print may be the narrow cell of a panorama.
        return pixel_digest(load_image(path, keep_alpha=role == "content", any_shape=True))
    if written is None or not path.is_file():
        raise CellError(f"{path}: there is no such file")
    try:
        return file_digest(path)
    except OSError as error:
        raise CellError(f"{path} cannot be read ({error.strerror}). Check the file.") from error


def _made(cell: Cell, given: Given, images: Sequence[Path], folder: Path) -> Path:
    """Make or fetch the network as ``nst stylize`` does, and require the recorded sha256."""
    name = cell.settings.extractor
    path = extractor_file(name, folder, images=images, seed=cell.settings.seed, mirror=given.mirror)
    if file_digest(path) == cell.extractor_digest:
        return path
    fitted = " fitted to its images on this machine" if name == "kmeans" else ""
    raise CellError(
        f"the extractor {name} that made it (sha256 {cell.extractor_digest[:SHOWN]}…) is not among "
        f"the run's, and one{fitted} is another. Name its file with --extractor: the run keeps it "
        f"as results/extractors/{name}.safetensors."
    )
