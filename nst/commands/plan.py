"""What a run will take: how many cells, how long, how much memory and disk.

The time of an evaluation is measured on this machine, for each kind of settings at two sizes, and
taken to grow evenly with the number of pixels. The rest of a run, its processes and its drawing, is
counted in starts of Python, which are measured too.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from nst.commands.probe import Calibration, Cost, calibrate
from nst.config.paths import grids
from nst.config.pictures import Picture
from nst.config.run import Run
from nst.config.settings import SIDE, Settings
from nst.errors import ImageError
from nst.imaging.images import read_size

PROBED_SIDE = 320  # px: from there on the time grows with the pixels
ASSUMED_SHAPE = 3 / 2  # width over height of a content that is yet to be fetched
BYTES_PER_PIXEL = 2.3  # of a picture as PNG: measured over the default grid
COPIES = 2  # of each picture: where it is wanted, and in the store
JOB_THREADS = 8  # as the rule stylize asks for
HEAVY, LIGHT = "import nst.cells.pair", "import pandas, matplotlib, nst.figures.painting"
GATHERED = 5  # jobs for the whole run: tables, effect plots, gallery, report pages, the last look
SECONDS_PER_FITTED_IMAGE = 2.0  # of kmeans


@dataclass(frozen=True)
class Estimate:
    """What a run will take, without the cells that are ``made``: seconds and bytes."""

    cells: int
    made: int
    jobs: int
    seconds: float
    memory: int
    disk: int
    calibration: Calibration


@dataclass(frozen=True)
class _Work:
    """A cell to make: its settings, and its content's width over height."""

    settings: Settings
    shape: float


def plan_run(run: Run, results: Path = Path("results")) -> Estimate:
    """Calibrate on this machine, and add up what the cells that are not in ``results`` will take.

    Raises:
        UserError: the device is not there, or a layer does not fit the extractor.
    """
    jobs = _missing(run, results)
    work = [one for cells in jobs for one in cells]
    variants = [one.settings for one in run.variants]
    shapes = [_shape(picture) for picture in run.contents.values()]
    largest = max(_pixels(one, one.image_size, shape) for one in variants for shape in shapes)
    calibration = _calibrate(run, variants, largest)
    costs = dict(zip(_kinds(variants), calibration.costs, strict=True))
    seconds = sum(_cell_seconds(costs[_kind(one.settings)], one) for one in work)
    if jobs:
        seconds += _seconds_around(run, len(jobs), calibration)
    pairs = len(run.contents) * len(run.styles)
    return Estimate(
        cells=pairs * len(variants),
        made=pairs * len(variants) - len(work),
        jobs=len(jobs),
        seconds=seconds,
        memory=round(max(_at(one, largest, "peak") for one in costs.values())),
        disk=round(
            COPIES
            * BYTES_PER_PIXEL
            * sum(_pixels(one.settings, one.settings.image_size, one.shape) for one in work)
        ),
        calibration=calibration,
    )


def _missing(run: Run, results: Path) -> list[list[_Work]]:
    """List the cells that are not there, job by job."""
    jobs = []
    for content, picture in run.contents.items():
        shape = _shape(picture)
        for style in run.styles:
            folder = results / "cells" / content / style
            jobs.append(
                [
                    _Work(one.settings, shape)
                    for one in run.variants
                    if not (folder / one.layers / f"{one.ratio}.png").exists()
                ]
            )
    return [cells for cells in jobs if cells]


def _shape(picture: Picture) -> float:
    """Return a content's width over height, or the inverse; a guess if it is yet to be fetched."""
    path = picture.path or f"results/inputs/catalogue/{picture.entry.file if picture.entry else ''}"
    try:
        width, height = read_size(Path(path))
    except ImageError:
        return ASSUMED_SHAPE
    return width / height


def _pixels(settings: Settings, size: int | tuple[int, int], shape: float) -> float:
    """Return the number of pixels of a result."""
    if isinstance(size, tuple):
        return float(size[0] * size[1])
    # The other side is size / shape of the longer one's, or size * shape of the shorter one's.
    stretch = max(shape, 1 / shape)
    return size * size * stretch if settings.size == "short_side" else size * size / stretch


def _kind(settings: Settings) -> tuple[object, ...]:
    """Return what an evaluation's time depends on, apart from the size."""
    return (
        *(frozenset().union(*settings.compared_layers), settings.octaves, settings.style_loss),
        *(settings.optimiser, settings.pooling, settings.precision, settings.parametrisation),
        *(settings.content_target, settings.style_rotations),
    )


def _kinds(variants: Sequence[Settings]) -> dict[tuple[object, ...], Settings]:
    """Choose one of each kind."""
    return {_kind(one): one for one in variants}


def _calibrate(run: Run, variants: Sequence[Settings], largest: float) -> Calibration:
    """Measure every kind at two sizes, in a process of its own."""
    side = max(2 * SIDE[0], min(PROBED_SIDE, round(largest**0.5)))
    kinds = [one.to_dict() for one in _kinds(variants).values()]
    task = (kinds, (side // 2, side), len(variants), run.device, min(JOB_THREADS, _cores()))
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(calibrate, *task).result()


def _cell_seconds(costs: Sequence[Cost], work: _Work) -> float:
    """Return the seconds of one cell, through all its stages."""
    settings = work.settings
    seconds = [
        steps * _at(costs, _pixels(settings, size, work.shape), "evaluation")
        for size, steps in settings.stages
    ]
    return sum(seconds) + _at(
        costs, _pixels(settings, settings.image_size, work.shape), "finishing"
    )


def _at(costs: Sequence[Cost], pixels: float, name: str) -> float:
    """Read a cost off the line through the two that were measured."""
    small, large = costs
    low, high = getattr(small, name), getattr(large, name)
    slope = max(0.0, (high - low) / (large.pixels - small.pixels))
    return float(max(high + slope * (pixels - large.pixels), 0.0))


def _seconds_around(run: Run, jobs: int, calibration: Calibration) -> float:
    """Return the seconds of everything but the cells: starts, inputs, the network, the drawing."""
    beginning = max(cost.beginning for costs in calibration.costs for cost in costs)
    seconds = jobs * (_start_seconds(HEAVY) + beginning)
    seconds += _light_jobs(run) * _start_seconds(LIGHT) / min(2, _cores())
    if run.settings.extractor == "kmeans":
        seconds += SECONDS_PER_FITTED_IMAGE * len(run.kmeans_images)
    return seconds


def _light_jobs(run: Run) -> int:
    """Count the jobs that prepare pictures, draw and gather."""
    pairs = len(run.contents) * len(run.styles)
    strips = sum(bool(one.settings.snapshots) for one in run.variants) * pairs
    drawn = len(grids(run)) + strips + len(run.contents)  # and a job of plots for each content
    return len(run.pictures) + drawn + run.asks_for_precision + GATHERED


def _start_seconds(program: str) -> float:
    """Return how long Python takes to run a program of imports; the second time, as jobs do."""
    folder = str(Path(__file__).resolve().parents[2])
    paths = os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))
    for _ in range(2):
        started = time.perf_counter()
        subprocess.run(  # noqa: S603 - this Python, and a program from this file
            [sys.executable, "-c", program], check=True, env={**os.environ, "PYTHONPATH": paths}
        )
        seconds = time.perf_counter() - started
    return seconds


def _cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
