"""The batches of cells that are optimised side by side, and their size.

A batch that does not fit into the memory is halved.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from nst.config.settings import Settings
from nst.errors import UserError

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


def best_batch_size(device: torch.device) -> int:
    """Choose how many cells to optimise side by side.

    Only many pictures at once use a GPU fully. One picture uses a CPU fully: batches of 2 and 6
    were no faster there, take more memory, and finish no cell until the end.
    """
    return 1 if device.type == "cpu" else 16


def _shared(settings: Settings) -> Mapping[str, object]:
    """Return the settings that the cells of a batch have in common.

    Cells that start from a file may go through other sizes than the rest. Cells that start from the
    content's detail get this detail again at larger sizes. The layers decide whether a picture can
    be computed in tiles.
    """
    shared = {name: value for name, value in settings.to_dict().items() if name not in VARIED}
    return {
        **shared,
        "from a file": settings.start == "file",
        "adds detail": settings.start == "detail",
        "whole": bool(settings.needs_all_positions),
    }


def group_cells(cells: Sequence[Settings]) -> list[dict[int, Settings]]:
    """Group the cells that can share a batch, each under its index."""
    groups: list[tuple[Mapping[str, object], dict[int, Settings]]] = []
    for index, cell in enumerate(cells):
        shared = _shared(cell)
        for of_group, group in groups:
            if of_group == shared:
                group[index] = cell
                break
        else:
            groups.append((shared, {index: cell}))
    return [group for _, group in groups]


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error reports a lack of memory, on a GPU or a CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error).lower() for words in OUT_OF_MEMORY)


def halved(size: int) -> int:
    """Return half a batch size, after a batch of ``size`` did not fit into the memory."""
    if size == 1:
        raise UserError(TOO_LARGE)
    logger.warning("%d cells do not fit into the memory; continuing with %d", size, size // 2)
    _free_memory()
    return size // 2


def _free_memory() -> None:
    """Free the memory that a failed batch still holds.

    When an error ends a backward pass, the waiting tasks stay in autograd's queue. They hold the
    graph's features until the next backward pass empties the queue.
    """
    torch.zeros(1, requires_grad=True).backward()
    torch.cuda.empty_cache()


@contextmanager
def refused_if_too_large() -> Iterator[None]:
    """Raise ``UserError``, with a remedy, if a single picture does not fit into the memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise UserError(TOO_LARGE) from error
        raise
