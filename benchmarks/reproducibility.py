"""Measure how far a cell moves if numbers are rounded differently, and how far other cells are.

To simulate other machines, a cell is recomputed in processes with another number of threads, with
oneDNN and torch limited to older instructions, and without oneDNN. For comparison, the benchmark
renders different cells: another seed, a little more style, fewer steps, another precision. A
tolerance must lie between the two groups. The benchmark fetches `vgg19_16x.pth`, or reads it from
NST_MIRROR.

    python benchmarks/reproducibility.py
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from common import RESULTS, default_pictures, save_report, style_of
from PIL import Image

from nst.cells.measure import Measure
from nst.cells.verify import COARSE, LOSS, SSIM, compare
from nst.config.catalogue import fetch, read_catalogue
from nst.config.settings import Settings
from nst.config.variants import read_presets
from nst.method.resilience import make_cells
from nst.network.extractor import load_extractor, save_extractor
from nst.network.kmeans import fit_kmeans
from nst.network.provision import provide_extractor
from nst.network.tensors import to_image, to_tensor

RECIPE = read_presets()["relative"].settings
EXTRACTORS = ("kmeans", "vgg19_16x")
OPTIMISERS = ("lbfgs", "adam")
PRECISIONS = ("float32", "bfloat16")

# By name: the environment of the process, its threads, and whether it uses oneDNN.
ROUNDING: Mapping[str, tuple[dict[str, str], int, bool]] = {
    "the same": ({}, 2, True),
    "1 thread": ({}, 1, True),
    "AVX-512 without bfloat16": ({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}, 2, True),
    "AVX2": ({"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}, 2, True),
    "without oneDNN": ({}, 2, False),
}
OTHERS: Mapping[str, dict[str, Any]] = {
    "another seed": {"seed": 1},
    "10 % more style": {"beta": 1.1 * RECIPE["beta"]},
    "10 % fewer iterations": {"iterations": 0.9},
}
OTHER_PRECISION = "the other precision"
# Only in float32: bfloat16 is emulated there, 50 times slower. Other cells differ in any precision.
IN_FLOAT32 = {"AVX2", "without oneDNN", *OTHERS}


def main() -> None:
    """Render every cell with every change, and compare it with the reference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--iterations", type=int, default=RECIPE["iterations"])
    parser.add_argument("--only", nargs="+", help="measure only these changes, by name")
    parser.add_argument("--folder", type=Path, help="keep cells in this folder, and resume from it")
    parser.add_argument("--case", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.case:
        make(**json.loads(chosen.case))
        return
    with tempfile.TemporaryDirectory(prefix="nst-benchmark-") as name:
        folder = chosen.folder or Path(name)
        folder.mkdir(exist_ok=True)
        rows = measure_all(folder, chosen.size, chosen.iterations, chosen.only)
    save_report(
        "reproducibility",
        {
            "settings": {"size": chosen.size, "iterations": chosen.iterations},
            "tolerance": {"coarse": COARSE, "ssim": SSIM, "loss": LOSS},
            "cells": rows,
        },
    )


def measure_all(
    folder: Path, size: int, iterations: int, only: list[str] | None
) -> list[dict[str, Any]]:
    """Return a row for each change of each cell."""
    save_extractors(folder)
    cells = [
        Settings.from_mapping(
            {
                **RECIPE,
                "extractor": extractor,
                "optimiser": optimiser,
                "precision": precision,
                "image_size": size,
                "iterations": iterations,
            }
        )
        for extractor, optimiser, precision in itertools.product(EXTRACTORS, OPTIMISERS, PRECISIONS)
    ]
    reference = run(folder, "the first", cells)
    rows = []
    for name in only or [*ROUNDING, *OTHERS]:
        precisions = PRECISIONS[:1] if name in IN_FLOAT32 else PRECISIONS
        taken = [place for place, cell in enumerate(cells) if cell.precision in precisions]
        made = run(folder, name, [changed(cells[place], OTHERS.get(name, {})) for place in taken])
        rows += [
            row(cells[place], name, reference[place], one)
            for place, one in zip(taken, made, strict=True)
        ]
        print(f"{name}: done", file=sys.stderr)
    for place in range(0, len(cells), len(PRECISIONS)):  # float32, then bfloat16
        rows.append(row(cells[place], OTHER_PRECISION, *reference[place : place + 2]))
    return rows


def changed(settings: Settings, change: Mapping[str, Any]) -> Settings:
    """Return the settings with a small change, which makes it another cell."""
    if "iterations" in change:
        return replace(settings, iterations=round(settings.iterations * change["iterations"]))
    return replace(settings, **change)


def save_extractors(folder: Path) -> None:
    """Save both networks once, as the workflow does: they are inputs of a cell."""
    if (folder / "vgg19_16x.safetensors").exists():
        return
    images = default_pictures()
    small = [image.resize((192, 192)) for image in (images.content, style_of(images))]
    save_extractor(fit_kmeans([to_tensor(one) for one in small], 0), folder / "kmeans.safetensors")
    weights = RESULTS / "inputs" / "vgg19_16x.pth"
    if not weights.exists():
        fetch(read_catalogue()["vgg19_16x"], weights, os.environ.get("NST_MIRROR"))
    network = provide_extractor("vgg19_16x", weights=weights)
    save_extractor(network, folder / "vgg19_16x.safetensors")


def run(folder: Path, name: str, cells: Sequence[Settings]) -> list[dict[str, Any]]:
    """Render cells in a separate process; return the picture, losses and seconds of each."""
    environment, threads, onednn = ROUNDING.get(name, ROUNDING["the same"])
    network, folder = folder, folder / name
    case = {
        "network": str(network),
        "folder": str(folder),
        "cells": [one.to_dict() for one in cells],
        "threads": threads,
        "onednn": onednn,
    }
    folder.mkdir(exist_ok=True)
    if not all((folder / f"{place}.json").exists() for place in range(len(cells))):
        command = [sys.executable, __file__, "--case", json.dumps(case)]
        subprocess.run(command, check=True, env={**os.environ, **environment})
    made = []
    for place in range(len(cells)):
        facts = json.loads((folder / f"{place}.json").read_text(encoding="utf-8"))
        with Image.open(folder / f"{place}.png") as image:
            made.append({**facts, "picture": image.convert("RGB")})
    return made


def make(
    *,
    network: str,
    folder: str,
    cells: Sequence[dict[str, Any]],
    threads: int,
    onednn: bool,
) -> None:
    """Render cells in this process, and write each cell; skip the cells that exist."""
    torch.set_num_threads(threads)
    torch.backends.mkldnn.set_flags(onednn)
    images = default_pictures()
    for place, settings in enumerate(cells):
        facts = Path(folder) / f"{place}.json"
        if facts.exists():
            continue
        cell = Settings.from_mapping(settings)
        extractor = load_extractor(Path(network) / f"{cell.extractor}.safetensors")
        extractor.to(memory_format=torch.channels_last)
        started = time.perf_counter()
        (result,) = make_cells(extractor, images, [cell])
        seconds = time.perf_counter() - started
        assert result.image is not None, "the losses stopped being numbers"
        picture = to_image(result.image)
        picture.save(facts.with_suffix(".png"))
        measures = Measure(extractor, images.content, images.style)(picture)
        text = json.dumps({"losses": {**result.losses, **measures}, "seconds": seconds})
        facts.write_text(text, encoding="utf-8")


def row(
    settings: Settings, name: str, reference: Mapping[str, Any], made: Mapping[str, Any]
) -> dict[str, Any]:
    """Compare a cell with its reference."""
    found = compare(reference["picture"], made["picture"], reference["losses"], made["losses"])
    measures = {key: value for key, value in found.losses.items() if " " not in key}
    return {
        "extractor": settings.extractor,
        "optimiser": settings.optimiser,
        "precision": settings.precision,
        "change": name,
        "same cell": name in ROUNDING,
        "largest": found.largest,
        "mean": found.mean,
        "psnr": found.psnr,
        "coarse": found.coarse,
        "ssim": found.ssim,
        "losses": measures,
        "within tolerance": found.verdict != "different",
        "seconds": made["seconds"],
    }


if __name__ == "__main__":
    main()
