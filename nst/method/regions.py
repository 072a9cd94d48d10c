"""The regions of a content, each with a style of its own, and those that stay as they are.

Gatys, Ecker, Bethge, Hertzmann and Shechtman, "Controlling perceptual factors in neural style
transfer" (2017), section 5.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from nst.config.composition import Part
from nst.network.shapes import Float, Tensor

EDGE = 0.01  # of the longer side: the width of the transition to what is kept


@dataclass(frozen=True)
class Region:
    """A part of the content, and the style's pictures there, RGB in [0, 1].

    ``mask`` says how much of each pixel belongs to the region, in [0, 1]; None is the whole.
    Without ``parts``, the photograph stays.
    """

    parts: Sequence[Part[Tensor]]
    mask: Float[Tensor, "1 1 h w"] | None = None

    @classmethod
    def whole(cls, style: Float[Tensor, "1 3 _h _w"]) -> Region:
        """Return the whole content, in the style of one picture."""
        return cls([Part("style", style)])

    def rotated(self) -> Region:
        """Return the region with each of its style's pictures at 0°, 90°, 180° and 270°."""
        turned = [
            replace(
                part,
                image=torch.rot90(part.image, turns, (2, 3)),
                weight=part.weight / 4,
                mask=None if part.mask is None else torch.rot90(part.mask, turns, (2, 3)),
            )
            for part in self.parts
            for turns in range(4)
        ]
        return replace(self, parts=turned)

    @functools.cached_property
    def share(self) -> float:
        """How much of the picture it is."""
        return 1.0 if self.mask is None else self.mask.mean().item()


def weights_at(
    mask: Float[Tensor, "1 1 h w"] | None, size: tuple[int, int]
) -> Float[Tensor, "1 1 h2 w2"] | None:
    """Return how much of each position of features, (height, width) of them, lies in a mask.

    A position stands for the pixels that it was pooled from. Its receptive field is wider, so near
    a border a little of the neighbouring region is seen too, as in a photograph's own features.
    """
    return None if mask is None else functional.adaptive_avg_pool2d(mask, size)


def put_together(
    regions: Sequence[Region],
    kept: Float[Tensor, "1 3 h w"],
    made: Callable[[Tensor], Tensor],
) -> Float[Tensor, "1 3 h w"]:
    """Return a picture from what is ``made`` of each part's picture, region by region.

    The parts of a region are mixed by their weights. Where nothing is to be made, ``kept`` stays.
    """
    pictures = []
    for region in regions:
        parts = [part.weight * made(part.image) for part in region.parts]
        mixed = functools.reduce(torch.add, parts) if parts else kept
        pictures.append(mixed if region.mask is None else region.mask * mixed)
    return functools.reduce(torch.add, pictures)


def keep_photograph(
    images: Float[Tensor, "b 3 h w"],
    photograph: Float[Tensor, "1 3 h w"],
    regions: Sequence[Region],
) -> Float[Tensor, "b 3 h w"]:
    """Return results with the photograph where a region keeps it, with a soft edge inside it."""
    for region in regions:
        if not region.parts:
            inside = torch.ones_like(images[:1, :1]) if region.mask is None else region.mask
            soft = _soft_edge(inside)
            images = images + soft * (photograph - images)
    return images


def _soft_edge(mask: Float[Tensor, "1 1 h w"]) -> Float[Tensor, "1 1 h w"]:
    """Let a mask fall to 0 at its border, over ``EDGE`` of the longer side inwards."""
    width = max(1, round(EDGE * max(mask.shape[-2:])))
    size = 2 * width + 1
    around = functional.pad(mask, (width,) * 4, mode="replicate")
    inner = -functional.max_pool2d(-around, size, stride=1)  # eroded by ``width``
    around = functional.pad(inner, (width,) * 4, mode="replicate")
    return functional.avg_pool2d(around, size, stride=1)
