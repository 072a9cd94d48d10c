"""What an evaluation costs by its statistic and octaves, and where a small network's time goes.

Every variant takes its turn in each round, so that a machine that slows down slows all of them;
the ratios are of medians, to the first of a network.

    python benchmarks/step.py
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from common import DEVICE, save_report, studies, style_of, synchronise

from nst.config.architecture import ARCHITECTURES
from nst.config.presets import read_presets
from nst.config.settings import Settings
from nst.imaging.images import fit_long_side
from nst.method.objective import Objective, measure_targets
from nst.method.regions import Region
from nst.network.extractor import Extractor
from nst.network.precision import DTYPES, choose_precision
from nst.network.tensors import to_tensor

GRAM = dict(read_presets()["relative_gram"].settings)
DEEP = {"octaves": 1, "pooling": "native"}
LAYERS = {"style_layers": {"relu1_1": 1, "relu2_1": 1, "relu3_1": 1}}
VARIANTS: dict[str, dict[str, Any]] = {
    "Gram": {**GRAM, **DEEP},
    "covariance": {**GRAM, **DEEP, "style_loss": "covariance"},
    "relative": dict(read_presets()["relative"].settings),
    **{
        f"covariance, {count} octaves": {
            **GRAM,
            **LAYERS,
            **{"style_loss": "covariance", "content_layers": {"relu3_1": 1}, "octaves": count},
        }
        for count in (1, 2, 3, 4)
    },
}


def main() -> None:
    """Time every variant of both small networks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=40)
    chosen = parser.parse_args()
    precision = choose_precision("auto", DEVICE)
    networks = {}
    for name in ("kmeans", "vgg19_16x"):
        extractor = random_network(name)
        steps = {
            label: evaluation(extractor, Settings.from_mapping(values), chosen.size, precision)
            for label, values in VARIANTS.items()
        }
        networks[name] = compare(steps, chosen.rounds)
    save_report("step", {"settings": vars(chosen), "precision": precision, "networks": networks})


def random_network(name: str) -> Extractor:
    """Return a network of a known shape with random weights, which take the time of real ones."""
    torch.manual_seed(0)
    return Extractor(ARCHITECTURES[name]).eval().to(DEVICE)


def evaluation(
    extractor: Extractor, settings: Settings, size: int, precision: str
) -> Callable[[], None]:
    """Return a function that evaluates the losses and their gradient once."""
    images = studies()
    content, style = (
        to_tensor(fit_long_side(one, size)).to(DEVICE) for one in (images.content, style_of(images))
    )
    network = extractor.adapted(settings.pooling, settings.input, DTYPES[precision])  # type: ignore[index]
    targets = measure_targets(network, content, [Region.whole(style)], [settings])
    objective = Objective(network, targets, [settings])

    def step() -> None:
        picture = content.clone().requires_grad_(True)
        torch.autograd.grad(objective(picture).total.sum(), picture)
        synchronise()

    return step


def compare(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, dict[str, float]]:
    """Time the steps in turn, after three rounds that are not counted."""
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
            "to one octave": seconds / medians["covariance, 1 octaves"],
        }
        for label, seconds in medians.items()
    }


if __name__ == "__main__":
    main()
