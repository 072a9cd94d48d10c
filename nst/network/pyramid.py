"""A picture at its octaves: itself, half as large, a quarter as large, and so on.

A layer sees strokes of about one size. Seen again at half the size, it knows strokes twice as
large (Snelgrove, "High-resolution multi-scale neural texture synthesis", 2017).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from nst.config.octaves import split_octave
from nst.network.kernels import halve
from nst.network.shapes import Float, Tensor


def octaves(
    images: Float[Tensor, "b 3 h w"], layers: Collection[str]
) -> Iterator[tuple[Float[Tensor, "b 3 _h _w"], Mapping[str, str]]]:
    """Yield pictures at each octave that ``layers`` name, with their whole names by layer.

    A name without an octave is of the picture as it is.
    """
    wanted: dict[int, dict[str, str]] = {}
    for name in layers:
        layer, octave = split_octave(name)
        wanted.setdefault(octave, {})[layer] = name
    for octave in range(max(wanted, default=-1) + 1):
        images = halve(images) if octave else images
        if octave in wanted:
            yield images, wanted[octave]
