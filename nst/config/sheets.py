"""Which cells of a pair stand in which row and column of its comparison grids."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nst.config.variants import Variant
from nst.errors import ConfigError


@dataclass(frozen=True)
class Sheet:
    """A grid of a pair. ``cells`` are variants by row and column; None where there is none.

    ``name`` says at which labels of the other axes it is; it is empty if there is one sheet alone.
    """

    name: str
    row_axis: str
    column_axis: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[Variant | None]]


def sheets_digest(sheets: Sequence[Sheet]) -> str:
    """Return the sha256 of what stands where in the grids of a pair."""
    values = [
        [
            *(one.name, one.row_axis, one.column_axis, one.rows, one.columns),
            [[cell and (cell.layers, cell.ratio) for cell in line] for line in one.cells],
        ]
        for one in sheets
    ]
    return hashlib.sha256(json.dumps(values).encode()).hexdigest()


def _axes(variants: Sequence[Variant]) -> dict[str, list[str]]:
    """Return the labels on each axis, in the order of the variants."""
    names = variants[0].point
    return {name: list(dict.fromkeys(one.point[name] for one in variants)) for name in names}


def pair_sheets(variants: Sequence[Variant], chosen: Mapping[str, str]) -> list[Sheet]:
    """Lay out two axes as rows and columns, and make a sheet for each point of the others.

    ``chosen`` may name the axes of ``rows`` and ``columns``. By default, the columns are the
    ratios if there are several, and the rows the layer weightings; an axis with one label alone
    gives way to one with several.

    Raises:
        ConfigError: an axis is unknown, or is to be both.
    """
    axes = _axes(variants)
    if len(axes) == 1:  # recipes alone, whose grid has the pairs across
        return []
    row_axis, column_axis = _choose(axes, chosen)
    others = {name: labels for name, labels in axes.items() if name not in (row_axis, column_axis)}
    varied = [name for name, labels in others.items() if len(labels) > 1]
    at = {tuple(one.point[name] for name in axes): one for one in variants}
    sheets = []
    for labels in itertools.product(*others.values()):
        rest = dict(zip(others, labels, strict=True))
        cells = [
            [
                at.get(tuple({**rest, row_axis: row, column_axis: column}[name] for name in axes))
                for column in axes[column_axis]
            ]
            for row in axes[row_axis]
        ]
        if any(one for line in cells for one in line):
            name = ", ".join(f"{one}={rest[one]}" for one in varied)
            sheets.append(
                Sheet(name, row_axis, column_axis, axes[row_axis], axes[column_axis], cells)
            )
    return sheets


def _choose(axes: Mapping[str, Sequence[str]], chosen: Mapping[str, str]) -> tuple[str, str]:
    """Choose the axis of the rows and that of the columns."""
    for side, name in chosen.items():
        if name not in axes:
            raise ConfigError(f"grid.{side} must be one of {', '.join(axes)}; got {name!r}")
    varied = [name for name in axes if name not in ("layers", "ratio")]

    def pick(names: Sequence[str], other: str | None) -> str:
        free = [name for name in names if name in axes and name != other]
        return next((name for name in free if len(axes[name]) > 1), free[0])

    column = chosen.get("columns") or pick(
        ["ratio", *reversed(varied), "layers"], chosen.get("rows")
    )
    row = chosen.get("rows") or pick(["layers", *varied, "ratio"], column)
    if row == column:
        raise ConfigError(f"grid: rows and columns must be two axes; got {row!r} for both")
    return row, column
