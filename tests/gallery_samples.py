"""Galleries for the tests: rows of the table with everything filled in, and harmful titles."""

import itertools
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd
from conftest import paint

from nst.gallery.data import CURVES, NAMES
from nst.gallery.page import write_gallery

HOSTILE = "<script>alert(1)</script>"
TITLES = {
    HOSTILE: '</script><img src=x onerror="alert(2)"> & "quotes" {{ 7*7 }}',
    "cat": "Chelsea the cat",
    "night": "=HYPERLINK() ليلة النجوم \u2028 🌌",
    "wave": "Great Wave",
}
RATIOS = ("1e0", "1e-1", "1e-2")
LAYERS = ("all", "fine")

Row = dict[str, Any]


def make_row(folder: Path, place: int, **changes: Any) -> Row:
    """Return the row of a finished cell with its picture; ``place`` determines its numbers.

    ``trace`` is not in the summary table: it lists the cell's rows of the table of traces.
    """
    size = changes.pop("size", (64, 48))
    row = {
        "content": "cat",
        "style": "wave",
        "layers": "all",
        "ratio": "1e-1",
        "status": "finished",
        "path": str(folder / "cells" / f"a #{place} %.png"),
        "width": size[0],
        "height": size[1],
        "formulation": "relative",
        "settings": {"iterations": 25, "beta": 10.0 * (place + 1), "style_layers": {"relu1_1": 1}},
        "ssim": 0.9 - place / 100,
        "content_distance": place / 10,
        "tv_loss": float(place),
        "trace": [(1, 9.0, 0.1, 1.0), (2, 3.0, 0.5, 0.5), (3, 1.5 + place, 0.6, 0.1)],
        "failure": "",
        "rank": None,
        "pareto": False,
        "suggested": False,
        "reason": "",
        "seconds": 1.5,
        "device": "cpu",
        "fingerprint": f"{place:064x}",
        **changes,
    }
    if row["status"] == "finished":
        paint(Path(row["path"]), place, size)
    return {
        **row,
        "content_title": TITLES.get(row["content"], row["content"]),
        "style_title": TITLES.get(row["style"], row["style"]),
        "settings": json.dumps(row["settings"]),
    }


def waiting(row: Row) -> Row:
    """Return the row of a cell that is not finished: its names only."""
    names = {name: row[name] for name in (*NAMES, "content_title", "style_title", "formulation")}
    return {**names, "status": "waiting", "trace": []}


def write_rows(
    rows: Iterable[Row], folder: Path, run: Path | None = None, title: str = "T", **named: str
) -> Path:
    """Write the gallery of these rows; ``run`` defaults to the parent of ``folder``."""
    run = run or folder.parent
    table = pd.DataFrame(rows)
    points = [
        (*(row[name] for name in NAMES), *point)
        for row in table.to_dict("records")
        for point in row["trace"]
    ]
    traces = run / "traces.parquet"
    pd.DataFrame(points, columns=[*NAMES, *CURVES.values()]).to_parquet(traces)
    table = table.drop(columns="trace").astype({"rank": "Int64"})
    return write_gallery(table, traces, run / "inputs", folder, title=title, **named)


def make_grid(folder: Path) -> list[Row]:
    """Return 2 × 2 pairs of 2 × 3 cells; the fourth of the first pair failed."""
    contents, styles = ("cat", HOSTILE), ("wave", "night")
    for role, names in (("content", contents), ("style", styles)):
        for seed, name in enumerate(names, 10 if role == "style" else 0):
            paint(folder / "inputs" / role / f"{name}.png", seed, (96, 72))
    return [
        make_row(folder, place, **dict(zip(NAMES, names, strict=True)), **_standing(place))
        for place, names in enumerate(itertools.product(contents, styles, LAYERS, RATIOS))
    ]


def make_sweep(folder: Path) -> list[Row]:
    """Return the cells of a pair for two settings that vary and two ratios."""
    return [
        make_row(folder, place, layers=f"all_of/style_scale={scale}/style_loss={loss}", ratio=ratio)
        for place, (scale, loss, ratio) in enumerate(
            itertools.product(("2", "0.5", "10"), ("mean_gram", "covariance"), RATIOS[:2])
        )
    ]


def _standing(place: int) -> Row:
    if place == 3:
        measures = dict.fromkeys(("ssim", "content_distance", "tv_loss"))
        return {"status": "failed", "failure": "no finite loss", "trace": [], **measures}
    rank = place % 6 + 1
    return {
        "rank": rank,
        "pareto": rank < 3,
        "suggested": rank == 2,
        "reason": "Keeps the most at half of the style." if rank == 2 else "",
    }
