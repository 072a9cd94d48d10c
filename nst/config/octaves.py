"""Layers and octaves: the picture at its full size, at half, at a quarter, and so on.

A layer is compared at all octaves of the run, so that it captures strokes of every size. A layer
may name one octave, such as ``relu3_1@1`` for half the size, or the first of several, such as
``relu3_1@1+``. The hypercolumns have the features of many layers at each position. ``rgb`` is the
picture itself.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

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


def at_octave(layer: str, octave: int) -> str:
    """Return the name of a layer at an octave: the picture halved ``octave`` times."""
    return f"{layer}@{octave}" if octave else layer


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
    possible = 1 + math.floor(math.log2(max(shortest / 2**everywhere, 1)))
    return min(wanted, possible, MOST)


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
            tap = at_octave(layer, octave)
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
