"""Which cells are optimised side by side, and how many."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from nst.settings import Settings

VARIED = frozenset(
    {
        *("alpha", "beta", "tv_weight", "content_layers", "style_layers"),
        *("start", "start_noise", "seed"),
    }
)


def best_batch_size(device: torch.device) -> int:
    """Choose how many cells to optimise side by side.

    A GPU is only filled by many pictures at once. A CPU is filled by one: batches of 2 and 6
    brought nothing there, take more memory, and finish nothing until the end.
    """
    return 1 if device.type == "cpu" else 16


def _shared(settings: Settings) -> Mapping[str, object]:
    """Return the settings that the cells of a batch have in common."""
    return {name: value for name, value in settings.to_dict().items() if name not in VARIED}


def group_cells(cells: Sequence[Settings]) -> list[list[tuple[int, Settings]]]:
    """Number the cells, and put those together that can share a batch."""
    groups: list[list[tuple[int, Settings]]] = []
    for place, cell in enumerate(cells):
        for group in groups:
            if _shared(group[0][1]) == _shared(cell):
                group.append((place, cell))
                break
        else:
            groups.append([(place, cell)])
    return groups
