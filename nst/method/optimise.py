"""The optimisation of a batch: its steps, its best images, and losses that stop being finite."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch

from nst.config.settings import Settings
from nst.method.objective import SUMS, Losses
from nst.method.optimisers import Optimiser
from nst.network.tensors import Float, Int, Tensor, UInt8, to_bytes
from nst.system.device import wait_for

Evaluate = Callable[[Tensor], Losses]
TOTAL = SUMS.index("total")


@dataclass
class State:
    """The state of an optimisation: everything that its next step depends on.

    ``steps`` were taken at the size number ``stage``. ``trace`` has the losses of ``SUMS`` before
    each step at any size, and ``seconds`` is the time of these steps. Rows that are not ``finite``
    had a loss or gradient that is not finite, and no longer change. ``best`` has the losses of
    ``best_images``, one row for each name; it is None before the first step. ``average`` is the
    moving average of all images so far, and ``weight`` the sum of their weights. ``enlarged`` is
    the picture of the previous size, enlarged to this size, if the content loss needs it.
    ``step_number`` is ``steps`` as a tensor, for losses whose positions change at each step.
    After the last step, ``images`` are those that were chosen, and ``losses`` are their losses.
    """

    optimiser: Optimiser
    images: Float[Tensor, "b 3 h w"]
    best_images: Float[Tensor, "b 3 h w"]
    finite: Tensor
    step_number: Int[Tensor, ""]
    best: Float[Tensor, "k b"] | None = None
    average: Float[Tensor, "b 3 h w"] | None = None
    weight: Float[Tensor, ""] | None = None
    enlarged: Float[Tensor, "b 3 h w"] | None = None
    stage: int = 0
    steps: int = 0
    trace: list[Float[Tensor, "4 b"]] = field(default_factory=list)
    snapshots: dict[int, UInt8[Tensor, "b 3 h w"]] = field(default_factory=dict)
    seconds: float = 0.0
    losses: Losses = field(default_factory=dict)

    @classmethod
    def at(
        cls, start: Float[Tensor, "b 3 h w"], optimiser: Optimiser, before: State | None = None
    ) -> State:
        """Return the state before the first step, or at the size after that of ``before``."""
        finite = torch.ones_like(start[:, 0, 0, 0], dtype=torch.bool)
        number = torch.zeros((), dtype=torch.int64, device=start.device)
        state = cls(optimiser, start.clone(), start.clone(), finite, number)
        if before is not None:
            state.stage, state.finite = before.stage + 1, before.finite
            state.trace, state.seconds = before.trace, before.seconds
            state.snapshots = before.snapshots
        return state

    @property
    def shown(self) -> Float[Tensor, "b 3 h w"]:
        """The images to show or return: the current images, or their average."""
        return self.images if self.average is None else self.average


Watch = Callable[[State], None]
"""Called after each step."""


def optimise(
    evaluate: Evaluate, state: State, settings: Settings, watch: Watch | None = None
) -> State:
    """Minimise each row's total loss, from ``state`` on, in a fixed number of steps.

    ``iterations``, ``keep``, ``clamp``, ``averaging`` and ``snapshots`` of the settings decide what
    happens. With ``averaging``, the moving average of the images, including the start, counts as
    the last image. Snapshots are kept as 8-bit images on the CPU, since there may be many.

    A row whose loss or gradient stops being finite no longer changes; the others continue.
    ``state`` is changed in place, except that the chosen images are only in the returned state.
    """
    started = time.monotonic() - state.seconds
    while state.steps < settings.iterations:
        if state.steps in settings.snapshots:
            state.snapshots[state.steps] = to_bytes(state.shown)
        losses = take_step(state, evaluate, settings)
        state.steps += 1
        state.trace.append(losses[: len(SUMS)])
        state.seconds = time.monotonic() - started
        if watch is not None:
            watch(state)
    images, final = _choose(evaluate, state, settings)
    if settings.iterations in settings.snapshots:
        state.snapshots[settings.iterations] = to_bytes(images)
    state.finite = state.finite & final["total"].isfinite()  # no step has evaluated the last image
    wait_for(images.device)  # a GPU may be some steps behind
    state.seconds = time.monotonic() - started
    return replace(state, images=images, losses=final)


@torch.no_grad()
def _choose(evaluate: Evaluate, state: State, settings: Settings) -> tuple[Tensor, Losses]:
    """Evaluate the image after the last step; return it or the best one, with its losses."""
    images = state.shown.clamp(0, 1)
    losses = evaluate(images)
    if settings.keep == "last" or state.best is None:
        return images, losses
    best, of_best = state.best_images.clamp(0, 1), state.best
    if not settings.clamp:  # its losses are from before clamping
        of_best = _stacked(evaluate(best))
    better = state.finite & (losses["total"] < of_best[TOTAL])
    images = torch.where(_per_row(better), images, best)
    return images, dict(zip(losses, torch.where(better, _stacked(losses), of_best), strict=True))


def take_step(state: State, evaluate: Evaluate, settings: Settings) -> Float[Tensor, "k b"]:
    """Move the images in place, and return their losses from before the move.

    After the first step, this changes only the tensors of the state, so a GPU can replay it.
    """
    losses, gradient = _differentiate(evaluate, state.images)
    state.step_number.add_(1)
    total = losses[TOTAL]
    if state.best is None:
        state.best = torch.full_like(losses, torch.inf)
    if settings.averaging and state.average is None:
        state.average = torch.zeros_like(state.images)
        state.weight = state.images.new_zeros(())
        _average(state, settings.averaging)
    state.finite.logical_and_(total.isfinite() & gradient.flatten(1).isfinite().all(1))
    finite, better = _per_row(state.finite), state.finite & (total < state.best[TOTAL])
    moved = state.optimiser.step(state.images, torch.where(finite, gradient, 0.0))
    moved = moved.clamp(0, 1) if settings.clamp else moved
    # The optimiser's squares may overflow.
    state.finite.logical_and_(moved.flatten(1).isfinite().all(1))
    finite = _per_row(state.finite)
    state.best.copy_(torch.where(better, losses, state.best))
    state.best_images.copy_(torch.where(_per_row(better), state.images, state.best_images))
    state.images.copy_(torch.where(finite, moved, state.images))
    if settings.averaging:
        _average(state, settings.averaging)
    return losses


def _average(state: State, decay: float) -> None:
    """Update the moving average of the images, with Kingma and Ba's (2015) bias correction."""
    assert state.average is not None
    assert state.weight is not None
    state.weight.mul_(decay).add_(1 - decay)
    state.average.lerp_(state.images, (1 - decay) / state.weight)


def _differentiate(evaluate: Evaluate, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the losses, stacked, and the gradient of each row's total, without the graph."""
    images = images.detach().requires_grad_(True)
    losses = evaluate(images)
    # Rows do not depend on each other, so the gradient of the sum holds each row's own.
    (gradient,) = torch.autograd.grad(losses["total"].sum(), images)
    return _stacked(losses).detach(), gradient


def _stacked(losses: Losses) -> Float[Tensor, "k b"]:
    """Stack the losses, one row for each name."""
    return torch.stack([*losses.values()])


def _per_row(values: Tensor) -> Tensor:
    """Reshape one value per row, number or boolean, to broadcast over images."""
    return values[:, None, None, None]
