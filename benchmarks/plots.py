"""Plot the existing reports: time to quality, recipes, throughput, cost per cell, memory.

python benchmarks/plots.py
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from common import RESULTS
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = {"nst": "#0072B2", "plain L-BFGS": "#D55E00", "plain Adam": "#009E73"}  # Okabe and Ito


def main() -> None:
    """Draw a plot for each report."""
    mpl.rcParams.update(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "figure.dpi": 200}
    )
    for name, draw in DRAWN.items():
        report = RESULTS / f"{name}.json"
        if not report.exists():
            print(f"{name}: not measured yet; run python benchmarks/{name}.py")
            continue
        facts = json.loads(report.read_text(encoding="utf-8"))
        figure = Figure(figsize=(4.5, 3), layout="constrained")
        axes = figure.add_subplot()
        draw(axes, facts)
        axes.set_title(f"{axes.get_title()}\n{facts['machine']['processor']}", fontsize=9)
        figure.savefig(RESULTS / f"{name}.png")
        print(RESULTS / f"{name}.png")


def quality(axes: Axes, facts: dict[str, Any]) -> None:
    """Draw loss against time."""
    for name, curve in facts["curves"].items():
        seconds, losses = zip(*curve, strict=True)
        axes.plot(seconds, losses, label=name, color=COLOURS[name])
    axes.set(xscale="log", yscale="log", xlabel="seconds", ylabel="loss, judged in float32")
    axes.set_title(f"Time to quality, {facts['settings']['size']} px, VGG-19's size")
    axes.legend(frameon=False)


def budget(axes: Axes, facts: dict[str, Any]) -> None:
    """Draw the distance from the style against time."""
    for name, rows in facts["curves"].items():
        seconds, features = ([row[key] for row in rows] for key in ("seconds", "features"))
        axes.plot(seconds, features, "o-", label=f"{name}, SSIM {rows[-1]['ssim']:.2f}")
    axes.set(xscale="log", ylim=(0, None), xlabel="seconds", ylabel="distance by features")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_title(f"Recipes on {facts['settings']['network']}, {facts['settings']['size']} px")
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, -0.2), ncols=3, fontsize=7)


def batch(axes: Axes, facts: dict[str, Any]) -> None:
    """Draw throughput against batch size."""
    rows = facts["batches"]
    rates = [1 / row["seconds per cell and evaluation"] for row in rows]
    axes.plot([row["batch"] for row in rows], rates, "o-", color=COLOURS["nst"])
    axes.set(xlabel="cells side by side", ylabel="evaluations per second", ylim=(0, None))
    axes.set_title(f"Throughput, VGG-19, {facts['settings']['size']} px, {facts['precision']}")


def scaling(axes: Axes, facts: dict[str, Any]) -> None:
    """Draw the cost of a cell against the size of its grid."""
    rows = facts["cells"]
    costs = [row["seconds per cell"] for row in rows]
    axes.plot([row["cells"] for row in rows], costs, "o-", color=COLOURS["nst"])
    axes.set(xscale="log", xlabel="cells in the grid", ylabel="seconds per cell", ylim=(0, None))
    axes.set_title("Cost of a cell, everything included")


def memory(axes: Axes, facts: dict[str, Any]) -> None:
    """Draw the peak of memory against the number of pixels."""
    rows = sorted(facts["peak"], key=lambda row: row["size"] ** 2 * row["batch"])
    pixels = [row["size"] ** 2 * row["batch"] / 1e6 for row in rows]
    axes.plot(pixels, [row["GiB"] for row in rows], "o-", color=COLOURS["nst"])
    for at, row in zip(pixels, rows, strict=True):
        label = f"{row['batch']} × {row['size']} px"
        axes.annotate(label, (at, row["GiB"]), xytext=(4, -10), textcoords="offset points")
    axes.set(xlabel="megapixels side by side", ylabel="peak, GiB", ylim=(0, None))
    axes.set_title("Memory of a job, VGG-19")


DRAWN: dict[str, Callable[[Axes, dict[str, Any]], None]] = {
    "quality": quality,
    "budget": budget,
    "batch": batch,
    "scaling": scaling,
    "memory": memory,
}

if __name__ == "__main__":
    main()
