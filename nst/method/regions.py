"""The regions of a content: each has its own style, or keeps the photograph.

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
from nst.network.tensors import Float, Tensor

EDGE = 0.01  # half the width of the transition in a kept region, as a share of the longer side


@dataclass(frozen=True)
class Region:
    """A part of the content, and its style's pictures, RGB in [0, 1].

    ``mask`` says how much of each pixel belongs to the region, in [0, 1]; None is the whole
    content. A region without ``parts`` keeps the photograph.
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
        """The region's share of the picture, in [0, 1]."""
        return 1.0 if self.mask is None else self.mask.mean().item()


def weights_at(
    mask: Float[Tensor, "1 1 h w"] | None, size: tuple[int, int]
) -> Float[Tensor, "1 1 h2 w2"] | None:
    """Pool a mask to the (height, width) of features: the share of each position inside the mask.

    A position covers the pixels that it was pooled from. Its receptive field is wider. Near a
    border, it includes a little of the neighbouring region, as in a photograph's own features.
    """
    return None if mask is None else functional.adaptive_avg_pool2d(mask, size)


def put_together(
    regions: Sequence[Region],
    kept: Float[Tensor, "1 3 h w"],
    made: Callable[[Tensor], Tensor],
) -> Float[Tensor, "1 3 h w"]:
    """Assemble a picture, region by region, from ``made`` applied to each part's picture.

    The parts of a region are mixed by their weights. A region without parts shows ``kept``.
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
    """Restore the photograph in the regions that keep it, with a soft edge inside each region."""
    for region in regions:
        if not region.parts:
            inside = torch.ones_like(images[:1, :1]) if region.mask is None else region.mask
            soft = _soft_edge(inside)
            images = images + soft * (photograph - images)
    return images


def _soft_edge(mask: Float[Tensor, "1 1 h w"]) -> Float[Tensor, "1 1 h w"]:
    """Fade a mask to 0 at its border, inwards over twice ``EDGE`` of the longer side."""
    width = max(1, round(EDGE * max(mask.shape[-2:])))
    size = 2 * width + 1
    around = functional.pad(mask, (width,) * 4, mode="replicate")
    inner = -functional.max_pool2d(-around, size, stride=1)  # eroded by ``width``
    around = functional.pad(inner, (width,) * 4, mode="replicate")
    return functional.avg_pool2d(around, size, stride=1)
