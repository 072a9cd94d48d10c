"""Where a cell's files are in a run's folder: the patterns of the rules, and what fills them."""

from __future__ import annotations

from pathlib import Path

CELL = "results/cells/{content}/{style}/{layers}/{ratio}.png"
DETAILS = "results/details/{content}/{style}.json"
SNAPSHOTS = "results/snapshots/{content}/{style}/{layers}/{ratio}.png"


def cell_path(content: str, style: str, layers: str, ratio: str) -> Path:
    """Return the path of a cell's picture."""
    return Path(CELL.format(content=content, style=style, layers=layers, ratio=ratio))
