"""Compare the time of a step with the time of its convolutions alone.

The time of the convolutions is the bound: forward, and the gradient with respect to their input,
each timed alone in the precision and layout that ``nst`` uses. The bound excludes the rest of a
step: pooling, ReLU, statistics, losses and the optimiser. The benchmark measures VGG-19 with Gram
matrices, and the recipe ``relative`` with VGG-16 at each of ``--recipe-sizes``.

    python benchmarks/limit.py
    python benchmarks/limit.py --recipe-sizes 256 512 1024
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from collections.abc import Iterable, Mapping, Sequence

import torch
from common import (
    DEVICE,
    bias_of,
    convolutions,
    random_network,
    save_report,
    studies,
    style_of,
    synchronise,
)
from torch.utils.benchmark import Timer

from nst.config.geometry import content_size, style_size
from nst.config.layers import VGG16_HED, VGG19, split_octave
from nst.config.settings import Settings
from nst.method.resilience import make_cells
from nst.network.extractor import DTYPES, Extractor, choose_precision

GRAM: Mapping[str, object] = {"extractor": "vgg19"}
# config/presets/relative.yaml at one size. It is repeated here: benchmarks/gpu.py has no PyYAML.
RECIPE: Mapping[str, object] = {
    **{"extractor": "vgg16_hed", "beta": 5.0, "growth": 0, "iterations": 20},
    "content_layers": {"relu1_1": 1, "relu2_1": 1, "relu3_1@1+": 1},
    "style_layers": {"relu1_1": 1, "relu2_1": 1, "relu3_1@1+": 1, "rgb": 0.1},
    **{"content_target": "recoloured", "style_loss": "covariance", "octaves": "auto"},
    **{"pooling": "average", "padding": "symmetric", "start_noise": 0.05, "tv_weight": 5.0},
}


def main() -> None:
    """Time the convolutions, then whole steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--recipe-sizes", type=int, nargs="*", default=[256])
    parser.add_argument("--batch", type=int, default=1 if DEVICE.type == "cpu" else 16)
    parser.add_argument("--evaluations", type=int, default=30)
    chosen = parser.parse_args()
    facts: dict[str, dict[str, float]] = {}
    networks = {"Gram": random_network(VGG19), "recipe": random_network(VGG16_HED)}
    for precision in dict.fromkeys((choose_precision("auto", DEVICE), "float32")):
        runs: list[tuple[str, Mapping[str, object], int]] = [("Gram", GRAM, chosen.size)]
        runs += [("recipe", RECIPE, size) for size in chosen.recipe_sizes]
        for name, recipe, size in runs:
            shared = {"image_size": size, "iterations": chosen.evaluations, "precision": precision}
            settings = Settings.from_mapping({**recipe, **shared})
            facts[f"{name}, {size} px, {precision}"] = compare(
                networks[name], settings, chosen.batch
            )
    save_report("limit", {"settings": vars(chosen), **facts})


def compare(network: Extractor, settings: Settings, batch: int) -> dict[str, float]:
    """Return the bound and the time of a step of a batch."""
    bound = work = 0.0
    for size, layers in octaves_of(settings):
        seconds, operations = time_convolutions(network, layers, size, batch, settings)
        bound, work = bound + seconds, work + operations
    seconds = time_step(network, settings, batch)
    return {
        "bound, s per step of a batch": bound,
        "nst, s per step of a batch": seconds,
        "bound, TFLOP/s": work / bound / 1e12,
        "nst, TFLOP/s": work / seconds / 1e12,
        "fraction of the bound": bound / seconds,
    }


def octaves_of(settings: Settings) -> list[tuple[tuple[int, int], set[str]]]:
    """Return the size, (width, height) in px, and the layers of each compared octave."""
    images = studies()
    content = content_size(images.content.size, settings, settings.image_size)
    style = style_size(style_of(images).size, content, settings)
    taps = settings.taps(content, style)
    octaves: dict[int, set[str]] = {}
    for name in (*taps.content, *taps.style):
        layer, octave = split_octave(name)
        octaves.setdefault(octave, set()).add(layer)
    width, height = content
    return [((width >> one, height >> one), layers) for one, layers in sorted(octaves.items())]


def time_convolutions(
    network: Extractor,
    layers: Iterable[str],
    size: tuple[int, int],
    batch: int,
    settings: Settings,
) -> tuple[float, float]:
    """Return the seconds of the convolutions up to the deepest layer, and their operations."""
    dtype = DTYPES[settings.precision]  # type: ignore[index]
    seconds = work = 0.0
    width, height = size
    for name in network.architecture.needed(layers):
        convolution = convolutions(network)[name]
        if name.endswith("_1") and name != "conv1_1":
            height, width = height // 2, width // 2
        given = (convolution.weight, bias_of(convolution))
        weight, bias = (one.to(DEVICE, dtype) for one in given)
        weight = weight.contiguous(memory_format=torch.channels_last)
        shape = (batch, convolution.in_channels, height, width)
        image = torch.rand(shape).to(DEVICE, dtype, memory_format=torch.channels_last)
        image.requires_grad_(True)
        output = torch.nn.functional.conv2d(image, weight, bias, padding=1)
        names_of = {"image": image, "output": output, "ones": torch.ones_like(output)}
        for call in (
            "conv2d(image, weight, bias, padding=1)",
            "grad(output, image, ones, retain_graph=True)",
        ):
            seconds += median(call, {**names_of, "weight": weight, "bias": bias})
        work += 2 * 2 * 9 * convolution.in_channels * output.numel()
    return seconds, work


def median(call: str, names: Mapping[str, object]) -> float:
    """Return the median time of a call. torch's timer warms up, and waits for a GPU."""
    functions = {"conv2d": torch.nn.functional.conv2d, "grad": torch.autograd.grad}
    timer = Timer(call, globals={**functions, **names}, num_threads=torch.get_num_threads())
    return float(timer.blocked_autorange(min_run_time=0.2).median)


def time_step(network: Extractor, settings: Settings, batch: int) -> float:
    """Return the seconds of one step of a batch."""
    extractor = network.to(DEVICE).to(memory_format=torch.channels_last)
    cells = [
        Settings.from_mapping({**settings.to_dict(), "beta": settings.beta + place})
        for place in range(batch)
    ]
    moments: list[float] = []

    def tick(places: Sequence[int], *_: object) -> None:
        if len(places) != batch:
            sys.exit(f"{batch} cells of this size do not fit into the memory; ask for fewer")
        synchronise()
        moments.append(time.perf_counter())

    list(make_cells(extractor, studies(), cells, batch_size=batch, progress=tick))
    steps = sorted(after - before for before, after in itertools.pairwise(moments))
    return steps[len(steps) // 2]


if __name__ == "__main__":
    main()
