"""A picture at its octaves: itself, half as large, a quarter as large, and so on.

A layer sees strokes of about one size. Seen again at half the size, it knows strokes twice as
large (Snelgrove, "High-resolution multi-scale neural texture synthesis", 2017).
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from torch.nn import functional

from nst.config.octaves import split_octave
from nst.network.shapes import Float, Tensor


def halve(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h//2 w//2"]:
    """Blur by the binomial filter [1 3 3 1] / 8 each way, and keep every second pixel.

    The filter leaves little of what the smaller picture cannot show; a mean of 2x2 pixels leaves
    blocks. Beyond the border a picture goes on as its mirror image.
    """
    halved: Tensor = _Halve.apply(images)
    return halved


class _Halve(torch.autograd.Function):
    """The filter, with a gradient that keeps the layout.

    On a GPU, torch's deterministic gradient of this padding is slow and changes the layout; to
    reach its kernel, the padding is called by its own name.
    """

    @staticmethod
    def forward(context: Any, images: Tensor) -> Tensor:
        """Pad and filter."""
        context.shape = images.shape
        # In the other layout, this takes seven times as long at 1024 px.
        images = images.contiguous(memory_format=torch.channels_last)
        padded = torch.ops.aten.replication_pad2d(images, [1, 1, 1, 1])
        kernel = _binomial(images.shape[1], images.dtype, images.device)
        return functional.conv2d(padded, kernel, stride=2, groups=images.shape[1])

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        """Spread the gradient, and fold what is beyond the border back onto it."""
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
    """Return the filter, made once for a device: a copy to a GPU waits for all work before it."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=dtype, device=device) / 8
    return torch.outer(row, row).expand(channels, 1, 4, 4)


def octaves(
    images: Float[Tensor, "b 3 h w"], layers: Collection[str]
) -> Iterator[tuple[Float[Tensor, "b 3 _h _w"], Mapping[str, str]]]:
    """Yield pictures at each octave that ``layers`` name, with their whole names by layer.

    A name without an octave is of the picture as it is.
    """
    wanted: dict[int, dict[str, str]] = {}
    for name in layers:
        layer, octave = split_octave(name)
        wanted.setdefault(octave, {})[layer] = name
    for octave in range(max(wanted, default=-1) + 1):
        images = halve(images) if octave else images
        if octave in wanted:
            yield images, wanted[octave]
