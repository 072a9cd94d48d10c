"""Sizes of pictures, as (width, height) in px: what becomes of them, known before they are read."""

from __future__ import annotations

import math

from nst.config.octaves import Size
from nst.config.settings import Settings


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
    last, coarse = (
        one if isinstance(one, int) else max(one) for one in (settings.image_size, size)
    )
    return max(0, round(math.log2(last / coarse)))
