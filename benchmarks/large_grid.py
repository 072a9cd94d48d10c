"""Plan, partly run, kill, resume and gather a grid of ten thousand cells.

The benchmark renders the first pairs with the smallest network at 48 px. Copies of their cells
then replace the cells of the other pairs. Each copy gets different losses, and a trace as long as
that of a long optimisation, so that the gathering jobs have their full work. Snakemake runs these
jobs by the workflow's rules. For growing grids, the benchmark measures the time and peak memory of
each job and of Snakemake. If Chromium is installed, it also times the gallery.

    python benchmarks/large_grid.py
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml
from common import ROOT, save_report
from grid import grid_config, paint_pictures
from PIL import Image

from nst.cells.cell import TRACE_POINTS, Cell, Source, read_details, write_cell, write_details
from nst.config.catalogue import read_catalogue
from nst.config.run import Run, read_run

# Contents, styles, ratios, weightings.
SHAPES = {"1,000": (2, 5, 10, 10), "10,000": (10, 10, 10, 10)}
MADE = 3  # rendered pairs
STEPS = {
    "summary": ["results/summary.csv"],
    "gallery": ["results/gallery/index.html"],
    "plots of the run": ["results/plots/ratios.png", "results/plots/layers.png"],
    "plots of a content": ["results/plots/pairs/content0/style0.png"],
    "overview": ["results/grids/overview.png"],
    "grid of a content": ["results/grids/contents/content0/all0.png"],
    "grid of a pair": ["results/grids/pairs/content0/style0.png"],
    "pages of the report": ["results/report/table.html"],
}
SAMPLED = 0.02  # seconds between two samples of the processes


@dataclass
class Peaks:
    """The peak memory, in MiB, of Snakemake and of its largest job, and the seconds of both."""

    snakemake: float = 0.0
    job: float = 0.0
    seconds: float = 0.0
    job_seconds: float = 0.0
    _seen: dict[int, tuple[float, float]] = field(default_factory=dict)

    def look(self, process: psutil.Process) -> None:
        """Read the peaks of a process and of all its descendants."""
        now = time.perf_counter()
        try:
            self.snakemake = max(self.snakemake, peak_of(process.pid))
            for child in process.children(recursive=True):
                self.job = max(self.job, peak_of(child.pid))
                first, _ = self._seen.get(child.pid, (now, now))
                self._seen[child.pid] = first, now
        except (psutil.Error, OSError):
            return  # the process has ended
        self.job_seconds = max((last - first for first, last in self._seen.values()), default=0.0)

    def facts(self) -> dict[str, float]:
        """Return the figures for the report."""
        return {
            "seconds": self.seconds,
            "seconds of the job": self.job_seconds,
            "MiB": self.job,
            "MiB of Snakemake": self.snakemake,
        }


def main() -> None:
    """Measure every shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--steps", nargs="+", choices=STEPS, default=list(STEPS))
    parser.add_argument("--folder", type=Path, help="keep the grids in this folder, and reuse them")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nst-benchmark-") as name:
        folder = chosen.folder or Path(name)
        facts = {
            one: measure(folder / one.replace(",", ""), one, chosen.steps) for one in chosen.shapes
        }
    save_report("large_grid", {"settings": {"trace": TRACE_POINTS, "px": 48}, "grids": facts})


def measure(folder: Path, shape: str, steps: Sequence[str]) -> dict[str, Any]:
    """Plan a grid, render a part of it, fabricate the rest, and gather."""
    contents, styles, ratios, weightings = SHAPES[shape]
    facts: dict[str, Any] = {"cells": contents * styles * ratios * weightings}
    facts["pairs"] = contents * styles
    if not (folder / "fabricated").exists():
        run = prepare(folder, grid_config(contents, styles, ratios, weightings=weightings, **TINY))
        facts["dry run"] = snakemake(folder, "--dry-run").facts()
        facts |= make_in_part(folder, ratios * weightings)
        fabricate(folder, run)
    facts["dry run of the gathering"] = snakemake(folder, "--dry-run").facts()
    facts["steps"] = {name: gather(folder, STEPS[name]) for name in steps}
    facts["gallery"] = browse(folder / "results" / "gallery" / "index.html")
    return facts


TINY = {
    **{"image_size": 48, "iterations": 1},
    **{"extractor": "kmeans", "kmeans": {"images": ["content0", "style0"]}},
}


def prepare(folder: Path, config: dict[str, Any]) -> Run:
    """Write the pictures and the configuration, and read it."""
    folder.mkdir(parents=True)
    paint_pictures(folder / "pictures", len(config["contents"]), len(config["styles"]), 48)
    (folder / "grid.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    before = Path.cwd()
    os.chdir(folder)
    try:
        return read_run(config, read_catalogue())
    finally:
        os.chdir(before)


def make_in_part(folder: Path, variants: int) -> dict[str, Any]:
    """Render some pairs, kill all processes halfway, and resume with the same command."""
    wanted = [f"results/details/content0/style{number}.json" for number in range(MADE)]
    process = subprocess.Popen(
        command(folder, *wanted),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,
    )
    store = folder / "results" / "store"
    while len(stored(store)) < MADE * variants // 2:
        assert process.poll() is None, "the run ended before it was killed"
        time.sleep(SAMPLED)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = len(stored(store))
    snakemake(folder, "--unlock")
    resumed = snakemake(folder, *wanted)
    cells = [cell for path in wanted for cell in read_details(folder / path).values()]
    return {
        "killed after": before,
        "resumed": {**resumed.facts(), "taken up": sum(cell.reused for cell in cells)},
        "made": len(cells),
    }


def stored(store: Path) -> list[Path]:
    """List the finished cells of a store."""
    return [path for path in store.glob("*/*") if path.name[0] != "."]


def fabricate(folder: Path, run: Run) -> None:
    """Write the cells of all pairs, copied from a rendered pair.

    Snakemake prepares the inputs first, so that no file is older than its inputs.
    """
    inputs = [f"results/inputs/content/{name}.png" for name in run.contents]
    inputs += [f"results/inputs/style/{name}.png" for name in run.styles]
    for start in range(0, len(inputs), 100):
        snakemake(folder, *inputs[start : start + 100])
    results = folder / "results"
    # Fabricated cells need not survive a power cut, and 20,000 waits for the disk take long.
    os.fsync = forget  # type: ignore[assignment]
    made = read_details(results / "details/content0/style0.json")
    patterns = {path: (cell, Image.open(path).convert("RGB")) for path, cell in made.items()}
    random = np.random.default_rng(0)
    for content in run.contents.values():
        for style in run.styles.values():
            cells = {}
            for path, (cell, image) in patterns.items():
                place = results / "cells" / content.name / style.name / path.parent.name / path.name
                sources = (
                    Source(content.name, content.title, cell.content.digest),
                    Source(style.name, style.title, cell.style.digest),
                )
                cells[place] = stand_in(cell, *sources, random)
                write_cell(cells[place], image, place)
            write_details(cells, results / "details" / content.name / f"{style.name}.json")
    (folder / "fabricated").touch()


def forget(_file: int) -> None:
    """Replace fsync: do not wait for the disk."""


def stand_in(cell: Cell, content: Source, style: Source, random: np.random.Generator) -> Cell:
    """Return a cell for another pair, with random losses and a trace of full length."""
    losses = {name: value * random.uniform(0.5, 2) for name, value in cell.losses.items()}
    fall = np.exp(-np.linspace(0, 3, TRACE_POINTS))
    trace = {
        name: [float(value) for value in losses[name] * (1 + 9 * fall)]
        for name in ("content", "style", "tv", "total")
    }
    return replace(cell, content=content, style=style, losses=losses, trace=trace)


def gather(folder: Path, targets: Sequence[str]) -> dict[str, Any]:
    """Run the rule of these files; its inputs exist."""
    for target in targets:
        (folder / target).unlink(missing_ok=True)
    peaks = snakemake(folder, *targets)
    sizes = {target: (folder / target).stat().st_size / 2**20 for target in targets}
    return {**peaks.facts(), "MiB written": sizes}


def snakemake(folder: Path, *options: str) -> Peaks:
    """Run Snakemake, and sample its memory and that of its jobs."""
    peaks, ended = Peaks(), threading.Event()
    started = time.perf_counter()
    with (folder / "log.txt").open("wb") as log:
        process = subprocess.Popen(
            command(folder, *options), stdout=log, stderr=subprocess.STDOUT, env=environment()
        )

        def watch() -> None:
            seen = psutil.Process(process.pid)
            while not ended.wait(SAMPLED):
                peaks.look(seen)

        watcher = threading.Thread(target=watch)
        watcher.start()
        status = process.wait()
        ended.set()
        watcher.join()
    peaks.seconds = time.perf_counter() - started
    if status:
        sys.exit((folder / "log.txt").read_text(encoding="utf-8")[-4000:])
    return peaks


def command(folder: Path, *options: str) -> list[str]:
    """Return Snakemake's command line; it compares dates only, as cells are fabricated."""
    return [
        *(sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")),
        *("--directory", str(folder), "--configfile", str(folder / "grid.yaml")),
        *("--rerun-triggers", "mtime", "--resources", "gpu=1", "--cores", "1", *options),
    ]


def environment() -> dict[str, str]:
    """Return the environment of a run."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def peak_of(process: int) -> float:
    """Return the peak memory of a process in MiB; if that is unknown, its current memory."""
    status = Path(f"/proc/{process}/status")
    if status.exists():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    return float(psutil.Process(process).memory_info().rss) / 2**20


def browse(page: Path) -> dict[str, Any] | None:
    """Open a gallery in Chromium; return milliseconds and MiB, or None without a browser."""
    path = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if path is None or not page.exists():
        return None
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--enable-precise-memory-info"]
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        tab = browser.new_page(viewport={"width": 1280, "height": 900})
        started = time.perf_counter()
        tab.goto(page.as_uri(), wait_until="load", timeout=120_000)
        tab.wait_for_selector("main .plate")
        facts = {"opened": 1000 * (time.perf_counter() - started)}
        facts |= json.loads(tab.evaluate(PAINTED))
        for name, script in ACTIONS.items():
            facts[name] = tab.evaluate(TIMED.replace("ACTION", script))
        facts["MiB of scripts"] = tab.evaluate("performance.memory.usedJSHeapSize / 2 ** 20")
        browser.close()
    return {"MiB of the page": page.stat().st_size / 2**20, **facts}


PAINTED = """JSON.stringify(Object.fromEntries(
  performance.getEntriesByType("paint").map((one) => [one.name, one.startTime])))"""
# The time from an action to the frame that shows it.
TIMED = """new Promise((done) => {
  const SET = (control, value) => {
    document.querySelector(control).value = value;
    document.querySelector(control).dispatchEvent(new Event("input", { bubbles: true }));
  };
  const started = performance.now();
  ACTION;
  requestAnimationFrame(() => setTimeout(() => done(performance.now() - started)));
})"""
ACTIONS = {
    "all cells": "document.querySelector('[data-tab=all]').click()",
    "sort": "SET('select[data-state=sort]', 'style_distance')",
    "filter": "SET('input[data-state=q]', 'content1 all1')",
    "another pair": "location.hash = '#view=matrix&content=content1&style=style1'",
}


if __name__ == "__main__":
    main()
