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
    unit_features,
)
from nst.config.composition import Composition
from nst.config.geometry import fitting_side
from nst.config.settings import CONTENT_LAYERS, STYLE_LAYERS
from nst.errors import ExtractorError
from nst.imaging.images import fit_long_side, stretch
from nst.imaging.masks import luma_of, split_mask
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
from nst.network.extractor import Extractor
from nst.network.tensors import Float, Tensor, mask_tensor, to_tensor
from nst.network.tiles import Tile, see_in_tiles

OF_STYLE = ("relative_style", "style_distance", "colour_distance")
PERCEPTUAL_LAYERS = ("relu1_2", "relu2_2", "relu3_2", "relu4_2", "relu5_1")
"""The last layer of each block that all networks have; Zhang et al. take each block's last."""


@dataclass(frozen=True)
class _Part:
    """The targets of one of the style's pictures, for cells of one size, within ``mask``."""

    share: float
    mask: Mask
    grams: Mapping[str, Moments]
    patches: Sequence[PatchTarget]
    colours: Float[Tensor, "_k _q"]

    def distances(
        self, picture: Image.Image, seen: Mapping[str, Sequence[Moments]]
    ) -> dict[str, float]:
        """Return a picture's distances from the targets; ``seen`` has the moments of its tiles."""
        colours = sliced_wasserstein(colour_quantiles(picture, self.mask), self.colours)
        return {
            "relative_style": fmean(
                relative_style_loss(merged_moments(seen[layer]), gram).item()
                for layer, gram in self.grams.items()
            ),
            "style_distance": patch_distance(to_tensor(picture), self.patches, self.mask).item(),
            "colour_distance": colours.item(),
        }


Seen = Iterable[tuple[Tile, Mapping[str, Tensor]]]
"""The tiles of a picture, each with its features by layer."""


@dataclass(frozen=True)
class _Target:
    """The targets for pictures of one size.

    ``relative`` computes the relative content loss from the mean squared error in
    ``content_layer``. ``layers`` are all layers whose features are computed, including the style's.
    ``seen`` has the content's features; None if the content is too large to keep them.
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
        self._content = on_white(content)
        self._style = style.blended(None)
        self._targets: dict[tuple[int, int], _Target] = {}

    @torch.no_grad()
    def __call__(self, picture: Image.Image) -> dict[str, float]:
        """Return a picture's measures by name, without ``ssim`` if the picture is too small."""
        if picture.size not in self._targets:
            self._targets[picture.size] = self._measure_targets(picture.size)
        target = self._targets[picture.size]
        of_content, grams = self._compare(picture, target)
        ssim = structural_similarity(picture, target.picture)
        distances = [
            (part.share, part.distances(picture, seen))
            for part, seen in zip(target.style, grams, strict=True)
        ]
        return {
            **of_content,
            **{name: sum(share * one[name] for share, one in distances) for name in OF_STYLE},
            **({} if ssim is None else {"ssim": ssim}),
        }

    def _compare(
        self, picture: Image.Image, target: _Target
    ) -> tuple[dict[str, float], list[dict[str, list[Moments]]]]:
        """Return the content measures, and the tiles' moments for each part of the style."""
        relative, distances = 0.0, dict.fromkeys(target.perceptual, 0.0)
        grams: list[dict[str, list[Moments]]] = [
            {layer: [] for layer in part.grams} for part in target.style
        ]
        kept = target.seen or self._look(target.picture, target.layers)
        for (tile, found), (_, wanted) in zip(
            self._look(picture, target.layers), kept, strict=True
        ):
            layer = target.content_layer
            error = mean_squared_error(found[layer], wanted[layer])
            relative += tile.share(layer) * target.relative(error).item()
            for layer in distances:
                distance = feature_distance(found[layer], unit_features(wanted[layer])).item()
                distances[layer] += tile.share(layer) * distance
            for part, of_part in zip(target.style, grams, strict=True):
                for layer, parts in of_part.items():
                    parts.append(_moments(found[layer], part.mask, tile, layer))
        return {"relative_content": relative, "content_distance": fmean(distances.values())}, grams

    def _measure_targets(self, size: tuple[int, int]) -> _Target:
        """Compute the targets for pictures of one size, (width, height) in px."""
        content = stretch(self._content, size)
        pictures = [fit_long_side(one.image, max(size)) for one in self._style.parts]
        side = min(min(one.size) for one in (content, *pictures))
        everything = self._present(self._extractor.architecture.layers, side)
        (content_layer,) = self._present(CONTENT_LAYERS, side) or everything[-1:]
        of_content = content_features(
            self._extractor, self._tensor(content), [content_layer], self._side(content)
        )
        perceptual = self._present(PERCEPTUAL_LAYERS, side)
        of_style = self._present(STYLE_LAYERS, side)
        layers = {content_layer, *perceptual, *of_style}
        return _Target(
            picture=content,
            content_layer=content_layer,
            relative=relative_content_loss(of_content[content_layer]),
            perceptual=perceptual,
            layers=layers,
            # Before ``seen``, so that the style's features are freed when the content's are kept.
            style=list(self._style_parts(size, of_style)),
            seen=list(self._look(content, layers)) if self._side(content) is None else None,
        )

    def _style_parts(self, size: tuple[int, int], layers: Sequence[str]) -> Iterator[_Part]:
        """Yield the targets of each of the style's pictures; their shares sum to 1."""
        masks = {
            colour: mask_tensor(mask) for colour, mask in split_mask(self._style, size).items()
        }
        regions = {
            colour: 1.0 if mask is None else mask.mean().item()
            for colour, mask in masks.items()
            if self._style.regions[colour]
        }
        for colour, share in regions.items():
            for part in self._style.regions[colour]:
                picture = fit_long_side(part.image, max(size))
                mask = None if part.mask is None else luma_of(part.mask, picture.size)
                of_part = mask_tensor(mask)
                grams: dict[str, list[Moments]] = {layer: [] for layer in layers}
                for tile, features in self._look(picture, layers):
                    for layer, found in features.items():
                        grams[layer].append(_moments(found, of_part, tile, layer))
                yield _Part(
                    share=part.weight * share / sum(regions.values()),
                    mask=masks[colour],
                    grams={layer: merged_moments(parts) for layer, parts in grams.items()},
                    patches=measure_patches(to_tensor(picture), of_part),
                    colours=colour_quantiles(picture, of_part),
                )

    def _look(self, picture: Image.Image, layers: Collection[str]) -> Seen:
        """Compute and yield a picture's features, in tiles if it is too large."""
        return see_in_tiles(self._extractor, self._tensor(picture), layers, self._side(picture))

    def _tensor(self, picture: Image.Image) -> Float[Tensor, "1 3 h w"]:
        """Convert a picture to a tensor on the network's device."""
        return to_tensor(picture).to(next(self._extractor.parameters()).device)

    def _side(self, picture: Image.Image) -> int | None:
        """Return the side of the tiles for a picture; None if it needs no tiles."""
        return fitting_side(self._extractor.architecture, picture.width * picture.height)

    def _present(self, layers: Iterable[str], side: int) -> list[str]:
        """Keep the layers that the network has and for which this shorter side is large enough."""
        present = []
        for layer in layers:
            with suppress(ExtractorError):
                self._extractor.architecture.check([layer], side)
                present.append(layer)
        return present


def _moments(features: Tensor, mask: Mask, tile: Tile, layer: str) -> Moments:
    """Compute a tile's moments within a mask of the whole picture."""
    weights = weights_in(mask, tile, layer)
    return moments(features, None if weights is None else weights.to(features.device))
