"""A short calibration: what a cell costs on this machine, measured with a few evaluations.

It runs in a process of its own, so that its memory is that of a job, and with random weights and
pictures of noise, which take the time that real ones take.
"""

from __future__ import annotations

import itertools
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from nst.cells.cell import Cell
from nst.cells.pair import Pair, stylize_pair
from nst.cells.store import CellStore
from nst.config.architecture import ARCHITECTURES
from nst.config.settings import Settings
from nst.method.batches import best_batch_size
from nst.network.extractor import Extractor, save_extractor
from nst.network.precision import choose_precision
from nst.system.device import describe_device, reserve_device, use_threads, wait_for

EVALUATIONS = 14  # L-BFGS has its whole history after ten
COUNTED = 4  # the last of them
JOB_THREADS = 8  # as the rule stylize asks for
EXTRACTOR = "extractor.safetensors"


@dataclass(frozen=True)
class Calibration:
    """What cells of some settings cost at two sizes, by their number of pixels.

    ``seconds`` has, for each of the settings, the time of an evaluation of one cell. ``memory`` is
    the most that the process had taken by then, in bytes; on a GPU, of the GPU's.
    """

    seconds: Sequence[Mapping[int, float]]
    memory: Mapping[int, int]
    device: str
    precision: str


def calibrate(
    kinds: Sequence[Mapping[str, Any]], sides: Sequence[int], cells: int, device_name: str
) -> Calibration:
    """Measure jobs of up to ``cells`` cells of each kind at each side, in px, the least one first.

    ``kinds`` are settings as plain values, to be sent to another process; their sizes and numbers
    of iterations are left out of account. The pictures are square.
    """
    settings = [Settings.from_mapping(kind) for kind in kinds]
    use_threads(JOB_THREADS)
    seconds: list[dict[int, float]] = [{} for _ in settings]
    memory: dict[int, int] = {}
    with (
        reserve_device(device_name) as device,
        tempfile.TemporaryDirectory(prefix="nst-plan-") as name,
    ):
        batch = min(cells, best_batch_size(device))
        folder = Path(name)
        save_extractor(Extractor(ARCHITECTURES[settings[0].extractor]), folder / EXTRACTOR)
        for side in sides:
            for kind, measured in zip(settings, seconds, strict=True):
                measured[side**2] = _measure(folder, kind, side, batch, device)
            memory[side**2] = _peak_memory(device)
        precision = choose_precision(settings[0].precision, device)
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
