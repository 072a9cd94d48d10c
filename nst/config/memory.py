"""How much memory a picture's features take, and what is done about it when that is too much.

Decided by the size of the picture, its layers and the network alone: what a machine happens to have
free must not decide how a result is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from nst.config.architecture import ARCHITECTURES, Architecture
from nst.config.octaves import halvings_of
from nst.config.settings import Settings

FLOAT = 4  # bytes
GIB = 2**30
COPIES = 4.0  # of the used layers' features, gradients with them: 2.6 to 3.3 measured with VGG-19
OF_PICTURE = 5 * GIB  # at most, of the features of a picture that is not cut into tiles
OF_TILE = 2 * GIB  # of those of a tile, without its margin
STEP = 64  # px, of which a tile's side is a multiple
HISTORY = (3, 10)  # pairs: with 3, the loss after a print was 1 % higher; 20 or 40 gained 1 %
OF_HISTORY = 1 * GIB  # at most, unless it is the fewest: what is remembered of one picture


def tile_side(settings: Settings, pixels: int | float) -> int | None:
    """Return the longest side of the tiles that a picture is computed in, or None for no tiles.

    Only statistics that can be added up can be had in tiles.
    """
    if settings.tile_size != "auto":
        return settings.tile_size if pixels > settings.tile_size**2 else None
    if settings.needs_all_positions:
        return None
    return fitting_side(ARCHITECTURES[settings.extractor], pixels)


def fitting_side(architecture: Architecture, pixels: int | float) -> int | None:
    """Return the side of the tiles that are small enough for a network, or None if all of it is.

    A picture of which the features take more than ``OF_PICTURE`` is cut into tiles of which they
    take ``OF_TILE``. All layers count, so that a cell does not depend on those that others look at.
    """
    each = bytes_per_pixel(architecture.convolutions)
    if each * pixels <= OF_PICTURE:
        return None
    return math.floor(math.sqrt(OF_TILE / each) / STEP) * STEP


def remembered_pairs(pixels: int | float) -> int:
    """Return how many pairs of a step and a change of gradient L-BFGS keeps of a picture."""
    fewest, most = HISTORY
    return max(fewest, min(most, math.floor(OF_HISTORY / (2 * 3 * FLOAT * pixels))))


def bytes_per_pixel(widths: Mapping[str, int]) -> float:
    """Return what an evaluation holds of the features of convolutions, for each of its pixels."""
    return COPIES * FLOAT * per_pixel(widths)


def per_pixel(numbers: Mapping[str, int]) -> float:
    """Add up what convolutions have at each of their positions, for each pixel of the picture."""
    return math.fsum(number / 4 ** halvings_of(name) for name, number in numbers.items())
