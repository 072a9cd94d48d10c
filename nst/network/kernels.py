"""Operations on features that torch has not, or whose gradients it computes slowly.

Features lie channels last in memory. Torch's own gradients copy them to another layout, compute
values twice, or run many small operations; in bfloat16 on a CPU, those of reflection padding and of
2x2 average pooling are slow. In networks as small as ``kmeans`` and ``vgg19_16x``, this costs as
much as the convolutions.

Features can be sampled at positions spread over a picture. Kolkin, Salavon and Shakhnarovich,
"Style transfer by relaxed optimal transport and self-similarity" (2019), draw positions at random
at each step. Here they are fixed, and the sets take turns, so that a step can be replayed.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch.nn import functional

from nst.config.layers import SET_POSITIONS, SETS, Size
from nst.network.tensors import Float, Int, Tensor

# Multiples of 1/g and 1/g², with g³ = g + 1, fill a square evenly (Roberts, "The unreasonable
# effectiveness of quasirandom sequences", 2018). As fractions of 2^32, they are exact everywhere.
STRIDES = (3242174889, 2447445414)
PIECES = 8  # into which a product in bfloat16 is split
COLOURS = 3  # channels of the layer rgb; every layer of a network has more
IN_ORDER = 128  # positions of colours that are summed one after another


def reflect(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h+2 w+2"]:
    """Reflection-pad features by one position."""
    padded: Tensor = _Reflect.apply(features)
    return padded


def pad_symmetric(pictures: Float[Tensor, "b 3 h w"], margin: int) -> Float[Tensor, "b 3 _h _w"]:
    """Pad pictures by their mirror image, ``margin`` px on each side; the edge pixel repeats."""
    for dimension in (2, 3):
        missing = margin
        while missing:  # more than once if a picture is narrower than the margin
            length = pictures.shape[dimension]
            step = min(missing, length)
            before = pictures.narrow(dimension, 0, step).flip(dimension)
            after = pictures.narrow(dimension, length - step, step).flip(dimension)
            pictures = torch.cat([before, pictures, after], dimension)
            missing -= step
    return pictures


def crop(features: Float[Tensor, "b c h w"], rows: slice, columns: slice) -> Tensor:
    """Return rows and columns of features that lie channels last; all of them without a view."""
    height, width = features.shape[-2:]
    if (rows, columns) == (slice(0, height), slice(0, width)):
        return features
    cropped: Tensor = _Crop.apply(features, rows, columns)
    return cropped


def average_pool(features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h//2 w//2"]:
    """Average each 2x2 positions; the last row or column of an odd side is dropped."""
    pooled: Tensor = _AveragePool.apply(features)
    return pooled


def halve(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h//2 w//2"]:
    """Blur by the binomial filter [1 3 3 1] / 8 each way, and keep every second pixel.

    The filter removes most of the detail that the smaller picture cannot show; a mean of 2x2 pixels
    leaves blocks. The picture is padded by its mirror image.
    """
    halved: Tensor = _Halve.apply(images)
    return halved


class _Reflect(torch.autograd.Function):
    """``functional.pad`` with ``mode="reflect"``, by one position."""

    @staticmethod
    def forward(_: Any, features: Tensor) -> Tensor:
        """Pad."""
        return functional.pad(features, (1, 1, 1, 1), mode="reflect")

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        """Add the gradient of each border to the positions that it mirrors."""
        folded = gradient[..., 1:-1].clone(memory_format=torch.preserve_format)
        for place, border in _mirrors(folded.shape[-1]):
            folded[..., place].add_(gradient[..., border])
        inner = folded[..., 1:-1, :]
        for place, border in _mirrors(inner.shape[-2]):
            inner[..., place, :].add_(folded[..., border, :])
        return inner


def _mirrors(length: int) -> list[tuple[slice, slice]]:
    """Return pairs of slices: positions of a side, and the border positions that mirror them."""
    if length > 3:
        return [(slice(1, length - 1, length - 3), slice(0, None, length + 1))]
    last = length + 1
    return [(slice(1, 2), slice(0, 1)), (slice(length - 2, length - 1), slice(last, last + 1))]


class _Crop(torch.autograd.Function):
    """A slice whose gradient also lies channels last.

    The gradient of torch's own slice would be contiguous. Adding it to another gradient would take
    twice as long as a convolution.
    """

    @staticmethod
    def forward(context: Any, features: Tensor, rows: slice, columns: slice) -> Tensor:
        """Slice."""
        height, width = features.shape[-2:]
        (top, bottom, _), (left, right, _) = rows.indices(height), columns.indices(width)
        context.margins = (left, width - right, top, height - bottom)
        return features[..., rows, columns]

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Put the gradient between zeros."""
        whole = functional.pad(gradient, context.margins)
        return whole.contiguous(memory_format=torch.channels_last), None, None


class _AveragePool(torch.autograd.Function):
    """``functional.avg_pool2d`` of 2x2."""

    @staticmethod
    def forward(context: Any, features: Tensor) -> Tensor:
        """Average."""
        context.size = features.shape[-2:]
        return functional.avg_pool2d(features, 2)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        """Give each of four positions a quarter."""
        quarter = gradient.contiguous(memory_format=torch.channels_last) / 4
        spread = functional.interpolate(quarter, scale_factor=2)
        height, width = context.size
        odd = (0, width - spread.shape[3], 0, height - spread.shape[2])
        return functional.pad(spread, odd) if any(odd) else spread


class _Halve(torch.autograd.Function):
    """The filter of ``halve``, with a gradient that keeps the layout.

    On a GPU, torch's deterministic gradient of this padding is slow and changes the layout. The
    padding is called as ``torch.ops.aten.replication_pad2d`` to reach its kernel.
    """

    @staticmethod
    def forward(context: Any, images: Tensor) -> Tensor:
        """Pad and filter."""
        context.shape = images.shape
        # In the other layout, the filter takes seven times as long at 1024 px.
        images = images.contiguous(memory_format=torch.channels_last)
        padded = torch.ops.aten.replication_pad2d(images, [1, 1, 1, 1])
        kernel = _binomial(images.shape[1], images.dtype, images.device)
        return functional.conv2d(padded, kernel, stride=2, groups=images.shape[1])

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        """Spread the gradient, and add the part beyond the border to the border."""
        _, channels, height, width = context.shape
        spread = functional.conv_transpose2d(
            gradient.contiguous(memory_format=torch.channels_last),
            _binomial(channels, gradient.dtype, gradient.device),
            stride=2,
            groups=channels,
            output_padding=(height % 2, width % 2),
        )
        # Both borders at once, as the first and the last of a slice.
        across = spread[..., 1:-1]
        across[..., :: width - 1].add_(spread[..., :: width + 1])
        whole = across[..., 1:-1, :]
        whole[..., :: height - 1, :].add_(across[..., :: height + 1, :])
        return whole


@functools.cache
def _binomial(channels: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return the filter, cached by device: a copy to a GPU waits for all work before it."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=dtype, device=device) / 8
    return torch.outer(row, row).expand(channels, 1, 4, 4)


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
            corners, weights = (of_step(values, step, 0) for values in (corners, weights))
        picked = flat.index_select(1, corners.flatten()).unflatten(1, corners.shape)
        found.append((weights[..., None] * picked.to(dtype)).sum(3))
    return torch.cat(found, 3).permute(0, 3, 1, 2)


def of_step(values: Tensor, step: Int[Tensor, ""], axis: int = 2) -> Tensor:
    """Select the values at a step's positions along an axis with the positions of all sets."""
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
        gradient = shift = None
        if of_mean is not None:
            shift = (of_mean / context.total)[:, None].to(guided.dtype)
            gradient = shift = (shift if roots is None else roots * shift).expand_as(guided)
        if of_gram is not None:
            both = ((of_gram + of_gram.transpose(1, 2)) / context.total).to(guided.dtype)
            gradient = guided @ both if shift is None else torch.baddbmm(shift, guided, both)
        if gradient is not None and roots is not None:
            gradient = gradient * roots
        return gradient, None, None


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
    first, second = (
        one[:, :whole].reshape(batch * pieces, whole // pieces, one.shape[2])
        for one in (left, right)
    )
    products = (first.transpose(1, 2) @ second).to(at_least)
    total: Tensor = products.view(batch, pieces, -1, channels).sum(1)
    if whole == positions:
        return total
    return total + (left[:, whole:].transpose(1, 2) @ right[:, whole:]).to(at_least)
