"""What a gallery shows: one entry for each cell, and what its measures mean."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from nst.reports.summary import read_table

LOSSES = ("content", "style", "tv", "total")  # the losses of a recipe; the others are measures


@dataclass(frozen=True)
class Metric:
    """One number that cells have: its name in the table, its label, and what it means.

    ``better`` is empty where less or more is no merit, or cells cannot be compared by it.
    """

    name: str
    label: str
    better: Literal["higher", "lower", ""]
    meaning: str


METRICS = (
    Metric(
        "preference",
        "Preference",
        "higher",
        "The predicted share of votes that the cell would win against another of its pair.",
    ),
    Metric(
        "content_distance",
        "Content distance",
        "lower",
        "How far the features are from the content's; 0 is no change.",
    ),
    Metric(
        "style_distance",
        "Style distance",
        "lower",
        "How far the 7×7 px patches, at all octaves, are from the style's; 0 is the same.",
    ),
    Metric(
        "colour_distance",
        "Colour distance",
        "lower",
        "How far the colours are from the style's; 0 is the same palette.",
    ),
    Metric(
        "ssim",
        "Structure kept (SSIM)",
        "higher",
        "How much of the content's light and dark structure is kept; 1 is all of it.",
    ),
    Metric(
        "relative_content",
        "Relative content loss",
        "lower",
        "The content loss by one definition for all recipes; "
        "1 is no better than a featureless picture.",
    ),
    Metric(
        "relative_style",
        "Relative style loss",
        "lower",
        "The style loss by one definition for all recipes; "
        "1 is no better than a featureless picture.",
    ),
    Metric(
        "content_loss",
        "Content loss",
        "",
        "In the recipe's own units, before weighting; not for comparing recipes.",
    ),
    Metric(
        "style_loss",
        "Style loss",
        "",
        "In the recipe's own units, before weighting; not for comparing recipes.",
    ),
    Metric("tv_loss", "Total variation", "", "How rough the picture is; 0 is one flat tone."),
    Metric(
        "total_loss",
        "Total loss",
        "",
        "What the optimiser minimises; comparable only at the same α and β.",
    ),
)


@dataclass(frozen=True)
class Subject:
    """A content or a style: its name in paths, its title, and its picture where there is one."""

    name: str
    title: str
    picture: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One cell of a gallery, as it is shown.

    ``reason`` says why a cell failed, ``suggestion`` why one is suggested. ``rank`` counts from 1
    within the pair, and is None where cells are not ranked. ``trace`` maps ``evaluation`` and the
    names of losses to lists of one length. A failed cell needs no picture; one that is ``waiting``
    has its names alone.
    """

    content: Subject
    style: Subject
    layers: str
    ratio: str
    picture: Path | None
    width: int
    height: int
    formulation: str = ""
    status: Literal["finished", "failed", "waiting"] = "finished"
    reason: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, int | float] = field(default_factory=dict)
    rank: int | None = None
    pareto: bool = False
    suggested: bool = False
    suggestion: str = ""
    trace: Mapping[str, Sequence[int | float]] = field(default_factory=dict)
    seconds: int | float | None = None
    device: str = ""
    fingerprint: str = ""


def gallery_entries(table: pd.DataFrame, traces: Path, inputs: Path) -> Iterator[Entry]:
    """Yield an entry for each row of the table of cells, in its order.

    ``traces`` is the table of traces in Parquet, of which one pair's rows are in memory at a time.
    ``inputs`` holds the images of the run as ``content/{name}.png`` and ``style/{name}.png``.
    """
    metrics = [one.name for one in METRICS if one.name in table]
    for content, style in table[["content", "style"]].drop_duplicates().itertuples(index=False):
        rows = table[(table["content"] == content) & (table["style"] == style)]
        curves = dict(iter(read_table(traces, (content, style)).groupby("fingerprint")))
        for row in rows.itertuples(index=False):
            trace = _curves(curves.get(str(row.fingerprint)))
            yield _entry(row._asdict(), metrics, trace, inputs)


def _entry(
    row: Mapping[str, Any],
    metrics: Sequence[str],
    trace: Mapping[str, Sequence[int | float]],
    inputs: Path,
) -> Entry:
    """Lay out what a row says."""
    finished, ranked = row["status"] == "finished", not pd.isna(row["rank"])
    return Entry(
        content=subject(row["content"], row["content_title"], inputs / "content"),
        style=subject(row["style"], row["style_title"], inputs / "style"),
        layers=row["layers"],
        ratio=row["ratio"],
        formulation=row["formulation"],
        picture=Path(row["path"]) if finished else None,
        width=row["width"],
        height=row["height"],
        status=row["status"],
        reason=row["failure"],
        settings=json.loads(row["settings"]),
        metrics={name: row[name] for name in metrics if _is_finite(row[name])},
        rank=int(row["rank"]) if ranked else None,
        pareto=bool(row["pareto"]),
        suggested=bool(row["suggested"]),
        suggestion=row["reason"] if row["suggested"] else "",
        trace=trace,
        seconds=row["seconds"],
        device=row["device"],
        fingerprint=row["fingerprint"],
    )


def subject(name: str, title: str, folder: Path) -> Subject:
    """Return a content or style with its picture in ``folder``, if it is there."""
    picture = folder / f"{name}.png"
    return Subject(name, title, picture if picture.is_file() else None)


def _is_finite(value: object) -> bool:
    """Tell whether a number is there and finite."""
    return isinstance(value, int | float) and math.isfinite(value)


def _curves(rows: pd.DataFrame | None) -> dict[str, list[int] | list[float]]:
    """Return a cell's losses on the way by name, and the evaluations that they are of."""
    if rows is None:
        return {}
    named = {"evaluation": "evaluation"} | {f"{name}_loss": name for name in LOSSES}
    return {short: rows[name].tolist() for name, short in named.items()}
