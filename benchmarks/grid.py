"""Run the whole workflow on a grid of a given size, and separate its times."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from common import ROOT, random_vgg19
from PIL import Image

from nst.network.extractor import save_extractor

WEIGHTINGS = {
    "all": ["relu1_1", "relu2_1", "relu3_1", "relu4_1", "relu5_1"],
    "fine": ["relu1_1", "relu2_1", "relu3_1"],
}


@dataclass(frozen=True)
class Times:
    """Seconds of a run: by the wall clock, and in the optimiser, summed over all cells."""

    wall: float
    optimising: float
    cells: int


def grid_config(
    contents: int, styles: int, ratios: int, *, weightings: int = 2, **settings: Any
) -> dict[str, Any]:
    """Return a configuration of ``contents * styles * ratios * weightings`` cells."""
    names = [f"{name}{number}" for number in range(-(-weightings // 2)) for name in WEIGHTINGS]
    return {
        "contents": [f"pictures/content{number}.png" for number in range(contents)],
        "styles": [f"pictures/style{number}.png" for number in range(styles)],
        "ratios": [f"1e-{number}" for number in range(ratios)],
        "layers": {
            name: {
                # The weights differ, so that no two weightings give the same cell.
                "content": {"relu4_2": 1},
                "style": {
                    layer: 1 + number * place
                    for place, layer in enumerate(WEIGHTINGS[name.rstrip("0123456789")])
                },
            }
            for number, name in enumerate(names[:weightings])
        },
        **settings,
    }


def paint_pictures(folder: Path, contents: int, styles: int, side: int) -> None:
    """Write pictures of ``side`` px; their content does not affect the time."""
    folder.mkdir(parents=True, exist_ok=True)
    for role, count in (("content", contents), ("style", styles)):
        for number in range(count):
            noise = Image.effect_noise((side, side), 60 + 10 * number)
            picture = Image.merge("RGB", [noise, noise.rotate(90), noise.rotate(180)])
            picture.save(folder / f"{role}{number}.png")


def run_grid(folder: Path, config: Mapping[str, Any], *options: str) -> Times:
    """Run the workflow as a user would, without earlier results in ``folder``; return its times."""
    shutil.rmtree(folder / "results", ignore_errors=True)
    shutil.rmtree(folder / ".snakemake", ignore_errors=True)
    sides = config["image_size"]
    paint_pictures(folder / "pictures", len(config["contents"]), len(config["styles"]), sides)
    if config.get("extractor") == "vgg19":
        # Random weights have no published sha256, so they go where the workflow keeps its networks.
        save_extractor(random_vgg19(), folder / "results" / "extractors" / "vgg19.safetensors")
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(dict(config)), encoding="utf-8")
    started = time.perf_counter()
    snakemake(folder, path, *options)
    wall = time.perf_counter() - started
    table = pd.read_csv(folder / "results" / "summary.csv")
    return Times(wall, float(table["seconds"].sum()), len(table))


def snakemake(folder: Path, config: Path, *options: str) -> None:
    """Run Snakemake as a user would, with all cores."""
    command = [sys.executable, "-m", "snakemake", "--cores", "all", "--resources", "gpu=1"]
    command += [
        "--snakefile",
        str(ROOT / "Snakefile"),
        "--directory",
        str(folder),
        "--quiet",
        "all",
    ]
    command += ["--configfile", str(config), *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{json.dumps(command)} failed:\n{done.stderr[-4000:]}")
