"""What a run will take: how many cells, how long, how much memory and disk.

An evaluation of each kind of settings is measured on this machine at two sizes, in small jobs with
random weights and pictures of noise, which take the time and the memory that real ones take. Both
are taken to grow evenly with the number of pixels. To measure and to write a cell counts as some
more evaluations, as in ``allocate_pair``. The rest of a run, its processes and its drawing, is
counted in starts of Python, which are measured too.
"""

from __future__ import annotations

import itertools
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image

from nst.cells.cell import Cell
from nst.cells.pair import Pair, stylize_pair
from nst.cells.store import CellStore
from nst.config.allocation import evaluations, pixels
from nst.config.architecture import ARCHITECTURES
from nst.config.octaves import Size
from nst.config.paths import cell_path, grids, source_file
from nst.config.pictures import Picture
from nst.config.run import Run
from nst.config.settings import SIDE, Settings
from nst.errors import ImageError
from nst.imaging.images import read_size
from nst.method.batches import best_batch_size
from nst.network.extractor import Extractor, save_extractor
from nst.network.precision import choose_precision
from nst.system.device import (
    count_cores,
    describe_device,
    reserve_device,
    use_threads,
    wait_for,
)

PROBED_SIDE = 320  # px: from there on the time grows with the pixels
EVALUATIONS = 14  # L-BFGS has its whole history after ten
COUNTED = 4  # the last of them
JOB_THREADS = 8  # as the rule stylize asks for
EXTRACTOR = "extractor.safetensors"
ASSUMED_SHAPE = (3, 2)  # of a content that is yet to be fetched
BYTES_PER_PIXEL = 2.3  # of a picture as PNG: measured over the default grid
COPIES = 2  # of each picture: where it is wanted, and in the store
HEAVY, LIGHT = "import nst.cells.pair", "import pandas, matplotlib, nst.figures.painting"
GATHERED = 5  # jobs for the whole run: tables, effect plots, gallery, report pages, the last look
SECONDS_PER_FITTED_IMAGE = 2.0  # of kmeans


Costs = Mapping[int, int | float]
"""What something costs at two numbers of pixels, the smaller one first."""


@dataclass(frozen=True)
class Calibration:
    """What cells cost on this machine.

    ``seconds`` has the time of an evaluation of one cell, by the kind of its settings. ``memory``
    is the most that the process had taken by then, in bytes; on a GPU, of the GPU's.
    """

    seconds: Mapping[Hashable, Costs]
    memory: Costs
    device: str
    precision: str


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
    side = max(2 * SIDE[0], min(PROBED_SIDE, round(largest**0.5)))
    missing = _missing(run)
    jobs = len({(content, style) for content, style, _ in missing})
    # Before the calibration, after which this process keeps some of the device's memory.
    seconds = _seconds_around(run, jobs) if jobs else 0.0
    calibration = calibrate(variants, (side // 2, side), run.device)
    costs = calibration.seconds
    work = [(settings, sizes[content]) for content, _, settings in missing]
    seconds += sum(_cell_seconds(costs[_kind(one)], one, size) for one, size in work)
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


def _kind(settings: Settings) -> Hashable:
    """Return what an evaluation's time depends on, apart from the size."""
    return (
        *(frozenset().union(*settings.compared_layers), settings.octaves, settings.style_loss),
        *(settings.optimiser, settings.pooling, settings.precision, settings.parametrisation),
        *(settings.content_target, settings.style_rotations),
    )


def _cell_seconds(seconds: Costs, settings: Settings, content: Size) -> float:
    """Return the seconds of one cell, through all its stages."""
    return sum(steps * _at(seconds, count) for count, steps in evaluations(settings, content))


def _at(measured: Costs, count: int) -> float:
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


# ---------------------------------------------------------------- a few evaluations


def calibrate(variants: Sequence[Settings], sides: Sequence[int], device_name: str) -> Calibration:
    """Measure small jobs of each kind of settings at each side, in px, the least one first.

    The pictures are square; the variants' own sizes and numbers of iterations do not matter. What
    this process took before is counted as a job's memory, so it should be no more than a job has.
    """
    kinds = {_kind(one): one for one in variants}
    seconds: dict[Hashable, dict[int, float]] = {kind: {} for kind in kinds}
    memory: dict[int, int] = {}
    use_threads(JOB_THREADS)
    with (
        reserve_device(device_name) as device,
        tempfile.TemporaryDirectory(prefix="nst-plan-") as name,
    ):
        batch = min(len(variants), best_batch_size(device))
        folder = Path(name)
        save_extractor(Extractor(ARCHITECTURES[variants[0].extractor]), folder / EXTRACTOR)
        for side in sides:
            for kind, one in kinds.items():
                seconds[kind][side**2] = _measure(folder, one, side, batch, device)
            memory[side**2] = _peak_memory(device)
        precision = choose_precision(variants[0].precision, device)
    return Calibration(seconds, memory, describe_device(device), precision)


def _measure(folder: Path, kind: Settings, side: int, batch: int, device: torch.device) -> float:
    """Run one small job, and return the seconds of an evaluation of one of its cells."""
    settings = replace(
        kind,
        image_size=(side, side),
        size="exact",
        iterations=EVALUATIONS,
        coarse_stages=(),
        growth=0,
        finish=0,
        snapshots=(),
        start="content" if kind.start == "file" else kind.start,
    )
    content, style = (_noise(folder / f"{role}.png", side) for role in ("content", "style"))
    wanted = [
        Cell("probe", str(number), "relative", replace(settings, seed=number), picture)
        for number, picture in enumerate(folder / f"{number}.png" for number in range(batch))
    ]
    moments: list[float] = []
    together = batch

    def tick(indices: Sequence[int], *_: object) -> None:
        nonlocal together
        if len(indices) != together:  # what went before did not fit into the memory
            together = len(indices)
            moments.clear()
        wait_for(device)
        moments.append(time.perf_counter())

    pair = Pair(content, "content", "Content", style, "style", "Style", folder / EXTRACTOR)
    stylize_pair(pair, wanted, device, CellStore(Path(tempfile.mkdtemp(dir=folder))), tick)
    steps = [after - before for before, after in itertools.pairwise(moments)]
    return statistics.median(steps[-COUNTED:]) / together


def _noise(path: Path, side: int) -> Path:
    """Write a picture of coloured noise."""
    bands = [Image.effect_noise((side, side), sigma) for sigma in (60, 70, 80)]
    Image.merge("RGB", bands).save(path)
    return path


def _peak_memory(device: torch.device) -> int:
    """Return the most memory taken so far, in bytes: the GPU's, or else the process's own."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
