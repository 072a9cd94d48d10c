"""The gallery and the overview of an unfinished run: its finished cells, and empty places."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd

from nst.cells.cell import Cell, read_details, read_record
from nst.config.paths import (
    DETAILS,
    GALLERY_SO_FAR,
    OVERVIEW_SO_FAR,
    cell_path,
    subtitle_of_run,
    title_of_run,
)
from nst.config.pictures import Picture
from nst.config.run import Run
from nst.figures.grids import checked, formulation_grid, overview_grid
from nst.figures.layout import Grid, Page, Panel
from nst.figures.painting import draw_grid, save_grid
from nst.gallery.data import NAMES
from nst.gallery.page import write_gallery
from nst.reports.summary import tabulate
from nst.system.files import part_folder

SCREEN = Page(dpi=100)  # takes a quarter of the pixels and the time of a page for print
INPUTS = Path("results/inputs")
WAITING = "still to come"

IsFinished = Callable[[Path], bool]


def write_so_far(run: Run, is_finished: IsFinished, said: str) -> None:
    """Write the gallery and the overview of the finished cells, with the text ``said`` above.

    ``is_finished`` tells whether a picture exists and belongs to this run rather than to an earlier
    configuration. If no cell is finished, only the overview is written.

    Raises:
        UserError: a file cannot be read; this may be temporary.
    """
    page = Path(GALLERY_SO_FAR)
    with part_folder(page) as folder:
        traces = folder / "traces.parquet"
        table = tabulate(_cells(run, is_finished), traces)
        if len(table):
            write_gallery(
                _with_places(run, table),
                traces,
                INPUTS,
                page.parent,
                title=title_of_run(run),
                subtitle=subtitle_of_run(run),
                so_far=said,
            )
    save_grid(draw_grid(_overview(run, is_finished, said), SCREEN), Path(OVERVIEW_SO_FAR))


def _overview(run: Run, is_finished: IsFinished, said: str) -> Grid:
    """Return the overview of the run, or the grid of recipes if the run compares recipes."""

    def place(panel: Panel) -> Panel:
        path = panel.picture
        if path is None or (path.is_file() if panel.label else is_finished(path)):
            return checked(panel)
        return replace(panel, picture=None, note=WAITING)

    titles = _titles(run.contents), _titles(run.styles)
    if run.compares_recipes:
        recipes = [one.title for one in run.recipes]
        grid = formulation_grid(*titles, run.places, subtitle=said, recipes=recipes)
    else:
        grid = overview_grid(*titles, [run.overview], subtitle=said)
    return grid.changed(place)


def _titles(pictures: Mapping[str, Picture]) -> dict[str, str]:
    """Return the titles of pictures by name."""
    return {name: one.title for name, one in pictures.items()}


def _cells(run: Run, is_finished: IsFinished) -> Iterator[Mapping[Path, Cell]]:
    """Yield each pair's finished cells, from its details or, until these exist, its pictures."""
    for content, style in run.pairs:
        pictures = [cell_path(content, style, one.layers, one.ratio) for one in run.variants]
        there = list(filter(is_finished, pictures))
        # Snakemake removes old details before a job writes its first picture.
        details = Path(DETAILS.format(content=content, style=style))
        if there and details.is_file():
            cells = read_details(details)
        else:
            cells = {picture: Cell.from_record(read_record(picture)) for picture in there}
        yield {picture: cells[picture] for picture in there}


def _with_places(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with a row for every cell of the run, in the run's order."""
    names = [
        (*pair, one.layers, one.ratio, one.formulation)
        for pair, one in product(run.pairs, run.variants)
    ]
    places = pd.DataFrame(names, columns=[*NAMES, "formulation"]).assign(status="waiting")
    places["content_title"] = places["content"].map(_titles(run.contents))
    places["style_title"] = places["style"].map(_titles(run.styles))
    both = pd.concat([table, places]).drop_duplicates(list(NAMES))
    return places[list(NAMES)].merge(both)
