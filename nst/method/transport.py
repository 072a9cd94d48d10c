"""The style loss of STROTSS, of features at sampled positions.

Kolkin, Salavon and Shakhnarovich, "Style transfer by relaxed optimal transport and
self-similarity" (2019).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch.nn import functional

from nst.method.distributions import counted_features, counted_positions, sampled
from nst.network.shapes import Float, Tensor

SAMPLES = 5000  # of a style's features
PALETTE = 0.5  # the weight of the colours: 1/α, with the α = 2 of the program's last size
# Of RGB: along the grey axis, and at right angles to it.
YUV = (
    (0.577350, 0.577350, 0.577350),
    (-0.577350, 0.788675, -0.211325),
    (-0.577350, -0.211325, 0.788675),
)
FAR = 1e3  # beyond any distance
LEAST = 1e-6  # positions in a region, so that it can be a divisor


@dataclass(frozen=True)
class Cloud:
    """Some of a style's features, with the mean and the covariance of the channels."""

    features: Float[Tensor, "m c"]
    mean: Float[Tensor, " c"]
    covariance: Float[Tensor, "c c"]


def style_cloud(
    features: Float[Tensor, "1 c h w"], weights: Float[Tensor, "1 1 h w"] | None = None
) -> Cloud:
    """Keep at most ``SAMPLES`` of a style's features, the same positions at every time."""
    return _cloud(sampled(counted_features(features, counted_positions(weights))[0], SAMPLES))


def blended_cloud(parts: Sequence[tuple[float, Cloud]]) -> Cloud:
    """Return the features of several styles, as many of each as its share says."""
    given = [(weight, one) for weight, one in parts if weight]
    if len(given) == 1:
        return given[0][1]
    count = min(SAMPLES, *(len(one.features) / weight for weight, one in given))
    return _cloud(
        torch.cat([sampled(one.features, round(weight * count)) for weight, one in given])
    )


def _cloud(features: Float[Tensor, "m c"]) -> Cloud:
    """Measure the moments of features."""
    mean, covariance = _moments(features[None], torch.ones_like(features[None, :, 0]))
    return Cloud(features, mean[0], covariance[0])


def relaxed_emd_style_loss(
    features: Float[Tensor, "b c h w"], weights: Float[Tensor, "1 1 h w"] | None, target: Cloud
) -> Float[Tensor, " b"]:
    """Return the relaxed earth mover's distance to a style, plus that of moments and colours.

    The relaxed distance is the larger of two means: that of the distances, 1 - cos, of each of the
    features to the nearest of the style's, and that of each of the style's to the nearest feature.
    To it are added the mean absolute differences of the channels' means and covariances, and
    ``PALETTE`` times the relaxed distance of the first three channels, which are RGB, in YUV, by
    1 - cos and length.
    """
    flat = counted_features(features, None)
    counts = torch.ones_like(flat[:1, :, 0]) if weights is None else weights.flatten(1).to(flat)
    mean, covariance = _moments(flat, counts)
    moved = (mean - target.mean).abs().mean(1)
    spread = (covariance - target.covariance).abs().flatten(1).mean(1)
    axes = _axes(flat.dtype, flat.device)
    colours, wanted = flat[..., :3] @ axes, target.features[:, :3] @ axes
    palette = _relaxed(_cosines(colours, wanted) + _lengths(colours, wanted), counts)
    loss = _relaxed(_cosines(flat, target.features), counts) + moved + spread + PALETTE * palette
    return loss * (counts.sum() > 0)  # none of a step's positions may lie in a small region


@cache
def _axes(dtype: torch.dtype, device: torch.device) -> Float[Tensor, "3 3"]:
    """Return the matrix that turns rows of RGB into rows of YUV."""
    return torch.tensor(YUV, dtype=dtype, device=device).T


def _relaxed(
    distances: Float[Tensor, "b n m"], counts: Float[Tensor, "1 n"]
) -> Float[Tensor, " b"]:
    """Return the larger of the mean distances to the nearest, there and back.

    There, each of the features counts as ``counts`` says; back, those of a half or more.
    """
    there = (counts * distances.amin(2)).sum(1) / counts.sum().clamp(min=LEAST)
    outside = FAR * (counts < counts.amax().clamp(max=0.5))
    back = (distances + outside[..., None]).amin(1).mean(1)
    return torch.maximum(there, back)


def _moments(
    flat: Float[Tensor, "b n c"], counts: Float[Tensor, "1 n"]
) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c c"]]:
    """Return the mean and the covariance of channels; each position counts as ``counts`` says."""
    shares = (counts / counts.sum().clamp(min=LEAST))[..., None]
    mean = (shares * flat).sum(1)
    centred = flat - mean[:, None]
    return mean, (shares * centred).mT @ centred


def _cosines(flat: Float[Tensor, "b n c"], wanted: Float[Tensor, "m c"]) -> Float[Tensor, "b n m"]:
    """Return 1 - cos of each pair."""
    given, style = (functional.normalize(one, dim=-1, eps=1e-6) for one in (flat, wanted))
    return 1 - given @ style.T


def _lengths(flat: Float[Tensor, "b n c"], wanted: Float[Tensor, "m c"]) -> Float[Tensor, "b n m"]:
    """Return the root of the mean square difference of each pair."""
    squares = flat.square().sum(2)[..., None] + wanted.square().sum(1)
    squares = squares - 2 * flat @ wanted.T
    return (squares.clamp(min=1e-5) / flat.shape[2]).sqrt()
