"""The numbers that the network computes in.

In bfloat16 the convolutions take about half the time, where the processor knows it. The picture,
the losses, the Gram matrices' sums and the optimiser stay in float32.
"""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch
from torch.nn import functional as neural

from nst.config.settings import PrecisionName
from nst.network.shapes import Tensor
from nst.system.device import wait_for

logger = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16"]
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
WORTHWHILE = 1.2  # how much faster bfloat16 must be to be worth its rounding; 2 is usual
# Of the convolution that is timed: pictures, channels and side. A few ms in float32: on a GPU it
# has to be much longer than the start of a kernel, about 0.1 ms.
PROBES = {"cpu": (1, 64, 64), "cuda": (16, 128, 128)}
REPEATS = 10


def choose_precision(name: PrecisionName, device: torch.device) -> Precision:
    """Return the precision called ``name``; ``auto`` is the faster one on ``device``.

    bfloat16 is chosen where it is computed natively and one convolution, timed both ways, is
    faster by ``WORTHWHILE``. The answer is kept for as long as the process lives.
    """
    return _faster(device) if name == "auto" else name


@functools.cache
def _faster(device: torch.device) -> Precision:
    """Time both, and say what was chosen and why."""
    if not _has_native_bfloat16(device):
        logger.info("precision: float32, as %s has no bfloat16 of its own", device.type)
        return "float32"
    seconds = _seconds(device)
    gain = seconds["float32"] / seconds["bfloat16"]
    chosen: Precision = "bfloat16" if gain >= WORTHWHILE else "float32"
    logger.info("precision: %s, as bfloat16 is %.1f times as fast as float32 here", chosen, gain)
    return chosen


def _has_native_bfloat16(device: torch.device) -> bool:
    """Tell whether the device may compute in bfloat16 without emulation.

    A CPU's kernels say no more than that they exist, so there the timing has the last word.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    has_kernels: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    return device.type == "cpu" and has_kernels


def _seconds(device: torch.device) -> dict[Precision, float]:
    """Return each precision's shortest time of a convolution and its gradient.

    The answer decides the pixels, so it must be the same in every run, however busy the machine.
    The two take turns, on one core of a CPU, and there its work is counted and not its waiting:
    with eight other programs on two cores the gain was 1.9 to 2.3 so, 0.9 to 9.8 by the clock on
    the wall, and 1.9 to 2.2 with none.
    """
    clock = time.thread_time if device.type == "cpu" else time.perf_counter
    times: dict[Precision, list[float]] = {name: [] for name in DTYPES}
    problems = {name: _problem(dtype, device) for name, dtype in DTYPES.items()}
    with _one_thread():
        for _ in range(REPEATS + 1):  # the first one also chooses kernels
            for name, (image, weight) in problems.items():
                wait_for(device)
                started = clock()
                torch.autograd.grad(neural.conv2d(image, weight, padding=1).sum(), image)
                wait_for(device)
                times[name].append(clock() - started)
    return {name: min(found[1:]) for name, found in times.items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch compute on one core of the CPU for a while."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _problem(dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return an image and the weights of a convolution, in the optimiser's layout."""
    layout = torch.channels_last
    batch, channels, side = PROBES[device.type]
    image = torch.rand(batch, channels, side, side).to(device, dtype, memory_format=layout)
    weight = torch.rand(channels, channels, 3, 3).to(device, dtype, memory_format=layout)
    return image.requires_grad_(True), weight
