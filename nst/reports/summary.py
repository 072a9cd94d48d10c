"""The summary table: one row per cell."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable
from math import nan
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from nst.cells.cell import Cell, read_details
from nst.errors import UserError
from nst.reports.ranking import RANKING, rank_cells
from nst.system.files import write_atomically

logger = logging.getLogger(__name__)

MEASURES = (
    "relative_content",
    "relative_style",
    "content_distance",
    "style_distance",
    "ssim",
    "colour_distance",
)
COLUMNS = (
    "content",
    "style",
    "alpha",
    "beta",
    "ratio",
    "layers",
    "extractor",
    "formulation",
    "width",
    "height",
    "iterations",
    "content_loss",
    "style_loss",
    "tv_loss",
    "total_loss",
    *MEASURES,
    "seconds",
    "device",
    "seed",
    "fingerprint",
    "path",
    "status",
    *RANKING,
)
TRACE_TYPES = {
    **dict.fromkeys(("content", "style", "layers", "ratio", "fingerprint"), "str"),
    "evaluation": "int64",
    **dict.fromkeys(("content_loss", "style_loss", "tv_loss", "total_loss"), "float64"),
}
ROWS_TOGETHER = 20_000  # of the traces; some MB, and few enough groups for millions of rows


def summarise(details: Iterable[Path]) -> pd.DataFrame:
    """Return a table with a row for each cell of the pairs' ``details`` files, in their order.

    The columns are ``COLUMNS``; results/README.md says what they hold. The files are read one by
    one, since traces are most of them, and not kept.

    Raises:
        CellError: a file cannot be read.
    """
    rows = [_row(cell, path) for file in details for path, cell in read_details(file).items()]
    columns = [column for column in COLUMNS if column not in RANKING]
    return rank_cells(pd.DataFrame(rows, columns=columns))


def gather_traces(details: Iterable[Path]) -> pd.DataFrame:
    """Return the losses on the way to each cell of ``details``, a row for each evaluation kept.

    The columns are those of ``TRACE_TYPES``. Of a long optimisation
    ``nst.cells.cell.TRACE_POINTS`` rows were kept.

    Raises:
        CellError: a file cannot be read.
    """
    columns: dict[str, list[Any]] = {name: [] for name in TRACE_TYPES}
    for path in details:
        for cell in read_details(path).values():
            for name, values in _trace(cell).items():
                columns[name] += values
    return pd.DataFrame(columns).astype(TRACE_TYPES)


def write_traces(details: Iterable[Path], path: Path) -> None:
    """Write what ``gather_traces`` returns as Parquet, whole or not at all.

    At most ``ROWS_TOGETHER`` rows and one file's are in memory at a time. They are a row group, so
    that a reader of one pair finds its rows without reading the others.

    Raises:
        CellError: a file cannot be read.
    """
    encoded = io.BytesIO()
    schema = pa.Schema.from_pandas(gather_traces([]), preserve_index=False)
    with pq.ParquetWriter(encoded, schema) as writer:
        waiting: list[pd.DataFrame] = []
        for file in details:
            waiting.append(gather_traces([file]))
            if sum(map(len, waiting)) >= ROWS_TOGETHER:
                _write_rows(writer, waiting)
        _write_rows(writer, waiting)
    write_atomically(path, encoded.getvalue())


def _write_rows(writer: pq.ParquetWriter, waiting: list[pd.DataFrame]) -> None:
    """Write the tables that wait as one row group, and forget them."""
    if waiting:
        rows = pd.concat(waiting, ignore_index=True)
        writer.write_table(pa.Table.from_pandas(rows, writer.schema, preserve_index=False))
        waiting.clear()


def write_summary(table: pd.DataFrame, path: Path) -> None:
    """Write the table as CSV, whole or not at all."""
    write_atomically(path, table.to_csv(index=False, lineterminator="\n").encode())


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write the table as Parquet, which keeps the types, whole or not at all."""
    encoded = io.BytesIO()
    table.to_parquet(encoded, index=False)
    write_atomically(path, encoded.getvalue())


def _trace(cell: Cell) -> dict[str, list[Any]]:
    """Lay out one cell's trace by columns, each row with the names of its cell."""
    steps = list(cell.trace.get("evaluation", []))
    names = {
        "content": cell.content.name,
        "style": cell.style.name,
        "layers": cell.layers,
        "ratio": cell.ratio,
        "fingerprint": cell.fingerprint,
    }
    return {
        **{name: [value] * len(steps) for name, value in names.items()},
        "evaluation": steps,
        **{
            f"{name}_loss": list(cell.trace.get(name, [nan] * len(steps)))
            for name in ("content", "style", "tv", "total")
        },
    }


def _row(cell: Cell, path: Path) -> dict[str, object]:
    """Flatten one cell; a failed one has no losses."""
    settings = cell.settings
    return {
        "content": cell.content.name,
        "style": cell.style.name,
        "alpha": settings.alpha,
        "beta": settings.beta,
        "ratio": cell.ratio,
        "layers": cell.layers,
        "extractor": settings.extractor,
        "formulation": cell.formulation,
        "width": cell.width,
        "height": cell.height,
        "iterations": settings.steps,
        **{f"{name}_loss": cell.losses.get(name) for name in ("content", "style", "tv", "total")},
        **{name: cell.losses.get(name) for name in MEASURES},
        "seconds": cell.seconds,
        "device": cell.device,
        "seed": settings.seed,
        "fingerprint": cell.fingerprint,
        "path": path.as_posix(),
        "status": cell.status,
    }


def report_outcome(path: Path) -> None:
    """Log how many cells a summary has.

    Raises:
        UserError: some of them failed; the message names them.
    """
    table = pd.read_csv(path)
    failed = table[table["status"] == "failed"]
    if len(failed):
        raise UserError(
            f"{len(failed)} of {len(table)} cells failed, the rest is made: "
            f"{', '.join(failed['path'])}. Each says why: nst show FILE. To try again, change "
            "their settings, or delete them and run again."
        )
    logger.info("%d cells are finished; see results/grids and %s", len(table), path)
