"""Style losses that compare the distributions of features, beyond their first two moments.

The first two losses are normalised: 0 is the style, and about 1 is a picture without any of the
style. The third is the loss of STROTSS, for features at sampled positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch.nn import functional

from nst.method.losses import weighted_mean
from nst.network.tensors import Float, Int, Tensor

DIRECTIONS = 64  # the most directions along which features are sorted
LEVELS = 2048  # quantiles of the style along each direction
SAMPLES = 2048  # the most features of a style among which the nearest is found
AT_ONCE = 2**24  # cosines computed at once, to bound the memory
SEED = 2021
CLOUD = 5000  # the most features of a style for the relaxed earth mover's distance
PALETTE = 0.5  # the weight of the colours: 1/α, with the α = 2 of the program's last size
# Axes in RGB: the grey axis, and two at right angles to it.
YUV = (
    (0.577350, 0.577350, 0.577350),
    (-0.577350, 0.788675, -0.211325),
    (-0.577350, -0.211325, 0.788675),
)
FAR = 1e3  # larger than any distance
LEAST = 1e-6  # smallest sum of a region's weights, so that it can be a divisor


@dataclass(frozen=True)
class Quantiles:
    """A style's distribution along fixed directions: ``LEVELS`` values each, and its variance."""

    values: Float[Tensor, "k q"]
    variance: Float[Tensor, ""]


@dataclass(frozen=True)
class Samples:
    """Sampled features of a style, minus ``mean``, of length 1; ``variance`` is before scaling."""

    features: Float[Tensor, "m c"]
    mean: Float[Tensor, " c"]
    variance: Float[Tensor, ""]


@dataclass(frozen=True)
class Cloud:
    """Some of a style's features, with the mean and the covariance of the channels."""

    features: Float[Tensor, "m c"]
    mean: Float[Tensor, " c"]
    covariance: Float[Tensor, "c c"]


# ---------------------------------------------------------------- sliced Wasserstein


def style_quantiles(
    features: Float[Tensor, "1 c h w"], positions: Int[Tensor, " _n"] | None = None
) -> Quantiles:
    """Return how a style's features are distributed along fixed directions."""
    projected = _project(features, positions)[0]  # k n
    return Quantiles(at_levels(projected, LEVELS), projected.var(1, correction=0).mean())


def blended_quantiles(parts: Sequence[tuple[float, Quantiles]]) -> Quantiles:
    """Return the barycentre of styles along each direction: the mean of their quantiles."""
    return Quantiles(
        weighted_mean([(weight, one.values) for weight, one in parts]),
        weighted_mean([(weight, one.variance) for weight, one in parts]),
    )


def sliced_wasserstein_style_loss(
    features: Float[Tensor, "b c h w"],
    positions: Int[Tensor, " _n"] | None,
    target: Quantiles,
) -> Float[Tensor, " b"]:
    """Return the squared sliced Wasserstein distance to the style, over its variance.

    Heitz et al. (2021), equation 2: along each direction, the mean squared difference of the sorted
    values. The paper draws directions anew at each step; here they are fixed, so that L-BFGS has
    one function to minimise. Quantiles allow a style of another size.
    """
    ordered = _project(features, positions).sort(2).values  # b k n
    wanted = at_levels(target.values, ordered.shape[2])
    error = (ordered - wanted).square().flatten(1).mean(1)
    return error / target.variance.clamp(min=1e-20)


@cache
def directions(
    dimensions: int,
    count: int,
    seed: int = SEED,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Float[Tensor, "count d"]:
    """Draw fixed unit vectors, as many as possible of them at right angles.

    Those of an orthonormal basis catch every shift of a distribution in full, and estimate the
    sliced distance with less noise than independent ones do (Rowland et al., 2019).
    """
    generator = torch.Generator().manual_seed(seed)
    bases = [
        torch.linalg.qr(torch.randn(dimensions, dimensions, generator=generator))[0]
        for _ in range(-(-count // dimensions))
    ]
    # A single basis keeps its layout, on which the rounding of every product with it depends.
    chosen = (bases[0] if len(bases) == 1 else torch.cat(bases))[:count]
    return chosen.to(device, dtype)


def _project(
    features: Float[Tensor, "b c h w"], positions: Int[Tensor, " _n"] | None
) -> Float[Tensor, "b _k _n"]:
    """Project the features at ``positions``, or at all if None, onto the directions."""
    flat = counted_features(features, positions)
    channels = features.shape[1]
    along = directions(channels, min(channels, DIRECTIONS), SEED, flat.dtype, flat.device)
    projected: Tensor = along @ flat.transpose(1, 2)
    return projected


def at_levels(values: Float[Tensor, "k n"], count: int) -> Float[Tensor, "k q"]:
    """Sort rows, and interpolate them linearly at ``count`` levels, (i + ½) / count."""
    ordered = values.sort(1).values
    return functional.interpolate(ordered[None], size=count, mode="linear")[0]


# ---------------------------------------------------------------- nearest neighbours


def sample_features(
    features: Float[Tensor, "1 c h w"], positions: Int[Tensor, " _n"] | None = None
) -> Samples:
    """Keep at most ``SAMPLES`` of a style's features, always at the same positions."""
    flat = counted_features(features, positions)[0]
    mean = flat.mean(0)
    unit = functional.normalize(sampled(flat, SAMPLES) - mean, dim=1)
    return Samples(unit, mean, flat.var(0, correction=0).mean())


def merged_samples(parts: Sequence[tuple[float, Samples]]) -> Samples:
    """Merge the features of several styles, in proportion to their weights."""
    kept = [sampled(one.features, round(weight * len(one.features))) for weight, one in parts]
    return Samples(
        torch.cat(kept),
        weighted_mean([(weight, one.mean) for weight, one in parts]),
        weighted_mean([(weight, one.variance) for weight, one in parts]),
    )


def nearest_style_loss(
    features: Float[Tensor, "b c h w"],
    positions: Int[Tensor, " _n"] | None,
    target: Samples,
) -> Float[Tensor, " b"]:
    """Return the mean distance of features to the style's nearest, plus the distance of the means.

    Kolkin et al. (2022): the cosine distance, 1 - cos, of each centred feature to the nearest of
    the style's centred features. The paper matches features of many layers at once, and renews the
    matches from time to time. Here each layer is matched alone, and at every step, so that L-BFGS
    has one function to minimise. The squared difference of the means, over the style's variance,
    keeps the colours.
    """
    flat = counted_features(features, positions)  # b n c
    mean = flat.mean(1, keepdim=True)
    unit = functional.normalize(flat - mean, dim=2, eps=1e-6)
    closest = torch.stack([target.features[nearest(one, target.features)] for one in unit])
    distance = 1 - (unit * closest).sum(2).mean(1)
    shift = (mean[:, 0] - target.mean).square().mean(1)
    return distance + shift / target.variance.clamp(min=1e-20)


@torch.no_grad()
def nearest(unit: Float[Tensor, "n c"], samples: Float[Tensor, "m c"]) -> Tensor:
    """Return the index of the sample that has the largest cosine with each feature."""
    rows = max(1, AT_ONCE // len(samples))
    return torch.cat([(chunk @ samples.T).argmax(1) for chunk in torch.split(unit, rows)])


# ---------------------------------------------------------------- relaxed earth mover


def style_cloud(
    features: Float[Tensor, "1 c h w"], weights: Float[Tensor, "1 1 h w"] | None = None
) -> Cloud:
    """Keep at most ``CLOUD`` of a style's features, always at the same positions."""
    return _cloud(sampled(counted_features(features, counted_positions(weights))[0], CLOUD))


def blended_cloud(parts: Sequence[tuple[float, Cloud]]) -> Cloud:
    """Merge the features of several styles, in proportion to their weights."""
    given = [(weight, one) for weight, one in parts if weight]
    if len(given) == 1:
        return given[0][1]
    count = min(CLOUD, *(len(one.features) / weight for weight, one in given))
    return _cloud(
        torch.cat([sampled(one.features, round(weight * count)) for weight, one in given])
    )


def _cloud(features: Float[Tensor, "m c"]) -> Cloud:
    """Return features with their mean and covariance."""
    mean, covariance = _moments(features[None], torch.ones_like(features[None, :, 0]))
    return Cloud(features, mean[0], covariance[0])


def relaxed_emd_style_loss(
    features: Float[Tensor, "b c h w"], weights: Float[Tensor, "1 1 h w"] | None, target: Cloud
) -> Float[Tensor, " b"]:
    """Return the relaxed earth mover's distance to a style, plus those of moments and colours.

    Kolkin, Salavon and Shakhnarovich, "Style transfer by relaxed optimal transport and
    self-similarity" (2019).

    The relaxed distance is the larger of two means of 1 - cos: from each feature to the nearest of
    the style's features, and from each of the style's features to the nearest feature. The loss
    adds the mean absolute differences of the channels' means and covariances. It also adds
    ``PALETTE`` times the relaxed distance of the first three channels, which are RGB. They are
    compared in YUV, by the sum of 1 - cos and the root mean square difference.
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
    return loss * (counts.sum() > 0)  # a step may have no position in a small region


@cache
def _axes(dtype: torch.dtype, device: torch.device) -> Float[Tensor, "3 3"]:
    """Return the matrix that turns rows of RGB into rows of YUV."""
    return torch.tensor(YUV, dtype=dtype, device=device).T


def _relaxed(
    distances: Float[Tensor, "b n m"], counts: Float[Tensor, "1 n"]
) -> Float[Tensor, " b"]:
    """Return the larger of the mean distances to the nearest, there and back.

    There, from the features to the style, ``counts`` weights each feature. Back, only features of
    weight 0.5 or more count, or of the largest weight if all are smaller.
    """
    there = (counts * distances.amin(2)).sum(1) / counts.sum().clamp(min=LEAST)
    outside = FAR * (counts < counts.amax().clamp(max=0.5))
    back = (distances + outside[..., None]).amin(1).mean(1)
    return torch.maximum(there, back)


def _moments(
    flat: Float[Tensor, "b n c"], counts: Float[Tensor, "1 n"]
) -> tuple[Float[Tensor, "b c"], Float[Tensor, "b c c"]]:
    """Return the mean and covariance of channels, with positions weighted by ``counts``."""
    shares = (counts / counts.sum().clamp(min=LEAST))[..., None]
    mean = (shares * flat).sum(1)
    centred = flat - mean[:, None]
    return mean, (shares * centred).mT @ centred


def _cosines(flat: Float[Tensor, "b n c"], wanted: Float[Tensor, "m c"]) -> Float[Tensor, "b n m"]:
    """Return 1 - cos of each pair."""
    given, style = (functional.normalize(one, dim=-1, eps=1e-6) for one in (flat, wanted))
    return 1 - given @ style.T


def _lengths(flat: Float[Tensor, "b n c"], wanted: Float[Tensor, "m c"]) -> Float[Tensor, "b n m"]:
    """Return the root mean square difference of each pair."""
    squares = flat.square().sum(2)[..., None] + wanted.square().sum(1)
    squares = squares - 2 * flat @ wanted.T
    return (squares.clamp(min=1e-5) / flat.shape[2]).sqrt()


# ---------------------------------------------------------------- features that count


def sampled(flat: Tensor, count: int, seed: int = SEED) -> Tensor:
    """Keep at most ``count`` rows, and at least one, drawn with a fixed seed."""
    if len(flat) <= count:
        return flat
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randperm(len(flat), generator=generator)[: max(count, 1)]
    return flat[rows.to(flat.device)]


def counted_positions(
    weights: Float[Tensor, "1 1 h w"] | None,
) -> Int[Tensor, " _n"] | None:
    """Return the positions of weight 0.5 or more; if there are none, of the largest weight.

    Call this once, not at every step: the host waits until the GPU has counted the positions.
    """
    if weights is None:
        return None
    flat = weights.flatten()
    return (flat >= flat.max().clamp(max=0.5)).nonzero()[:, 0]


def counted_features(
    features: Float[Tensor, "b c h w"], positions: Int[Tensor, " _n"] | None
) -> Float[Tensor, "b _n c"]:
    """Return the features at ``positions``, or at all if None, in float32 or better."""
    flat = features.flatten(2).transpose(1, 2)
    flat = flat.to(torch.promote_types(flat.dtype, torch.float32))
    return flat if positions is None else flat[:, positions]
