"""Measure the cost of a grid outside the optimisation, and the cost of a cell by grid size.

python benchmarks/scaling.py            48 cells of VGG-19, then 12 to 480 small ones
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from common import save_report
from grid import Times, grid_config, run_grid


def main() -> None:
    """Run grids of growing size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=100, help="of VGG-19")
    parser.add_argument("--part", choices=["all", "vgg19", "cells"], default="all")
    chosen = parser.parse_args()
    small = {"image_size": 96, "iterations": 20}
    large = {"image_size": 256, "iterations": chosen.evaluations, "extractor": "vgg19"}
    with tempfile.TemporaryDirectory(prefix="nst-benchmark-") as name:
        folder = Path(name)
        if chosen.part != "cells":
            times = run_grid(folder, grid_config(2, 4, 3, **large))
            save_report("overhead", {"settings": large, **as_facts(times)})
        if chosen.part != "vgg19":
            rows = []
            for contents, styles in [(1, 1), (2, 2), (4, 4), (5, 8)]:  # pairs of 12 cells
                config = grid_config(contents, styles, 3, weightings=4, **small)
                rows.append(as_facts(run_grid(folder, config)))
                save_report("scaling", {"settings": small, "cells": rows})  # each takes minutes


def as_facts(times: Times) -> dict[str, float]:
    """Return the figures of a run for the report."""
    return {
        "cells": times.cells,
        "seconds": times.wall,
        "seconds per cell": times.wall / times.cells,
        "share that is not optimisation": 1 - times.optimising / times.wall,
    }


if __name__ == "__main__":
    main()
