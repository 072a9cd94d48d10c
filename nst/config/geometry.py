"""Compute the sizes of a run's pictures, as (width, height) in px, before reading any picture."""

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
    """Return the size of the result for a content, at the stage of the size ``size``."""
    if isinstance(size, tuple):
        return size
    return (fit_short if settings.size == "short_side" else fit_long)(content, size)


def style_size(style: Size, content: Size, settings: Settings) -> Size:
    """Return the size that a style is resized to, for a content that has its size already."""
    if settings.style_fit == "content":
        return content
    return fit_long(style, max(1, round(max(content) * settings.style_scale)))


def halvings(settings: Settings, size: int | Size) -> int:
    """Return the number of halvings between ``image_size`` and a stage's size."""
    return max(0, round(math.log2(longer_side(settings.image_size) / longer_side(size))))


def stages(
    settings: Settings, content: Size, style: Size, start: Size | None = None
) -> list[tuple[int | Size, int]]:
    """Return the sizes of a pair's stages in order, with the steps at each.

    Growth begins at the first size at which content and style have ``SIDE[0]`` px on the shorter
    side. This is enough for every layer, so the layers of other cells of the batch do not matter.
    A picture that starts from a file, of the size ``start``, skips the sizes up to ``start``: the
    file has their layout already.
    """
    least = max(start) if start and settings.start == "file" else 0

    def fits(size: int | Size) -> bool:
        result = content_size(content, settings, size)
        shortest: int = min(*result, *style_size(style, result, settings))
        return shortest >= SIDE[0] and max(result) > least

    left_out = [size for size, _ in settings.grown if not fits(size)]
    return [(size, steps) for size, steps in settings.stages if size not in left_out]
