"""Estimate the cells, the time, the memory and the disk space of a run.

Small jobs measure a step of each kind of settings on this machine, at two sizes. They use random
weights and pictures of noise, which take the same time and memory as real ones. Time and memory are
assumed to grow linearly with the number of pixels. Measuring and writing a cell counts as some
extra steps, as in ``allocate_pair``. The rest of a run, its processes and plots, is counted in
starts of Python, which are also measured.
"""

from __future__ import annotations

import itertools
import resource
import statistics
import subprocess
import sys
import time
import timeit
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from PIL import Image

from nst.cells.cell import read_record
from nst.cells.measure import Measure
from nst.config.geometry import evaluations, pixels
from nst.config.layers import Size, block_of, most_octaves
from nst.config.paths import cell_path, grids
from nst.config.pictures import Picture
from nst.config.run import Run
from nst.config.settings import ALGORITHM_VERSION, SIDE, Settings
from nst.errors import ImageError
from nst.imaging.images import read_size
from nst.method.resilience import best_batch_size, make_cells, refused_if_too_large
from nst.method.stages import Images
from nst.network.extractor import Extractor, choose_precision
from nst.system.device import (
    count_cores,
    describe_device,
    reserve_device,
    use_threads,
    wait_for,
)

PROBED_SIDE = 320  # px: from this side on, the time grows with the number of pixels
EVALUATIONS = 14  # steps of a small job; L-BFGS has its whole history after ten
COUNTED = 4  # of these steps, the last ones, whose median counts
JOB_THREADS = 8  # the threads of the rule stylize
ASSUMED_SHAPE = (3, 2)  # of a content that has not been fetched
BYTES_PER_PIXEL = 2.3  # of a picture as PNG: measured over the default grid
COPIES = 2  # of each picture: the output and its copy in the store
HEAVY, LIGHT = "import nst.cells.pair", "import pandas, matplotlib, nst.figures.painting"
GATHERED = 5  # jobs for the whole run: tables, effect plots, gallery, report pages, final check
SECONDS_PER_FITTED_IMAGE = 2.0  # of kmeans


Costs = Mapping[int, int | float]
"""A cost, in seconds or bytes, at two numbers of pixels, the smaller number first."""


@dataclass(frozen=True)
class Calibration:
    """The measured cost of cells on this machine.

    ``seconds`` has the time of a step of one cell, by the kind of its settings. ``memory`` is the
    peak memory of the process in bytes; on a GPU, the peak of the GPU's memory.
    """

    seconds: Mapping[Hashable, Costs]
    memory: Costs
    device: str
    precision: str


@dataclass(frozen=True)
class Estimate:
    """The estimated cost of a run in seconds and bytes, without the cells already ``made``."""

    cells: int
    made: int
    jobs: int
    seconds: float
    memory: int
    disk: int
    calibration: Calibration


def plan_run(run: Run) -> Estimate:
    """Calibrate on this machine, and add up the cost of the missing cells.

    Raises:
        UserError: the device is not available, or a layer does not fit the network.
    """
    variants = [one.settings for one in run.variants]
    sizes = {name: _size(picture) for name, picture in run.contents.items()}
    largest = max(pixels(one, one.image_size, size) for one in variants for size in sizes.values())
    side = max(2 * SIDE[0], min(PROBED_SIDE, round(largest**0.5)))
    missing = [
        (pair, one.settings)
        for pair in run.pairs
        for one in run.variants
        if not _is_made(cell_path(*pair, one.layers, one.ratio), one.settings)
    ]
    jobs = len({pair for pair, _ in missing})
    # Before the calibration, after which this process keeps some of the device's memory.
    seconds = _seconds_around(run, jobs) if jobs else 0.0
    calibration = calibrate(variants, (side // 2, side), run.device)
    drawn = 0
    for (content, _), settings in missing:
        size, cost = sizes[content], calibration.seconds[_kind(settings)]
        seconds += sum(steps * _at(cost, count) for count, steps in evaluations(settings, size))
        drawn += pixels(settings, settings.image_size, size)
    count = len(run.pairs) * len(variants)
    return Estimate(
        cells=count,
        made=count - len(missing),
        jobs=jobs,
        seconds=seconds,
        memory=round(_at(calibration.memory, largest)),
        disk=round(COPIES * BYTES_PER_PIXEL * drawn),
        calibration=calibration,
    )


def _is_made(path: Path, settings: Settings) -> bool:
    """Return whether a cell's picture is there and has these settings."""
    try:
        record = read_record(path)
        made = Settings.from_mapping(record["settings"])
    except (LookupError, TypeError, ValueError, AttributeError):  # a record may hold anything
        return False
    if settings.precision == "auto":  # a record has the precision that auto stood for
        settings = replace(settings, precision=made.precision)
    return record.get("algorithm") == ALGORITHM_VERSION and made == settings


def _size(picture: Picture) -> Size:
    """Return a content's size in px; an assumed shape if it has not been fetched."""
    try:
        return read_size(Path(picture.path))
    except ImageError:
        return ASSUMED_SHAPE


def _kind(settings: Settings) -> Hashable:
    """Return the settings that determine the time of a step, apart from the size."""
    return (
        *(frozenset().union(*settings.compared_layers), settings.octaves, settings.style_loss),
        *(settings.optimiser, settings.pooling, settings.precision, settings.parametrisation),
        *(settings.content_target, settings.style_rotations),
    )


def _at(measured: Costs, count: int) -> float:
    """Return the cost at a number of pixels, on the line through the two measured costs."""
    (small, low), (large, high) = measured.items()
    slope = max(0.0, (high - low) / (large - small))
    return max(high + slope * (count - large), 0.0)


def _seconds_around(run: Run, jobs: int) -> float:
    """Return the seconds of everything but the cells: starts, inputs, network and plots."""
    seconds = jobs * _start_seconds(HEAVY)
    seconds += _light_jobs(run) * _start_seconds(LIGHT) / min(2, count_cores())
    if run.settings.extractor == "kmeans":
        seconds += SECONDS_PER_FITTED_IMAGE * len(run.kmeans_images)
    return seconds


def _light_jobs(run: Run) -> int:
    """Count the jobs that prepare pictures, draw plots and collect results."""
    strips = sum(bool(one.settings.snapshots) for one in run.variants) * len(run.pairs)
    drawn = len(grids(run)) + strips + len(run.contents)  # the last: one job of plots per content
    return len(run.pictures) + drawn + run.asks_for_precision + GATHERED


def _start_seconds(program: str) -> float:
    """Return the seconds of a program of imports; the second run counts: jobs find warm caches."""
    command = [sys.executable, "-c", program]
    start = partial(subprocess.run, command, check=True)  # this Python, a program from this file
    return min(timeit.repeat(start, number=1, repeat=2))


# ---------------------------------------------------------------- measuring a few steps


@refused_if_too_large()
def calibrate(variants: Sequence[Settings], sides: Sequence[int], device_name: str) -> Calibration:
    """Measure small jobs of each kind of settings at each side, in px, the smallest side first.

    The pictures are square; the variants' own sizes and numbers of steps do not matter. Memory that
    this process already holds counts as a job's memory, so it should hold no more than a job does.
    """
    kinds = {_kind(one): one for one in variants}
    seconds: dict[Hashable, dict[int, float]] = {kind: {} for kind in kinds}
    memory: dict[int, int] = {}
    use_threads(JOB_THREADS)
    with reserve_device(device_name) as device:
        extractor = Extractor(variants[0].architecture).eval().to(device)
        extractor = extractor.to(memory_format=torch.channels_last)
        batch = min(len(variants), best_batch_size(device))
        for side in sides:
            for kind, one in kinds.items():
                seconds[kind][side**2] = _measure(extractor, one, side, batch, device)
            memory[side**2] = _peak_memory(device)
        precision = choose_precision(variants[0].precision, device)
    return Calibration(seconds, memory, describe_device(device), precision)


def _measure(
    extractor: Extractor, kind: Settings, side: int, batch: int, device: torch.device
) -> float:
    """Run one small job, and return the seconds of a step of one of its cells."""
    deepest = max(map(block_of, set().union(*kind.compared_layers)))
    octaves = kind.octaves
    if octaves != "auto":  # the smallest octaves, for which a probe may be too small, cost little
        octaves = min(octaves, most_octaves(deepest, side))
    settings = replace(
        kind,
        image_size=(side, side),
        size="exact",
        octaves=octaves,
        style_scale=max(1.0, kind.style_scale),
        iterations=EVALUATIONS,
        coarse_stages=(),
        growth=0,
        finish=0,
        snapshots=(),
        start="content" if kind.start == "file" else kind.start,
        precision=choose_precision(kind.precision, device),
    )
    images = Images.of(_noise(side), _noise(side))
    cells = [replace(settings, seed=seed) for seed in range(batch)]
    moments: list[tuple[float, int]] = []  # the end of each step, and the cells in its batch

    def tick(indices: Sequence[int], *_: object) -> None:
        wait_for(device)
        moments.append((time.perf_counter(), len(indices)))

    list(make_cells(extractor, images, cells, progress=tick))
    Measure(extractor, images.content, images.style)(images.content)  # a job's peak includes it
    last = itertools.pairwise(moments[-COUNTED - 1 :])  # of a batch that fits into the memory
    return statistics.median((after - before) / count for (before, _), (after, count) in last)


def _noise(side: int) -> Image.Image:
    """Return a picture of coloured noise."""
    bands = [Image.effect_noise((side, side), sigma) for sigma in (60, 70, 80)]
    return Image.merge("RGB", bands)


def _peak_memory(device: torch.device) -> int:
    """Return the peak memory so far, in bytes: the GPU's, or else the process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
