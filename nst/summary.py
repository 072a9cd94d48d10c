"""The summary table: one row per cell."""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from nst.cell import Cell, read_details
from nst.errors import UserError
from nst.files import write_atomically
from nst.ranking import RANKING, rank_cells

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


def summarise(details: Iterable[Path]) -> pd.DataFrame:
    """Return a table with a row for each cell of the pairs' ``details`` files, in their order.

    The columns are ``COLUMNS``; results/README.md says what they hold.

    Raises:
        CellError: a file cannot be read.
    """
    cells = [one for path in details for one in read_details(path).items()]
    columns = [column for column in COLUMNS if column not in RANKING]
    return rank_cells(pd.DataFrame([_row(cell, path) for path, cell in cells], columns=columns))


def gather_traces(details: Iterable[Path]) -> pd.DataFrame:
    """Return the losses on the way to each cell of ``details``, a row for each evaluation kept.

    The columns are those of ``TRACE_TYPES``. Of a long optimisation ``nst.cell.TRACE_POINTS`` rows
    were kept.

    Raises:
        CellError: a file cannot be read.
    """
    traces = [_trace(cell) for path in details for cell in read_details(path).values()]
    empty = pd.DataFrame(columns=list(TRACE_TYPES))
    return pd.concat([empty, *traces], ignore_index=True).astype(TRACE_TYPES)


def write_summary(table: pd.DataFrame, path: Path) -> None:
    """Write the table as CSV, whole or not at all."""
    write_atomically(path, table.to_csv(index=False, lineterminator="\n").encode())


def write_parquet(table: pd.DataFrame, path: Path) -> None:
    """Write the table as Parquet, which keeps the types, whole or not at all."""
    encoded = io.BytesIO()
    table.to_parquet(encoded, index=False)
    write_atomically(path, encoded.getvalue())


def _trace(cell: Cell) -> pd.DataFrame:
    """Lay out one cell's trace, each row with the names of its cell."""
    losses = {f"{name}_loss": cell.trace.get(name) for name in ("content", "style", "tv", "total")}
    return pd.DataFrame(
        {
            "content": cell.content.name,
            "style": cell.style.name,
            "layers": cell.layers,
            "ratio": cell.ratio,
            "fingerprint": cell.fingerprint,
            "evaluation": cell.trace.get("evaluation"),
            **losses,
        },
        index=range(len(cell.trace.get("evaluation", []))),
    )


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
        "iterations": settings.iterations,
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
