"""What a gallery's page is made from: the table of cells, with links to pictures, and curves."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from nst.gallery.previews import PREVIEW, Previews
from nst.reports.summary import LOSSES, MEASURES, evenly, read_table

NAMES = ("content", "style", "layers", "ratio")
"""Columns that tell the cells apart."""
AS_THEY_ARE = (
    *(*NAMES, "formulation", "status", "width", "height", "rank", "pareto", "suggested"),
    *("seconds", "device", "fingerprint"),
)
"""Columns of the table that the page has as they are."""
METRICS = ("preference", *MEASURES, *(f"{name}_loss" for name in LOSSES))
"""Columns of numbers that the page compares cells by, if the table has them; see data.js."""
CURVES = {
    "evaluation": "evaluation",
    **{name: f"{name}_loss" for name in ("total", "content", "style")},
}
"""What is drawn of a cell's trace, and the column of the table of traces that has it."""
CURVE_POINTS = 48  # of a loss curve, which is drawn 300 px wide
LEAST_CURVE_POINTS = 12
ALL_CURVE_POINTS = 200_000  # of all the curves: half the page of thousands of cells is curves
LARGEST_BEFORE = 2048  # px: of a content to lay over its cells


def gallery_data(
    table: pd.DataFrame, traces: Path, inputs: Path, previews: Previews
) -> dict[str, Any]:
    """Return what the page shows of the table of cells, with links to pictures and their copies.

    ``cells`` is a table for the page, with None for what a cell does not have; a column such as
    ``metrics.ssim`` is a part of ``metrics``. A row with the status ``waiting`` is of a cell that
    is still to come: it needs ``NAMES``, the titles and no more. The other keys describe what cells
    have in common.

    ``traces`` is the table of traces in Parquet, of which one pair's rows are in memory at a time.
    ``inputs`` holds the images of the run as ``content/{name}.png`` and ``style/{name}.png``.

    Raises:
        ImageError: a picture cannot be read.
    """
    settings = table["settings"].dropna().map(json.loads)
    shared = _shared(list(settings))
    metrics = {
        f"metrics.{name}": [_rounded(value, 6) for value in table[name]]
        for name in METRICS
        if name in table
    }
    pictures = [
        previews.of(Path(path) if status == "finished" else None)
        for path, status in zip(table["path"], table["status"], strict=True)
    ]
    parts = [
        table[list(AS_THEY_ARE)],
        table["failure"].rename("reason"),
        table["reason"].where(table["suggested"].eq(other=True), "").rename("suggestion"),
        settings.map(lambda one: {n: one[n] for n in one if n not in shared}),
        pd.DataFrame(pictures, table.index),
        pd.DataFrame(metrics, table.index),
        pd.DataFrame(_curves(table, traces), table.index).add_prefix("trace."),
    ]
    cells = pd.concat(parts, axis=1).astype(object)
    return {
        "contents": list(_subjects(table, "content", inputs, previews)),
        "styles": list(_subjects(table, "style", inputs, previews)),
        "settings": shared,
        "cells": cells.where(cells.notna(), None),
    }


def _subjects(
    table: pd.DataFrame, role: str, inputs: Path, previews: Previews
) -> Iterator[dict[str, str | None]]:
    """Yield each content or style: its name, its title, and links to its picture, if it is there.

    The larger copy is as large as the cells, since it is laid over them.
    """
    for name, cells in table.groupby(role, sort=False):
        picture = inputs / role / f"{name}.png"
        largest = int(cells[["width", "height"]].max().fillna(0).max())
        size = min(LARGEST_BEFORE, max(PREVIEW, largest))
        links = previews.of(picture if picture.is_file() else None, size=size)
        yield {"name": str(name), "title": cells[f"{role}_title"].iloc[0], **links}


def _curves(table: pd.DataFrame, traces: Path) -> list[dict[str, Any]]:
    """Return each cell's curves, thinned; the first and the last point stay.

    Numbers have four digits. One that is not finite becomes None, a gap in the curve.
    """
    most = min(CURVE_POINTS, max(LEAST_CURVE_POINTS, ALL_CURVE_POINTS // len(table)))
    found = {}
    made = table[table["status"] != "waiting"]
    for content, style in made[["content", "style"]].drop_duplicates().itertuples(index=False):
        rows = read_table(traces, (content, style))
        for names, trace in rows.groupby(list(NAMES), sort=False):
            kept = trace.iloc[evenly(len(trace), most)]
            found[names] = {
                name: [_rounded(value, 4) for value in kept[column].tolist()]
                for name, column in CURVES.items()
            }
    return [found.get(names, {}) for names in table[list(NAMES)].itertuples(index=False, name=None)]


def _rounded(value: int | float | None, digits: int) -> int | float | None:
    """Round to significant digits, for a smaller page; None if it is not a finite number."""
    if value is None or isinstance(value, int):
        return value
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def _shared(settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings that are the same in all of these."""
    first = settings[0] if settings else {}
    return {
        name: value
        for name, value in first.items()
        if all((name, value) in one.items() for one in settings)
    }
