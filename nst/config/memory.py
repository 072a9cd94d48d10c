"""Compute the memory of a picture's features, and the size of the tiles that limit it.

Only the size of the picture, its layers and the network count. The free memory of a machine must
not affect how a result is rounded.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from nst.config.architecture import ARCHITECTURES, Architecture
from nst.config.octaves import halvings_of
from nst.config.settings import Settings

FLOAT = 4  # bytes
GIB = 2**30
COPIES = 4.0  # of the used layers' features, including gradients; 2.6 to 3.3 measured with VGG-19
OF_PICTURE = 5 * GIB  # the most memory for the features of a picture without tiles
OF_TILE = 2 * GIB  # the most memory for the features of a tile, without its margin
STEP = 64  # px; the side of a tile is a multiple
HISTORY = (3, 10)  # pairs: with 3, the loss after a print was 1 % higher; 20 or 40 gained 1 %
OF_HISTORY = 1 * GIB  # the most memory for a picture's pairs, unless the fewest pairs need more


def tile_side(settings: Settings, pixels: int | float) -> int | None:
    """Return the longest side of the tiles that a picture is computed in, or None for no tiles.

    Tiles need statistics that are sums over positions.
    """
    if settings.tile_size != "auto":
        return settings.tile_size if pixels > settings.tile_size**2 else None
    if settings.needs_all_positions:
        return None
    return fitting_side(ARCHITECTURES[settings.extractor], pixels)


def fitting_side(architecture: Architecture, pixels: int | float) -> int | None:
    """Return the side of the tiles that a network needs, or None if it needs no tiles.

    If the features of a picture take more than ``OF_PICTURE``, it is cut into tiles whose features
    take ``OF_TILE``. All layers count, so that a cell does not depend on the layers of other cells.
    """
    each = bytes_per_pixel(architecture.convolutions)
    if each * pixels <= OF_PICTURE:
        return None
    return math.floor(math.sqrt(OF_TILE / each) / STEP) * STEP


def remembered_pairs(pixels: int | float) -> int:
    """Return the number of pairs (step, change of gradient) that L-BFGS keeps for a picture."""
    fewest, most = HISTORY
    return max(fewest, min(most, math.floor(OF_HISTORY / (2 * 3 * FLOAT * pixels))))


def bytes_per_pixel(widths: Mapping[str, int]) -> float:
    """Return the bytes of the convolutions' features that an evaluation holds, per pixel."""
    return COPIES * FLOAT * per_pixel(widths)


def per_pixel(numbers: Mapping[str, int]) -> float:
    """Sum the numbers per position of convolutions, converted to numbers per pixel."""
    return math.fsum(number / 4 ** halvings_of(name) for name, number in numbers.items())
