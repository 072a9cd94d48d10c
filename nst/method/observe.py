"""The errors and statistics that the losses need, computed from whole pictures or tile by tile.

The statistics of a style loss are measured once per style, blended, and compared at each step.

With tiles, features are computed twice: first for the sums over all tiles, then again, tile by
tile, for the gradient. The tiles' gradients add up to that of the whole picture, except for
rounding (Galerne, Raad, Lezama and Morel, "Scaling painting style transfer", 2024).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch.utils.checkpoint import checkpoint

from nst.config.layers import is_sampled
from nst.config.registry import Statistic
from nst.method.regions import Region, weights_at
from nst.network.extractor import Extractor
from nst.network.kernels import of_step, sample_columns
from nst.network.tensors import Float, Int, Tensor
from nst.network.tiles import Tile, cut, features_of, octaves, see_in_tiles, views

T = TypeVar("T")
Weights = Float[Tensor, "1 1 _h _w"] | None
"""How much each position counts; None if all count alike."""


@dataclass(frozen=True)
class Observation:
    """The errors and statistics of a batch of pictures, or of a tile of them, by layer.

    ``errors`` compares the features with the content's. ``styles`` has, for each region, the
    values of ``Statistic.look``.
    """

    errors: Mapping[str, Float[Tensor, "b ..."]]
    styles: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Observer:
    """Evaluates pictures in some layers, in tiles of at most ``side`` px, or whole.

    ``content`` maps layers to the content's features. ``error`` compares features with them and
    returns means over positions. In ``style_layers``, the ``statistic`` is computed for each of the
    ``regions``. ``step`` selects the positions of sampled layers.
    """

    extractor: Extractor
    statistic: Statistic
    content: Mapping[str, Float[Tensor, "_b _c _h _w"]]
    error: Callable[[Tensor, Tensor], Tensor]
    style_layers: Collection[str]
    regions: Sequence[Region]
    side: int | None
    step: Int[Tensor, ""]

    @functools.cached_property
    def _places(self) -> Callable[[Tile, str], Sequence[Any]]:
        """The places that count in a tile's features, by layer and region, computed once."""
        pool = functools.cache(weights_at)

        @functools.cache
        def places(tile: Tile, name: str) -> Sequence[Any]:
            masks = [weights_in(region.mask, tile, name, pool) for region in self.regions]
            return [self.statistic.places(one) for one in masks]

        return places

    def _of_step(self, values: Any, name: str) -> Any:
        """Select a sampled layer's values for the current step; leave other layers unchanged."""
        sampled = is_sampled(name) and values is not None
        return of_step(values, self.step) if sampled else values

    def __call__(self, images: Float[Tensor, "b 3 h w"]) -> Observation:
        """Compute the errors and statistics of pictures, RGB in [0, 1]."""
        errors: dict[str, Tensor] = {}
        styles: dict[str, Sequence[Any]] = {}
        look = for_tiles(self._look, self.side)
        for picture, names in octaves(images, {*self.content, *self.style_layers}):
            size = (picture.shape[2], picture.shape[3])
            tiles = cut(size, self.side, self.extractor.architecture, names)
            parts = [
                look(seen, names, tile)
                for seen, tile in zip(views(picture, tiles), tiles, strict=True)
            ]
            for name in names.values():
                if name in self.content:
                    errors[name] = _mean([part.errors[name] for part in parts], tiles, name)
                if name in self.style_layers:
                    by_region = zip(*(part.styles[name] for part in parts), strict=True)
                    styles[name] = [_merged(self.statistic, found) for found in by_region]
        return Observation(errors, styles)

    def _look(self, seen: Tensor, names: Mapping[str, str], tile: Tile) -> Observation:
        """Compute a tile's features, their errors against the content, and their statistics."""
        features = features_of(self.extractor, seen, names, tile, self.step)
        return Observation(
            {
                name: self.error(
                    value, self._of_step(tile.of_whole(self.content[name], name), name)
                )
                for name, value in features.items()
                if name in self.content
            },
            {
                name: [
                    self.statistic.look(value, self._of_step(place, name))
                    for place in self._places(tile, name)
                ]
                for name, value in features.items()
                if name in self.style_layers
            },
        )


def for_tiles(compute: Callable[..., T], side: int | None) -> Callable[..., T]:
    """Return a function that, with tiles, computes intermediate values again for the gradient."""
    if side is None:
        return compute
    return partial(checkpoint, compute, use_reentrant=False, preserve_rng_state=False)


def content_features(
    extractor: Extractor,
    content: Float[Tensor, "b 3 h w"],
    layers: Collection[str],
    side: int | None,
) -> dict[str, Float[Tensor, "b _c _h _w"]]:
    """Return the features of contents, assembled from their tiles, in float32 or better."""
    at_least = torch.promote_types(extractor.dtype, torch.float32)
    whole: dict[str, Tensor] = {}
    for tile, features in see_in_tiles(extractor, content, layers, side):
        for name, value in features.items():
            if side is None:
                whole[name] = value.to(at_least)
                continue
            if name not in whole:
                shape = (*value.shape[:2], *tile.whole(name))
                whole[name] = torch.empty(shape, dtype=at_least, device=value.device).to(
                    memory_format=torch.channels_last
                )
            tile.of_whole(whole[name], name).copy_(value)
    return whole


def measure_style(
    extractor: Extractor,
    region: Region,
    statistic: Statistic,
    layers: Collection[str],
    side: int | None,
) -> dict[str, Any]:
    """Measure the statistic of a region's style by layer: blend its pictures by their weights."""
    at_least = torch.promote_types(extractor.dtype, torch.float32)
    measured: dict[str, list[tuple[float, Any]]] = {layer: [] for layer in layers}
    for part in region.parts:
        tiles: dict[str, list[Any]] = {layer: [] for layer in layers}
        for tile, features in see_in_tiles(extractor, part.image, layers, side):
            for name, value in features.items():
                places = statistic.places(weights_in(part.mask, tile, name))
                tiles[name].append(statistic.measure(value.to(at_least), places))
        for name, parts in tiles.items():
            measured[name].append((part.weight, _merged(statistic, parts)))
    return {name: statistic.blend(parts) for name, parts in measured.items()}


def _merged(statistic: Statistic, parts: Sequence[Any]) -> Any:
    """Combine the statistics of a picture's tiles."""
    if statistic.merge is None:
        (only,) = parts  # the settings then allow no tiles
        return only
    return statistic.merge(parts)


def weights_in(
    mask: Float[Tensor, "1 1 _h _w"] | None,
    tile: Tile,
    layer: str,
    pool: Callable[[Tensor, tuple[int, int]], Weights] = weights_at,
) -> Weights:
    """Return the share of each of a tile's positions that lies in a mask of the whole picture."""
    if mask is None:
        return None
    if is_sampled(layer):
        return sample_columns([mask]).round(decimals=4)  # removes rounding errors
    weights = pool(mask, tile.whole(layer))
    return None if weights is None else tile.of_whole(weights, layer)


def _mean(
    errors: Sequence[Float[Tensor, "b ..."]], tiles: Sequence[Tile], layer: str
) -> Float[Tensor, "b ..."]:
    """Average the tiles' mean errors by their positions; leave a single error unchanged."""
    if len(errors) == 1:
        return errors[0]
    weighed = [tile.share(layer) * error for tile, error in zip(tiles, errors, strict=True)]
    return functools.reduce(torch.add, weighed)
