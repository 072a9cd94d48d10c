"""The difference of two pictures of one cell, and the tolerance for differences in rounding.

The machine that computed a cell reproduces it in every byte. Another machine rounds differently,
and the optimiser propagates the rounding errors. The tolerance is based on measurements;
docs/reproducibility.md has the figures.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nst.cells.metrics import structural_similarity
from nst.imaging.transparency import on_white

# The tolerance. Rounding alone shifts strokes, which changes single pixels by a hundred levels.
# The quality of the picture and its look from afar stay the same. So pictures are reduced before
# they are compared.
REDUCED = 4  # to a quarter of their sides
COARSE = 8.0  # levels of 255: the largest mean difference of the reduced pictures
SSIM = 0.9  # the least structural similarity of the reduced pictures' luma
LOSS = 0.02  # the largest relative difference of the total loss


@dataclass(frozen=True)
class Difference:
    """The difference of two pictures of one cell.

    ``largest`` and ``mean`` are in levels of 255, over all channels composited on white, and over
    the alpha if there is one; ``psnr`` is in dB, None for equal pictures. ``coarse``, a mean
    difference, and ``ssim`` compare the pictures at a quarter of their sides; ``ssim`` is None for
    pictures that are too small. ``losses`` has the relative difference of every loss and measure
    that both cells have.
    """

    largest: int
    mean: float
    psnr: float | None
    coarse: float
    ssim: float | None
    losses: Mapping[str, float]

    @property
    def none(self) -> bool:
        """Whether every pixel, every loss and every measure is the same."""
        return not self.largest and not any(self.losses.values())

    @property
    def tolerated(self) -> bool:
        """Whether the difference is within the tolerance.

        If all pixels are the same, every loss and measure must be within the tolerance.
        """
        if not self.largest:
            return max(self.losses.values(), default=0.0) <= LOSS
        alike = self.ssim is None or self.ssim >= SSIM
        return alike and self.coarse <= COARSE and self.losses.get("total", 0.0) <= LOSS


def compare(
    one: Image.Image,
    other: Image.Image,
    losses: Mapping[str, float],
    other_losses: Mapping[str, float],
) -> Difference:
    """Compare two pictures of one size, and their losses."""
    levels = _levels_apart(one, other)
    error = float(np.mean(levels**2))
    small, other_small = one.reduce(REDUCED), other.reduce(REDUCED)
    return Difference(
        largest=int(levels.max()),
        mean=float(levels.mean()),
        psnr=10 * float(np.log10(255**2 / error)) if error else None,
        coarse=float(_levels_apart(small, other_small).mean()),
        ssim=structural_similarity(on_white(small), on_white(other_small)),
        losses={
            name: _relative(losses[name], other_losses[name])
            for name in losses
            if name in other_losses
        },
    )


def describe_difference(apart: Difference) -> list[str]:
    """Describe a difference in words, with the tolerance."""
    psnr = "" if apart.psnr is None else f", PSNR {apart.psnr:.1f} dB"
    ssim = "" if apart.ssim is None else f", SSIM {apart.ssim:.3f} (at least {SSIM:g})"
    lines = [
        f"  levels of 255: mean {apart.mean:.2f}, largest {apart.largest}{psnr}",
        f"  at a quarter of the size: mean {apart.coarse:.2f} (at most {COARSE:g}){ssim}",
    ]
    if apart.losses:
        worst = max(apart.losses, key=lambda name: apart.losses[name])
        lines.append(
            f"  total loss: {apart.losses.get('total', 0.0):.2%} off (at most "
            f"{LOSS:.0%}); furthest off is {worst}, {apart.losses[worst]:.2%}"
        )
    return lines


def _levels_apart(one: Image.Image, other: Image.Image) -> NDArray[np.float64]:
    """Return the differences of two pictures in levels, with their alphas if either is cut out."""
    apart = np.abs(_as_seen(one) - _as_seen(other))
    return apart if "RGBA" in (one.mode, other.mode) else apart[..., :3]


def _as_seen(picture: Image.Image) -> NDArray[np.float64]:
    """Return a picture's colours on white, and its alpha: h × w × 4."""
    alpha = picture.convert("RGBA").getchannel("A")
    return np.dstack([np.asarray(on_white(picture)), np.asarray(alpha)]).astype(np.float64)


def _relative(one: float, other: float) -> float:
    """Return a difference relative to the larger value; 0 or 1 if a value is not finite."""
    if not (isfinite(one) and isfinite(other)):
        return float(one != other)
    return abs(one - other) / max(abs(one), abs(other), 1e-12)
