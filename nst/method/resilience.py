"""Batches, second attempts and checkpoints for a long job.

``make_cells`` runs ``nst.method.transfer`` on batches that fit into the memory; a batch that does
not fit is halved. It retries a cell whose loss stops being finite, and resumes the batch of a
killed job.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch

from nst.config.settings import Settings
from nst.errors import UserError
from nst.method.checkpoint import Batch, Checkpoint
from nst.method.objective import SUMS
from nst.method.optimise import State
from nst.method.stages import Images, count_steps
from nst.method.transfer import transfer
from nst.network.extractor import Extractor
from nst.network.tensors import Float, Tensor, UInt8

logger = logging.getLogger(__name__)


VARIED = frozenset(
    {
        *("alpha", "beta", "tv_weight", "content_layers", "style_layers"),
        *("start", "start_noise", "seed"),
    }
)
# Other texts of this error: by torch on MPS and by CUDA itself; by CUDA's libraries, which allocate
# by themselves; on a CPU. The last text is oneDNN's. oneDNN supports every convolution here, so
# then it only lacks memory for its code and scratch.
OUT_OF_MEMORY = (
    *("out of memory", "cublas_status_alloc_failed", "cudnn_status_alloc_failed"),
    *("cufft_alloc_failed", "cusolver_status_alloc_failed"),
    *("can't allocate memory", "std::bad_alloc", "could not create a primitive"),
)
TOO_LARGE = (
    "the picture does not fit into the device's memory; lower image_size, choose a smaller "
    "extractor, or set device to cpu"
)
OnStep = Callable[[Sequence[int], int, int, Float[Tensor, "4 b"]], None]
"""Called after each step with the cells' indices, the steps taken, the number of steps in all, and
the losses of ``SUMS``."""
CAUTION = 0.1  # factor on the size of the steps of a second attempt
GOES_ASTRAY = (
    "the loss of cell %d stopped being a finite number; starting it again with %g times the step "
    "size"
)


def best_batch_size(device: torch.device) -> int:
    """Choose how many cells to optimise side by side.

    Only many pictures at once use a GPU fully. One picture uses a CPU fully: batches of 2 and 6
    were no faster there, take more memory, and finish no cell until the end.
    """
    return 1 if device.type == "cpu" else 16


def group_cells(cells: Sequence[Settings]) -> list[dict[int, Settings]]:
    """Group the cells that can share a batch, each under its index.

    They differ in nothing but ``VARIED``. Cells that start from a file may go through other sizes
    than the rest. Cells that start from the content's detail get this detail again at larger sizes.
    The layers decide whether a picture can be computed in tiles.
    """
    groups: dict[str, dict[int, Settings]] = {}
    for index, cell in enumerate(cells):
        shared = {name: value for name, value in cell.to_dict().items() if name not in VARIED}
        start = cell.start if cell.start in ("file", "detail") else ""
        key = json.dumps([shared, start, bool(cell.needs_all_positions)])
        groups.setdefault(key, {})[index] = cell
    return list(groups.values())


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error reports a lack of memory, on a GPU or a CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error).lower() for words in OUT_OF_MEMORY)


def halved(size: int) -> int:
    """Return half a batch size, and free the memory of a batch of ``size`` that did not fit.

    When an error ends a backward pass, the waiting tasks stay in autograd's queue. They hold the
    graph's features until the next backward pass empties the queue.
    """
    if size == 1:
        raise UserError(TOO_LARGE)
    logger.warning("%d cells do not fit into the memory; continuing with %d", size, size // 2)
    torch.zeros(1, requires_grad=True).backward()
    torch.cuda.empty_cache()
    return size // 2


@contextmanager
def refused_if_too_large() -> Iterator[None]:
    """Raise ``UserError``, with a remedy, if a single picture does not fit into the memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise UserError(TOO_LARGE) from error
        raise


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
    progress: OnStep | None = None,
    checkpoint: Checkpoint | None = None,
) -> Iterator[Transfer]:
    """Compute each of ``cells`` as if it were alone, ``batch_size`` at a time.

    Cells are yielded as they are finished. Cells share a batch only if they differ in nothing but
    ``VARIED``. A batch that does not fit into the memory is halved. A cell whose loss stops being
    finite is retried once, alone and with smaller steps. With a ``checkpoint``, the batch of a
    killed process is resumed. The checkpoint is removed when the consumer asks for a cell of the
    next batch, so the batch's cells must be stored by then.

    Raises:
        ExtractorError: a layer is unknown, or an image is too small for one.
        UserError: not even one cell fits into the memory.
    """
    checkpoint = checkpoint or Checkpoint(None)
    device = next(extractor.parameters()).device
    size = batch_size or best_batch_size(device)
    interrupted, state = checkpoint.load(device) or (Batch({}), None)
    groups = [Batch(group).without(interrupted.cells) for group in group_cells(cells)]
    waiting = [interrupted, *groups]
    while waiting := [one for one in waiting if one.cells]:
        batch = waiting[0] if state else waiting[0].first(size)
        made = _optimise(extractor, images, batch, state, checkpoint=checkpoint, progress=progress)
        state = None
        if made is None:
            size = halved(len(batch.cells))
            waiting[0] = waiting[0].without(range(-len(batch.cells), 0))  # no longer wanted
        else:
            waiting[0] = waiting[0].without(batch.cells)
            again = []
            for one in made:
                if one.image is None and batch.attempt == 1:
                    logger.warning(GOES_ASTRAY, one.index + 1, CAUTION)
                    again.append(Batch({one.index: one.settings}, 2, one.seconds))
                else:
                    yield one
            waiting = [*again, *waiting]
        checkpoint.remove()


def _optimise(
    extractor: Extractor,
    images: Images,
    batch: Batch,
    state: State | None,
    *,
    checkpoint: Checkpoint,
    progress: OnStep | None,
) -> list[Transfer] | None:
    """Compute a batch, from ``state`` on, saving its state from time to time.

    Returns None if it does not fit into the memory: the exception holds the batch's memory, which
    is only freed once the exception is gone.
    """
    settings = list(batch.cells.values())
    indices = [index for index in batch.cells if index >= 0]
    steps = count_steps(images, settings[0])
    reached = None

    def watch(state: State) -> None:
        nonlocal reached
        reached = state
        if progress is not None:
            progress(indices, len(state.trace), steps, state.trace[-1])
        checkpoint.offer(batch, state)

    caution = CAUTION if batch.attempt > 1 else 1.0
    try:
        last = transfer(extractor, images, settings, caution=caution, state=state, watch=watch)
        if reached and len(settings) > 1:
            # If the job is killed while it stores the cells, the restarted job needs this batch.
            checkpoint.save(batch, reached)
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            return None
        raise
    return list(_as_transfers(batch, last))


def _as_transfers(batch: Batch, last: State) -> Iterator[Transfer]:
    """Yield the cells of a batch's last state, without the cells that are no longer wanted."""
    seconds = batch.seconds + last.seconds / len(batch.cells)
    for row, (index, settings) in enumerate(batch.cells.items()):
        if index < 0:
            continue
        one = Transfer(index, settings, None, {}, {}, {}, seconds, batch.attempt)
        if last.finite[row]:
            this = slice(row, row + 1)
            steps = torch.stack([losses[:, row] for losses in last.trace], 1).tolist()
            one = replace(
                one,
                image=last.images[this],
                losses={
                    name: loss[row].item()
                    for name, loss in last.losses.items()
                    if not loss[row].isnan()
                },
                trace=dict(zip(SUMS, steps, strict=True)),
                snapshots={number: shown[this] for number, shown in last.snapshots.items()},
            )
        yield one
