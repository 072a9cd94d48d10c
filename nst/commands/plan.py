"""What a run will take: how many cells, how long, how much memory and disk.

The time of an evaluation is measured on this machine, for each kind of settings at two sizes, and
taken to grow evenly with the number of pixels. To measure and to write a cell counts as some more
evaluations, as in ``allocate_pair``. The rest of a run, its processes and its drawing, is counted
in starts of Python, which are measured too.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

from nst.commands.probe import Calibration, calibrate
from nst.config.allocation import FINISHING, pixels
from nst.config.octaves import Size
from nst.config.paths import cell_path, grids, source_file
from nst.config.pictures import Picture
from nst.config.run import Run
from nst.config.settings import SIDE, Settings
from nst.errors import ImageError
from nst.imaging.images import read_size
from nst.system.device import count_cores

PROBED_SIDE = 320  # px: from there on the time grows with the pixels
ASSUMED_SHAPE = (3, 2)  # of a content that is yet to be fetched
BYTES_PER_PIXEL = 2.3  # of a picture as PNG: measured over the default grid
COPIES = 2  # of each picture: where it is wanted, and in the store
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


def plan_run(run: Run) -> Estimate:
    """Calibrate on this machine, and add up what the cells that are yet to be made will take.

    Raises:
        UserError: the device is not there, or a layer does not fit the extractor.
    """
    variants = [one.settings for one in run.variants]
    sizes = {name: _size(picture) for name, picture in run.contents.items()}
    largest = max(pixels(one, one.image_size, size) for one in variants for size in sizes.values())
    calibration = _calibrate(run, variants, largest)
    costs = dict(zip(_kinds(variants), calibration.seconds, strict=True))
    missing = _missing(run)
    jobs = len({(content, style) for content, style, _ in missing})
    work = [(settings, sizes[content]) for content, _, settings in missing]
    seconds = sum(_cell_seconds(costs[_kind(one)], one, size) for one, size in work)
    if jobs:
        seconds += _seconds_around(run, jobs)
    drawn = sum(pixels(one, one.image_size, size) for one, size in work)
    count = len(run.pairs) * len(variants)
    return Estimate(
        cells=count,
        made=count - len(work),
        jobs=jobs,
        seconds=seconds,
        memory=round(_at(calibration.memory, largest)),
        disk=round(COPIES * BYTES_PER_PIXEL * drawn),
        calibration=calibration,
    )


def _missing(run: Run) -> list[tuple[str, str, Settings]]:
    """List the content, the style and the settings of the cells that are not there."""
    return [
        (content, style, one.settings)
        for content, style in run.pairs
        for one in run.variants
        if not cell_path(content, style, one.layers, one.ratio).exists()
    ]


def _size(picture: Picture) -> Size:
    """Return a content's size in px; a guess at its shape if it is yet to be fetched."""
    try:
        return read_size(Path(source_file(picture)))
    except ImageError:
        return ASSUMED_SHAPE


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


def _calibrate(run: Run, variants: Sequence[Settings], largest: int) -> Calibration:
    """Measure every kind at two sizes, in a process of its own."""
    side = max(2 * SIDE[0], min(PROBED_SIDE, round(largest**0.5)))
    kinds = [one.to_dict() for one in _kinds(variants).values()]
    task = (kinds, (side // 2, side), len(variants), run.device)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(calibrate, *task).result()


def _cell_seconds(seconds: Mapping[int, float], settings: Settings, content: Size) -> float:
    """Return the seconds of one cell, through all its stages."""
    stages = [*settings.stages, (settings.image_size, FINISHING)]
    return sum(steps * _at(seconds, pixels(settings, size, content)) for size, steps in stages)


def _at(measured: Mapping[int, int | float], count: int) -> float:
    """Read a cost at a number of pixels off the line through the two that were measured."""
    (small, low), (large, high) = measured.items()
    slope = max(0.0, (high - low) / (large - small))
    return max(high + slope * (count - large), 0.0)


def _seconds_around(run: Run, jobs: int) -> float:
    """Return the seconds of everything but the cells: starts, inputs, the network, the drawing."""
    seconds = jobs * _start_seconds(HEAVY)
    seconds += _light_jobs(run) * _start_seconds(LIGHT) / min(2, count_cores())
    if run.settings.extractor == "kmeans":
        seconds += SECONDS_PER_FITTED_IMAGE * len(run.kmeans_images)
    return seconds


def _light_jobs(run: Run) -> int:
    """Count the jobs that prepare pictures, draw and gather."""
    strips = sum(bool(one.settings.snapshots) for one in run.variants) * len(run.pairs)
    drawn = len(grids(run)) + strips + len(run.contents)  # and a job of plots for each content
    return len(run.pictures) + drawn + run.asks_for_precision + GATHERED


def _start_seconds(program: str) -> float:
    """Return how long Python takes to run a program of imports; the second time, as jobs do."""
    for _ in range(2):
        started = time.perf_counter()
        # This Python, and a program from this file.
        subprocess.run([sys.executable, "-c", program], check=True)  # noqa: S603
        seconds = time.perf_counter() - started
    return seconds
