"""Pictures on disk as the tiles of a comparison grid."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from nst.cells.cell import read_record
from nst.errors import CellError, ImageError
from nst.figures.sheet import Tile


def cell_rows(rows: Iterable[Iterable[Path | None]]) -> list[list[Tile]]:
    """Return the tiles of cells, given by the paths of their pictures, row by row.

    None stands for a cell that the run does not have.

    Raises:
        CellError: a picture is missing or damaged.
    """
    return [
        [cell_tile(picture) if picture else Tile(note="not in this run") for picture in row]
        for row in rows
    ]


def cell_tile(picture: Path) -> Tile:
    """Return a cell's tile. The record in the picture tells whether the cell failed.

    Raises:
        CellError: there is no such picture, or it is damaged.
    """
    if not picture.is_file():
        raise CellError(f"{picture} is missing; run snakemake without a target to make it")
    try:
        status = read_record(picture)["status"]
    except (ImageError, KeyError) as error:
        raise CellError(
            f"{picture} cannot be read ({error}). Delete it; the next run makes it again"
        ) from error
    return Tile(note="failed: no finite loss") if status == "failed" else Tile(picture)


def timed_tile(picture: Path, title: str, seconds: float) -> Tile:
    """Return a cell's tile with its title and its time, in seconds or, if it is long, minutes."""
    time = f"{seconds:.0f} s" if seconds < 99.5 else f"{seconds / 60:.0f} min"
    return replace(cell_tile(picture), caption=f"{title}: {time}")


def input_tile(path: str, title: str) -> Tile:
    """Return the tile of a content or style image."""
    return Tile(Path(path), caption=title)
