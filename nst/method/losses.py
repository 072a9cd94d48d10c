"""The losses of style transfer: pure functions of features, one value per picture of the batch.

A content loss compares features, a style loss compares their Gram matrices. Each takes the
generated picture's and the target's, and the target may have a batch of one, shared by all. Adding
a normalisation is adding a function here, its name in a table below, and in
``nst.config.settings``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch

from nst.network.shapes import Float, Tensor

PIECES = 8  # of a product in bfloat16


@dataclass(frozen=True)
class Gram:
    """F Fᵀ / (h w) of some features, and the number of places h w that it was averaged over.

    Gatys et al. (2016), equation 3, has the plain product F Fᵀ, which is ``matrix * places``.
    """

    matrix: Float[Tensor, "b c c"]
    places: int

    @property
    def channels(self) -> int:
        """The number of features, C."""
        return self.matrix.shape[1]


ContentLoss = Callable[[Tensor, Tensor], Tensor]
StyleLoss = Callable[[Gram, Gram], Tensor]


def gram_matrix(features: Float[Tensor, "b c h w"]) -> Gram:
    """Measure how often each pair of channels is active together, in float32 or better."""
    flat = features.flatten(2).transpose(1, 2)  # (b, h*w, c), as it lies in memory, channels last
    return Gram(_MeanProduct.apply(flat), flat.shape[1])


def relative_content_loss(
    generated: Float[Tensor, "b c h w"], target: Float[Tensor, "#b c h w"]
) -> Float[Tensor, " b"]:
    """Return the mean squared error of the features over the variance of the target's.

    0 is the content itself, 1 is as far from it as a picture without any. The project's own: its
    size does not depend on the layer, the network or the resolution.
    """
    variance = target.var(dim=(1, 2, 3), correction=0)
    return mean_content_loss(generated, target) / _positive(variance)


def half_sum_content_loss(
    generated: Float[Tensor, "b c h w"], target: Float[Tensor, "#b c h w"]
) -> Float[Tensor, " b"]:
    """Return ½ Σ (F - P)²: Gatys et al. (2016), equation 1."""
    return (generated - target).square().flatten(1).sum(1) / 2


def mean_content_loss(
    generated: Float[Tensor, "b c h w"], target: Float[Tensor, "#b c h w"]
) -> Float[Tensor, " b"]:
    """Return the mean of (F - P)², as most implementations have it."""
    return _mean_square(generated - target)


def relative_style_loss(generated: Gram, target: Gram) -> Float[Tensor, " b"]:
    """Return the mean squared error of the Gram matrices over the mean square of the target's.

    0 is the style itself, 1 is as far from it as a picture without features. The project's own.
    """
    return mean_gram_style_loss(generated, target) / _positive(_mean_square(target.matrix))


def sum_gram_style_loss(generated: Gram, target: Gram) -> Float[Tensor, " b"]:
    """Return Σ (F Fᵀ - S Sᵀ)² / (4 C² (h w)²): Gatys et al. (2016), equation 4.

    The plain products are not averaged, so the style should have as many places as the result.
    """
    error = _plain_difference(generated, target).square().flatten(1).sum(1)
    return error / (4 * generated.channels**2 * generated.places**2)


def mean_gram_style_loss(generated: Gram, target: Gram) -> Float[Tensor, " b"]:
    """Return the mean of (F Fᵀ / (h w) - S Sᵀ / (h w))², each over its own places."""
    return _mean_square(generated.matrix - target.matrix)


def mean_plain_gram_style_loss(generated: Gram, target: Gram) -> Float[Tensor, " b"]:
    """Return the mean of (F Fᵀ - S Sᵀ)², of the plain products; it grows with (h w)²."""
    return _mean_square(_plain_difference(generated, target))


def mean_plain_gram_per_value_style_loss(generated: Gram, target: Gram) -> Float[Tensor, " b"]:
    """Return the mean of (F Fᵀ - S Sᵀ)² over the number of feature values C h w."""
    values = generated.channels * generated.places
    return mean_plain_gram_style_loss(generated, target) / values


def mean_square_total_variation(images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Return the mean squared difference of neighbouring pixels, down plus across.

    The squared form of Mahendran and Vedaldi (2015), as a mean so that it does not grow with size.
    """
    down, across = _neighbour_differences(images)
    return _mean_square(down) + _mean_square(across)


def absolute_sum_total_variation(images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Return the sum of the absolute differences of neighbouring pixels, down and across.

    Rudin, Osher and Fatemi (1992), in the anisotropic form that image libraries offer.
    """
    down, across = _neighbour_differences(images)
    return down.abs().flatten(1).sum(1) + across.abs().flatten(1).sum(1)


class _MeanProduct(torch.autograd.Function):
    """Fᵀ F / n of features F, n places by c channels.

    As the product is symmetric, so is what its gradient is multiplied with: one matrix product
    does, where automatic differentiation takes two.
    """

    @staticmethod
    def forward(context: Any, flat: Tensor) -> Tensor:
        """Multiply, and keep the features for the gradient."""
        context.save_for_backward(flat)
        return _product(flat) / flat.shape[1]

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        """Return F (G + Gᵀ) / n for the gradient G of the product."""
        (flat,) = context.saved_tensors
        both = (gradient + gradient.transpose(1, 2)) / flat.shape[1]
        product: Tensor = flat @ both.to(flat.dtype)
        return product


def _product(flat: Float[Tensor, "b n c"]) -> Float[Tensor, "b c c"]:
    """Multiply Fᵀ F.

    A product of bfloat16 matrices is rounded to 8 bits at its end, which the differences of Gram
    matrices would show. So it is taken in ``PIECES``, of which the sum is in float32.
    """
    if flat.dtype is not torch.bfloat16:
        return flat.transpose(1, 2) @ flat
    batch, places, channels = flat.shape
    whole = places - places % PIECES
    pieces = flat[:, :whole].reshape(batch * PIECES, whole // PIECES, channels)
    rest = flat[:, whole:]
    products = (pieces.transpose(1, 2) @ pieces).float().view(batch, PIECES, channels, channels)
    return products.sum(1) + (rest.transpose(1, 2) @ rest).float()


def _plain_difference(generated: Gram, target: Gram) -> Float[Tensor, "b c c"]:
    """Subtract the plain products, each of its own number of places."""
    return generated.matrix * generated.places - target.matrix * target.places


def _neighbour_differences(images: Float[Tensor, "b c h w"]) -> tuple[Tensor, Tensor]:
    """Subtract each pixel from the one below and from the one to the right."""
    return images[:, :, 1:] - images[:, :, :-1], images[:, :, :, 1:] - images[:, :, :, :-1]


def _mean_square(values: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
    """Average the squares of each picture's values."""
    return values.square().flatten(1).mean(1)


def _positive(scale: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Keep a divisor away from zero: a flat picture has no variance, but it has a loss."""
    return scale.clamp(min=1e-20)


CONTENT_LOSSES: Mapping[str, ContentLoss] = MappingProxyType(
    {
        "relative": relative_content_loss,
        "half_sum": half_sum_content_loss,
        "mean": mean_content_loss,
    }
)
STYLE_LOSSES: Mapping[str, StyleLoss] = MappingProxyType(
    {
        "relative": relative_style_loss,
        "sum_gram": sum_gram_style_loss,
        "mean_gram": mean_gram_style_loss,
        "mean_plain_gram": mean_plain_gram_style_loss,
        "mean_plain_gram_per_value": mean_plain_gram_per_value_style_loss,
    }
)
TV_LOSSES: Mapping[str, Callable[[Tensor], Tensor]] = MappingProxyType(
    {
        "mean_square": mean_square_total_variation,
        "absolute_sum": absolute_sum_total_variation,
    }
)
# Under these, layer weights are scaled to sum to 1, so that taking more layers does not shift the
# balance of content and style. The published recipes take their weights as given.
LOSSES_OF_SHARES = frozenset({"relative"})
