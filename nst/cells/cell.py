"""A finished cell on disk: a picture that carries its record, and an entry in its pair's details.

The PNG's text holds everything that is the same whenever the cell is recomputed on its machine, so
that equal cells are equal files. ``nst.cells.verify`` recomputes the cell from this record. The
details, one JSON file for all the cells of a pair, add the loss trace and the time taken.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from PIL import Image, ImageDraw

from nst import __version__
from nst.config.composition import Composition
from nst.config.prints import PrintFile
from nst.config.settings import ALGORITHM_VERSION, Settings
from nst.errors import CellError, ImageError
from nst.imaging.images import Levels, read_description, read_png_text, save_deep, save_png
from nst.imaging.opening import FORMATS, opened
from nst.imaging.srgb import pixel_digest
from nst.system.files import write_atomically

TEXT_KEY = "nst"
PIXELS = "pixels"  # the record's key for the sha256 of its picture's pixels
BITS = "bits"  # the record's key that marks a 16-bit file, which nst.cells.verify does not compare
PACKAGES = ("torch", "torchvision", "numpy", "pillow")
RECORDED = (
    *("status", "reason", "content", "style", "composition", "layers", "ratio", "formulation"),
    *("settings", "extractor_digest", "start_digest", "width", "height", "losses", "attempts"),
    *("device", "versions", "machine"),
)
ADDED = ("seconds", "reused", "trace")  # in the details
TRACE_POINTS = 250  # at most, of a long optimisation: enough for a curve, in a small file


@dataclass(frozen=True)
class Source:
    """One of a cell's two images: its name and title in the run, and its pixels' sha256."""

    name: str
    title: str
    digest: str


UNKNOWN = Source("", "", "")


@dataclass(frozen=True)
class Pictures:
    """A cell's picture, its snapshots stacked into one picture, and a print's 16-bit picture."""

    image: Image.Image
    snapshots: Image.Image | None = None
    levels: Levels | None = None


@dataclass(frozen=True)
class Cell:
    """One picture of the grid; its PNG holds its ``record``, a JSON file its ``details``.

    A wanted cell has its names, its settings and its paths. ``nst.cells.pair`` adds its inputs and
    its machine before the computation, and its results after it.

    ``layers`` and ``ratio`` are the names of its variant. ``composition`` is the
    ``Composition.to_dict`` of its style, with the sha256 of pixels; None if the style is one whole
    picture. ``style`` has the digest that ``style_digest`` returns. ``losses`` has the losses of
    the picture before rounding to 8 bits, and the measures of ``nst.cells.measure``. ``machine``
    has the facts of ``nst.system.device.describe_machine``. A cell whose losses stopped being
    finite has the status ``failed`` and a reason.

    The picture is written to ``path``, and the snapshots, if the settings ask for any, to
    ``snapshots``. ``print_file`` is the file format of a print.
    """

    layers: str
    ratio: str
    formulation: str
    settings: Settings
    path: Path = field(default=Path(), compare=False)
    snapshots: Path | None = field(default=None, compare=False)
    print_file: PrintFile | None = field(default=None, compare=False)
    content: Source = UNKNOWN
    style: Source = UNKNOWN
    composition: Mapping[str, Any] | None = None
    extractor_digest: str = ""
    start_digest: str = ""
    width: int = 0
    height: int = 0
    device: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, str] = field(default_factory=dict)
    losses: Mapping[str, float] = field(default_factory=dict)
    trace: Mapping[str, Sequence[int | float]] = field(default_factory=dict)
    seconds: float = 0.0
    attempts: int = 0
    status: Literal["finished", "failed"] = "finished"
    reason: str = ""
    reused: bool = field(default=False, compare=False)

    def named(self, like: Cell) -> Cell:
        """Return this cell, marked as reused, with the names and the paths of an equal cell."""
        names = ("content", "style", "composition", "layers", "ratio", "formulation")
        files = ("path", "snapshots", "print_file")
        return replace(self, reused=True, **{name: getattr(like, name) for name in names + files})

    @property
    def deep(self) -> Path | None:
        """The path of the print's 16-bit file; None without a 16-bit format."""
        return self.print_file.deep(self.path) if self.print_file else None

    @property
    def fingerprint(self) -> str:
        """The sha256 of everything that decides what the cell shows.

        Versions, device and threads are left out, because they only affect rounding. The images
        enter with the sha256 of their pixels, the network with that of its file. ``start_digest``
        is empty unless the cell starts from a file.
        """
        identity = {
            "algorithm": ALGORITHM_VERSION,
            "settings": self.settings.to_dict(),
            "content": self.content.digest,
            "style": self.style.digest,
            "extractor": self.extractor_digest,
            "start": self.start_digest,
        }
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()

    def record(self) -> dict[str, Any]:
        """Return the record in the PNG's text: everything that recomputing the cell reproduces."""
        return {
            **{name: getattr(self, name) for name in RECORDED},
            "fingerprint": self.fingerprint,
            "algorithm": ALGORITHM_VERSION,
            "content": dataclasses.asdict(self.content),
            "style": dataclasses.asdict(self.style),
            "settings": self.settings.to_dict(),
        }

    def details(self) -> dict[str, Any]:
        """Return the record, the trace, the time taken and whether the cell was reused."""
        return {
            **self.record(),
            "seconds": round(self.seconds, 3),
            "reused": self.reused,
            "trace": _thinned(self.trace),
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Cell:
        """Build a cell from the result of ``details`` or, without trace and time, of ``record``."""
        fields = {name: record[name] for name in RECORDED}
        fields |= {name: record[name] for name in ADDED if name in record}
        fields["content"] = Source(**fields["content"])
        fields["style"] = Source(**fields["style"])
        fields["settings"] = Settings.from_mapping(fields["settings"])
        return cls(**fields)


def style_digest(style: Composition[str]) -> str:
    """Return a digest of the pixels and weights that make up a style, whatever their names.

    A style of one whole picture has that picture's digest, however the configuration writes it.
    """
    if style.is_plain:
        return style.parts[0].image
    regions = {
        colour: sorted([one.image, one.mask or "", one.weight] for one in parts)
        for colour, parts in style.regions.items()
    }
    identity = json.dumps([regions, style.mask], sort_keys=True)
    return hashlib.sha256(identity.encode()).hexdigest()


def changed_facts(cell: Cell, again: Cell) -> dict[str, dict[str, str]]:
    """Return the facts of machine and versions that differ between two cells: then and now."""
    before, after = (
        {"device": one.device.partition(",")[0], **one.machine, **one.versions}
        for one in (cell, again)
    )
    return {
        name: {"then": before.get(name, "unknown"), "now": after.get(name, "unknown")}
        for name in {**before, **after}
        if before.get(name) != after.get(name)
    }


def write_pictures(cell: Cell, pictures: Pictures) -> None:
    """Write all the files of a cell to its paths.

    The 16-bit file of a print carries the same record, with the key ``BITS``.
    """
    if pictures.snapshots and cell.snapshots:
        save_png(pictures.snapshots, cell.snapshots)
    write_cell(cell, pictures.image, cell.path)
    if cell.print_file and cell.deep:
        assert pictures.levels is not None, "a print is computed, or restored, with its levels"
        text = json.dumps({**cell.record(), BITS: 16}, sort_keys=True)
        save_deep(pictures.levels, cell.deep, dpi=cell.print_file.dpi, text=(TEXT_KEY, text))


def write_cell(cell: Cell, image: Image.Image, path: Path) -> None:
    """Write ``path``, a PNG that carries the cell's record, and its resolution if it is a print.

    The record's key ``PIXELS`` holds the sha256 of the picture's pixels. It distinguishes a picture
    that was edited later from a picture that another machine computed.
    """
    record = {**cell.record(), PIXELS: pixel_digest(image)}
    text = json.dumps(record, ensure_ascii=False, sort_keys=True)
    dpi = cell.print_file.dpi if cell.print_file else None
    save_png(image, path, {TEXT_KEY: text, "Software": f"nst {__version__}"}, dpi=dpi)


def write_details(cells: Mapping[Path, Cell], path: Path) -> None:
    """Write the details of a pair's cells, given by the paths of their pictures.

    The file is a JSON list with one cell per line, in the order of ``cells``. The key ``picture``
    holds the path of the picture relative to this file, so that both can be moved together.
    """
    lines = []
    for picture, cell in cells.items():
        beside = Path(os.path.relpath(picture, path.parent)).as_posix()
        details = {**cell.details(), "picture": beside}
        lines.append(json.dumps(details, ensure_ascii=False, sort_keys=True))
    write_atomically(path, "[\n{}\n]\n".format(",\n".join(lines)).encode())


def read_details(path: Path) -> dict[Path, Cell]:
    """Return the cells of a details file by the paths of their pictures, in the file's order.

    The paths are relative to the working directory if ``path`` is. The pictures are not opened.

    Raises:
        CellError: the file is missing or damaged.
    """
    cells = {}
    try:
        listed = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(listed, list) or not listed:
            raise TypeError("not a list of cells")
        for details in listed:
            picture = Path(os.path.normpath(path.parent / details.pop("picture")))
            cells[picture] = Cell.from_record(details)
    except FileNotFoundError as error:
        raise CellError(f"{path} is missing; run snakemake without a target to make it") from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CellError(
            f"{path} cannot be read ({type(error).__name__}: {error}). Delete it; the next run "
            "writes it again, with the finished cells from the store."
        ) from error
    return cells


def read_record(path: Path) -> dict[str, Any]:
    """Return the record in a cell's PNG or in a print's TIFF.

    Raises:
        ImageError: the file is no picture, or a damaged one.
        CellError: the file has no record of nst.
    """
    try:
        if path.suffix.lower() in (".tif", ".tiff"):
            text = read_description(path) or ""
        else:
            text = read_png_text(path, TEXT_KEY)[TEXT_KEY]
        record = json.loads(text)
        if not isinstance(record, dict):
            raise KeyError(TEXT_KEY)
    except (KeyError, ValueError, RecursionError) as error:
        if isinstance(error, ImageError) and not _is_other_picture(path):
            raise
        raise CellError(
            f"{path} has no record of nst; only pictures that nst wrote have one, until another "
            "program saves them"
        ) from error
    return record


def _is_other_picture(path: Path) -> bool:
    """Return whether a file is a picture in a format that carries no record."""
    try:
        with opened(path, tuple(name for name in FORMATS if name not in ("PNG", "TIFF"))):
            return True
    except ImageError:
        return False


def draw_failure(width: int, height: int) -> Image.Image:
    """Draw the placeholder for a failed cell: a grey field, crossed out."""
    image = Image.new("RGB", (width, height), (224, 224, 224))
    draw = ImageDraw.Draw(image)
    for start, end in (((0, 0), (width, height)), ((0, height), (width, 0))):
        draw.line([start, end], fill=(150, 150, 150), width=2)
    return image


def current_versions() -> dict[str, str]:
    """Return the versions of nst, Python and the packages that compute the pixels."""
    packages = {package: version(package) for package in PACKAGES}
    return {"nst": __version__, "python": platform.python_version(), **packages}


def _thinned(trace: Mapping[str, Sequence[int | float]]) -> dict[str, list[int | float]]:
    """Keep evenly spaced points of a trace, including the first and last, with their step numbers.

    A trace that was thinned before already has these numbers.
    """
    length = max((len(values) for values in trace.values()), default=0)
    points = min(length, TRACE_POINTS)
    kept = [round(i * (length - 1) / max(points - 1, 1)) for i in range(points)]
    numbered = {"evaluation": range(1, length + 1), **trace}
    return {name: [values[index] for index in kept] for name, values in numbered.items()}
