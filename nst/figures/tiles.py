"""Pictures on disk as the tiles of a comparison grid."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from nst.cells.cell import read_record
from nst.errors import CellError
from nst.figures.grids import Tile


def cell_rows(rows: Iterable[Iterable[Path]]) -> list[list[Tile]]:
    """Return the tiles of cells, given by the paths of their pictures, row by row.

    Raises:
        CellError: a picture is missing.
        ImageError: a picture is not one of a cell.
    """
    return [[cell_tile(picture) for picture in row] for row in rows]


def cell_tile(picture: Path) -> Tile:
    """Return a cell's tile. The record in the picture tells whether the cell failed.

    Raises:
        CellError: there is no such picture.
        ImageError: it is not one of a cell.
    """
    if not picture.is_file():
        raise CellError(f"{picture} is missing; run snakemake without a target to make it")
    if read_record(picture)["status"] == "failed":
        return Tile(note="failed: no finite loss")
    return Tile(picture)


def input_tile(path: str, title: str) -> Tile:
    """Return the tile of a content or style image."""
    return Tile(Path(path), caption=title)
