"""The optimisation of a batch: steps, the best picture met, and what stops being a number."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch

from nst.config.settings import KeepName
from nst.method.objective import Parts
from nst.method.optimisers import Optimiser
from nst.network.shapes import Float, Tensor
from nst.system.device import wait_for

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


@dataclass
class State:
    """Where an optimisation stands. With the optimiser's memory, all that the rest depends on.

    ``trace`` has one ``Parts`` for each step taken, and ``seconds`` is the time they took.
    """

    images: Float[Tensor, "b 3 h w"]
    best_images: Float[Tensor, "b 3 h w"]
    best: Float[Tensor, " b"]
    finite: Tensor
    trace: list[Parts]
    snapshots: dict[int, Float[Tensor, "b 3 h w"]]
    seconds: float = 0.0

    @classmethod
    def at(cls, start: Float[Tensor, "b 3 h w"]) -> State:
        """Return the state before the first step."""
        best = torch.full_like(start[:, 0, 0, 0], torch.inf)
        return cls(start, start, best, torch.ones_like(best, dtype=torch.bool), [], {})

    @property
    def steps(self) -> int:
        """The number of steps taken."""
        return len(self.trace)

    def tensors(self) -> dict[str, Tensor]:
        """Return all of it but the seconds by name, with a row for each cell."""
        own = {name: getattr(self, name) for name in ("images", "best_images", "best", "finite")}
        return {**own, **_named_trace(self.trace), **_named_snapshots(self.snapshots)}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], seconds: float) -> State:
        """Read back what ``tensors`` returned."""
        own = {name: tensors[name] for name in ("images", "best_images", "best", "finite")}
        trace, snapshots = _trace_from(tensors), _snapshots_from(tensors)
        return cls(**own, trace=trace, snapshots=snapshots, seconds=seconds)


@dataclass(frozen=True)
class Outcome:
    """The images brought back, their losses, and what was met on the way.

    ``trace`` has one ``Parts`` for each step, of the images before it. Rows that are not ``finite``
    met a loss or gradient that is not a number, and hold the image from before that. ``seconds``
    is the time that all rows took together, that before an interruption included.
    """

    images: Float[Tensor, "b 3 h w"]
    parts: Parts
    trace: list[Parts]
    finite: Tensor
    snapshots: Mapping[int, Float[Tensor, "b 3 h w"]]
    seconds: float

    def tensors(self) -> dict[str, Tensor]:
        """Return all of it but the seconds by name, with a row for each cell."""
        return {
            "images": self.images,
            "finite": self.finite,
            **{f"parts {name}": values for name, values in self.parts.named().items()},
            **_named_trace(self.trace),
            **_named_snapshots(self.snapshots),
        }

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor], seconds: float) -> Outcome:
        """Read back what ``tensors`` returned."""
        parts = Parts.from_named(_with_prefix(tensors, "parts "))
        trace, snapshots = _trace_from(tensors), _snapshots_from(tensors)
        return cls(tensors["images"], parts, trace, tensors["finite"], snapshots, seconds)


@runtime_checkable
class Keeper(Protocol):
    """Keeps an optimisation's state, so that another process can go on where one was killed."""

    def resume(self, optimiser: Optimiser) -> State | None:
        """Return the state that was kept, and give the optimiser its memory of it; if there is."""
        ...

    def offer(self, state: State, optimiser: Optimiser) -> None:
        """Keep the state, if enough has happened since the last one; called after each step."""
        ...


def optimise(
    evaluate: Evaluate,
    start: Float[Tensor, "b 3 h w"],
    optimiser: Optimiser,
    plan: Plan,
    progress: Progress | None = None,
    *,
    keeper: Keeper | None = None,
) -> Outcome:
    """Minimise each row's total loss from ``start`` in a fixed number of steps.

    A row whose loss or gradient stops being finite stands still from there on; the others go on.
    """
    state = (keeper.resume(optimiser) if keeper else None) or State.at(start)
    started = time.monotonic() - state.seconds
    while state.steps < plan.steps:
        _advance(state, evaluate, optimiser, plan)
        state.seconds = time.monotonic() - started
        if progress is not None:
            progress(state.steps, state.trace[-1])
        if keeper is not None:
            keeper.offer(state, optimiser)
    result = state.best_images if plan.keep == "best" else state.images
    result = result.clamp(0, 1)
    if plan.steps in plan.snapshots:
        state.snapshots[plan.steps] = result
    with torch.no_grad():
        parts = evaluate(result)
    finite = state.finite & parts.total.isfinite()  # no step has looked at the last image yet
    wait_for(start.device)  # a GPU may be some steps behind
    seconds = time.monotonic() - started
    return Outcome(result, parts, state.trace, finite, state.snapshots, seconds)


def _advance(state: State, evaluate: Evaluate, optimiser: Optimiser, plan: Plan) -> None:
    """Take one step: look at the images, remember the best of them, and move on."""
    if state.steps in plan.snapshots:
        state.snapshots[state.steps] = state.images.clamp(0, 1)
    parts, gradient = _differentiate(evaluate, state.images)
    finite = state.finite & parts.total.isfinite() & gradient.flatten(1).isfinite().all(1)
    better = finite & (parts.total < state.best)
    moved = optimiser.step(state.images, torch.where(_per_row(finite), gradient, 0.0))
    moved = moved.clamp(0, 1) if plan.clamp else moved
    state.best = torch.where(better, parts.total, state.best)
    state.best_images = torch.where(_per_row(better), state.images, state.best_images)
    state.images = torch.where(_per_row(finite), moved, state.images)
    state.finite = finite
    state.trace.append(parts)


def _differentiate(evaluate: Evaluate, images: Tensor) -> tuple[Parts, Tensor]:
    """Return the losses and the gradient of each row's total."""
    images = images.detach().requires_grad_(True)
    parts = evaluate(images)
    # Rows do not depend on each other, so the gradient of the sum holds each row's own.
    (gradient,) = torch.autograd.grad(parts.total.sum(), images)
    return _detached(parts), gradient


def _detached(parts: Parts) -> Parts:
    """Drop the graph, which would keep every evaluation's features alive."""
    return Parts.from_named({name: values.detach() for name, values in parts.named().items()})


def _per_row(values: Tensor) -> Tensor:
    """Shape one value per row, number or truth, to go with images."""
    return values[:, None, None, None]


def _named_trace(trace: Sequence[Parts]) -> dict[str, Tensor]:
    """Return the losses of all steps, ``b n`` of each kind."""
    steps = [parts.named() for parts in trace]
    return {f"trace {name}": torch.stack([one[name] for one in steps], 1) for name in steps[0]}


def _trace_from(tensors: Mapping[str, Tensor]) -> list[Parts]:
    """Read back what ``_named_trace`` returned."""
    columns = {name: values.unbind(1) for name, values in _with_prefix(tensors, "trace ").items()}
    rows = zip(*columns.values(), strict=True)
    return [Parts.from_named(dict(zip(columns, row, strict=True))) for row in rows]


def _named_snapshots(snapshots: Mapping[int, Tensor]) -> dict[str, Tensor]:
    """Return the pictures on the way by name."""
    return {f"snapshot {number}": images for number, images in snapshots.items()}


def _snapshots_from(tensors: Mapping[str, Tensor]) -> dict[int, Tensor]:
    """Read back what ``_named_snapshots`` returned."""
    return {int(number): images for number, images in _with_prefix(tensors, "snapshot ").items()}


def _with_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Return the tensors whose names begin so, by the rest of their names."""
    return {
        name.removeprefix(prefix): values
        for name, values in tensors.items()
        if name.startswith(prefix)
    }
