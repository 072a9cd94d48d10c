"""Padding, cropping and pooling whose gradients suit the channels-last layout.

In bfloat16 on a CPU, torch's own gradients of reflection padding and of 2x2 average pooling are
slow. In networks as small as ``kmeans`` and ``vgg19_16x``, each takes up to as long as the gradient
of a convolution.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.nn import functional

from nst.network.shapes import Float, Tensor


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
    """Return rows and columns of features that lie channels last."""
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
        context.place = (..., rows, columns)
        context.shape = features.shape
        return features[..., rows, columns]

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """Put the gradient between zeros."""
        whole = torch.empty(
            context.shape,
            dtype=gradient.dtype,
            device=gradient.device,
            memory_format=torch.channels_last,
        ).zero_()
        whole[context.place] = gradient
        return whole, None, None


class _AveragePool(torch.autograd.Function):
    """``functional.avg_pool2d`` of 2x2."""

    @staticmethod
    def forward(context: Any, features: Tensor) -> Tensor:
        """Average."""
        context.shape = features.shape
        return functional.avg_pool2d(features, 2)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        """Give each of four positions a quarter."""
        batch, channels, height, width = context.shape
        rows, columns = gradient.shape[-2:]
        quarter = (gradient / 4).permute(0, 2, 3, 1)[:, :, None, :, None]  # b h 1 w 1 c
        spread = quarter.expand(-1, -1, 2, -1, 2, -1).reshape(
            batch, 2 * rows, 2 * columns, channels
        )
        odd = (0, 0, 0, width - 2 * columns, 0, height - 2 * rows)
        return (functional.pad(spread, odd) if any(odd) else spread).permute(0, 3, 1, 2)


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
