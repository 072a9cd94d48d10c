"""Measure the time to reach the loss of a plain loop, judged in float32.

``nst`` runs 300 evaluations, and so does the plain loop, with L-BFGS and with Adam. Every few
evaluations, the benchmark saves the picture. Afterwards it computes the relative losses of every
saved picture in float32, clamped to [0, 1]. The times exclude saving and judging.

    python benchmarks/quality.py            fetches vgg19_16x.pth, or reads it from NST_MIRROR
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from common import (
    DEVICE,
    add_pictures,
    as_sequential,
    chosen_pictures,
    save_report,
    style_of,
    synchronise,
    trained_vgg19_sized,
)
from plain import plain_transfer

from nst.config.geometry import content_size
from nst.config.settings import Settings
from nst.imaging.images import fit_long_side
from nst.method.objective import Objective, measure_targets
from nst.method.regions import Region
from nst.method.resilience import make_cells
from nst.method.stages import Images
from nst.network.extractor import Extractor, choose_precision
from nst.network.tensors import to_tensor

EVERY = 5  # evaluations between two judged pictures
Curve = list[tuple[float, float]]  # seconds, loss


class Clock:
    """Counts seconds, and pauses while a picture is saved."""

    def __init__(self) -> None:
        self.pictures: list[tuple[float, torch.Tensor]] = []
        synchronise()
        self._started = time.perf_counter()

    def set_aside(self, number: int, image: torch.Tensor) -> None:
        """Keep the picture of every fifth evaluation."""
        if number % EVERY:
            return
        synchronise()
        now = time.perf_counter()
        self.pictures.append((now - self._started, image.clamp(0, 1).to("cpu", copy=True)))
        self._started += time.perf_counter() - now


def judge(extractor: Extractor, images: Images, settings: Settings) -> Callable[..., float]:
    """Return a function that computes the total loss of a picture in float32."""
    longest = max(content_size(images.content.size, settings, settings.image_size))
    content = to_tensor(fit_long_side(images.content, longest)).to(DEVICE)
    style = to_tensor(fit_long_side(style_of(images), max(content.shape[-2:]))).to(DEVICE)
    objective = Objective(
        extractor,
        measure_targets(extractor, content, [Region.whole(style)], [settings]),
        [settings],
    )

    def total(image: torch.Tensor) -> float:
        with torch.no_grad():
            return objective(image.to(DEVICE))["total"].item()

    return total


def main() -> None:
    """Run all three optimisations, and find where their curves cross."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=300)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--beta", type=float, default=100.0)
    add_pictures(parser)
    chosen = parser.parse_args()
    images = chosen_pictures(parser, chosen)
    extractor = trained_vgg19_sized().to(DEVICE).to(memory_format=torch.channels_last)
    settings = Settings.from_mapping(
        {
            "beta": chosen.beta,
            "image_size": chosen.size,
            "iterations": chosen.evaluations,
            "extractor": "vgg19_16x",
        }
    )
    evaluate = judge(extractor, images, settings)
    curves = {
        "nst": ours(extractor, images, settings, evaluate),
        "plain L-BFGS": plain(extractor, images, settings, evaluate, "lbfgs"),
        "plain Adam": plain(extractor, images, settings, evaluate, "adam"),
    }
    facts = {
        "settings": {"size": chosen.size, "beta": chosen.beta, "evaluations": chosen.evaluations},
        "precision": choose_precision("auto", DEVICE),
        "gain at the end": {name: gain(curves["nst"], curves[name]) for name in list(curves)[1:]},
        "gain by evaluations": {
            name: gains(curves["nst"], curves[name]) for name in list(curves)[1:]
        },
        "final loss": {name: min(loss for _, loss in curve) for name, curve in curves.items()},
        "curves": curves,
    }
    save_report("quality", facts)


def ours(
    extractor: Extractor, images: Images, settings: Settings, evaluate: Callable[..., float]
) -> Curve:
    """Run nst, and judge its intermediate pictures."""
    clock = Clock()
    step = Optimised(clock)
    with step:
        list(make_cells(extractor, images, [settings]))
    return [(seconds, evaluate(image)) for seconds, image in clock.pictures]


class Optimised:
    """Passes each picture that nst evaluates to the clock."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._real = Objective.__call__
        self._count = 0

    def __enter__(self) -> None:
        def call(objective: Objective, images: torch.Tensor) -> object:
            parts = self._real(objective, images)
            self._clock.set_aside(self._count, images.detach())
            self._count += 1
            return parts

        Objective.__call__ = call  # type: ignore[assignment, method-assign]

    def __exit__(self, *_: object) -> None:
        Objective.__call__ = self._real  # type: ignore[method-assign]


def plain(
    extractor: Extractor,
    images: Images,
    settings: Settings,
    evaluate: Callable[..., float],
    optimiser: str,
) -> Curve:
    """Run the plain loop on the same network, and judge its intermediate pictures."""
    network, places = as_sequential(extractor)
    longest = max(content_size(images.content.size, settings, settings.image_size))
    content = to_tensor(fit_long_side(images.content, longest)).to(DEVICE)
    style = to_tensor(fit_long_side(style_of(images), max(content.shape[-2:]))).to(DEVICE)
    clock = Clock()
    plain_transfer(
        network,
        places,
        content,
        style,
        alpha=settings.alpha,
        beta=settings.beta,
        evaluations=settings.iterations,
        optimiser=optimiser,
        report=clock.set_aside,
    )
    network.to(memory_format=torch.channels_last)
    return [(seconds, evaluate(image)) for seconds, image in clock.pictures]


def gains(ours: Curve, other: Curve) -> dict[int, float | None]:
    """Return how many times sooner ``ours`` reaches the loss of ``other``, by evaluations of it.

    The loss is the lowest of ``other`` until that evaluation; None if ``ours`` never reaches it.
    """
    return {EVERY * place: gain(ours, other[: place + 1]) for place in range(10, len(other), 10)}


def gain(ours: Curve, other: Curve) -> float | None:
    """Return how many times sooner ``ours`` reaches the lowest loss of ``other``, or None."""
    best_time, best = other[-1][0], min(loss for _, loss in other)
    for seconds, loss in ours:
        if loss <= best:
            return best_time / max(seconds, 1e-9)
    return None


if __name__ == "__main__":
    main()
