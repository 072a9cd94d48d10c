"""The losses of style transfer: pure functions of features, one value per picture of the batch.

A content loss takes the mean error of the features, a style loss compares their moments.
A target may have a batch of one, shared by all pictures. ``nst.config.registry`` has a row for each
loss that a setting may name.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch.nn import functional

from nst.network.kernels import COLOURS, MeanSquaredError, MomentsOf
from nst.network.tensors import Float, Tensor


@dataclass(frozen=True)
class Moments:
    """The first two moments of features over h w positions, which most style losses compare.

    ``mean`` is the mean of each channel, ``gram`` the mean product of each pair of channels,
    F Fᵀ / (h w). Gatys et al. (2016), equation 3, has the plain product, ``gram * positions``.
    ``positions`` is h w, or the sum of the positions' weights.
    """

    mean: Float[Tensor, "b c"]
    gram: Float[Tensor, "b c c"]
    positions: int | float | Float[Tensor, ""]

    @property
    def channels(self) -> int:
        """The number of channels, C."""
        return self.gram.shape[1]

    @property
    def of_colours(self) -> bool:
        """Whether the features are of the layer ``rgb``: layers of networks have more channels."""
        return self.channels == COLOURS

    @cached_property
    def variance(self) -> Float[Tensor, "b c"]:
        """The variance of each channel."""
        return (self.gram.diagonal(dim1=1, dim2=2) - self.mean.square()).clamp(min=0)

    @cached_property
    def scale(self) -> Float[Tensor, "b c"]:
        """The deviation of each channel plus the mean deviation, so that no scale is near zero."""
        deviation = self.variance.sqrt()
        return (deviation + deviation.mean(1, keepdim=True)).clamp(min=1e-10)

    @cached_property
    def scales(self) -> Float[Tensor, "b c c"]:
        """The product of ``scale`` of each pair of channels."""
        return _outer(self.scale, self.scale)

    @cached_property
    def covariance(self) -> Float[Tensor, "b c c"]:
        """The covariance of each pair of channels."""
        return self.gram - _outer(self.mean, self.mean)

    @cached_property
    def whitening(self) -> Float[Tensor, "b c c"]:
        """The matrix that whitens the channels: uncorrelated, with a deviation of about 1.

        The inverse of the Cholesky factor of Σ + ε, with ε a thousandth of the summed variance of
        the channels, plus the square of one 8-bit level. An axis that hardly varies then counts
        for less.
        """
        total = self.variance.sum(1)[:, None, None]
        unit = torch.eye(self.channels, dtype=total.dtype, device=total.device)
        floor = LEAST_VARIANCE * total + LEVEL**2
        # cholesky_ex skips the check, which would wait for a GPU.
        root = torch.linalg.cholesky_ex(self.covariance + floor * unit).L
        inverse: Tensor = torch.linalg.solve_triangular(root, unit.expand_as(root), upper=False)
        return inverse

    @cached_property
    def spread(self) -> Float[Tensor, " b"]:
        """The mean square of the standardised covariance."""
        spread = _mean_square(self.standardised(self.covariance))
        # The floor is the spread of a style that varies along one axis; a single colour has 0.
        return spread.clamp(min=1 / COLOURS**2) if self.of_colours else _positive(spread)

    def standardised(self, products: Float[Tensor, "#b c c"]) -> Float[Tensor, "_b c c"]:
        """Return second moments in the units of these standardised features.

        Red, green and blue vary almost together. If they were standardised channel by channel, only
        light and dark would count. They are whitened instead, so a hue that the style lacks counts.
        """
        if self.of_colours:
            whitening = self.whitening.expand(len(products), -1, -1)
            # Not @: when a step is recorded, it picks another kernel, which rounds differently.
            return torch.bmm(torch.bmm(whitening, products), whitening.mT)
        return products / self.scales

    def standardised_shift(self, shift: Float[Tensor, "#b c"]) -> Float[Tensor, "_b c"]:
        """Return a difference of means in the units of these standardised features."""
        if self.of_colours:
            return torch.bmm(self.whitening.expand(len(shift), -1, -1), shift[:, :, None])[:, :, 0]
        return shift / self.scale


SCALED_FLOOR = 1e-8  # ε of the scaled losses
LEAST_VARIANCE = 1e-3  # added to the variance of each colour axis, as a share of the total
LEVEL = 1 / 255  # of an 8-bit picture

OfError = Callable[[Tensor], Tensor]
"""A content loss against one target, as a function of the error."""


def moments(
    features: Float[Tensor, "b c h w"], weights: Float[Tensor, "1 1 h w"] | None = None
) -> Moments:
    """Measure how active channels are, and how often each pair is active together.

    Computed in float32 or better, for features of any type. ``weights``, at least 0, say how much
    each position counts. The weights of a region give the guided moments of Gatys et al. (2017,
    equation 3).
    """
    flat = features.flatten(2).transpose(1, 2)  # (b, h*w, c), as it lies in memory, channels last
    if weights is None:
        mean, gram = MomentsOf.apply(flat, None, flat.shape[1])
        return Moments(mean, gram, flat.shape[1])
    roots = weights.flatten(2).transpose(1, 2).sqrt().to(flat.dtype)  # (1, h*w, 1)
    total = weights.sum().clamp(min=1e-20)  # a tile may lie outside a region
    mean, gram = MomentsOf.apply(flat, roots, total)
    return Moments(mean, gram, total)


def blended_moments(parts: Sequence[tuple[float, Moments]]) -> Moments:
    """Return the weighted mean of styles' moments: the moments of a blend of the styles."""
    return Moments(
        weighted_mean([(weight, one.mean) for weight, one in parts]),
        weighted_mean([(weight, one.gram) for weight, one in parts]),
        sum(weight * one.positions for weight, one in parts),
    )


def merged_moments(parts: Sequence[Moments]) -> Moments:
    """Combine the moments of a picture's tiles, which do not overlap."""
    if len(parts) == 1:
        return parts[0]
    total = functools.reduce(operator.add, (one.positions for one in parts))
    return Moments(
        functools.reduce(torch.add, [one.positions / total * one.mean for one in parts]),
        functools.reduce(torch.add, [one.positions / total * one.gram for one in parts]),
        total,
    )


def mean_squared_error(
    generated: Float[Tensor, "b c h w"], target: Float[Tensor, "#b c h w"]
) -> Float[Tensor, " b"]:
    """Return the mean of (F - P)² over a picture's features, the error of most content losses."""
    error: Tensor = MeanSquaredError.apply(generated, target)
    return error


def relative_content_loss(target: Float[Tensor, "#b c h w"]) -> OfError:
    """Return the mean squared error of the features over the variance of the target's.

    0 is the content itself; 1 is no better than a featureless picture. This loss is the project's
    own. Its size does not depend on the layer, the network or the resolution.
    """
    variance = _positive(target.var(dim=(1, 2, 3), correction=0))
    return lambda error: error / variance


def half_sum_content_loss(target: Float[Tensor, "#b c h w"]) -> OfError:
    """Return ½ Σ (F - P)²: Gatys et al. (2016), equation 1."""
    return lambda error: error * target[0].numel() / 2


def mean_content_loss(_: Float[Tensor, "#b c h w"]) -> OfError:
    """Return the mean of (F - P)², as in most implementations."""
    return lambda error: error


def square_and_absolute_error(
    generated: Float[Tensor, "b c h w"], target: Float[Tensor, "#b c h w"]
) -> Float[Tensor, "b 2"]:
    """Return the means of (F - P)² and of |F - P| over a picture's features."""
    difference = generated - target
    return torch.stack([_mean_square(difference), difference.abs().flatten(1).mean(1)], dim=1)


def scaled_content_loss(target: Float[Tensor, "#b c h w"]) -> OfError:
    """Return Σ (F - P)² / (Σ |F - P| + ε), from ``square_and_absolute_error``.

    The L1 norm of its gradient is about 1 in every layer. From crowsonkb's style-transfer-pytorch.
    """
    floor = SCALED_FLOOR / target[0].numel()
    return lambda error: error[:, 0] / (error[:, 1] + floor)


def cosine_error(
    generated: Float[Tensor, "b c h w"], target: Float[Tensor, "#b c h w"]
) -> Float[Tensor, " b"]:
    """Return the mean over positions of 1 - cos of the features: Kolkin et al. (2022)."""
    generated = generated.to(target.dtype)
    lengths = [one.square().sum(1).clamp(1e-8, 1e8).sqrt() for one in (generated, target)]
    cosine = (generated * target).sum(1) / (lengths[0] * lengths[1])
    return 1 - cosine.flatten(1).mean(1)


def self_similarity_error(
    generated: Float[Tensor, "b c h w"], target: Float[Tensor, "#b c h w"]
) -> Float[Tensor, " b"]:
    """Return how far the distances between positions are from those in the content.

    Kolkin et al. (2019): in the matrix of 1 - cos of each pair, each column is divided by its sum.
    The error is the mean absolute difference of the two matrices, times the number of positions.
    """
    found, wanted = (_among_themselves(one.to(target.dtype)) for one in (generated, target))
    return (found - wanted).abs().flatten(1).mean(1) * found.shape[1]


def relative_style_loss(generated: Moments, target: Moments) -> Float[Tensor, " b"]:
    """Return the mean squared error of the Gram matrices over the mean square of the target's.

    0 is the style itself; 1 is no better than a featureless picture. The loss is the project's own.
    """
    return mean_gram_style_loss(generated, target) / _positive(_mean_square(target.gram))


def sum_gram_style_loss(generated: Moments, target: Moments) -> Float[Tensor, " b"]:
    """Return Σ (F Fᵀ - S Sᵀ)² / (4 C² (h w)²): Gatys et al. (2016), equation 4.

    The plain products are not averaged, so the style should have as many positions as the result.
    """
    error = _plain_difference(generated, target).square().flatten(1).sum(1)
    return error / (4 * generated.channels**2 * generated.positions**2)


def mean_gram_style_loss(generated: Moments, target: Moments) -> Float[Tensor, " b"]:
    """Return the mean of (F Fᵀ / (h w) - S Sᵀ / (h w))², each product with its own h w."""
    return _mean_square(generated.gram - target.gram)


def mean_plain_gram_style_loss(generated: Moments, target: Moments) -> Float[Tensor, " b"]:
    """Return the mean of (F Fᵀ - S Sᵀ)², of the plain products; it grows with (h w)²."""
    return _mean_square(_plain_difference(generated, target))


def mean_plain_gram_per_value_style_loss(
    generated: Moments, target: Moments
) -> Float[Tensor, " b"]:
    """Return the mean of (F Fᵀ - S Sᵀ)² over the number of feature values C h w."""
    values = generated.channels * generated.positions
    return mean_plain_gram_style_loss(generated, target) / values


def scaled_gram_style_loss(generated: Moments, target: Moments) -> Float[Tensor, " b"]:
    """Return Σ (ΔG)² / (Σ |ΔG| + ε) of G = F Fᵀ / (h w): crowsonkb's style-transfer-pytorch."""
    difference = (generated.gram - target.gram).flatten(1)
    return difference.square().sum(1) / (difference.abs().sum(1) + SCALED_FLOOR)


def covariance_style_loss(generated: Moments, target: Moments) -> Float[Tensor, " b"]:
    """Return how far the features' means and covariances are from the style's; the style has 0.

    The features F are standardised, channel by channel, by the *style's* mean μ and deviation σ,
    f = (F - μ) / σ' with σ' = σ + mean(σ), so that a channel that hardly varies in the style
    does not dominate. The layer ``rgb`` is whitened instead; see ``Moments.whitening``. With
    C = f fᵀ / (h w) of the picture and S of the style, the loss is

        mean((C - S)²) / mean(S²) + the mean over channels of mean(f)²

    The products of the channels' means dominate a Gram matrix. Without them, the loss compares how
    features vary together, which makes a stroke. The loss is the project's own, from the second
    moments of Gatys et al. (2016) and the means and deviations of Huang and Belongie (2017).
    """
    shift = generated.mean - target.mean
    # The difference of the second moments, both about the style's mean, written out.
    cross = _outer(shift, target.mean)
    error = generated.gram - target.gram - (cross + cross.transpose(1, 2))
    return _mean_square(target.standardised(error)) / target.spread + _mean_square(
        target.standardised_shift(shift)
    )


def moments_style_loss(generated: Moments, target: Moments) -> Float[Tensor, " b"]:
    """Return how far the channels' means and deviations are from the style's; the style has 0.

    mean((μ - μ_s)² / σ'²) + mean((σ - σ_s)² / σ'²), with σ' of the style as in
    ``covariance_style_loss``. AdaIN matches the same statistics (Huang and Belongie 2017,
    equation 13). The loss is dimensionless, and ignores how channels vary together.
    """
    # Without the floor, a channel of variance 0 has no gradient, and could never become active.
    floor = (1e-2 * target.scale).square()
    deviation, wanted = ((one.variance + floor).sqrt() for one in (generated, target))
    shift = _mean_square((generated.mean - target.mean) / target.scale)
    return shift + _mean_square((deviation - wanted) / target.scale)


def mean_square_total_variation(images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Return the mean squared difference of neighbouring pixels, down plus across.

    The squared form of Mahendran and Vedaldi (2015), as a mean so that it does not grow with size.
    """
    down, across = _neighbour_differences(images)
    return _mean_square(down) + _mean_square(across)


def square_sum_total_variation(images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Return the sum of the squared differences of neighbouring pixels, down and across."""
    down, across = _neighbour_differences(images)
    return down.square().flatten(1).sum(1) + across.square().flatten(1).sum(1)


def absolute_sum_total_variation(images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Return the sum of the absolute differences of neighbouring pixels, down and across.

    Rudin, Osher and Fatemi (1992), in the anisotropic form that image libraries offer.
    """
    down, across = _neighbour_differences(images)
    return down.abs().flatten(1).sum(1) + across.abs().flatten(1).sum(1)


def weighted_mean(parts: Sequence[tuple[float, Tensor]]) -> Tensor:
    """Add up tensors, each times its weight; the weights sum to 1."""
    return functools.reduce(torch.add, [weight * one for weight, one in parts])


def _among_themselves(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b n n"]:
    """Return 1 - cos of each pair of positions, each column divided by its sum."""
    unit = functional.normalize(features.flatten(2), dim=1, eps=1e-6)
    distances = 1 - unit.mT @ unit
    return distances / distances.sum(1, keepdim=True).clamp(min=1e-6)


def _outer(left: Float[Tensor, "#b c"], right: Float[Tensor, "#b c"]) -> Float[Tensor, "_b c c"]:
    """Multiply each pair of channels."""
    return left[:, :, None] * right[:, None, :]


def _plain_difference(generated: Moments, target: Moments) -> Float[Tensor, "b c c"]:
    """Subtract the plain products, each summed over its own positions."""
    return generated.gram * generated.positions - target.gram * target.positions


def _neighbour_differences(images: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor]:
    """Subtract each pixel from the one below and from the one to the right."""
    return images[:, :, 1:] - images[:, :, :-1], images[:, :, :, 1:] - images[:, :, :, :-1]


def _mean_square(values: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
    """Average the squares of each picture's values."""
    return values.square().flatten(1).mean(1)


def _positive(scale: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Keep a divisor away from zero: a flat picture has no variance, but needs a finite loss."""
    return scale.clamp(min=1e-20)
