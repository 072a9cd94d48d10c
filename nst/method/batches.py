"""Which cells are optimised side by side, how many, and what if they do not fit into the memory."""

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
# What torch says of it otherwise: on MPS and where CUDA itself has none left; its libraries, which
# allocate by themselves; on a CPU. The last are oneDNN's words, which knows every convolution here
# and then only lacks memory for its code and scratch.
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

    A GPU is only filled by many pictures at once. A CPU is filled by one: batches of 2 and 6
    brought nothing there, take more memory, and finish nothing until the end.
    """
    return 1 if device.type == "cpu" else 16


def _shared(settings: Settings) -> Mapping[str, object]:
    """Return the settings that the cells of a batch have in common.

    Those that start from a file may go through other sizes than the rest, and those that start from
    the content's detail get it again on the way. Layers decide whether a picture can be computed in
    tiles.
    """
    shared = {name: value for name, value in settings.to_dict().items() if name not in VARIED}
    return {
        **shared,
        "from a file": settings.start == "file",
        "adds detail": settings.start == "detail",
        "whole": bool(settings.needs_all_positions),
    }


def group_cells(cells: Sequence[Settings]) -> list[dict[int, Settings]]:
    """Put the cells that can share a batch together, each under its index."""
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
    """Tell whether an error says that memory could not be had, on a GPU or a CPU."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return any(words in str(error).lower() for words in OUT_OF_MEMORY)


def halved(size: int) -> int:
    """Return half a batch size, after a batch of ``size`` did not fit into the memory."""
    if size == 1:
        raise UserError(TOO_LARGE)
    logger.warning("%d cells do not fit into the memory; going on with %d", size, size // 2)
    _free_memory()
    return size // 2


def _free_memory() -> None:
    """Let go of what a failed batch still holds.

    Where an error ends a gradient, the tasks that wait for their turn stay in autograd's queue, and
    the graph's features with them, until the next gradient empties it.
    """
    torch.zeros(1, requires_grad=True).backward()
    torch.cuda.empty_cache()


@contextmanager
def refused_if_too_large() -> Iterator[None]:
    """Tell what to do if what a single picture needs does not fit into the memory."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if is_out_of_memory(error):
            raise UserError(TOO_LARGE) from error
        raise
