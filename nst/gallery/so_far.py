"""An unfinished run: its progress, its gallery and its overview, with empty places.

Progress is counted from the pictures on disk, wherever the jobs run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import pandas as pd

from nst.cells.cell import Cell, read_details, read_record
from nst.cells.store import CellStore
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
from nst.errors import ImageError
from nst.figures.grids import checked, formulation_grid, overview_grid
from nst.figures.layout import Grid, Page, Tile
from nst.figures.painting import draw_grid, save_grid
from nst.gallery.data import NAMES
from nst.gallery.page import write_gallery
from nst.reports.summary import tabulate
from nst.system.files import part_folder, time_stamp

SECONDS_TO_JUDGE = 20.0  # after the first computed cell, before the time left is estimated


class Progress:
    """Counts the pictures of a run as they appear, and estimates the time left.

    ``missing`` maps each picture to make to the time stamp of its old file, or None. A picture
    counts as soon as its file has another time stamp. ``now`` is a clock's reading in seconds.
    """

    def __init__(self, missing: Mapping[str, int | None], store: CellStore, now: float) -> None:
        self.count = len(missing)
        self._waiting = dict(missing)
        self._done: dict[str, bool] = {}  # whether a picture was computed in this run
        self._store = store
        self._began = now
        self._first: tuple[float, int] | None = None  # time of the first computed cells; how many
        self._last = now

    def __contains__(self, path: str) -> bool:
        return path in self._done

    @property
    def done(self) -> int:
        """The number of pictures made so far."""
        return len(self._done)

    def look(self, now: float) -> None:
        """Check for new pictures."""
        before = self._computed
        for path, old in list(self._waiting.items()):
            stamp = time_stamp(path)
            if stamp not in (None, old):
                self._done[path] = not self._is_from_store(path)
                del self._waiting[path]
        if self._computed > before:
            self._last = now
            self._first = self._first or (now, self._computed)

    def line(self, now: float) -> str:
        """Return the progress in words, with the time left if it is known."""
        left = self.seconds_left(now) if self._waiting else None
        time = "" if left is None else f", {_about(left)} left"
        return f"{self.done} of {self.count} cells{time}"

    def seconds_left(self, now: float) -> float | None:
        """Return the estimated time for the other cells; None until there is a pace to measure.

        The pace is that of all jobs together since the first computed cell; the time before it is
        ignored. Cells from the store take no time. A pair that has begun has already restored its
        stored cells; the other pairs are assumed to have the same share of stored cells.
        """
        if self._first is None or now - self._first[0] < SECONDS_TO_JUDGE:
            return None
        since, already = self._first
        count = self._computed - already
        known = (self._last - since) / count if count else (self._last - self._began) / already
        pace = max(known, (now - since) / (count + 1))  # the next cell is not finished yet
        begun = Counter(map(_pair, self._done))
        waiting = Counter(map(_pair, self._waiting))
        here = sum(waiting[pair] for pair in begun)
        share = 1 - (self.done - self._computed) / (self.done + here)
        work = here + share * (len(self._waiting) - here)
        return max(pace * work - (now - self._last), pace * (work - 1), 0.0)

    @property
    def _computed(self) -> int:
        return sum(self._done.values())

    def _is_from_store(self, path: str) -> bool:
        """Return whether a picture came from the store; a computed cell is stored afterwards."""
        try:
            kept = self._store.time_stamp(read_record(Path(path))["fingerprint"])
        except (ImageError, KeyError):  # removed in the meantime, for example by a failed job
            return False
        written = time_stamp(path)
        return kept is not None and written is not None and kept < written


def _pair(path: str) -> tuple[str, ...]:
    """Return the folders that a pair's pictures share: results, cells or prints, content, style."""
    return tuple(path.split("/")[:4])


def _about(seconds: float) -> str:
    """Return a rounded time in words."""
    if seconds < 60:
        return "less than a minute"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 100 else f"about {seconds / 3600:.1f} h"


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

    def place(tile: Tile) -> Tile:
        path = tile.picture
        if path is None or (path.is_file() if tile.label else is_finished(path)):
            return checked(tile)
        return replace(tile, picture=None, note=WAITING)

    titles = _titles(run.contents), _titles(run.styles)
    if run.compares_recipes:
        variants = [(one.layers, one.ratio) for one in run.variants]
        recipes = [one.title for one in run.recipes]
        grid = formulation_grid(*titles, variants, subtitle=said, recipes=recipes)
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
