"""Cells on disk as the tiles of a comparison grid."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from nst.cells.cell import Cell, read_details
from nst.errors import CellError
from nst.figures.grids import Tile

Place = tuple[str, str, str, str]
"""Where a cell stands in the run: the names of its content, style, layer weighting and ratio."""


def cell_rows(details: Iterable[str], rows: Sequence[Sequence[Place]]) -> list[list[Tile]]:
    """Return the tiles of the cells at these places, row by row.

    ``details`` are the files of the pairs that they belong to.

    Raises:
        CellError: a file cannot be read or lacks one of the cells, or a cell's picture is missing.
    """
    places = {place for row in rows for place in row}
    tiles: dict[Place, Tile] = {}
    for path in map(Path, details):
        for picture, cell in read_details(path).items():
            place = (cell.content.name, cell.style.name, cell.layers, cell.ratio)
            if place in places:
                tiles[place] = cell_tile(cell, picture)
    if missing := [place for row in rows for place in row if place not in tiles]:
        raise CellError(
            f"results/details lacks {len(missing)} of this grid's cells, such as "
            f"{' × '.join(missing[0])}. Delete that folder; the next run makes it again, and takes "
            "the cells that are finished from the store."
        )
    return [[tiles[place] for place in row] for row in rows]


def cell_tile(cell: Cell, picture: Path) -> Tile:
    """Return a cell's tile; a failed cell's says so.

    Raises:
        CellError: there is no such picture.
    """
    if not picture.is_file():
        raise CellError(f"{picture} is missing; run snakemake without a target to make it")
    if cell.status == "failed":
        return Tile(note="failed: no finite loss")
    return Tile(picture)


def input_tile(path: str, title: str) -> Tile:
    """Return the tile of a content or style image."""
    return Tile(Path(path), caption=title)
