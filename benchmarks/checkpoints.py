"""Measure the cost of writing checkpoints, compared with the steps.

The cell has a full history of L-BFGS, which makes its checkpoint as large as possible. The network
is `kmeans` with random weights; it decides only the time of a step.

    python benchmarks/checkpoints.py
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from common import DEVICE, RESULTS, save_report, studies, style_of, synchronise

from nst.config.geometry import HISTORY
from nst.config.layers import KMEANS
from nst.config.settings import Settings
from nst.imaging.images import fit_long_side
from nst.method import checkpoint
from nst.method.checkpoint import Checkpoint
from nst.method.resilience import make_cells
from nst.method.stages import Images
from nst.network.extractor import Extractor

WRITINGS = 3  # with a full history


def measure(size: int) -> dict[str, Any]:
    """Write a checkpoint after every step of a cell of this size, and time both."""
    extractor = Extractor(KMEANS).eval().to(DEVICE)
    pictures = studies()
    sources = (pictures.content, style_of(pictures))
    images = Images.of(*(fit_long_side(one, size) for one in sources))
    iterations = HISTORY[1] + 1 + WRITINGS
    settings = replace(Settings(), extractor="kmeans", image_size=size, iterations=iterations)
    steps, writings, sizes, ended = [], [], [], [0.0]
    real = Checkpoint.save

    def timed(kept: Checkpoint, *arguments: Any) -> None:
        started = time.perf_counter()
        real(kept, *arguments)
        ended[0] = time.perf_counter()
        writings.append(ended[0] - started)
        sizes.append((folder / "cell.pt").stat().st_size)

    def tick(*_: object) -> None:
        synchronise()
        steps.append(time.perf_counter() - ended[0])

    Checkpoint.save = timed  # type: ignore[assignment, method-assign]
    checkpoint.SHORTEST_GAP, checkpoint.SHARE = 0.0, float("inf")
    RESULTS.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(dir=RESULTS))  # on the same disk as the results
    try:
        kept = Checkpoint(folder / "cell.pt", ["a cell"])
        list(make_cells(extractor, images, [settings], progress=tick, checkpoint=kept))
    finally:
        shutil.rmtree(folder)
        Checkpoint.save = real  # type: ignore[method-assign]
    writing, step = statistics.median(writings[-WRITINGS:]), statistics.median(steps[-WRITINGS:])
    return {"size": size, "bytes": sizes[-1], "writing": writing, "step": step}


def main() -> None:
    """Measure every size, and compute the share of the time spent on writing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[256, 1024])
    chosen = parser.parse_args()
    wanted, shortest = checkpoint.SHARE, checkpoint.SHORTEST_GAP
    rows = []
    for size in chosen.sizes:
        row = measure(size)
        gap = min(max(shortest, row["writing"] / wanted), checkpoint.LONGEST_GAP)
        gap = max(gap, row["step"])
        share = row["writing"] / (row["writing"] + gap)
        rows.append({**row, "seconds between writings": gap, "share of the time": share})
    save_report("checkpoints", {"settings": vars(chosen), "checkpoints": rows})


if __name__ == "__main__":
    main()
