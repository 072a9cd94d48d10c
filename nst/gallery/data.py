"""The data of a gallery's page: the table of cells, links to small copies of pictures, loss curves.

A copy is named after the sha256 of the picture's file. It is therefore written only if the picture
changed, and never confused with the copy of a picture with the same settings from another device or
version.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pandas as pd

from nst.imaging.images import fit_long_side, load_image, read_size
from nst.reports.summary import LOSSES, MEASURES, evenly, read_table, shared_settings
from nst.system.files import atomic_file

THUMBNAIL = 400  # px, longer side: for a card of 300 px, with some reserve for dense screens
PREVIEW = 800  # px, longer side: for the full view, if the original is missing
QUALITY = 80  # of WebP; brush strokes stay clean, at about 60 kB per 400 × 400 px
COPIES = "pictures"  # the folder of the copies, in the gallery's folder
MADE = re.compile(r"[0-9a-f]{24}-\d+\.webp")
NAMES = ("content", "style", "layers", "ratio")
"""Columns that identify a cell."""
AS_THEY_ARE = (
    *(*NAMES, "formulation", "status", "width", "height", "rank", "pareto", "suggested"),
    *("seconds", "device", "fingerprint"),
)
"""Columns of the table that the page has unchanged."""
METRICS = ("preference", *MEASURES, *(f"{name}_loss" for name in LOSSES))
"""Numeric columns by which the page compares cells, if the table has them; see data.js."""
CURVES = {
    "evaluation": "evaluation",
    **{name: f"{name}_loss" for name in ("total", "content", "style")},
}
"""The curves of a cell's trace, and their columns in the table of traces."""
CURVE_POINTS = 48  # per loss curve, which is drawn 300 px wide
LEAST_CURVE_POINTS = 12
ALL_CURVE_POINTS = 200_000  # of all curves; with thousands of cells, curves are half the page
LARGEST_BEFORE = 2048  # px: the largest content that the page lays over its cells


def link_picture(
    picture: Path | None, folder: Path, *, size: int = PREVIEW
) -> dict[str, str | None]:
    """Return links from a gallery's folder to a picture and its copies; without a picture, None.

    Missing copies are written. ``size`` is the longer side of the larger copy in px; no copy is
    larger than the picture. Raises ``ImageError`` if the picture cannot be read.
    """
    if picture is None:
        return dict.fromkeys(("thumbnail", "preview", "full"))
    longer = max(read_size(picture, any_shape=True))
    digest = hashlib.sha256(picture.read_bytes()).hexdigest()[:24]
    sides = [min(limit, longer) for limit in (THUMBNAIL, max(size, THUMBNAIL))]
    thumbnail, preview = (f"{COPIES}/{digest}-{side}.webp" for side in sides)
    original = None
    for name, side in zip((thumbnail, preview), sides, strict=True):
        if not (folder / name).is_file():
            original = original or load_image(picture, any_shape=True)
            with atomic_file(folder / name) as file:
                fit_long_side(original, side).save(file, "WEBP", quality=QUALITY, method=4)
    full = quote(Path(os.path.relpath(picture, folder)).as_posix())
    return {"thumbnail": thumbnail, "preview": preview, "full": full}


def remove_old_copies(folder: Path, page: str) -> int:
    """Remove the copies that a gallery's page does not name, and return their number."""
    named = set(MADE.findall(page))
    old = [
        path
        for path in (folder / COPIES).glob("*.webp")
        if MADE.fullmatch(path.name) and path.name not in named
    ]
    for path in old:
        path.unlink()
    return len(old)


def gallery_data(table: pd.DataFrame, traces: Path, inputs: Path, folder: Path) -> dict[str, Any]:
    """Return the data that the page shows, with links to pictures and their copies.

    ``cells`` is a table for the page, with None for missing values; a column such as
    ``metrics.ssim`` is a part of ``metrics``. A row with the status ``waiting`` is a cell that is
    not computed yet: it needs only ``NAMES`` and the titles. ``contents``, ``styles`` and
    ``settings`` describe what several cells share.

    ``traces`` is the table of traces in Parquet, which is read pair by pair. ``inputs`` has the
    images of the run as ``content/{name}.png`` and ``style/{name}.png``. ``folder`` is that of the
    gallery, where missing copies are written.

    Raises:
        ImageError: a picture cannot be read.
    """
    settings = table["settings"].dropna().map(json.loads)
    shared = shared_settings(list(settings))
    metrics = table[[name for name in METRICS if name in table]].map(_rounded, digits=6)
    pictures = [
        link_picture(Path(path) if status == "finished" else None, folder)
        for path, status in zip(table["path"], table["status"], strict=True)
    ]
    parts = [
        table[list(AS_THEY_ARE)],
        table["failure"].rename("reason"),
        table["reason"].where(table["suggested"].eq(other=True), "").rename("suggestion"),
        settings.map(lambda one: {n: one[n] for n in one if n not in shared}),
        pd.DataFrame(pictures, table.index),
        metrics.add_prefix("metrics."),
        pd.DataFrame(_curves(table, traces), table.index).add_prefix("trace."),
    ]
    cells = pd.concat(parts, axis=1).astype(object)
    return {
        "contents": list(_subjects(table, "content", inputs, folder)),
        "styles": list(_subjects(table, "style", inputs, folder)),
        "settings": shared,
        "cells": cells.where(cells.notna(), None),
    }


def _subjects(
    table: pd.DataFrame, role: str, inputs: Path, folder: Path
) -> Iterator[dict[str, str | None]]:
    """Yield each content or style: its name, title, and links to its picture if the file exists.

    The larger copy has the size of the cells, since the page lays it over them.
    """
    for name, cells in table.groupby(role, sort=False):
        picture = inputs / role / f"{name}.png"
        largest = int(cells[["width", "height"]].max().fillna(0).max())
        size = min(LARGEST_BEFORE, max(PREVIEW, largest))
        links = link_picture(picture if picture.is_file() else None, folder, size=size)
        yield {"name": str(name), "title": cells[f"{role}_title"].iloc[0], **links}


def _curves(table: pd.DataFrame, traces: Path) -> list[dict[str, Any]]:
    """Return an even subset of each cell's curves, including the first and the last point.

    Numbers have four digits. A number that is not finite becomes None, a gap in the curve.
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
    """Round to significant digits, for a smaller page; return None unless the value is finite."""
    if value is None or isinstance(value, int):
        return value
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
