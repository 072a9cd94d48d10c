"""Measure how far pictures of one pair are from the style, and how much structure they keep.

The pictures can come from any program: compare a published picture with your own. All are scaled to
one size.

    python benchmarks/published.py content.jpg style.jpg published.png own.png

``features`` is the sliced Wasserstein distance between features of vgg19_16x, as the mean over
layers. Features are standardised by the style's means and deviations. ``patches`` and ``ssim`` are
``style_distance`` and ``ssim`` of the summary table. Without an internet connection, set NST_MIRROR
to a folder with the weights of vgg19_16x.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import torch
from common import DEVICE
from PIL import Image

from nst.cells.metrics import (
    POSITIONS,
    SEED,
    measure_patches,
    patch_distance,
    quantiles,
    sliced_wasserstein,
    structural_similarity,
)
from nst.imaging.images import fit_long_side, load_image
from nst.method.distributions import directions, sampled
from nst.network.extractor import Extractor, load_extractor
from nst.network.provision import prepared_extractor
from nst.network.tensors import Tensor, to_tensor

LAYERS = ("relu1_1", "relu2_1", "relu3_1", "relu4_1")
DIRECTIONS = 128


def main() -> None:
    """Print the distances of each picture."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("content", type=Path)
    parser.add_argument("style", type=Path)
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--size", type=int, default=512, help="longer side in px")
    chosen = parser.parse_args()
    network = load_extractor(prepared_extractor("vgg19_16x", os.environ.get("NST_MIRROR")))
    network = network.to(DEVICE)
    content, style, *pictures = (
        fit_long_side(load_image(path), chosen.size)
        for path in (chosen.content, chosen.style, *chosen.pictures)
    )
    judge = Judge(network, content, style)
    for path, picture in zip(chosen.pictures, pictures, strict=True):
        features, patches, ssim = judge(picture).values()
        print(f"{path}: features {features:.3f}, patches {patches:.3f}, SSIM {ssim:.2f}")


class Judge:
    """Measures pictures of one content and one style, all of one size."""

    def __init__(self, network: Extractor, content: Image.Image, style: Image.Image) -> None:
        self._network, self._content = network, content
        self._features, self._patches = (
            features_of(network, style),
            measure_patches(to_tensor(style)),
        )

    def __call__(self, picture: Image.Image) -> dict[str, float]:
        """Return the distances of features and of patches, and the SSIM."""
        same = self._content.resize(picture.size, Image.Resampling.LANCZOS)
        ssim = structural_similarity(picture, same)
        if ssim is None:
            sys.exit(f"SSIM needs at least 11 px a side; got {picture.size}")
        return {
            "features": feature_distance(features_of(self._network, picture), self._features),
            "patches": patch_distance(to_tensor(picture), self._patches).item(),
            "ssim": ssim,
        }


@torch.no_grad()
def features_of(network: Extractor, picture: Image.Image) -> Mapping[str, Tensor]:
    """Return the features of each layer, n c: a row for each position."""
    found = network(to_tensor(picture).to(DEVICE), LAYERS)
    return {name: sampled(value[0].flatten(1).T, POSITIONS, SEED) for name, value in found.items()}


def feature_distance(picture: Mapping[str, Tensor], style: Mapping[str, Tensor]) -> float:
    """Return the mean over layers of the sliced Wasserstein distance, in the style's deviations."""
    distances = []
    for name, wanted in style.items():
        mean, deviation = wanted.mean(0), wanted.std(0)
        scale = deviation + deviation.mean()
        along = directions(wanted.shape[1], DIRECTIONS, SEED)
        one, other = (quantiles((seen - mean) / scale, along) for seen in (picture[name], wanted))
        distances.append(sliced_wasserstein(one, other) / other.std(1).square().mean().sqrt())
    return torch.stack(distances).mean().item()


if __name__ == "__main__":
    main()
