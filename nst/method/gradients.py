"""The operations of the losses, with gradients written by hand because autograd is slower.

Features lie channels last in memory. Torch's own gradients copy them to another layout, compute
values twice, or run many small operations. In networks as small as ``kmeans`` and ``vgg19_16x``,
this costs more than the arithmetic.
"""

from __future__ import annotations

from typing import Any

import torch

from nst.network.shapes import Float, Tensor

PIECES = 8  # into which a product in bfloat16 is split
COLOURS = 3  # channels of the layer rgb; every layer of a network has more
IN_ORDER = 128  # positions of colours that are summed one after another


class MeanSquaredError(torch.autograd.Function):
    """The mean of (F - P)² of each picture, with its gradient by F.

    It keeps the layout of the features. Torch's own loss would copy channels-last features to
    another layout and back, which took seven times as long in the first layers.
    """

    @staticmethod
    def forward(context: Any, generated: Tensor, target: Tensor) -> Tensor:
        """Subtract, square, and keep the difference for the gradient."""
        difference = generated - target
        context.save_for_backward(difference)
        context.dtype = generated.dtype
        return difference.permute(0, 2, 3, 1).flatten(1).square().mean(1)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Return 2 (F - P) / n."""
        (difference,) = context.saved_tensors
        scale = (2 * gradient / difference[0].numel())[:, None, None, None]
        return (difference * scale).to(context.dtype), None


class MomentsOf(torch.autograd.Function):
    """The mean and Fᵀ F / n of features F, n positions by c channels.

    With the roots r of the positions' weights, which sum to n, r F replaces F in the product, and
    the mean is rᵀ (r F) / n. The product is symmetric, so its gradient takes one matrix product,
    where automatic differentiation takes two. The same operation adds the mean's gradient.
    """

    @staticmethod
    def forward(
        context: Any, flat: Tensor, roots: Tensor | None, total: int | Tensor
    ) -> tuple[Tensor, Tensor]:
        """Sum and multiply, and keep the features for the gradient."""
        ones = flat.new_ones(1, 1, 1) if roots is None else roots
        guided = flat if roots is None else flat * roots
        context.save_for_backward(guided, roots)
        context.total = total
        context.set_materialize_grads(False)
        every = ones.expand(len(flat), flat.shape[1], 1)
        return _product(every, guided)[:, 0] / total, _product(guided, guided) / total

    @staticmethod
    def backward(
        context: Any, of_mean: Tensor | None, of_gram: Tensor | None
    ) -> tuple[Tensor | None, None, None]:
        """Return r (r F (G + Gᵀ) / n + r m / n), with G and m the gradients of product and mean."""
        guided, roots = context.saved_tensors
        gradient = _gradient_of_features(guided, roots, of_mean, of_gram, context.total)
        if gradient is not None and roots is not None:
            gradient = gradient * roots
        return gradient, None, None


def _gradient_of_features(
    guided: Tensor,
    roots: Tensor | None,
    of_mean: Tensor | None,
    of_gram: Tensor | None,
    total: int | Tensor,
) -> Tensor | None:
    """Return the gradient by the guided features, or None if nothing depends on them."""
    shift = None
    if of_mean is not None:
        shift = (of_mean / total)[:, None].to(guided.dtype)
        shift = shift if roots is None else roots * shift
    if of_gram is None:
        return None if shift is None else shift.expand_as(guided)
    both = ((of_gram + of_gram.transpose(1, 2)) / total).to(guided.dtype)
    product: Tensor = guided @ both if shift is None else torch.baddbmm(shift, guided, both)
    return product


def _product(left: Float[Tensor, "b n k"], right: Float[Tensor, "b n c"]) -> Float[Tensor, "b k c"]:
    """Compute Lᵀ R.

    A product of bfloat16 matrices is rounded to 8 bits at its end. The differences of moments would
    show this error, so the product is computed in ``PIECES``, which are summed in float32. With as
    few channels as colours have, a product sums millions of positions one after another. Its errors
    would be larger than the variance of a hue, so it is computed in many pieces.
    """
    batch, positions, channels = right.shape
    pieces = PIECES if right.dtype is torch.bfloat16 else 1
    if channels <= COLOURS:
        pieces = max(pieces, positions // IN_ORDER)
    if pieces == 1:
        return left.transpose(1, 2) @ right
    at_least = torch.promote_types(right.dtype, torch.float32)
    whole = positions - positions % pieces
    products = (_cut(left, whole, pieces).transpose(1, 2) @ _cut(right, whole, pieces)).to(at_least)
    total: Tensor = products.view(batch, pieces, -1, channels).sum(1)
    if whole == positions:
        return total
    return total + (left[:, whole:].transpose(1, 2) @ right[:, whole:]).to(at_least)


def _cut(flat: Float[Tensor, "b n c"], whole: int, pieces: int) -> Float[Tensor, "_pieces _n c"]:
    """Cut the first ``whole`` positions into pieces."""
    batch, _, channels = flat.shape
    return flat[:, :whole].reshape(batch * pieces, whole // pieces, channels)
