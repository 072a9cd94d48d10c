"""Measure how much a padding shows at the border, by the chroma of the outermost pixels.

The score is the mean absolute chroma difference between the outermost pixels and the pixels 3 px
further in, divided by the same difference inside the picture. Photographs and paintings score
about 1.

    python benchmarks/borders.py
    python benchmarks/borders.py --extractor vgg16_hed --size 192

Without an internet connection, set NST_MIRROR to a folder with the catalogue's pictures and
weights.
"""

from __future__ import annotations

import argparse
import os
import statistics
from pathlib import Path

import torch
from common import DEVICE, RESULTS, save_report

from nst.config.catalogue import fetch, read_catalogue
from nst.config.settings import Settings
from nst.config.variants import read_presets
from nst.imaging.images import load_image
from nst.method.stages import Images
from nst.method.transfer import transfer
from nst.network.extractor import load_extractor
from nst.network.provision import prepared_extractor

PAIRS = (
    ("tubingen", "starry_night"),
    ("mona_lisa", "seated_nude"),
    ("golden_gate", "great_wave"),
)
INSIDE = 8  # px from the border
STEP = 3  # px
CB, CR = (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312)  # of RGB, ITU-R BT.601


def main() -> None:
    """Score both paddings on each pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--extractor", choices=["vgg19_16x", "vgg16_hed"], default="vgg19_16x")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--ratio", type=float, default=0.05)
    parser.add_argument("--steps", type=int, default=30, help="at each size")
    chosen = parser.parse_args()
    mirror = os.environ.get("NST_MIRROR")
    network = load_extractor(prepared_extractor(chosen.extractor, mirror)).to(DEVICE)
    network = network.to(memory_format=torch.channels_last)
    scores: dict[str, list[float]] = {"native": [], "symmetric": []}
    for content, style in PAIRS:
        images = Images.of(*(load_image(picture(name, mirror)) for name in (content, style)))
        for padding, found in scores.items():
            settings = Settings.from_mapping(
                {
                    **read_presets()["relative"].settings,
                    **{"extractor": chosen.extractor, "image_size": chosen.size},
                    **{"iterations": chosen.steps, "growth": chosen.steps},
                    **{"beta": 1 / chosen.ratio, "padding": padding},
                }
            )
            found.append(border_score(transfer(network, images, [settings]).images))
    means = {padding: statistics.mean(found) for padding, found in scores.items()}
    save_report("borders", {"settings": vars(chosen), "scores": scores, "means": means})


def border_score(images: torch.Tensor) -> float:
    """Return the score of one picture, 1 x 3 x h x w, RGB in [0, 1]."""
    chroma = torch.einsum("kc,bchw->bkhw", torch.tensor([CB, CR]).to(images), images)
    border = [
        chroma[:, :, 0] - chroma[:, :, STEP],
        chroma[:, :, -1] - chroma[:, :, -1 - STEP],
        chroma[..., 0] - chroma[..., STEP],
        chroma[..., -1] - chroma[..., -1 - STEP],
    ]
    inner = chroma[:, :, INSIDE:-INSIDE, INSIDE:-INSIDE]
    inside = [inner[:, :, STEP:] - inner[:, :, :-STEP], inner[..., STEP:] - inner[..., :-STEP]]
    at_border, within = (
        statistics.mean(one.abs().mean().item() for one in differences)
        for differences in (border, inside)
    )
    return at_border / within


def picture(name: str, mirror: str | None) -> Path:
    """Return the file of a catalogue picture, and fetch it if it is missing."""
    entry = read_catalogue()[name]
    path = RESULTS / "inputs" / entry.file
    if not path.exists():
        fetch(entry, path, mirror)
    return path


if __name__ == "__main__":
    main()
