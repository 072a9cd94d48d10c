"""The errors and statistics that the losses need, computed from whole pictures or tile by tile.

The statistics of a style loss are measured once per style, blended, and compared at each step. To
add a style loss, add a row to ``STATISTICS``, and its name to the type in ``nst.config.settings``.

With tiles, features are computed twice: first for the sums over all tiles, then again, tile by
tile, for the gradient. The tiles' gradients add up to that of the whole picture, except for
rounding (Galerne, Raad, Lezama and Morel, "Scaling painting style transfer", 2024).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint

from nst.config.composition import Part
from nst.config.layers import is_sampled
from nst.method import distributions, losses
from nst.method.regions import Region, weights_at
from nst.network.extractor import Extractor
from nst.network.kernels import of_step, sample_columns
from nst.network.tensors import Float, Int, Tensor
from nst.network.tiles import Tile, cut, features_of, octaves, see_in_tiles, views

Weights = Float[Tensor, "1 1 _h _w"] | None
"""How much each position counts; None if all count alike."""


@dataclass(frozen=True)
class Statistic:
    """One way to compare features with a style's.

    ``places`` turns weights into the places that count, once for all steps. ``measure`` takes the
    features of one style and the places that count; ``blend`` averages the measurements of several
    styles by their shares. ``look`` takes the features of a batch and the places that count;
    ``compare`` takes what ``look`` and ``blend`` return, and returns a loss for each picture.
    ``merge`` combines what ``look`` returns for the tiles of a picture; ``measure`` then returns
    the same type. ``merge`` is None if the statistic needs all positions at once. ``of_shares`` is
    as in ``ContentLoss``.
    """

    measure: Callable[[Tensor, Any], Any]
    blend: Callable[[Sequence[tuple[float, Any]]], Any]
    look: Callable[[Tensor, Any], Any]
    compare: Callable[[Any, Any], Tensor]
    places: Callable[[Weights], Any]
    merge: Callable[[Sequence[Any]], Any] | None = None
    of_shares: bool = False


def _as_given(weights: Weights) -> Weights:
    """Return the weights themselves as the places that count."""
    return weights


def _of_moments(
    loss: Callable[[losses.Moments, losses.Moments], Tensor], *, of_shares: bool = False
) -> Statistic:
    """Return the statistic that compares moments by a loss."""
    return Statistic(
        measure=losses.moments,
        blend=losses.blended_moments,
        look=losses.moments,
        compare=loss,
        places=_as_given,
        merge=losses.merged_moments,
        of_shares=of_shares,
    )


def _of_features(
    measure: Callable[[Tensor, Any], Any],
    blend: Callable[[Sequence[tuple[float, Any]]], Any],
    loss: Callable[[Tensor, Any, Any], Tensor],
    places: Callable[[Weights], Any] = distributions.counted_positions,
) -> Statistic:
    """Return the statistic whose loss needs the features themselves, at all positions."""
    return Statistic(
        measure,
        blend,
        look=lambda features, found: (features, found),
        compare=lambda seen, target: loss(seen[0], seen[1], target),
        places=places,
        of_shares=True,
    )


STATISTICS: Mapping[str, Statistic] = MappingProxyType(
    {
        "covariance": _of_moments(losses.covariance_style_loss, of_shares=True),
        "moments": _of_moments(losses.moments_style_loss, of_shares=True),
        "relative": _of_moments(losses.relative_style_loss, of_shares=True),
        "sum_gram": _of_moments(losses.sum_gram_style_loss),
        "mean_gram": _of_moments(losses.mean_gram_style_loss),
        "mean_plain_gram": _of_moments(losses.mean_plain_gram_style_loss),
        "mean_plain_gram_per_value": _of_moments(losses.mean_plain_gram_per_value_style_loss),
        "scaled_gram": _of_moments(losses.scaled_gram_style_loss),
        "sliced_wasserstein": _of_features(
            distributions.style_quantiles,
            distributions.blended_quantiles,
            distributions.sliced_wasserstein_style_loss,
        ),
        "nearest": _of_features(
            distributions.sample_features,
            distributions.merged_samples,
            distributions.nearest_style_loss,
        ),
        "relaxed_emd": _of_features(
            distributions.style_cloud,
            distributions.blended_cloud,
            distributions.relaxed_emd_style_loss,
            places=_as_given,
        ),
    }
)


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
    def _pooled(self) -> Sequence[Callable[[tuple[int, int]], Weights]]:
        """The regions' masks by the size of features, pooled once for all steps."""
        return [functools.cache(partial(weights_at, region.mask)) for region in self.regions]

    @functools.cached_property
    def _places(self) -> Callable[[Tile, str], Sequence[Any]]:
        """The places that count in a tile's features, by layer and region, computed once."""

        @functools.cache
        def places(tile: Tile, name: str) -> Sequence[Any]:
            if is_sampled(name):
                masks = [_sampled(region.mask) for region in self.regions]
                return [self.statistic.places(mask) for mask in masks]
            size = tile.whole(name)
            weights = [_of_tile(pooled(size), tile, name) for pooled in self._pooled]
            return [self.statistic.places(one) for one in weights]

        return places

    def _of_step(self, values: Any, name: str) -> Any:
        """Select a sampled layer's values for the current step; leave other layers unchanged."""
        sampled = is_sampled(name) and values is not None
        return of_step(values, self.step) if sampled else values

    def __call__(self, images: Float[Tensor, "b 3 h w"]) -> Observation:
        """Compute the errors and statistics of pictures, RGB in [0, 1]."""
        errors: dict[str, Tensor] = {}
        styles: dict[str, Sequence[Any]] = {}
        for picture, names in octaves(images, {*self.content, *self.style_layers}):
            size = (picture.shape[2], picture.shape[3])
            tiles = cut(size, self.side, self.extractor.architecture, names)
            parts = [
                self._look(seen, names, tile)
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
        """Evaluate a tile; its features are kept for the gradient only without tiling."""
        look = partial(self._look_at, names=names, tile=tile)
        if self.side is None:
            return look(seen)
        found: Observation = checkpoint(look, seen, use_reentrant=False, preserve_rng_state=False)
        return found

    def _look_at(self, seen: Tensor, names: Mapping[str, str], tile: Tile) -> Observation:
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
    part: Part[Tensor],
    statistic: Statistic,
    layers: Collection[str],
    side: int | None,
) -> dict[str, Any]:
    """Measure the statistic of one of the style's pictures, by layer."""
    at_least = torch.promote_types(extractor.dtype, torch.float32)
    measured: dict[str, list[Any]] = {layer: [] for layer in layers}
    for tile, features in see_in_tiles(extractor, part.image, layers, side):
        for name, value in features.items():
            places = statistic.places(weights_in(part.mask, tile, name))
            measured[name].append(statistic.measure(value.to(at_least), places))
    return {name: _merged(statistic, parts) for name, parts in measured.items()}


def _merged(statistic: Statistic, parts: Sequence[Any]) -> Any:
    """Combine the statistics of a picture's tiles."""
    if statistic.merge is None:
        (only,) = parts  # the settings then allow no tiles
        return only
    return statistic.merge(parts)


def weights_in(mask: Float[Tensor, "1 1 _h _w"] | None, tile: Tile, layer: str) -> Weights:
    """Return the share of each of a tile's positions that lies in a mask of the whole picture."""
    if is_sampled(layer):
        return _sampled(mask)
    return _of_tile(weights_at(mask, tile.whole(layer)), tile, layer)


def _sampled(mask: Float[Tensor, "1 1 _h _w"] | None) -> Weights:
    """Return a mask at the positions of a sampled layer, with rounding errors removed."""
    return None if mask is None else sample_columns([mask]).round(decimals=4)


def _of_tile(weights: Weights, tile: Tile, layer: str) -> Weights:
    """Return a tile's part of the weights of a whole picture's positions."""
    return None if weights is None else tile.of_whole(weights, layer)


def _mean(
    errors: Sequence[Float[Tensor, "b ..."]], tiles: Sequence[Tile], layer: str
) -> Float[Tensor, "b ..."]:
    """Average the tiles' mean errors by their positions; leave a single error unchanged."""
    if len(errors) == 1:
        return errors[0]
    weighed = [tile.share(layer) * error for tile, error in zip(tiles, errors, strict=True)]
    return functools.reduce(torch.add, weighed)
