"""Measure throughput by batch size, with cells of VGG-19 optimised in one batch.

On a GPU, it also tests the largest promise: 500 evaluations at 512 px in a second.

    python benchmarks/batch.py
    python benchmarks/batch.py --size 512 --batches 1 4 16 32    with a GPU
"""

from __future__ import annotations

import argparse

from common import DEVICE, random_vgg19, save_report
from limit import GRAM, time_step

from nst.config.settings import Settings
from nst.network.extractor import choose_precision


def main() -> None:
    """Measure every batch size."""
    on_cpu = DEVICE.type == "cpu"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256 if on_cpu else 512)
    parser.add_argument(
        "--batches", type=int, nargs="+", default=[1, 2, 3, 6] if on_cpu else [1, 2, 4, 8, 16, 32]
    )
    parser.add_argument("--evaluations", type=int, default=12 if on_cpu else 60)
    chosen = parser.parse_args()
    precision = choose_precision("auto", DEVICE)
    steps = {"iterations": chosen.evaluations, "precision": precision}
    settings = Settings.from_mapping({**GRAM, "image_size": chosen.size, **steps})
    network = random_vgg19()
    rows = []
    for batch in chosen.batches:
        seconds = time_step(network, settings, batch) / batch
        rows.append(
            {
                "batch": batch,
                "seconds per cell and evaluation": seconds,
                "seconds per cell of 500 evaluations": 500 * seconds,
            }
        )
    save_report("batch", {"settings": vars(chosen), "precision": precision, "batches": rows})


if __name__ == "__main__":
    main()
