"""Octaves: a picture, the same at half its size, at a quarter, and so on, and its layers there.

Layers are compared at all octaves of the run, so that one layer knows strokes of every size. A
content layer may name its octave, as ``relu3_1@1`` for half the size, and is compared there alone.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

MOST = 8
LAYER = re.compile(rf"(?:conv|relu)[1-5]_[1-4](?:@[0-{MOST - 1}])?")
POSITIONS = 8  # of the deepest layer, along the longer side at the smallest octave; see ``count``

Size = tuple[int, int]


@dataclass(frozen=True)
class Taps:
    """The layers that one picture is compared in, each with its octave, and their weights."""

    content: Mapping[str, float]
    style: Mapping[str, float]


def at_octave(layer: str, octave: int) -> str:
    """Name a layer of a picture that was halved ``octave`` times."""
    return f"{layer}@{octave}" if octave else layer


def split_octave(name: str) -> tuple[str, int]:
    """Return a layer and the octave that it names, or 0."""
    layer, _, octave = name.partition("@")
    return layer, int(octave or 0)


def count(
    style_layers: Iterable[str], content_layers: Iterable[str], content: Size, style: Size
) -> int:
    """Return how many octaves show strokes of all sizes, for layers and (width, height) in px.

    So many that the style's deepest layer has about ``POSITIONS`` positions along the content's
    longer side at the smallest: strokes are then of one proportion to the picture at every size,
    and a style's layout, which fewer positions would show, stays out of it. No more than there is
    room for, in all the layers that are compared at each of them.
    """
    deepest = max(_block(layer) for layer in style_layers)
    positions = max(content) / 2 ** (deepest - 1)
    wanted = 1 + round(math.log2(max(positions / POSITIONS, 1)))
    shortest = min(*content, *style)
    everywhere = max([deepest, *(_block(layer) for layer in content_layers if "@" not in layer)])
    possible = 1 + math.floor(math.log2(max(shortest / 2**everywhere, 1)))
    return min(wanted, possible, MOST)


def content_taps(weights: Mapping[str, float], octaves: int, halvings: int = 0) -> dict[str, float]:
    """Return the layers at each octave, each with its part of the layer's weight.

    One that names its octave is there alone. A picture that was halved so often lacks the first
    ones, and shows them itself.
    """
    taps: dict[str, float] = {}
    for name, weight in weights.items():
        layer, named = split_octave(name)
        places = [max(0, named - halvings)] if "@" in name else range(octaves)
        for octave in places:
            tap = at_octave(layer, octave)
            taps[tap] = taps.get(tap, 0.0) + weight / len(places)
    return taps


def style_taps(weights: Mapping[str, float], octaves: int) -> dict[str, float]:
    """Return the layers at each octave, each with its part of the layer's weight."""
    return {
        at_octave(layer, octave): weight / octaves
        for octave in range(octaves)
        for layer, weight in weights.items()
    }


def _block(layer: str) -> int:
    """Return the block of a layer, from 1 to 5, which says how often its features were halved."""
    return int(layer[4])
