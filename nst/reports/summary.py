"""The table of cells, which grids, plots, gallery and report read, and the table of traces."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import repeat
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pandas.api.types import is_numeric_dtype

from nst.cells.cell import Cell, read_details
from nst.errors import CellError, UserError, counted
from nst.reports.ranking import RANKING, rank_cells
from nst.system.files import atomic_file, write_atomically

logger = logging.getLogger(__name__)

LOSSES = ("content", "style", "tv", "total")
MEASURES = (
    "relative_content",
    "relative_style",
    "content_distance",
    "style_distance",
    "ssim",
    "colour_distance",
)


def _evaluations(cell: Cell) -> int:
    """Return the steps of a cell; without a trace, the steps of its settings at all sizes."""
    asked = sum(steps for _, steps in cell.settings.stages)
    return int(max(cell.trace.get("evaluation", ()), default=asked))


def _loss(name: str, cell: Cell) -> float | None:
    """Return a loss or a measure of a cell, or None if the cell failed."""
    return cell.losses.get(name)


FIELDS: Mapping[str, Callable[[Cell], object]] = {
    "content": lambda cell: cell.content.name,
    "style": lambda cell: cell.style.name,
    "alpha": lambda cell: cell.settings.alpha,
    "beta": lambda cell: cell.settings.beta,
    "ratio": lambda cell: cell.ratio,
    "layers": lambda cell: cell.layers,
    "extractor": lambda cell: cell.settings.extractor,
    "formulation": lambda cell: cell.formulation,
    "width": lambda cell: cell.width,
    "height": lambda cell: cell.height,
    "iterations": _evaluations,
    **{f"{name}_loss": partial(_loss, name) for name in LOSSES},
    **{name: partial(_loss, name) for name in MEASURES},
    "seconds": lambda cell: cell.seconds,
    "device": lambda cell: cell.device,
    "seed": lambda cell: cell.settings.seed,
    "fingerprint": lambda cell: cell.fingerprint,
    "path": lambda cell: cell.path.as_posix(),
    "status": lambda cell: cell.status,
}
"""The columns of the table, and their values for a cell."""
FACTS: Mapping[str, Callable[[Cell], object]] = {
    "content_title": lambda cell: cell.content.title,
    "style_title": lambda cell: cell.style.title,
    "failure": lambda cell: cell.reason,
    "attempts": lambda cell: cell.attempts,
    "settings": lambda cell: json.dumps(cell.settings.to_dict()),
    "versions": lambda cell: json.dumps(dict(cell.versions)),
    "machine": lambda cell: json.dumps(dict(cell.machine)),
}
"""Further columns, which the CSV leaves out; the last three are JSON."""
COLUMNS = (*FIELDS, *RANKING)
LOSS_KINDS = ("content_loss", "style_loss")
"""Settings whose names are also columns with values of losses."""
TRACE_TYPES = {
    **dict.fromkeys(("content", "style", "layers", "ratio", "fingerprint"), "str"),
    "evaluation": "int64",
    **dict.fromkeys((f"{name}_loss" for name in LOSSES), "float64"),
}
ROWS_TOGETHER = 20_000  # of a row group of traces: some MB; millions of rows have few groups


def summarise(details: Iterable[Path], traces: Path | None = None) -> pd.DataFrame:
    """Return a table with a row for each cell of the pairs' ``details`` files, in their order.

    The columns are ``COLUMNS``, with the settings that vary after the layers, and ``FACTS``;
    results/README.md describes them. The losses during optimisation go to the Parquet file
    ``traces``, whole or not at all. It has the columns of ``TRACE_TYPES``, and a row for each
    evaluation in the details.

    Raises:
        CellError: a file cannot be read.
    """
    return tabulate(map(read_details, details), traces)


def tabulate(pairs: Iterable[Mapping[Path, Cell]], traces: Path | None = None) -> pd.DataFrame:
    """Return the table of ``summarise`` for pairs' cells, given by the paths of their pictures.

    The pairs are read one by one, since traces take most of the memory: at most ``ROWS_TOGETHER``
    rows and the rows of one more pair are held. They form a row group, so that a reader of one pair
    finds its rows without reading all other rows.
    """
    fields = {**FIELDS, **FACTS}
    rows: list[dict[str, object]] = []
    encoded = io.BytesIO()
    schema = pa.Schema.from_pandas(_traces([]), preserve_index=False)
    with pq.ParquetWriter(encoded, schema) as writer:
        waiting: list[pd.DataFrame] = []
        for cells in pairs:
            placed = [replace(cell, path=path) for path, cell in cells.items()]
            rows += [{name: take(cell) for name, take in fields.items()} for cell in placed]
            waiting.append(_traces(cells.values()))
            if sum(map(len, waiting)) >= ROWS_TOGETHER:
                _write_rows(writer, waiting)
        _write_rows(writer, waiting)
    if traces is not None:
        write_atomically(traces, encoded.getvalue())
    table = rank_cells(pd.DataFrame(rows, columns=[*COLUMNS, *FACTS]))
    varied = _varied_settings(table)
    after = COLUMNS.index("layers") + 1
    return table.join(varied)[[*COLUMNS[:after], *varied, *COLUMNS[after:], *FACTS]]


def _varied_settings(table: pd.DataFrame) -> pd.DataFrame:
    """Return a column for each setting that has several values and no column of its own.

    A column of numbers stays numeric. Any other column is text, because Parquet needs one type per
    column. The columns ``content_loss`` and ``style_loss`` have values of losses. The settings of
    these names become ``content_loss_kind`` and ``style_loss_kind``.
    """
    settings = [json.loads(text) for text in table["settings"]]
    varied = pd.DataFrame(settings, index=table.index).drop(columns=list(shared_settings(settings)))
    varied = varied.rename(columns=lambda name: f"{name}_kind" if name in LOSS_KINDS else name)
    varied = varied.drop(columns=[*COLUMNS, "content_layers", "style_layers"], errors="ignore")
    columns = {
        name: column if is_numeric_dtype(column) else column.map(str)
        for name, column in varied.items()
    }
    return pd.DataFrame(columns, index=table.index)


def shared_settings(settings: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the settings that have the same value in all of ``settings``."""
    first = settings[0] if settings else {}
    return {
        name: value
        for name, value in first.items()
        if all((name, value) in one.items() for one in settings)
    }


def read_table(path: Path, pair: tuple[str, str] | None = None) -> pd.DataFrame:
    """Read the table of cells or of traces: all rows, or the rows of one content and style.

    Raises:
        CellError: the file is missing or damaged.
    """
    filters = pair and [("content", "==", pair[0]), ("style", "==", pair[1])]
    try:
        return pd.read_parquet(path, filters=filters).reset_index(drop=True)
    except (OSError, pa.ArrowException) as error:
        raise CellError(
            f"{path} cannot be read ({type(error).__name__}); delete it, and run again"
        ) from error


def evenly(count: int, most: int) -> NDArray[np.int64]:
    """Return at most ``most`` of the integers 0 … ``count`` - 1, evenly, including both ends."""
    return np.linspace(0, count - 1, min(count, most)).round().astype(int)


def _traces(cells: Iterable[Cell]) -> pd.DataFrame:
    """Return the losses of ``cells`` during optimisation, a row for each evaluation kept."""
    rows: list[tuple[object, ...]] = []
    for cell in cells:
        names = (cell.content.name, cell.style.name, cell.layers, cell.ratio, cell.fingerprint)
        losses = (cell.trace.get(name, repeat(nan)) for name in LOSSES)
        points = zip(cell.trace.get("evaluation", ()), *losses, strict=False)
        rows += [(*names, *point) for point in points]
    return pd.DataFrame(rows, columns=list(TRACE_TYPES)).astype(TRACE_TYPES)


def _write_rows(writer: pq.ParquetWriter, waiting: list[pd.DataFrame]) -> None:
    """Write the waiting tables as one row group, and clear the list."""
    if waiting:
        rows = pd.concat(waiting, ignore_index=True)
        writer.write_table(pa.Table.from_pandas(rows, writer.schema, preserve_index=False))
        waiting.clear()


def write_summary(table: pd.DataFrame, path: Path) -> None:
    """Write the table without its ``FACTS`` as CSV, for people, whole or not at all."""
    write_csv(table.drop(columns=list(FACTS)), path)


def write_csv(table: pd.DataFrame, path: Path) -> None:
    """Write a table as CSV, whole or not at all."""
    write_atomically(path, table.to_csv(index=False, lineterminator="\n").encode())


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write the table as Parquet, which keeps the types, whole or not at all."""
    with atomic_file(path) as file:
        table.to_parquet(file, index=False)


def report_outcome(table: pd.DataFrame) -> None:
    """Log the number of cells of a table.

    Raises:
        UserError: some cells failed; the message names them.
    """
    failed = table[table["status"] == "failed"]
    if len(failed):
        raise UserError(
            f"{len(failed)} of {len(table)} cells failed, the others are finished: "
            f"{', '.join(failed['path'])}. Each says why: nst show FILE. To try again, change "
            "their settings, or delete them and run again."
        )
    cells = counted(len(table), "cell")
    logger.info("%s finished; see results/grids and results/summary.csv", cells)
