"""Galleries for the tests: cells with everything filled in, and harmful titles."""

import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from conftest import paint
from made_cells import make_cell, make_table

from nst.cells.cell import Cell, Source
from nst.config.settings import Settings
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
FAILED = {"status": "failed", "reason": "no finite loss", "losses": {}, "trace": {}}


def make_sample(
    folder: Path, place: int, content: str = "cat", style: str = "wave", **changes: Any
) -> Cell:
    """Return a finished cell with its picture; ``place`` determines its numbers.

    Of six cells of a pair, the second ranks first, and the first is on the Pareto front too.
    """
    settings = {"beta": 10.0 * (place + 1), "iterations": 25, "style_layers": {"relu1_1": 1}}
    values = {
        "content": Source(content, TITLES.get(content, content), content),
        "style": Source(style, TITLES.get(style, style), style),
        "ratio": "1e-1",
        "settings": Settings.from_mapping(settings),
        "path": folder / "cells" / f"a #{place} %.png",
        "losses": {
            "ssim": 0.9 - place / 100,
            "content_distance": place / 10,
            "style_distance": place / 10 if place % 6 else 9.0,
            "tv": float(place),
        },
        "trace": {
            "total": [9.0, 3.0, 1.5 + place],
            "content": [0.1, 0.5, 0.6],
            "style": [1.0, 0.5, 0.1],
        },
    }
    cell = make_cell(**(values | changes))
    if cell.status == "finished":
        paint(cell.path, place, (cell.width, cell.height))
    return cell


def write_cells(
    cells: Iterable[Cell],
    run: Path,
    folder: Path | None = None,
    title: str = "2 pictures in 2 styles",
    subtitle: str = "kmeans",
) -> Path:
    """Write the gallery of a run's cells, by default into the run's folder; return its page."""
    table, traces = make_table({cell.path: cell for cell in cells}, run)
    named = {"title": title, "subtitle": subtitle}
    return write_gallery(table, traces, run / "inputs", folder or run / "gallery", **named)


def make_grid(folder: Path) -> list[Cell]:
    """Return 2 × 2 pairs of 2 × 3 cells; the fourth of the first pair failed."""
    contents, styles = ("cat", HOSTILE), ("wave", "night")
    for role, names in (("content", contents), ("style", styles)):
        for seed, name in enumerate(names, 10 if role == "style" else 0):
            paint(folder / "inputs" / role / f"{name}.png", seed, (96, 72))
    names = itertools.product(contents, styles, LAYERS, RATIOS)
    return [
        make_sample(
            folder, place, *pair, layers=layers, ratio=ratio, **(FAILED if place == 3 else {})
        )
        for place, (*pair, layers, ratio) in enumerate(names)
    ]


def make_sweep(folder: Path) -> list[Cell]:
    """Return the cells of a pair for two settings that vary and two ratios."""
    points = itertools.product(("2", "0.5", "10"), ("mean_gram", "covariance"), RATIOS[:2])
    return [
        make_sample(folder, at, layers=f"all_of/style_scale={scale}/style_loss={loss}", ratio=ratio)
        for at, (scale, loss, ratio) in enumerate(points)
    ]
