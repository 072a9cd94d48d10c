"""The losses of style transfer: pure functions of features, one value per picture of the batch.

A content loss compares features, a style loss compares their Gram matrices. Each takes the
generated picture's and the target's, and the target may have a batch of one, shared by all. Adding
a normalisation is adding a function here and naming it in ``FORMULATIONS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from nst.shapes import Float, Tensor

Loss = Callable[[Tensor, Tensor], Tensor]


def gram_matrix(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c c"]:
    """Return F Fᵀ / (h w): how often each pair of channels is active together.

    Gatys et al. (2016), equation 3, divided by the number of places, so that pictures of different
    sizes can be compared.
    """
    flat = features.flatten(2)  # (b, c, h*w)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def relative_content_loss(
    generated: Float[Tensor, "b c h w"], target: Float[Tensor, "#b c h w"]
) -> Float[Tensor, " b"]:
    """Return the mean squared error of the features over the variance of the target's.

    0 is the content itself, 1 is as far from it as a picture without any. Gatys et al. (2016),
    equation 1, has ½ Σ instead, whose size depends on the layer and the resolution.
    """
    variance = target.var(dim=(1, 2, 3), correction=0)
    return _mean_square(generated - target) / _positive(variance)


def relative_style_loss(
    generated: Float[Tensor, "b c c"], target: Float[Tensor, "#b c c"]
) -> Float[Tensor, " b"]:
    """Return the mean squared error of the Gram matrices over the mean square of the target's.

    0 is the style itself, 1 is as far from it as a picture without features. Gatys et al. (2016),
    equation 4, has Σ / (4 c² (h w)²) instead, whose size depends on the layer and the network.
    """
    return _mean_square(generated - target) / _positive(_mean_square(target))


def total_variation(images: Float[Tensor, "b c h w"]) -> Float[Tensor, " b"]:
    """Return the mean squared difference of neighbouring pixels, down plus across.

    The squared form of Mahendran and Vedaldi (2015), as a mean so that it does not grow with size.
    """
    down = _mean_square(images[:, :, 1:] - images[:, :, :-1])
    across = _mean_square(images[:, :, :, 1:] - images[:, :, :, :-1])
    return down + across


def _mean_square(values: Float[Tensor, "b ..."]) -> Float[Tensor, " b"]:
    """Average the squares of each picture's values."""
    return values.square().flatten(1).mean(1)


def _positive(scale: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Keep a divisor away from zero: a flat picture has no variance, but it has a loss."""
    return scale.clamp(min=1e-12)


@dataclass(frozen=True)
class Formulation:
    """A published or own way to normalise the losses.

    ``shares`` says that layer weights are scaled to sum to 1, so that taking more layers does not
    shift the balance of content and style.
    """

    content_loss: Loss
    style_loss: Loss
    shares: bool


FORMULATIONS: Mapping[str, Formulation] = MappingProxyType(
    {"relative": Formulation(relative_content_loss, relative_style_loss, shares=True)}
)
