"""Galleries for the tests: entries with everything filled in, and titles that try to do harm."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from conftest import paint

from nst.gallery.entries import Entry, Subject

HOSTILE = "<script>alert(1)</script>"
TITLES = {
    HOSTILE: '</script><img src=x onerror="alert(2)"> & "quotes" {{ 7*7 }}',
    "cat": "Chelsea the cat",
    "night": "=HYPERLINK() ليلة النجوم \u2028 🌌",
    "wave": "Great Wave",
}
RATIOS = ("1e0", "1e-1", "1e-2")
LAYERS = ("all", "fine")


def subject(folder: Path, role: str, name: str, seed: int) -> Subject:
    file = f"{role}-{seed}.png"  # a slash cannot be part of a file's name
    return Subject(name, TITLES.get(name, name), paint(folder / "inputs" / file, seed, (96, 72)))


def make_entry(folder: Path, place: int, **changes: Any) -> Entry:
    """Return a finished entry with a picture of its own; ``place`` gives its numbers."""
    size = changes.pop("size", (64, 48))
    path = folder / "cells" / f"a #{place} %.png"
    values: dict[str, Any] = {
        "content": Subject("cat", "Chelsea the cat"),
        "style": Subject("wave", "Great Wave"),
        "layers": "all",
        "ratio": "1e-1",
        "picture": path,
        "width": size[0],
        "height": size[1],
        "formulation": "relative",
        "settings": {"iterations": 25, "beta": 10.0 * (place + 1), "style_layers": {"relu1_1": 1}},
        "metrics": {"ssim": 0.9 - place / 100, "content_distance": place / 10, "sharpness": place},
        "trace": {
            "evaluation": [1, 2, 3],
            "total": [9.0, 3.0, 1.5 + place],
            "content": [0.1, 0.5, 0.6],
            "style": [1.0, 0.5, 0.1],
        },
        "seconds": 1.5,
        "device": "cpu",
        "fingerprint": f"{place:064x}",
    }
    entry = Entry(**(values | changes))
    if entry.picture is not None:
        paint(entry.picture, place, size)
    return entry


def make_grid(folder: Path) -> list[Entry]:
    """Return 2 × 2 pairs of 2 × 3 cells; the fourth of the first pair failed."""
    contents = [subject(folder, "content", name, i) for i, name in enumerate(("cat", HOSTILE))]
    styles = [subject(folder, "style", name, i) for i, name in enumerate(("wave", "night"), 10)]
    entries = []
    for content in contents:
        for style in styles:
            for layers in LAYERS:
                for ratio in RATIOS:
                    place = len(entries)
                    names = {"content": content, "style": style, "layers": layers, "ratio": ratio}
                    entries.append(make_entry(folder, place, **names, **_standing(place)))
    return entries


def make_sweep(folder: Path) -> list[Entry]:
    """Return a pair's cells over two settings that vary, and two ratios."""
    return [
        make_entry(
            folder, place, layers=f"all_of/style_scale={scale}/style_loss={loss}", ratio=ratio
        )
        for place, (scale, loss, ratio) in enumerate(
            itertools.product(("2", "0.5", "10"), ("mean_gram", "covariance"), RATIOS[:2])
        )
    ]


def _standing(place: int) -> dict[str, Any]:
    if place == 3:
        return {"status": "failed", "reason": "no finite loss", "metrics": {}, "picture": None}
    rank = place % 6 + 1
    return {
        "rank": rank,
        "pareto": rank < 3,
        "suggested": rank == 2,
        "suggestion": "Keeps the most at half of the style." if rank == 2 else "",
    }
