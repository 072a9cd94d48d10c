"""Measures that mean the same for every cell, whatever its own losses were.

They are computed on the finished 8-bit picture, in float32, with the run's network and that
network's own pooling and input. The content is stretched to the picture's size; the style is
resized to its longer side. Layers for which one of the pictures is too small are left out.

For a style of several pictures, the style measures are means of the distances to each picture,
weighted as in the blend. With regions, each picture is measured in its own region and weighted by
the region's size; regions that keep the photograph do not count. No picture has distance 0 from a
blend, so compare the cells of a blend only with each other.

- ``relative_content``, ``relative_style``: the relative losses of ``nst.method.losses``; content at
  relu4_2, style at relu1_1 to relu5_1 with equal shares.
- ``content_distance``: ``nst.cells.metrics.feature_distance`` to the content, averaged over
  ``PERCEPTUAL_LAYERS``. In [0, 2]; 0 is the content.
- ``style_distance``: ``nst.cells.metrics.patch_distance`` to the style, which needs no network. 0
  is the style. Unstyled photographs had 0.4 to 1.3, the cells of the default grid 0.1 to 0.5.
- ``ssim``: structural similarity to the content, in [-1, 1]. Higher is better, unlike for all other
  measures.
- ``colour_distance``: sliced Wasserstein distance to the style's colours, in CIELAB units (ΔE).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from statistics import fmean

import torch
from PIL import Image

from nst.cells.metrics import (
    Mask,
    PatchTarget,
    colour_quantiles,
    feature_distance,
    measure_patches,
    patch_distance,
    sliced_wasserstein,
    structural_similarity,
)
from nst.config.composition import Composition
from nst.config.geometry import fitting_side
from nst.config.layers import Size
from nst.config.settings import CONTENT_LAYERS, STYLE_LAYERS, Settings
from nst.errors import ExtractorError
from nst.imaging.images import stretch
from nst.imaging.srgb import on_white
from nst.method.losses import (
    Moments,
    mean_squared_error,
    merged_moments,
    moments,
    relative_content_loss,
    relative_style_loss,
)
from nst.method.observe import content_features, weights_in
from nst.method.regions import Region
from nst.method.stages import prepare_regions
from nst.network.extractor import Extractor
from nst.network.tensors import Float, Tensor, to_tensor
from nst.network.tiles import Tile, see_in_tiles

PERCEPTUAL_LAYERS = ("relu1_2", "relu2_2", "relu3_2", "relu4_2", "relu5_1")
"""The last layer of each block that all networks have; Zhang et al. take each block's last."""
OWN = Settings(style_fit="own", style_scale=1.0, colours="style")
"""Styles are measured in their own shape and colours, at the size of the picture."""


@dataclass(frozen=True)
class _Part:
    """The targets of one of the style's pictures, for cells of one size, within ``mask``."""

    share: float
    mask: Mask
    grams: Mapping[str, Moments]
    patches: Sequence[PatchTarget]
    colours: Float[Tensor, "_k _q"]


@dataclass(frozen=True)
class _Target:
    """The targets for pictures of one size.

    ``relative`` computes the relative content loss from the mean squared error in
    ``content_layer``. ``layers`` are all layers whose features are computed, including the style's.
    ``seen`` has the content's features by tile; None if the content is too large to keep them.
    """

    picture: Image.Image
    content_layer: str
    relative: Callable[[Tensor], Tensor]
    perceptual: Sequence[str]
    layers: Collection[str]
    seen: Sequence[tuple[Tile, Mapping[str, Tensor]]] | None
    style: Sequence[_Part]


class Measure:
    """The fixed measures of a pair's cells."""

    def __init__(
        self, extractor: Extractor, content: Image.Image, style: Composition[Image.Image]
    ) -> None:
        self._extractor = extractor
        self._content = content
        self._style = style.blended(None)
        self._targets: dict[Size, _Target] = {}

    @torch.no_grad()
    def __call__(self, picture: Image.Image) -> dict[str, float]:
        """Return a picture's measures by name, without ``ssim`` if the picture is too small."""
        if picture.size not in self._targets:
            self._targets[picture.size] = self._measure_targets(picture.size)
        target, pixels = self._targets[picture.size], to_tensor(picture)
        measures, grams = self._compare(pixels, target)
        for part, of_part in zip(target.style, grams, strict=True):
            losses = [
                relative_style_loss(of_part[layer], gram) for layer, gram in part.grams.items()
            ]
            colours = sliced_wasserstein(colour_quantiles(pixels, part.mask), part.colours)
            distances = {
                "relative_style": fmean(loss.item() for loss in losses),
                "style_distance": patch_distance(pixels, part.patches, part.mask).item(),
                "colour_distance": colours.item(),
            }
            for name, distance in distances.items():
                measures[name] = measures.get(name, 0.0) + part.share * distance
        ssim = structural_similarity(picture, target.picture)
        return measures if ssim is None else {**measures, "ssim": ssim}

    def _compare(
        self, picture: Float[Tensor, "1 3 _h _w"], target: _Target
    ) -> tuple[dict[str, float], list[dict[str, Moments]]]:
        """Return the content measures, and the picture's moments for each part of the style."""
        layer, relative = target.content_layer, 0.0
        distances = dict.fromkeys(target.perceptual, 0.0)
        tiles: list[dict[str, list[Moments]]] = [
            {layer: [] for layer in part.grams} for part in target.style
        ]
        kept = target.seen or self._look(to_tensor(target.picture), target.layers)
        for (tile, found), (_, wanted) in zip(
            self._look(picture, target.layers), kept, strict=True
        ):
            error = mean_squared_error(found[layer], wanted[layer])
            relative += tile.share(layer) * target.relative(error).item()
            for one in distances:
                distance = feature_distance(found[one], wanted[one]).item()
                distances[one] += tile.share(one) * distance
            for part, of_part in zip(target.style, tiles, strict=True):
                _add_moments(of_part, found, part.mask, tile)
        of_content = {"relative_content": relative, "content_distance": fmean(distances.values())}
        return of_content, [_merged(of_part) for of_part in tiles]

    def _measure_targets(self, size: Size) -> _Target:
        """Compute the targets for pictures of one size, (width, height) in px."""
        content = stretch(on_white(self._content), size)
        pixels = to_tensor(content)
        regions = [one for one in prepare_regions(self._style, size, pixels, OWN) if one.parts]
        pictures = [part.image for region in regions for part in region.parts]
        side = min(min(one.shape[-2:]) for one in (pixels, *pictures))
        everything = self._present(self._extractor.architecture.layers, side)
        (content_layer,) = self._present(CONTENT_LAYERS, side) or everything[-1:]
        perceptual = self._present(PERCEPTUAL_LAYERS, side)
        of_style = self._present(STYLE_LAYERS, side)
        layers = {content_layer, *perceptual, *of_style}
        in_tiles = self._side(pixels)
        features = content_features(self._extractor, pixels, [content_layer], in_tiles)
        return _Target(
            picture=content,
            content_layer=content_layer,
            relative=relative_content_loss(features[content_layer]),
            perceptual=perceptual,
            layers=layers,
            # Before ``seen``, so that the style's features are freed when the content's are kept.
            style=list(self._style_parts(regions, of_style)),
            seen=list(self._look(pixels, layers)) if in_tiles is None else None,
        )

    def _style_parts(self, regions: Sequence[Region], layers: Sequence[str]) -> Iterator[_Part]:
        """Yield the targets of each of the style's pictures; their shares sum to 1."""
        whole = sum(region.share for region in regions)
        for region in regions:
            for part in region.parts:
                grams: dict[str, list[Moments]] = {layer: [] for layer in layers}
                for tile, features in self._look(part.image, layers):
                    _add_moments(grams, features, part.mask, tile)
                yield _Part(
                    share=part.weight * region.share / whole,
                    mask=region.mask,
                    grams=_merged(grams),
                    patches=measure_patches(part.image, part.mask),
                    colours=colour_quantiles(part.image, part.mask),
                )

    def _look(
        self, picture: Float[Tensor, "1 3 _h _w"], layers: Collection[str]
    ) -> Iterator[tuple[Tile, dict[str, Tensor]]]:
        """Compute and yield a picture's features by layer, in tiles if it is too large."""
        return see_in_tiles(self._extractor, picture, layers, self._side(picture))

    def _side(self, picture: Float[Tensor, "1 3 _h _w"]) -> int | None:
        """Return the side of the tiles for a picture; None if it needs no tiles."""
        return fitting_side(self._extractor.architecture, picture[0, 0].numel())

    def _present(self, layers: Iterable[str], side: int) -> list[str]:
        """Keep the layers that the network has and for which this shorter side is large enough."""
        present = []
        for layer in layers:
            with suppress(ExtractorError):
                self._extractor.architecture.check([layer], side)
                present.append(layer)
        return present


def _add_moments(
    moments_of: Mapping[str, list[Moments]], features: Mapping[str, Tensor], mask: Mask, tile: Tile
) -> None:
    """Add a tile's moments within a mask of the whole picture, by layer."""
    for layer, tiles in moments_of.items():
        weights = weights_in(mask, tile, layer)
        weights = None if weights is None else weights.to(features[layer].device)
        tiles.append(moments(features[layer], weights))


def _merged(moments_of: Mapping[str, Sequence[Moments]]) -> dict[str, Moments]:
    """Combine the moments of a picture's tiles, by layer."""
    return {layer: merged_moments(tiles) for layer, tiles in moments_of.items()}
