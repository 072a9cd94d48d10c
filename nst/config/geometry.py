"""Sizes of pictures, as (width, height) in px: what becomes of them, known before they are read."""

from __future__ import annotations

import math

from nst.config.octaves import Size
from nst.config.settings import SIDE, Settings, longer_side


def fit_long(size: Size, longest: int) -> Size:
    """Return the size with the longer side ``longest``; the other is rounded, at least 1."""
    width, height = (max(1, round(side * longest / max(size))) for side in size)
    return width, height


def fit_short(size: Size, shortest: int) -> Size:
    """Return the size with the shorter side ``shortest``; the other is rounded."""
    return fit_long(size, round(max(size) * shortest / min(size)))


def content_size(content: Size, settings: Settings, size: int | Size) -> Size:
    """Return the size of the result for a content: at the last size, or at a coarse one."""
    if isinstance(size, tuple):
        return size
    return (fit_short if settings.size == "short_side" else fit_long)(content, size)


def style_size(style: Size, content: Size, settings: Settings) -> Size:
    """Return the size at which a style is looked at, for a content that was brought to its own."""
    if settings.style_fit == "content":
        return content
    return fit_long(style, max(1, round(max(content) * settings.style_scale)))


def halvings(settings: Settings, size: int | Size) -> int:
    """Return how often a size to go through, as ``image_size``, was halved against the last."""
    return max(0, round(math.log2(longer_side(settings.image_size) / longer_side(size))))


def stages(
    settings: Settings, content: Size, style: Size, start: Size | None = None
) -> list[tuple[int | Size, int]]:
    """Return the sizes that a pair goes through, with the iterations at each, the last one last.

    Pictures begin to grow where both have ``SIDE[0]`` px on the shorter side, enough for every
    layer: what other cells of the batch look at does not matter. One that starts from a file, of
    the size ``start``, begins beyond that: what is laid out there is not laid out again.
    """
    least = max(start) if start and settings.start == "file" else 0

    def fits(size: int | Size) -> bool:
        result = content_size(content, settings, size)
        shortest: int = min(*result, *style_size(style, result, settings))
        return shortest >= SIDE[0] and max(result) > least

    left_out = [size for size, _ in settings.grown if not fits(size)]
    return [(size, steps) for size, steps in settings.stages if size not in left_out]
