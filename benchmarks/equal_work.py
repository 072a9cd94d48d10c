"""Compare the workflow with a plain loop on equal work, end to end.

Both render 12 cells of VGG-19: 1 content, 2 styles, 3 ratios, 2 layer weightings, with the same
number of evaluations each. The workflow runs as a user runs it, with Snakemake, process starts,
metrics, grids and table. The plain loop is `plain.py`, with one process per picture.

    python benchmarks/equal_work.py         takes a quarter of an hour on 2 cores
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from common import DEVICE, random_vgg19, save_report
from grid import WEIGHTINGS, grid_config, run_grid

from nst.network.extractor import Extractor, choose_precision


def main() -> None:
    """Run both, and compare their times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--ratios", type=int, default=3)
    chosen = parser.parse_args()
    shared = {"image_size": chosen.size, "iterations": chosen.evaluations}
    config = grid_config(1, 2, chosen.ratios, extractor="vgg19", **shared)
    with tempfile.TemporaryDirectory(prefix="nst-benchmark-") as name:
        folder = Path(name)
        times = run_grid(folder, config)
        weights = folder / "vgg19.pth"
        save_torchvision_weights(random_vgg19(), weights)
        cells = itertools.product(config["styles"], WEIGHTINGS.values(), range(chosen.ratios))
        seconds = [
            plain(
                *("--style-layers", *layers, "--beta", str(10.0**number)),
                *("--evaluations", str(chosen.evaluations), "--size", str(chosen.size)),
                *("--weights", str(weights)),
                files=[folder / config["contents"][0], folder / style, folder / "plain.png"],
            )
            for style, layers, number in cells
        ]
    save_report(
        "equal_work",
        {
            "settings": vars(chosen) | {"cells": times.cells},
            "precision": choose_precision("auto", DEVICE),
            "gain": sum(seconds) / times.wall,
            "seconds": {"nst": times.wall, "plain": sum(seconds)},
            "seconds of each plain picture": seconds,
            "share of nst that is not optimisation": 1 - times.optimising / times.wall,
        },
    )


def save_torchvision_weights(extractor: Extractor, path: Path) -> None:
    """Write a state dict as torchvision publishes it, including the classifier."""
    import torchvision  # noqa: PLC0415

    vgg = torchvision.models.vgg19()
    convolutions = [module for module in vgg.features if isinstance(module, torch.nn.Conv2d)]
    for module, ours in zip(convolutions, extractor.convolutions.values(), strict=False):
        module.load_state_dict(ours.state_dict())
    torch.save(vgg.state_dict(), path)


def plain(*options: str, files: Sequence[Path]) -> float:
    """Render a picture with the plain loop, and return the seconds of its process."""
    command = [sys.executable, str(Path(__file__).with_name("plain.py")), *map(str, files)]
    started = time.perf_counter()
    subprocess.run([*command, *options], check=True, capture_output=True)
    return time.perf_counter() - started


if __name__ == "__main__":
    main()
