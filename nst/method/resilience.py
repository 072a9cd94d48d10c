"""What a long job needs around the method.

Batches that fit into the memory, a second attempt for a cell whose loss stops being a number, and
checkpoints: ``make_cells`` gets every cell made, whatever ``nst.method.transfer`` meets.
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
from nst.method.checkpoint import Checkpoint
from nst.method.objective import SUMS
from nst.method.optimise import Outcome, State
from nst.method.stages import Images
from nst.method.transfer import transfer
from nst.network.extractor import Extractor
from nst.network.shapes import Float, Tensor

logger = logging.getLogger(__name__)

Progress = Callable[[Sequence[int], int, Float[Tensor, "4 b"]], None]
"""Called after each step with the cells' indices, how many steps they took, and their ``SUMS``."""
CAUTION = 0.1  # of the second attempt: how large its steps are


@dataclass(frozen=True)
class Transfer:
    """A finished cell, or one that failed: then ``image`` is None and ``losses`` are empty.

    ``index`` is the cell's index in the list of settings. ``losses`` and each column of ``trace``
    are named ``content``, ``style``, ``tv``, ``total`` and, for the former, by layer.
    ``attempts`` is 2 if the cell had to be started again with smaller steps.
    """

    index: int
    settings: Settings
    image: Float[Tensor, "1 3 h w"] | None
    losses: Mapping[str, float]
    trace: Mapping[str, Sequence[float]]
    snapshots: Mapping[int, Float[Tensor, "1 3 h w"]]
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
    """Make each of ``cells`` as if it were alone, ``batch_size`` at a time.

    They are yielded as they are finished. Only cells that differ in no more than
    ``nst.method.batches.VARIED`` share a batch. A batch that does not fit into the memory is
    halved. With a ``checkpoint``, the batch that a killed process was making is continued; it is
    removed when the consumer asks for what follows, so the batch's cells must be safe by then.

    Raises:
        ExtractorError: a layer is unknown, or an image is too small for one.
        UserError: not even one cell fits into the memory.
    """
    checkpoint = checkpoint or Checkpoint(None)
    device = next(extractor.parameters()).device
    size = batch_size or best_batch_size(device)
    job = _Job(partial(transfer, extractor, images), checkpoint, progress)
    batches = _Batches(cells)
    interrupted = checkpoint.load(device)
    while batch := interrupted.batch if interrupted else batches.first(size):
        results = job.make(batch, interrupted.state if interrupted else None)
        interrupted = None
        if results is None:
            size = halved(len(batch))
        else:
            yield from (result for result in results if result.index in batches)
            batches.remove(batch)
        checkpoint.remove()


class _Batches:
    """The cells that are yet to be made, in groups that can share a batch."""

    def __init__(self, cells: Sequence[Settings]) -> None:
        self._groups = group_cells(cells)

    def first(self, size: int) -> dict[int, Settings]:
        """Return the next batch of at most ``size``; it is empty when all are made."""
        group = next(filter(None, self._groups), {})
        return dict(islice(group.items(), size))

    def remove(self, batch: Mapping[int, Settings]) -> None:
        """Forget cells that are made."""
        for group in self._groups:
            for index in batch:
                group.pop(index, None)

    def __contains__(self, index: int) -> bool:
        return any(index in group for group in self._groups)


@dataclass(frozen=True)
class _Job:
    """Makes one batch after the other, as ``method`` does."""

    method: Callable[..., Outcome]
    checkpoint: Checkpoint
    progress: Progress | None

    def make(self, batch: Mapping[int, Settings], state: State | None) -> list[Transfer] | None:
        """Make a batch, from ``state`` on, or return None if it does not fit into the memory.

        The memory is only free once the exception, which holds it, is gone.
        """
        try:
            return list(self._transfers(batch, state))
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                return None
            raise

    def _transfers(self, batch: Mapping[int, Settings], state: State | None) -> Iterator[Transfer]:
        """Make a batch; and once more, with smaller steps, the cells that went astray."""
        outcome = self._optimise(batch, state)
        seconds = outcome.seconds / len(batch)
        for row, (index, settings) in enumerate(batch.items()):
            if bool(outcome.finite[row]):
                yield _as_transfer(index, settings, outcome, row, seconds)
                continue
            logger.warning(
                "the loss of cell %d stopped being a finite number; starting it again with steps "
                "of %g the size",
                index + 1,
                CAUTION,
            )
            again = self.method([settings], caution=CAUTION)
            finished = _as_transfer(index, settings, again, 0, seconds + again.seconds)
            yield replace(finished, attempts=2)

    def _optimise(self, batch: Mapping[int, Settings], state: State | None) -> Outcome:
        """Run the method on a batch, saving its state from time to time."""
        indices = [index for index in batch if index >= 0]
        reached = None

        def watch(state: State) -> None:
            nonlocal reached
            reached = state
            if self.progress is not None:
                self.progress(indices, len(state.trace), state.trace[-1])
            self.checkpoint.offer(batch, state)

        outcome = self.method(list(batch.values()), state=state, watch=watch)
        if reached and len(batch) > 1:  # killed while they are stored, it would be another batch
            self.checkpoint.save(batch, reached)
        return outcome


def _as_transfer(
    index: int, settings: Settings, outcome: Outcome, row: int, seconds: float
) -> Transfer:
    """Take one cell out of a batch's outcome."""
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
