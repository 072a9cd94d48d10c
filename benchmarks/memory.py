"""Measure the peak memory of a job by picture size and batch size, with VGG-19.

Each case runs in a separate process. On a CPU the peak includes Python, torch and the weights. On
a GPU it counts torch's allocations on the GPU.

    python benchmarks/memory.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys

import torch
from common import DEVICE, peak_memory, random_vgg19, save_report, studies

from nst.config.settings import Settings
from nst.method.resilience import make_cells

CASES = [(256, 1), (256, 6), (512, 1), (1024, 1), (2048, 1)]  # px on the long side, cells
EVALUATIONS = 12  # enough to fill the history of L-BFGS


def main() -> None:
    """Measure every case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--case", nargs=2, type=int, help="measure one size and batch in this process"
    )
    chosen = parser.parse_args()
    if chosen.case:
        print(json.dumps(peak(*chosen.case)))
        return
    cases = []
    for size, batch in CASES:
        command = [sys.executable, __file__, "--case", str(size), str(batch)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        cases.append({"size": size, "batch": batch, "GiB": float(done.stdout)})
    save_report("memory", {"settings": {"evaluations": EVALUATIONS}, "peak": cases})


def peak(size: int, batch: int) -> float:
    """Return the peak memory in GiB for a batch of square pictures."""
    extractor = random_vgg19().to(DEVICE).to(memory_format=torch.channels_last)
    images = studies()
    shared = {
        "image_size": [size, size],
        "size": "exact",
        "iterations": EVALUATIONS,
        "extractor": "vgg19",
    }
    cells = [Settings.from_mapping({**shared, "beta": 10.0 + place}) for place in range(batch)]
    list(make_cells(extractor, images, cells, batch_size=batch))
    return peak_memory()


if __name__ == "__main__":
    main()
