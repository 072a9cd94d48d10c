"""Measure how near recipes come to the style in a given time, on one network and one pair.

Each recipe runs from start to end with a part of its steps at each size: 1/64, 1/32, up to all
steps and twice as many. It stops after the first run that takes longer than --seconds. The
distances and SSIM are those of published.py. The default pair is rocket in the study after The
Starry Night.

    python benchmarks/budget.py
    python benchmarks/budget.py --content content.jpg --style style.jpg --recipes relative nnst
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator, Mapping

from common import DEVICE, add_pictures, chosen_pictures, save_report, style_of, synchronise
from published import Judge

from nst.config.settings import Settings
from nst.config.variants import read_presets, shortened
from nst.imaging.images import fit_long_side
from nst.method.resilience import make_cells
from nst.method.stages import Images
from nst.network.extractor import Extractor, load_extractor
from nst.network.provision import prepared_extractor
from nst.network.tensors import to_image

PARTS = tuple(2.0**power for power in range(-6, 2))


def main() -> None:
    """Run each recipe with more and more steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipes", nargs="+", default=["relative", "nnst", "gatys2016"])
    parser.add_argument("--network", default="vgg16_hed")
    add_pictures(parser)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=60.0)
    chosen = parser.parse_args()
    images = chosen_pictures(parser, chosen)
    network, seen = (
        load_extractor(prepared_extractor(name, os.environ.get("NST_MIRROR"))).to(DEVICE)
        for name in (chosen.network, "vgg19_16x")
    )
    content, style = (fit_long_side(one, chosen.size) for one in (images.content, style_of(images)))
    judge = Judge(seen, content, style)
    curves = {}
    for name in chosen.recipes:
        shared = {"extractor": chosen.network, "image_size": chosen.size}
        recipe = Settings.from_mapping({**read_presets()[name].settings, **shared})
        curves[name] = list(curve(network, images, recipe, judge, chosen.seconds))
    settings = {"network": chosen.network, "size": chosen.size}
    save_report("budget", {"settings": settings, "curves": curves})


def curve(
    network: Extractor, images: Images, recipe: Settings, judge: Judge, seconds: float
) -> Iterator[Mapping[str, float]]:
    """Yield the time and the distances for each part of the recipe's steps."""
    cell = shortened(recipe, PARTS[0] / 2, 1)
    list(make_cells(network, images, [cell]))  # the first run takes longer than the others
    for part in PARTS:
        before, cell = cell, shortened(recipe, part, 1)
        if cell == before:  # the part is too small: one step at each size
            continue
        synchronise()
        started = time.perf_counter()
        (made,) = make_cells(network, images, [cell])
        taken = time.perf_counter() - started
        if made.image is None:
            sys.exit(f"a cell failed: its loss stopped being a number, with {part:g} of the steps")
        yield {"part of the steps": part, "seconds": taken, **judge(to_image(made.image))}
        if taken > seconds:
            return


if __name__ == "__main__":
    main()
