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
class Tile:
    """A part of a picture, and the positions of its features among those of the picture.

    ``size`` is that of the picture, (height, width) in px. ``own`` has the tile's rows and columns,
    and ``seen`` has these with the tile's margin.
    """

    size: tuple[int, int]
    own: tuple[range, range]
    seen: tuple[range, range]

    def of_picture(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 _h _w"]:
        """Return the tile's pixels, with its margin."""
        return crop(images, *(slice(one.start, one.stop) for one in self.seen))

    def of_whole(self, features: Float[Tensor, "b c h w"], layer: str) -> Tensor:
        """Return the tile's part of the features, or weights, of the whole picture."""
        # With sampled layers, the settings allow no tiles.
        return features if is_sampled(layer) else crop(features, *self._positions(layer))

    def of_seen(self, features: Float[Tensor, "b c h w"], layer: str) -> Tensor:
        """Return the tile's part of the features computed with its margin."""
        first = (self.seen[0].start, self.seen[1].start)
        return features if is_sampled(layer) else crop(features, *self._positions(layer, first))

    def whole(self, layer: str) -> tuple[int, int]:
        """Return how many rows and columns of features the whole picture has in a layer."""
        halvings = halvings_of(layer)
        return self.size[0] >> halvings, self.size[1] >> halvings

    def share(self, layer: str) -> float:
        """Return the tile's share of a layer's positions."""
        rows, columns = self._positions(layer)
        own: int = (rows.stop - rows.start) * (columns.stop - columns.start)
        return own / math.prod(self.whole(layer))

    def _positions(self, layer: str, first: tuple[int, int] = (0, 0)) -> tuple[slice, slice]:
        """Return the tile's positions among features that begin at the ``first`` px."""
        halvings = halvings_of(layer)
        rows, columns = (
            slice(*((border >> halvings) - (at >> halvings) for border in (one.start, one.stop)))
            for one, at in zip(self.own, first, strict=True)
        )
        return rows, columns


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
    # How far the receptive field of the deepest layer extends beyond a position, in px.
    reach = sum(2 ** halvings_of(name) for name in architecture.needed(layers))
    unit = 2 ** max(map(halvings_of, layers))
    margin = math.ceil(reach / unit) * unit
    height, width = size
    tall, broad = (side, side) if side else size
    if side and side**2 // width >= max(unit, LEAST_BAND * margin):
        tall, broad = side**2 // width, width
    rows, columns = _spans(height, tall, unit, margin), _spans(width, broad, unit, margin)
    return [
        Tile(size, (row, column), (high, wide))
        for (row, high), (column, wide) in itertools.product(rows, columns)
    ]


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
    """Yield each tile of each octave, and its part of the features, by the layers' full names.

    The features are on the network's device, wherever the images are.
    """
    device = next(extractor.parameters()).device
    for picture, names in octaves(images.to(device), layers):
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


def _spans(length: int, side: int, unit: int, margin: int) -> list[tuple[range, range]]:
    """Cut a side of a picture into spans, each without and with its margin."""
    count = math.ceil(length / side)
    borders = [round(number * length / count / unit) * unit for number in range(count)]
    return [
        (range(start, stop), range(max(0, start - margin), min(length, stop + margin)))
        for start, stop in zip(borders, [*borders[1:], length], strict=True)
    ]
