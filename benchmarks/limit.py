"""How near the optimisation comes to what the machine can do.

The bound is the time of VGG-19's convolutions alone, forward and with the gradient to their input,
each timed by itself in the precision and layout that ``nst`` takes. Everything else of an
evaluation, pooling, ReLU, Gram matrices, losses and the optimiser, is what the bound leaves out.

    python benchmarks/limit.py
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Mapping, Sequence

import torch
from common import DEVICE, convolutions, random_vgg19, save_report, studies, synchronise
from torch.utils.benchmark import Timer

from nst.config.settings import Settings
from nst.method.resilience import make_cells
from nst.network.precision import DTYPES, choose_precision


def main() -> None:
    """Time the convolutions, then whole evaluations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--batch", type=int, default=1 if DEVICE.type == "cpu" else 16)
    parser.add_argument("--evaluations", type=int, default=30)
    chosen = parser.parse_args()
    facts: dict[str, dict[str, float]] = {}
    for precision in dict.fromkeys((choose_precision("auto", DEVICE), "float32")):
        bound, work = time_convolutions(chosen.size, chosen.batch, DTYPES[precision])
        seconds = evaluation(chosen.size, chosen.batch, chosen.evaluations, precision)
        facts[precision] = {
            "bound, s per evaluation of a batch": bound,
            "nst, s per evaluation of a batch": seconds,
            "bound, TFLOP/s": work / bound / 1e12,
            "nst, TFLOP/s": work / seconds / 1e12,
            "fraction of the bound": bound / seconds,
        }
    save_report("limit", {"settings": vars(chosen), **facts})


def time_convolutions(size: int, batch: int, dtype: torch.dtype) -> tuple[float, float]:
    """Return the seconds of all convolutions to conv5_1, and their floating-point operations.

    A picture of the default content's shape, 3:2, as ``evaluation`` has it.
    """
    seconds = work = 0.0
    height, width = round(size * 2 / 3), size
    for name, convolution in convolutions(random_vgg19()).items():
        if name.endswith("_1") and name != "conv1_1":
            height, width = height // 2, width // 2
        layer = convolution.to(DEVICE, dtype).to(memory_format=torch.channels_last)
        shape = (batch, convolution.in_channels, height, width)
        image = torch.rand(shape).to(DEVICE, dtype, memory_format=torch.channels_last)
        image.requires_grad_(True)
        output = layer(image)
        names = {"image": image, "output": output, "ones": torch.ones_like(output)}
        for call in (
            "conv2d(image, weight, bias, padding=1)",
            "grad(output, image, ones, retain_graph=True)",
        ):
            seconds += median(call, {**names, "weight": layer.weight, "bias": layer.bias})
        work += 2 * 2 * 9 * convolution.in_channels * output.numel()
    return seconds, work


def median(call: str, names: Mapping[str, object]) -> float:
    """Return the median time of a call; torch's timer warms up, and waits for a GPU."""
    functions = {"conv2d": torch.nn.functional.conv2d, "grad": torch.autograd.grad}
    timer = Timer(call, globals={**functions, **names}, num_threads=torch.get_num_threads())
    return float(timer.blocked_autorange(min_run_time=0.2).median)


def evaluation(size: int, batch: int, evaluations: int, precision: str) -> float:
    """Return the seconds of one step of the optimiser, for a batch."""
    extractor = random_vgg19().to(DEVICE).to(memory_format=torch.channels_last)
    shared = {"image_size": size, "iterations": evaluations, "precision": precision}
    cells = [Settings.from_mapping({**shared, "beta": 10.0 + place}) for place in range(batch)]
    moments: list[float] = []

    def tick(places: Sequence[int], *_: object) -> None:
        if len(places) != batch:
            sys.exit(f"{batch} cells of {size} px do not fit into the memory; ask for fewer")
        synchronise()
        moments.append(time.perf_counter())

    list(make_cells(extractor, studies(), cells, batch_size=batch, progress=tick))
    steps = sorted(after - before for before, after in itertools.pairwise(moments))
    return steps[len(steps) // 2]


if __name__ == "__main__":
    main()
