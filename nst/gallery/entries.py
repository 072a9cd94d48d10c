"""What a gallery shows: one entry for each cell, and what its measures mean."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from nst.cells.cell import Cell, Source

KEY = ("content", "style", "layers", "ratio")  # the columns that name a cell
LOSSES = ("content", "style", "tv", "total")  # the losses of a recipe; the others are measures


@dataclass(frozen=True)
class Metric:
    """One number that cells have: its name in the table, its label, and what it tells.

    ``better`` is empty where less or more is no merit, or cells cannot be compared by it.
    """

    name: str
    label: str
    better: Literal["higher", "lower", ""]
    meaning: str


METRICS = (
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
        "How far the features' distribution is from the style's; 0 is the same.",
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
        "The content loss by one definition for all recipes; 1 is as far off as nothing.",
    ),
    Metric(
        "relative_style",
        "Relative style loss",
        "lower",
        "The style loss by one definition for all recipes; 1 is as far off as nothing.",
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
        "What the optimiser brought down; comparable only at the same α and β.",
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
    names of losses to lists of one length. A failed cell needs no picture.
    """

    content: Subject
    style: Subject
    layers: str
    ratio: str
    picture: Path | None
    width: int
    height: int
    formulation: str = ""
    status: Literal["finished", "failed"] = "finished"
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


def read_table(path: Path) -> pd.DataFrame:
    """Read a summary table; a picture named ``NA`` or ``001`` keeps its name."""
    names = dict.fromkeys((*KEY, "reason"), str)
    return pd.read_csv(path, dtype=names, keep_default_na=False, na_values=[""])


def gallery_entries(
    cells: Iterable[tuple[Cell, Path]], table: pd.DataFrame, inputs: Path
) -> Iterator[Entry]:
    """Yield an entry for each cell and its picture, in their order.

    ``table`` is the summary; what it says of a cell (``METRICS``, ``rank``, ``pareto``,
    ``suggested``, ``reason``) is added, and a column that it does not have is left out. ``inputs``
    holds the images of the run as ``content/{name}.png`` and ``style/{name}.png``.
    """
    known = [one.name for one in METRICS] + ["rank", "pareto", "suggested", "reason"]
    columns = [name for name in known if name in table.columns]
    rows = {
        tuple(row[: len(KEY)]): dict(zip(columns, row[len(KEY) :], strict=True))
        for row in table[[*KEY, *columns]].itertuples(index=False, name=None)
    }
    for cell, picture in cells:
        name = (cell.content.name, cell.style.name, cell.layers, cell.ratio)
        yield _entry(cell, picture, rows.get(name, {}), inputs)


def _entry(cell: Cell, picture: Path, row: Mapping[str, Any], inputs: Path) -> Entry:
    """Join what a cell and its row in the table say."""
    said = {name: value for name, value in row.items() if not pd.isna(value)}
    suggested = _flag(said.get("suggested"))
    return Entry(
        content=_subject(cell.content, inputs / "content"),
        style=_subject(cell.style, inputs / "style"),
        layers=cell.layers,
        ratio=cell.ratio,
        formulation=cell.formulation,
        picture=picture if cell.status == "finished" else None,
        width=cell.width,
        height=cell.height,
        status=cell.status,
        reason=cell.reason,
        settings=cell.settings.to_dict(),
        metrics=_metrics(cell.losses, said),
        rank=int(said["rank"]) if "rank" in said else None,
        pareto=_flag(said.get("pareto")),
        suggested=suggested,
        suggestion=str(said.get("reason", "")) if suggested else "",
        trace=cell.trace,
        seconds=cell.seconds,
        device=cell.device,
        fingerprint=cell.fingerprint,
    )


def _subject(source: Source, folder: Path) -> Subject:
    """Find a source's picture, if it is there."""
    picture = folder / f"{source.name}.png"
    return Subject(source.name, source.title, picture if picture.is_file() else None)


def _metrics(losses: Mapping[str, float], said: Mapping[str, Any]) -> dict[str, float]:
    """Gather a cell's finite numbers under the table's names, without the losses of single layers.

    Those of single layers are the ones with a space in their name, as ``style relu1_1``.
    """
    own = {
        f"{name}_loss" if name in LOSSES else name: value
        for name, value in losses.items()
        if " " not in name
    }
    known = {one.name: said[one.name] for one in METRICS if one.name in said}
    return {name: float(value) for name, value in (own | known).items() if math.isfinite(value)}


def _flag(value: object) -> bool:
    """Read a truth value; in a column with gaps, CSV has it as text."""
    return str(value).lower() in {"true", "1", "1.0"}
