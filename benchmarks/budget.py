"""How near to the style a recipe comes in a given time, for recipes on one network and one pair.

Each recipe is run whole with a part of its steps at each size: 1/64, 1/32 and so on to all of them
and twice as many, until a run takes longer than --seconds. The distances and SSIM are those of
published.py. Without pictures, rocket in the study after The Starry Night.

    python benchmarks/budget.py
    python benchmarks/budget.py --content content.jpg --style style.jpg --recipes relative nnst
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from common import DEVICE, default_pictures, save_report, style_of, synchronise
from published import feature_distance, features_of

from nst.cells.metrics import measure_patches, patch_distance, structural_similarity
from nst.config.presets import read_presets
from nst.config.settings import Settings
from nst.config.variants import shortened
from nst.imaging.images import fit_long_side, load_image
from nst.method.resilience import make_cells
from nst.method.stages import Images, picture_size
from nst.network.extractor import Extractor, load_extractor
from nst.network.provision import prepared_extractor
from nst.network.tensors import to_image, to_tensor

PARTS = tuple(2.0**power for power in range(-6, 2))


def main() -> None:
    """Run each recipe with ever more steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", nargs="+", default=["relative", "nnst", "gatys2016"])
    parser.add_argument("--network", default="vgg16_hed")
    parser.add_argument("--content", type=Path)
    parser.add_argument("--style", type=Path)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=60.0)
    chosen = parser.parse_args()
    images = default_pictures()
    if chosen.content:
        images = Images.of(load_image(chosen.content), load_image(chosen.style))
    network, judge = (
        load_extractor(prepared_extractor(name, os.environ.get("NST_MIRROR"))).to(DEVICE)
        for name in (chosen.network, "vgg19_16x")
    )
    curves = {}
    for name in chosen.recipes:
        shared = {"extractor": chosen.network, "image_size": chosen.size}
        recipe = Settings.from_mapping({**read_presets()[name].settings, **shared})
        curves[name] = list(curve(network, judge, images, recipe, chosen.seconds))
    settings = {"network": chosen.network, "size": chosen.size}
    save_report("budget", {"settings": settings, "curves": curves})


def curve(
    network: Extractor, judge: Extractor, images: Images, recipe: Settings, seconds: float
) -> Iterator[Mapping[str, float | None]]:
    """Yield the time and the distances for each part of the recipe's steps."""
    size = max(picture_size(images.content, recipe))
    style = fit_long_side(style_of(images), size)
    features, patches = features_of(judge, style), measure_patches(to_tensor(style))
    cell = shortened(recipe, PARTS[0] / 2, 1)
    list(make_cells(network, images, [cell]))  # the first run takes longer than others
    for part in PARTS:
        before, cell = cell, shortened(recipe, part, 1)
        if cell == before:  # the part is too small: one step at each size
            continue
        synchronise()
        started = time.perf_counter()
        (made,) = make_cells(network, images, [cell])
        taken = time.perf_counter() - started
        if made.image is None:
            continue
        picture = to_image(made.image)
        yield {
            "part of the steps": part,
            "seconds": taken,
            "features": feature_distance(features_of(judge, picture), features),
            "patches": patch_distance(to_tensor(picture), patches).item(),
            "ssim": structural_similarity(picture, images.content.resize(picture.size)),
        }
        if taken > seconds:
            return


if __name__ == "__main__":
    main()
