"""Measure the time and memory of a large print from a small cell, in a separate process.

The print is Tübingen in The Starry Night, with the distilled VGG-19. Like a job of the workflow,
the process reads files, renders the print, measures it and writes it. On a GPU, memory counts
torch's allocations on the GPU.

    python benchmarks/prints.py --size 4096

Without an internet connection, set NST_MIRROR to a folder with the pictures and the weights.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

from common import DEVICE, RESULTS, peak_memory, save_report

from nst.cells.cell import Cell
from nst.cells.pair import Pair, stylize_pair
from nst.config.catalogue import fetch, read_catalogue
from nst.config.geometry import remembered_pairs, tile_side
from nst.config.prints import print_settings
from nst.config.settings import Settings
from nst.config.variants import read_presets
from nst.network.extractor import save_extractor
from nst.network.provision import provide_extractor

FOLDER = RESULTS / "prints"
SMALL = 512  # px


def main() -> None:
    """Render the cell, then the print, each in a separate process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=4096, help="longer side in px")
    parser.add_argument("--ratio", type=float, default=0.1)
    parser.add_argument("--tile", type=int, help="tile_size in px; default: auto")
    parser.add_argument("--steps", type=int, help="at each size; default: as in a print")
    parser.add_argument("--part", choices=["cell", "print"], help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.size <= SMALL:
        parser.error(f"--size must be larger than the cell, {SMALL} px; got {chosen.size}")
    if chosen.part:
        print(json.dumps(made(chosen)))
        return
    found = {}
    for part in ("cell", "print"):
        command = [sys.executable, __file__, *sys.argv[1:], "--part", part]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        found[part] = json.loads(done.stdout)
    save_report("prints", {"settings": vars(chosen), **found})


def made(chosen: argparse.Namespace) -> dict[str, object]:
    """Render the small cell or its print, and return its time, memory and measures."""
    recipe = read_presets()["relative"].settings
    cell = Settings.from_mapping(
        {**recipe, "beta": 1 / chosen.ratio, "extractor": "vgg19_16x", "image_size": SMALL}
    )
    small = FOLDER / "default" / f"{SMALL}.png"
    settings, path = cell, small
    if chosen.part == "print":
        settings, path = print_settings(cell, chosen.size), small.with_stem(str(chosen.size))
        settings = replace(settings, tile_size=chosen.tile or "auto")
        if chosen.steps:
            settings = replace(settings, iterations=chosen.steps, growth=chosen.steps)
    start = small if chosen.part == "print" else None
    tuebingen, night = ("tubingen", "Tübingen"), ("starry_night", "The Starry Night")
    pair = Pair(given(tuebingen[0]), *tuebingen, given(night[0]), *night, network(), start=start)
    started = time.monotonic()
    (done,) = stylize_pair(pair, [Cell("default", path.stem, "", settings, path)], DEVICE)
    seconds = time.monotonic() - started
    return {
        "width": done.width,
        "height": done.height,
        "tile": tile_side(settings, done.width * done.height),
        "pairs remembered": remembered_pairs(done.width * done.height),
        "s": round(seconds, 1),
        "peak GiB": round(peak_memory(), 2),
        "ssim": done.losses["ssim"],
        "style distance": done.losses["style_distance"],
    }


def given(name: str) -> Path:
    """Return a file of the catalogue, and fetch it if it is missing."""
    entry = read_catalogue()[name]
    path = FOLDER / entry.file
    if not path.exists():
        fetch(entry, path, os.environ.get("NST_MIRROR"))
    return path


def network() -> Path:
    """Return the file of the distilled VGG-19."""
    path = FOLDER / "vgg19_16x.safetensors"
    if not path.exists():
        save_extractor(provide_extractor("vgg19_16x", weights=given("vgg19_16x")), path)
    return path


if __name__ == "__main__":
    main()
