"""A picture at its octaves: itself, half as large, a quarter as large, and so on.

A layer sees strokes of about one size. Seen again at half the size, it knows strokes twice as
large (Snelgrove, "High-resolution multi-scale neural texture synthesis", 2017).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

import torch
from torch.nn import functional

from nst.config.octaves import split_octave
from nst.network.shapes import Float, Tensor


def halve(images: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h//2 w//2"]:
    """Blur by the binomial filter [1 3 3 1] / 8 each way, and keep every second pixel.

    The filter leaves little of what the smaller picture cannot show; a mean of 2x2 pixels leaves
    blocks. Beyond the border a picture goes on as its mirror image.
    """
    channels = images.shape[1]
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=images.dtype, device=images.device) / 8
    kernel = torch.outer(row, row).expand(channels, 1, 4, 4)
    # In the other layout, this takes seven times as long at 1024 px.
    images = images.contiguous(memory_format=torch.channels_last)
    padded = functional.pad(images, (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, kernel, stride=2, groups=channels)


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
