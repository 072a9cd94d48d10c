"""Style transfer of one pair of images in many variants: the whole method, top to bottom."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from nst.config.octaves import split_octave
from nst.config.settings import Settings
from nst.method.batches import (
    best_batch_size,
    group_cells,
    halved,
    is_out_of_memory,
    refused_if_too_large,
)
from nst.method.checkpoint import Checkpoint, Checkpoints
from nst.method.objective import SUMS, Objective, Parts
from nst.method.optimise import Outcome, optimise
from nst.method.optimisers import Adam, Lbfgs, Optimiser
from nst.method.stages import Images, Stage, prepare_stages
from nst.method.start import start_image
from nst.network.extractor import Extractor
from nst.network.shapes import Float, Tensor

logger = logging.getLogger(__name__)

Progress = Callable[[Sequence[int], int, Parts], None]
"""Called with the cells' places in the list, the step's number, and the losses before it."""

OPTIMISERS: Mapping[str, Callable[[Settings, float], Optimiser]] = {
    "lbfgs": lambda _, caution: Lbfgs(caution),
    "adam": lambda settings, caution: _adam(settings, caution, keras=False),
    "keras_adam": lambda settings, caution: _adam(settings, caution, keras=True),
}
CAUTIONS = {1: 1.0, 2: 0.1}  # by attempt: how large the steps are; smaller when one went astray


@dataclass(frozen=True)
class Transfer:
    """A finished cell, or one that failed: then ``image`` is None and ``losses`` are empty.

    ``place`` is the cell's place in the list of settings. ``losses`` and each column of ``trace``
    are named ``content``, ``style``, ``tv``, ``total`` and, for the former, by layer.
    ``attempts`` is 2 if the cell had to be started again with smaller steps.
    """

    place: int
    settings: Settings
    image: Float[Tensor, "1 3 h w"] | None
    losses: Mapping[str, float]
    trace: Mapping[str, Sequence[float]]
    snapshots: Mapping[int, Float[Tensor, "1 3 h w"]]
    seconds: float
    attempts: int = 1


def transfer(
    extractor: Extractor,
    images: Images,
    cells: Sequence[Settings],
    *,
    batch_size: int | None = None,
    progress: Progress | None = None,
    checkpoints: Checkpoints | None = None,
) -> Iterator[Transfer]:
    """Redraw a content in the style of another picture, once for each of ``cells``.

    The cells are optimised on the extractor's device, side by side, ``batch_size`` at a time, each
    as if it were alone, and yielded as they are finished. Only cells that differ in no more than
    ``nst.method.batches.VARIED`` share a batch. One that does not fit into the device's memory is
    halved.

    With ``checkpoints``, a batch that a killed process was at goes on where it was. A batch's own
    is removed when the consumer asks for what comes after it, so by then its cells must be safe.

    Raises:
        ExtractorError: a layer is unknown, or an image is too small for one.
        UserError: not even one cell fits into the memory.
    """
    checkpoints = checkpoints or Checkpoints(None)
    size = batch_size or best_batch_size(next(extractor.parameters()).device)
    for group in group_cells(cells):
        with refused_if_too_large():
            stages = prepare_stages(extractor, images, list(group.values()))
        while group:
            places = (checkpoints.interrupted(group) or list(group))[:size]
            batch = {place: group[place] for place in places}
            results = _attempt(stages, batch, checkpoints, progress)
            if results is None:
                size = halved(len(batch))
                continue
            yield from results
            checkpoints.finish(places)
            for place in places:
                del group[place]


def _attempt(
    stages: Sequence[Stage],
    batch: Mapping[int, Settings],
    checkpoints: Checkpoints,
    progress: Progress | None,
) -> list[Transfer] | None:
    """Solve a batch, or return None if it does not fit into the memory.

    The memory is only free once the exception, which holds it, is gone.
    """
    try:
        checkpoint = checkpoints.begin(list(batch), stages[0].content.device)
        results = list(_solve(stages, batch, checkpoint, progress))
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            return None
        raise
    if len(batch) > 1:  # killed while they are stored, it would not be the same batch again
        checkpoint.write()
    return results


def _solve(
    stages: Sequence[Stage],
    batch: Mapping[int, Settings],
    checkpoint: Checkpoint,
    progress: Progress | None,
) -> Iterator[Transfer]:
    """Optimise a batch, and once more, with smaller steps, the cells that went astray."""
    outcome = _optimise(stages, batch, 1, checkpoint, progress)
    seconds = outcome.seconds / len(batch)
    for row, (place, settings) in enumerate(batch.items()):
        if bool(outcome.finite[row]):
            yield _as_transfer(place, settings, outcome, row, seconds)
            continue
        logger.warning(
            "the loss of cell %d stopped being a finite number; starting it again with steps of "
            "%g the size",
            place + 1,
            CAUTIONS[2],
        )
        again = _optimise(stages, {place: settings}, 2, checkpoint, progress)
        finished = _as_transfer(place, settings, again, 0, seconds + again.seconds)
        yield replace(finished, attempts=2)


def _optimise(
    stages: Sequence[Stage],
    batch: Mapping[int, Settings],
    attempt: int,
    checkpoint: Checkpoint,
    progress: Progress | None,
) -> Outcome:
    """Start the pictures and minimise the objective, at each size from where the last ended."""
    places, cells = list(batch), list(batch.values())
    outcomes: list[Outcome] = []
    for number, stage in enumerate(stages):
        leg = checkpoint.leg(attempt, number, places)
        finished = leg.outcome()
        if finished is None:
            done = sum(len(outcome.trace) for outcome in outcomes)

            def report(step: int, parts: Parts, done: int = done) -> None:
                if progress is not None:
                    progress(places, done + step, parts)

            start = _start(stage, cells, outcomes[-1].images if outcomes else None)
            objective = Objective(stage.network, stage.targets, cells)
            optimiser = OPTIMISERS[cells[0].optimiser](cells[0], CAUTIONS[attempt])
            finished = optimise(objective, start, optimiser, stage.plan, report, keeper=leg)
            leg.finish(finished)
        outcomes.append(finished)
    return _joined(outcomes)


def _start(stage: Stage, cells: Sequence[Settings], before: Tensor | None) -> Tensor:
    """Return the pictures to start from: as the settings ask for, or from those of the size before.

    A picture that grows keeps the finer detail of its usual start, or the first steps would go into
    making a blurred picture sharp. After ``coarse_stages`` it is enlarged, as it was published.
    """
    pictures = (stage.content, stage.style, stage.start)
    fresh = torch.cat([start_image(cell, *pictures) for cell in cells])
    if before is None:
        return fresh
    if not cells[0].growth:
        size = fresh.shape[-2:]
        return functional.interpolate(before, size=size, mode="bicubic").clamp(0, 1)
    return (fresh + _resized(before - _resized(fresh, before), fresh)).clamp(0, 1)


def _resized(images: Tensor, like: Tensor) -> Tensor:
    """Bring images to the size of others."""
    size = like.shape[-2:]
    return functional.interpolate(images, size=size, mode="bicubic", antialias=True)


def _adam(settings: Settings, caution: float, *, keras: bool) -> Adam:
    """Build Adam as the settings ask for it."""
    betas = (settings.adam_beta1, settings.adam_beta2)
    return Adam(settings.learning_rate * caution, betas, settings.adam_epsilon, keras=keras)


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the last outcome, with the way there."""
    trace = [parts for outcome in outcomes for parts in outcome.trace]
    finite = torch.stack([outcome.finite for outcome in outcomes]).all(0)
    seconds = sum(outcome.seconds for outcome in outcomes)
    return replace(outcomes[-1], trace=trace, finite=finite, seconds=seconds)


def _as_transfer(
    place: int, settings: Settings, outcome: Outcome, row: int, seconds: float
) -> Transfer:
    """Take one cell out of a batch's outcome."""
    if not bool(outcome.finite[row]):
        return Transfer(place, settings, None, {}, {}, {}, seconds)
    one = slice(row, row + 1)
    losses = {name: getattr(outcome.parts, name)[row].item() for name in SUMS}
    losses |= {
        name: loss[row].item()
        for name, loss in outcome.parts.layers.items()
        if _layer_weight(settings, name)
    }
    trace = {
        name: torch.stack([getattr(parts, name)[row] for parts in outcome.trace]).tolist()
        for name in SUMS
    }
    snapshots = {number: images[one] for number, images in outcome.snapshots.items()}
    return Transfer(place, settings, outcome.images[one], losses, trace, snapshots, seconds)


def _layer_weight(settings: Settings, name: str) -> float:
    """Return a cell's weight for a layer named as in ``Parts.layers``, at any octave."""
    role, tap = name.split()
    weights = settings.content_layers if role == "content" else settings.style_layers
    return weights.get(tap, weights.get(split_octave(tap)[0], 0.0))
