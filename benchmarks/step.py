"""Measure the cost of an evaluation by its statistic and by its octaves.

Each round runs every variant once, so that a slower machine slows all variants. The ratios compare
medians with Gram matrices and with one octave, for each network.

    python benchmarks/step.py
    python benchmarks/step.py --size 1024 --octaves 6 --rounds 7
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from common import DEVICE, random_network, save_report, studies, style_of, synchronise

from nst.config.registry import NETWORKS
from nst.config.settings import Settings
from nst.config.variants import read_presets
from nst.imaging.images import fit_long_side
from nst.method.objective import Objective, measure_targets
from nst.method.regions import Region
from nst.network.extractor import DTYPES, Extractor, choose_precision
from nst.network.tensors import to_tensor

PRESETS = read_presets()
GRAM = {**PRESETS["relative_gram"].settings, "pooling": "native"}
STATISTICS: dict[str, dict[str, Any]] = {
    "Gram": GRAM,
    "covariance": {**GRAM, "style_loss": "covariance"},
}


def main() -> None:
    """Time every variant on both small networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--octaves", type=int, default=4, help="compare 1 to this many octaves")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    precision = choose_precision("auto", DEVICE)
    variants = STATISTICS | octave_variants(chosen.octaves)
    networks = {}
    for name in ("kmeans", "vgg19_16x"):
        extractor = random_network(NETWORKS[name].architecture).to(DEVICE)
        extractor = extractor.to(memory_format=torch.channels_last)
        steps = {
            label: evaluation(
                extractor,
                Settings.from_mapping({**values, "extractor": name}),
                chosen.size,
                precision,
            )
            for label, values in variants.items()
        }
        networks[name] = compare(steps, chosen.rounds)
    save_report("step", {"settings": vars(chosen), "precision": precision, "networks": networks})


def octave_variants(most: int) -> dict[str, dict[str, Any]]:
    """Return the recipe ``relative`` with 1, 2, … up to ``most`` octaves."""
    recipe = PRESETS["relative"].settings
    return {f"octaves: {count}": {**recipe, "octaves": count} for count in range(1, most + 1)}


def evaluation(
    extractor: Extractor, settings: Settings, size: int, precision: str
) -> Callable[[], None]:
    """Return a function that evaluates the losses and their gradient once."""
    images = studies()
    content, style = (
        to_tensor(fit_long_side(one, size)).to(DEVICE) for one in (images.content, style_of(images))
    )
    dtype = DTYPES[precision]  # type: ignore[index]
    network = extractor.adapted(settings.pooling, settings.input, dtype, settings.padding)
    targets = measure_targets(network, content, [Region.whole(style)], [settings])
    objective = Objective(network, targets, [settings])

    def step() -> None:
        picture = content.clone().requires_grad_(True)
        torch.autograd.grad(objective(picture)["total"].sum(), picture)
        synchronise()

    return step


def compare(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, dict[str, float]]:
    """Time the steps alternately, after three uncounted rounds."""
    times: dict[str, list[float]] = {label: [] for label in steps}
    for number in range(rounds + 3):
        for label, step in steps.items():
            started = time.perf_counter()
            step()
            if number >= 3:
                times[label].append(time.perf_counter() - started)
    medians = {label: statistics.median(values) for label, values in times.items()}
    return {
        label: {
            "seconds": seconds,
            "to Gram": seconds / medians["Gram"],
            "to one octave": seconds / medians["octaves: 1"],
        }
        for label, seconds in medians.items()
    }


if __name__ == "__main__":
    main()
