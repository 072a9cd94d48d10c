"""Batches, second attempts and checkpoints for a long job.

``make_cells`` runs ``nst.method.transfer`` on batches that fit into the memory. It retries a cell
whose loss stops being finite, and resumes the batch of a killed job.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice

import torch

from nst.config.octaves import split_octave
from nst.config.settings import Settings
from nst.method.batches import (
    best_batch_size,
    group_cells,
    halved,
    is_out_of_memory,
)
from nst.method.checkpoint import Batch, Checkpoint
from nst.method.objective import SUMS
from nst.method.optimise import Outcome, State
from nst.method.stages import Images, count_steps
from nst.method.transfer import transfer
from nst.network.extractor import Extractor
from nst.network.shapes import Float, Tensor, UInt8

logger = logging.getLogger(__name__)

Progress = Callable[[Sequence[int], int, int, Float[Tensor, "4 b"]], None]
"""Called after each step with the cells' indices, the steps taken, the number of steps in all, and
the losses of ``SUMS``."""
CAUTION = 0.1  # factor on the size of the steps of a second attempt


@dataclass(frozen=True)
class Transfer:
    """A finished cell, or one that failed: then ``image`` is None and ``losses`` are empty.

    ``index`` is the cell's index in the list of settings. ``losses`` and each column of ``trace``
    are named ``content``, ``style``, ``tv`` and ``total``; ``losses`` also has each layer.
    ``attempts`` is 2 if the cell had to be started again with smaller steps.
    """

    index: int
    settings: Settings
    image: Float[Tensor, "1 3 h w"] | None
    losses: Mapping[str, float]
    trace: Mapping[str, Sequence[float]]
    snapshots: Mapping[int, UInt8[Tensor, "1 3 h w"]]
    seconds: float
    attempts: int = 1


def make_cells(
    extractor: Extractor,
    images: Images,
    cells: Sequence[Settings],
    *,
    batch_size: int | None = None,
    progress: Progress | None = None,
    checkpoint: Checkpoint | None = None,
) -> Iterator[Transfer]:
    """Compute each of ``cells`` as if it were alone, ``batch_size`` at a time.

    Cells are yielded as they are finished. Cells share a batch only if they differ in nothing but
    ``nst.method.batches.VARIED``. A batch that does not fit into the memory is halved. A cell whose
    loss stops being finite is retried once, alone and with smaller steps. With a ``checkpoint``,
    the batch of a killed process is resumed. The checkpoint is removed when the consumer asks for a
    cell of the next batch, so the batch's cells must be stored by then.

    Raises:
        ExtractorError: a layer is unknown, or an image is too small for one.
        UserError: not even one cell fits into the memory.
    """
    checkpoint = checkpoint or Checkpoint(None)
    device = next(extractor.parameters()).device
    size = batch_size or best_batch_size(device)
    method, count = partial(transfer, extractor, images), partial(count_steps, images)
    job = _Job(method, count, checkpoint, progress)
    batches = _Batches(cells)
    interrupted, state = checkpoint.load(device) or (None, None)
    while batch := interrupted or batches.first(size):
        outcome = job.make(batch, state)
        interrupted = state = None
        if outcome is None:
            size = halved(len(batch.cells))
        else:
            yield from batches.take(batch, outcome)
        checkpoint.remove()


class _Batches:
    """The cells that are still to be computed, in groups that can share a batch."""

    def __init__(self, cells: Sequence[Settings]) -> None:
        self._groups = group_cells(cells)
        self._again: dict[int, Batch] = {}

    def first(self, size: int) -> Batch | None:
        """Return the next batch of at most ``size`` cells, or None when all are computed."""
        if self._again:
            return next(iter(self._again.values()))
        group = next(filter(None, self._groups), None)
        return Batch(dict(islice(group.items(), size))) if group else None

    def take(self, batch: Batch, outcome: Outcome) -> Iterator[Transfer]:
        """Yield the finished cells of a batch, and keep the others for a second attempt.

        Cells that are no longer wanted are left out.
        """
        seconds = batch.seconds + outcome.seconds / len(batch.cells)
        for row, (index, settings) in enumerate(batch.cells.items()):
            if not self._forget(index):
                continue
            if batch.attempt > 1 or bool(outcome.finite[row]):
                finished = _as_transfer(index, settings, outcome, row, seconds)
                yield replace(finished, attempts=batch.attempt)
                continue
            logger.warning(
                "the loss of cell %d stopped being a finite number; starting it again with %g "
                "times the step size",
                index + 1,
                CAUTION,
            )
            self._again[index] = Batch({index: settings}, batch.attempt + 1, seconds)

    def _forget(self, index: int) -> bool:
        """Remove a cell from those still to be computed; return whether it was among them."""
        known = [group.pop(index, None) for group in self._groups]
        return any([self._again.pop(index, None), *known])


@dataclass(frozen=True)
class _Job:
    """Computes one batch after another by ``method``; ``count`` returns its number of steps."""

    method: Callable[..., Outcome]
    count: Callable[[Settings], int]
    checkpoint: Checkpoint
    progress: Progress | None

    def make(self, batch: Batch, state: State | None) -> Outcome | None:
        """Compute a batch, from ``state`` on, or return None if it does not fit into the memory.

        The exception holds the batch's memory, which is only freed once the exception is gone.
        """
        try:
            return self._optimise(batch, state)
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                return None
            raise

    def _optimise(self, batch: Batch, state: State | None) -> Outcome:
        """Run the method on a batch, saving its state from time to time."""
        settings = list(batch.cells.values())
        indices = [index for index in batch.cells if index >= 0]
        steps = self.count(settings[0])
        reached = None

        def watch(state: State) -> None:
            nonlocal reached
            reached = state
            if self.progress is not None:
                self.progress(indices, len(state.trace), steps, state.trace[-1])
            self.checkpoint.offer(batch, state)

        caution = CAUTION if batch.attempt > 1 else 1.0
        outcome = self.method(settings, caution=caution, state=state, watch=watch)
        if reached and len(settings) > 1:
            # If the job is killed while it stores the cells, the restarted job needs this batch.
            self.checkpoint.save(batch, reached)
        return outcome


def _as_transfer(
    index: int, settings: Settings, outcome: Outcome, row: int, seconds: float
) -> Transfer:
    """Return one cell of a batch's outcome."""
    if not bool(outcome.finite[row]):
        return Transfer(index, settings, None, {}, {}, {}, seconds)
    one = slice(row, row + 1)
    losses = {name: getattr(outcome.parts, name)[row].item() for name in SUMS}
    losses |= {
        name: loss[row].item()
        for name, loss in outcome.parts.layers.items()
        if _layer_weight(settings, name)
    }
    steps = torch.stack([losses[:, row] for losses in outcome.trace], 1).tolist()
    trace = dict(zip(SUMS, steps, strict=True))
    snapshots = {number: images[one] for number, images in outcome.snapshots.items()}
    return Transfer(index, settings, outcome.images[one], losses, trace, snapshots, seconds)


def _layer_weight(settings: Settings, name: str) -> float:
    """Return a cell's weight for a layer named as in ``Parts.layers``, at any octave."""
    role, tap = name.split()
    weights = settings.content_layers if role == "content" else settings.style_layers
    layer, _ = split_octave(tap)
    found = (weight for one, weight in weights.items() if split_octave(one)[0] == layer)
    return max(found, default=0.0)
