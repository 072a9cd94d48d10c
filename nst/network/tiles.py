"""A picture at its octaves and in tiles, so that not all of its features need be held at once.

Each tile is seen with a margin as wide as the receptive fields of its features, which are then
those of the whole picture. A loss of sums over positions, and its gradient, can be added up from
them exactly (Galerne, Raad, Lezama and Morel, "Scaling painting style transfer", 2024).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nst.config.architecture import Architecture
from nst.config.octaves import halvings_of, is_sampled, split_octave
from nst.network.extractor import Extractor
from nst.network.kernels import crop, halve
from nst.network.shapes import Float, Int, Tensor

LEAST_BAND = 6  # times the margin, which is seen twice: a third more


@dataclass(frozen=True)
class Span:
    """A tile's rows or columns, in px: from ``start`` to ``stop`` of all, ``length``.

    ``first`` to ``last`` are seen, which is wider by the margin.
    """

    start: int
    stop: int
    first: int
    last: int
    length: int

    def positions(self, halvings: int) -> slice:
        """Return the tile's positions among the features of the whole picture."""
        return slice(self.start >> halvings, self.stop >> halvings)

    def inner(self, halvings: int) -> slice:
        """Return the tile's positions among the features of what is seen."""
        offset = self.first >> halvings
        return slice((self.start >> halvings) - offset, (self.stop >> halvings) - offset)


@dataclass(frozen=True)
class Tile:
    """A part of a picture, and where its features are among those of all."""

    rows: Span
    columns: Span

    def of_picture(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 _h _w"]:
        """Return what is seen of the tile, with its margin."""
        rows, columns = self.rows, self.columns
        return _part(images, slice(rows.first, rows.last), slice(columns.first, columns.last))

    def of_whole(self, features: Float[Tensor, "b c h w"], layer: str) -> Tensor:
        """Return the tile's part of the features, or weights, of the whole picture."""
        if is_sampled(layer):
            return features  # settings ask for no tiles then
        halvings = halvings_of(layer)
        return _part(features, self.rows.positions(halvings), self.columns.positions(halvings))

    def of_seen(self, features: Float[Tensor, "b c h w"], layer: str) -> Tensor:
        """Return the tile's part of the features of what is seen of it."""
        if is_sampled(layer):
            return features
        halvings = halvings_of(layer)
        inner = self.rows.inner(halvings), self.columns.inner(halvings)
        return features if _is_all(features, *inner) else crop(features, *inner)

    def whole(self, layer: str) -> tuple[int, int]:
        """Return how many rows and columns of features the whole picture has in a layer."""
        halvings = halvings_of(layer)
        return self.rows.length >> halvings, self.columns.length >> halvings

    def share(self, layer: str) -> float:
        """Return which part of a layer's positions is the tile's."""
        of_all = math.prod(self.whole(layer))
        rows, columns = (one.positions(halvings_of(layer)) for one in (self.rows, self.columns))
        own: int = (rows.stop - rows.start) * (columns.stop - columns.start)
        return own / of_all


def cut(
    size: tuple[int, int],
    side: int | None,
    architecture: Architecture,
    layers: Collection[str],
) -> list[Tile]:
    """Cut a picture, of (height, width), into tiles of about one size, of at most about ``side``².

    They are bands as wide as the picture where the margin leaves room for that: rows lie together
    in memory, so that what is beyond the margin need not be copied. Borders lie where those of the
    deepest layer's positions do. Without a side, the only tile is all of it.

    Raises:
        ExtractorError: a layer is unknown, or the picture is too small for one.
    """
    architecture.check(layers, min(size))
    reach = _reach(architecture, layers)
    unit = 2 ** max(map(halvings_of, layers))
    margin = math.ceil(reach / unit) * unit
    height, width = size
    high, wide = (side, side) if side else size
    if side and side**2 // width >= max(unit, LEAST_BAND * margin):
        high, wide = side**2 // width, width
    rows, columns = _spans(height, high, unit, margin), _spans(width, wide, unit, margin)
    return [Tile(*spans) for spans in itertools.product(rows, columns)]


def octaves(
    images: Float[Tensor, "b 3 h w"], layers: Collection[str]
) -> Iterator[tuple[Float[Tensor, "b 3 _h _w"], Mapping[str, str]]]:
    """Yield pictures at each octave that ``layers`` name, with their whole names by layer.

    A name without an octave is of the picture as it is. A layer sees strokes of about one size.
    Seen again at half the size, it knows strokes twice as large (Snelgrove, "High-resolution
    multi-scale neural texture synthesis", 2017).
    """
    wanted: dict[int, dict[str, str]] = {}
    for name in layers:
        layer, octave = split_octave(name)
        wanted.setdefault(octave, {})[layer] = name
    for octave in range(max(wanted, default=-1) + 1):
        images = halve(images) if octave else images
        if octave in wanted:
            yield images, wanted[octave]


def see_in_tiles(
    extractor: Extractor,
    images: Float[Tensor, "b 3 h w"],
    layers: Collection[str],
    side: int | None,
) -> Iterator[tuple[Tile, dict[str, Tensor]]]:
    """Yield each tile of each octave, and its part of the features, by the layers' whole names."""
    for picture, names in octaves(images, layers):
        size = (picture.shape[2], picture.shape[3])
        for tile in cut(size, side, extractor.architecture, names):
            yield tile, features_of(extractor, tile.of_picture(picture), names, tile)


def features_of(
    extractor: Extractor,
    seen: Float[Tensor, "b 3 h w"],
    names: Mapping[str, str],
    tile: Tile,
    step: Int[Tensor, ""] | None = None,
) -> dict[str, Tensor]:
    """Return a tile's features, computed with its margin, by the full names of the layers.

    Sampled layers have the positions of a ``step``, or all of them without one.
    """
    found = extractor(seen, names, step)
    return {names[layer]: tile.of_seen(value, layer) for layer, value in found.items()}


def views(images: Float[Tensor, "b 3 h w"], tiles: Sequence[Tile]) -> Sequence[Tensor]:
    """Return what is seen of each tile, whose gradients are added up in one picture.

    Slices would each have a gradient of the whole picture's size.
    """
    if len(tiles) == 1:
        return [images]
    seen: Sequence[Tensor] = _Views.apply(images, tiles)
    return seen


class _Views(torch.autograd.Function):
    """The tiles of a picture, each with its margin."""

    @staticmethod
    def forward(context: Any, images: Tensor, tiles: Sequence[Tile]) -> tuple[Tensor, ...]:
        """Copy them out."""
        context.tiles, context.shape = tiles, images.shape
        return tuple(tile.of_picture(images).clone() for tile in tiles)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Add them up."""
        whole = gradients[0].new_zeros(context.shape)
        for tile, gradient in zip(context.tiles, gradients, strict=True):
            tile.of_picture(whole).add_(gradient)
        return whole, None


def _spans(length: int, side: int, unit: int, margin: int) -> list[Span]:
    """Cut a side of a picture."""
    count = math.ceil(length / side)
    borders = [round(number * length / count / unit) * unit for number in range(count)]
    return [
        Span(start, stop, max(0, start - margin), min(length, stop + margin), length)
        for start, stop in zip(borders, [*borders[1:], length], strict=True)
    ]


def _part(images: Tensor, rows: slice, columns: slice) -> Tensor:
    """Return rows and columns; all of them without a view, whose gradient would be a copy."""
    return images if _is_all(images, rows, columns) else images[..., rows, columns]


def _is_all(images: Tensor, rows: slice, columns: slice) -> bool:
    """Tell whether these are all rows and columns."""
    height, width = images.shape[-2:]
    return (rows, columns) == (slice(0, height), slice(0, width))


def _reach(architecture: Architecture, layers: Collection[str]) -> int:
    """Return how far beyond its own pixels a position of the deepest layer sees, in px."""
    return sum(2 ** halvings_of(name) for name in architecture.needed(layers))
