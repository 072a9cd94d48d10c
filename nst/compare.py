"""Cells on disk as the tiles of a comparison grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from nst.cell import read_cell
from nst.grids import Tile


def cell_tile(path: str) -> Tile:
    """Return a cell's tile; a failed cell's says so."""
    cell = read_cell(Path(path))
    if cell.status == "failed":
        return Tile(note="failed: no finite loss")
    return Tile(Path(path))


def cell_rows(paths: Sequence[str], columns: int) -> list[list[Tile]]:
    """Arrange cells, given row by row, in rows of ``columns`` tiles."""
    tiles = [cell_tile(path) for path in paths]
    return [tiles[first : first + columns] for first in range(0, len(tiles), columns)]


def input_tile(path: str, title: str) -> Tile:
    """Return the tile of a content or style image."""
    return Tile(Path(path), caption=title)
