"""Prints: chosen cells of a run rendered at a larger size, starting from their small pictures."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nst.config.documents import read_document
from nst.config.layers import MOST
from nst.config.pictures import existing
from nst.config.settings import SIDE, Settings, longer_side
from nst.config.variants import Variant, Wanted
from nst.errors import ConfigError

STEPS = 50  # at each size; the small picture went through the smaller sizes
NAMES = ("content", "style", "layers", "ratio")
Format = Literal["png", "png16", "tiff16"]
SUFFIXES: Mapping[Format, str] = {"png16": "-16bit.png", "tiff16": ".tif"}  # after the PNG's stem


@dataclass(frozen=True)
class PrintFile:
    """The file format of a print, and its resolution in pixels per inch.

    The 8-bit picture is always written, because the gallery and the tables read it. A 16-bit format
    is written to a second file beside it.
    """

    format: Format = "png"
    dpi: int = 300

    @classmethod
    def read(cls, prints: Mapping[str, Any]) -> PrintFile:
        """Read the keys ``format`` and ``dpi`` of a configuration that passed the schema."""
        return cls(prints.get("format", cls.format), int(prints.get("dpi", cls.dpi)))

    def deep(self, picture: Path) -> Path | None:
        """Return the path of the 16-bit file beside a picture; None for an 8-bit format."""
        suffix = SUFFIXES.get(self.format)
        return picture.with_name(picture.stem + suffix) if suffix else None


def read_prints(
    prints: Mapping[str, Any],
    contents: Mapping[str, Any],
    styles: Mapping[str, Any],
    variants: Sequence[Variant],
) -> list[Wanted]:
    """Read the cells to print from ``{stars, size}``: the gallery's list, and the longer side.

    Their variants have the settings of a print.

    Raises:
        ConfigError: the list cannot be read or names a cell that is not in the run, or a print is
            not larger than its cell.
    """
    if not prints:
        return []
    path, size = existing("prints.stars", prints["stars"]), int(prints["size"])
    listed = read_document(Path(path))
    if not isinstance(listed, list) or not listed:
        raise ConfigError(f"prints.stars: {path} must be a list of cells, as the gallery saves it")
    of_name = {(one.layers, one.ratio): one for one in variants}
    found: dict[tuple[str, ...], Wanted] = {}
    for item in listed:
        names = item if isinstance(item, Mapping) else {}
        content, style, layers, ratio = (str(names.get(name)) for name in NAMES)
        variant = of_name.get((layers, ratio))
        if variant is None or content not in contents or style not in styles:
            raise ConfigError(
                f"prints.stars: {path} names a cell that is not in this run, "
                f"{content} / {style} / {layers} / {ratio}; save the list again from this run's "
                "gallery"
            )
        found[content, style, layers, ratio] = content, style, printed(variant, size)
    return list(found.values())


def printed(variant: Variant, size: int) -> Variant:
    """Return a variant with the settings of its print; see ``print_settings``."""
    return replace(variant, settings=print_settings(variant.settings, size))


def check_larger(size: int, cell: int, name: str) -> None:
    """Require that a print is larger than its cell; longer sides, in px.

    Raises:
        ConfigError: the print is not larger; the message calls the cell's size ``name``.
    """
    if size <= cell:
        raise ConfigError(
            f"prints.size must be larger than {name}, {cell} px; got {size}. Raise prints.size."
        )


def with_octaves(settings: Settings, size: int, cell: int) -> Settings:
    """Add an octave for each doubling from a cell's longer side to its print's.

    So the largest strokes stay. The number ``auto`` depends on the size by itself.

    Raises:
        ConfigError: the print is not larger.
    """
    check_larger(size, cell, "its cell")
    if settings.octaves == "auto":
        return settings
    return replace(settings, octaves=min(MOST, settings.octaves + round(math.log2(size / cell))))


def print_settings(settings: Settings, size: int) -> Settings:
    """Return the settings of a cell's print, whose longer side is ``size`` px.

    The print starts from the cell's picture and grows through the sizes between them.

    Raises:
        ConfigError: the size is too large or not larger than the cell, or the cell has a matched
            content target.
    """
    small = longer_side(settings.image_size)
    if size > SIDE[1]:
        raise ConfigError(f"prints.size may be up to {SIDE[1]} px; got {size}. Lower it.")
    check_larger(size, small, "image_size")
    if settings.content_target == "matched":
        raise ConfigError(
            "prints: a cell with content_target: matched cannot be printed, because matching takes "
            "too much memory at this size; remove its star."
        )
    exact: int | tuple[int, int] = size
    if isinstance(settings.image_size, tuple):
        width, height = (round(side * size / small) for side in settings.image_size)
        exact = width, height
    return replace(
        settings,
        image_size=exact,
        size="exact" if isinstance(exact, tuple) else "long_side",
        start="file",
        growth=STEPS,
        iterations=STEPS,
        coarse_stages=(),
        coarse_alpha=1.0,
        coarse_learning_rate=None,
        averaging=0.0,
        finish=0,
        snapshots=(),
    )
