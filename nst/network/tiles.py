"""The octaves and tiles of a picture, so that memory need not hold all of its features at once.

Each tile is computed with a margin as wide as the receptive fields of its features. The features
then equal those of the whole picture. A loss of sums over positions, and its gradient, are exact
sums over the tiles (Galerne, Raad, Lezama and Morel, "Scaling painting style transfer", 2024).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from nst.config.layers import Architecture, halvings_of, is_sampled, split_octave
from nst.network.extractor import Extractor
from nst.network.kernels import crop, halve
from nst.network.tensors import Float, Int, Tensor

LEAST_BAND = 6  # times the margin: its two margins add a third to a band


@dataclass(frozen=True)
class Span:
    """A tile's rows or columns, in px: from ``start`` to ``stop`` of a side of ``length``.

    With its margin, the tile extends from ``first`` to ``last``.
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
        """Return the tile's positions among the features computed with its margin."""
        offset = self.first >> halvings
        return slice((self.start >> halvings) - offset, (self.stop >> halvings) - offset)


@dataclass(frozen=True)
class Tile:
    """A part of a picture, and the positions of its features among those of the picture."""

    rows: Span
    columns: Span

    def of_picture(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 _h _w"]:
        """Return the tile's pixels, with its margin."""
        rows, columns = self.rows, self.columns
        return _part(images, slice(rows.first, rows.last), slice(columns.first, columns.last))

    def of_whole(self, features: Float[Tensor, "b c h w"], layer: str) -> Tensor:
        """Return the tile's part of the features, or weights, of the whole picture."""
        if is_sampled(layer):
            return features  # the settings then allow no tiles
        halvings = halvings_of(layer)
        return _part(features, self.rows.positions(halvings), self.columns.positions(halvings))

    def of_seen(self, features: Float[Tensor, "b c h w"], layer: str) -> Tensor:
        """Return the tile's part of the features computed with its margin."""
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
        """Return the tile's share of a layer's positions."""
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
    """Cut a picture of (height, width) into tiles of about one size, at most about ``side``² px.

    The tiles are bands as wide as the picture if the margin leaves room. Rows are contiguous in
    memory, so features need no copy when the margin is cropped. Borders of tiles coincide with
    borders of the deepest layer's positions. Without a ``side``, one tile is the whole picture.

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
    """Yield pictures at each octave that ``layers`` name, with the full names by layer.

    A name without an octave means the picture at its own size. A layer sees strokes of about one
    size. At half the picture's size, it sees strokes twice as large (Snelgrove, "High-resolution
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
    """Yield each tile of each octave, and its part of the features, by the layers' full names."""
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

    Sampled layers have the positions of ``step``, or of all sets if it is None.
    """
    found = extractor(seen, names, step)
    return {names[layer]: tile.of_seen(value, layer) for layer, value in found.items()}


def views(images: Float[Tensor, "b 3 h w"], tiles: Sequence[Tile]) -> Sequence[Tensor]:
    """Return each tile with its margin; the tiles' gradients are added up in one picture.

    With plain slices, each gradient would have the size of the whole picture.
    """
    if len(tiles) == 1:
        return [images]
    seen: Sequence[Tensor] = _Views.apply(images, tiles)
    return seen


class _Views(torch.autograd.Function):
    """The tiles of a picture, each with its margin."""

    @staticmethod
    def forward(context: Any, images: Tensor, tiles: Sequence[Tile]) -> tuple[Tensor, ...]:
        """Copy the tiles out of the picture."""
        context.tiles, context.shape = tiles, images.shape
        return tuple(tile.of_picture(images).clone() for tile in tiles)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Add up the gradients of the tiles."""
        whole = gradients[0].new_zeros(context.shape)
        for tile, gradient in zip(context.tiles, gradients, strict=True):
            tile.of_picture(whole).add_(gradient)
        return whole, None


def _spans(length: int, side: int, unit: int, margin: int) -> list[Span]:
    """Cut a side of a picture into spans."""
    count = math.ceil(length / side)
    borders = [round(number * length / count / unit) * unit for number in range(count)]
    return [
        Span(start, stop, max(0, start - margin), min(length, stop + margin), length)
        for start, stop in zip(borders, [*borders[1:], length], strict=True)
    ]


def _part(images: Tensor, rows: slice, columns: slice) -> Tensor:
    """Return rows and columns; return all without a view, whose gradient would be a copy."""
    return images if _is_all(images, rows, columns) else images[..., rows, columns]


def _is_all(images: Tensor, rows: slice, columns: slice) -> bool:
    """Return whether the slices cover all rows and columns."""
    height, width = images.shape[-2:]
    return (rows, columns) == (slice(0, height), slice(0, width))


def _reach(architecture: Architecture, layers: Collection[str]) -> int:
    """Return how far the receptive field of the deepest layer extends beyond a position, in px."""
    return sum(2 ** halvings_of(name) for name in architecture.needed(layers))
