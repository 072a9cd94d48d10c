"""Features at positions spread over a picture. Each step of the optimiser uses one set of them.

Kolkin, Salavon and Shakhnarovich, "Style transfer by relaxed optimal transport and
self-similarity" (2019), draw positions at random at each step. Here they are fixed, and the sets
take turns, so that a step can be replayed.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import torch

from nst.config.octaves import SET_POSITIONS, SETS
from nst.network.shapes import Float, Int, Tensor

# Multiples of 1/g and 1/g², with g³ = g + 1, fill a square evenly (Roberts, "The unreasonable
# effectiveness of quasirandom sequences", 2018). As fractions of 2^32, they are exact everywhere.
STRIDES = (3242174889, 2447445414)

Size = tuple[int, int]


def sample_columns(
    features: Sequence[Float[Tensor, "b _c _h _w"]], step: Int[Tensor, ""] | None = None
) -> Float[Tensor, "b _all _sets n"]:
    """Return the features of several layers at the positions of a step, or of all sets if None.

    A layer may be half as large as the one before. Between its positions, features are interpolated
    linearly, as in the program of Kolkin et al. (2019).
    """
    size = (features[0].shape[2], features[0].shape[3])
    halvings, before, found = 0, size[1], []
    for one in features:
        halvings += one.shape[3] < before
        before = one.shape[3]
        flat = one.flatten(2).transpose(1, 2)
        dtype = torch.promote_types(flat.dtype, torch.float32)
        corners, weights = _neighbours(
            size, halvings, (one.shape[2], one.shape[3]), dtype, flat.device
        )
        if step is not None:
            corners, weights = (_of_step(values, step, 0) for values in (corners, weights))
        picked = flat.index_select(1, corners.flatten()).unflatten(1, corners.shape)
        found.append((weights[..., None] * picked.to(dtype)).sum(3))
    return torch.cat(found, 3).permute(0, 3, 1, 2)


def of_step(values: Float[Tensor, "b c _s n"], step: Int[Tensor, ""]) -> Float[Tensor, "b c 1 n"]:
    """Select the values at a step's positions from the values at the positions of all sets."""
    return _of_step(values, step, 2)


def _of_step(values: Tensor, step: Tensor, axis: int) -> Tensor:
    """Select the set of a step along an axis of sets."""
    return values.index_select(axis, (step % SETS)[None])


@cache
def _neighbours(
    size: Size, halvings: int, of_layer: Size, dtype: torch.dtype, device: torch.device
) -> tuple[Int[Tensor, "s n 4"], Float[Tensor, "s n 4"]]:
    """Return the four positions of a layer around each sampled position, and their weights.

    They are computed in float64 and cached for all steps.
    """
    number = torch.arange(1, SETS * SET_POSITIONS + 1, dtype=torch.int64)[:, None]
    places = (number * torch.tensor(STRIDES) % 2**32).double() / 2**32  # down and across
    pixels = places * (torch.tensor(size) - 1) / 2**halvings
    first = pixels.floor()
    (low, right), (height, width) = (pixels - first).T, of_layer
    corners, weights = [], []
    for down, share in ((0, 1 - low), (1, low)):
        for across, part in ((0, 1 - right), (1, right)):
            row, column = (first + torch.tensor((down, across))).long().T
            corners.append(row.clamp(max=height - 1) * width + column.clamp(max=width - 1))
            weights.append(share * part)
    each = (SETS, SET_POSITIONS, 4)
    return (
        torch.stack(corners, 1).view(each).to(device),
        torch.stack(weights, 1).view(each).to(device, dtype),
    )
