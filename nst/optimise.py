"""The optimisation of a batch: steps, the best picture met, and what stops being a number."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch

from nst.objective import Parts
from nst.optimisers import Optimiser
from nst.settings import KeepName
from nst.shapes import Float, Tensor

Evaluate = Callable[[Tensor], Parts]
Progress = Callable[[int, Parts], None]


@dataclass(frozen=True)
class Plan:
    """How far to go, and what to bring back.

    ``keep`` is ``best``, the image of the lowest loss met, or ``last``, the one after the last
    step. ``snapshots`` are numbers of steps after which to keep a copy; 0 is the start. With
    ``clamp`` the images are held in [0, 1] throughout, otherwise only in what is brought back.
    """

    steps: int
    keep: KeepName = "best"
    clamp: bool = True
    snapshots: Collection[int] = ()


@dataclass(frozen=True)
class Outcome:
    """The images brought back, their losses, and what was met on the way.

    ``trace`` has one ``Parts`` for each step, of the images before it. Rows that are not ``finite``
    met a loss or gradient that is not a number, and hold the image from before that.
    """

    images: Float[Tensor, "b 3 h w"]
    parts: Parts
    trace: list[Parts]
    finite: Tensor
    snapshots: Mapping[int, Float[Tensor, "b 3 h w"]]


def optimise(
    evaluate: Evaluate,
    start: Float[Tensor, "b 3 h w"],
    optimiser: Optimiser,
    plan: Plan,
    progress: Progress | None = None,
) -> Outcome:
    """Minimise each row's total loss from ``start`` in a fixed number of steps.

    A row whose loss or gradient stops being finite stands still from there on; the others go on.
    """
    images = best_images = start
    best = torch.full_like(start[:, 0, 0, 0], torch.inf)
    finite = torch.ones_like(best, dtype=torch.bool)
    trace, snapshots = [], {}
    for number in range(1, plan.steps + 1):
        if number - 1 in plan.snapshots:
            snapshots[number - 1] = images.clamp(0, 1)
        parts, gradient = _differentiate(evaluate, images)
        finite = finite & parts.total.isfinite() & gradient.flatten(1).isfinite().all(1)
        better = finite & (parts.total < best)
        best = torch.where(better, parts.total, best)
        best_images = torch.where(_per_row(better), images, best_images)
        trace.append(parts)
        if progress is not None:
            progress(number, parts)
        moved = optimiser.step(images, torch.where(_per_row(finite), gradient, 0.0))
        moved = moved.clamp(0, 1) if plan.clamp else moved
        images = torch.where(_per_row(finite), moved, images)
    result = best_images if plan.keep == "best" else images
    result = result.clamp(0, 1)
    if plan.steps in plan.snapshots:
        snapshots[plan.steps] = result
    with torch.no_grad():
        parts = evaluate(result)
    return Outcome(result, parts, trace, finite, snapshots)


def _differentiate(evaluate: Evaluate, images: Tensor) -> tuple[Parts, Tensor]:
    """Return the losses and the gradient of each row's total."""
    images = images.detach().requires_grad_(True)
    parts = evaluate(images)
    # Rows do not depend on each other, so the gradient of the sum holds each row's own.
    (gradient,) = torch.autograd.grad(parts.total.sum(), images)
    return _detached(parts), gradient


def _detached(parts: Parts) -> Parts:
    """Drop the graph, which would keep every evaluation's features alive."""
    return Parts(
        content=parts.content.detach(),
        style=parts.style.detach(),
        tv=parts.tv.detach(),
        total=parts.total.detach(),
        layers={name: loss.detach() for name, loss in parts.layers.items()},
    )


def _per_row(values: Tensor) -> Tensor:
    """Shape one value per row, number or truth, to go with images."""
    return values[:, None, None, None]
