"""Compare cells of several sizes after scaling them to the smallest size.

The benchmark renders a pair twice at each size: with ``octaves: auto``, for strokes in proportion
to the picture, and with settings that keep the strokes' size in pixels. Scaled down to the smallest
size, the first cell should be about as far from the style as the cell of that size. The second
should be farther, because its strokes are finer.

    python benchmarks/sizes.py
"""

from __future__ import annotations

import argparse

import torch
from common import DEVICE, RESULTS, default_pictures, save_report, style_of

from nst.cells.metrics import measure_patches, patch_distance
from nst.config.settings import Settings
from nst.config.variants import read_presets
from nst.imaging.images import fit_long_side
from nst.method.resilience import make_cells
from nst.network.kmeans import fit_kmeans
from nst.network.tensors import to_image, to_tensor


def main() -> None:
    """Render the cells, save their pictures, and measure them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 512, 1024])
    parser.add_argument("--ratio", type=float, default=0.1)
    chosen = parser.parse_args()
    images = default_pictures()
    least = min(chosen.sizes)
    with torch.no_grad():
        fitted = [to_tensor(fit_long_side(one, 256)) for one in (images.content, style_of(images))]
        network = fit_kmeans(fitted, 0).to(DEVICE)
    patches = measure_patches(to_tensor(fit_long_side(style_of(images), least)))
    recipe = {
        **read_presets()["relative"].settings,
        "beta": 1 / chosen.ratio,
        "extractor": "kmeans",
    }
    rows = []
    for size in chosen.sizes:
        in_pixels = {"octaves": 4, "style_scale": least / size}
        for look, changes in (("in proportion", {}), ("in pixels", in_pixels)):
            values = {**recipe, "image_size": size, **changes}
            (made,) = make_cells(network, images, [Settings.from_mapping(values)])
            assert made.image is not None
            picture = to_image(made.image)
            picture.save(RESULTS / f"size_{size}_{look.replace(' ', '_')}.png")
            distance = patch_distance(to_tensor(fit_long_side(picture, least)), patches).item()
            rows.append({"size": size, "strokes": look, "style distance": distance})
    save_report("sizes", {"settings": vars(chosen), "cells": rows})


if __name__ == "__main__":
    main()
