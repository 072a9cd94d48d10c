"""The rows and columns of a pair's comparison grids, and the cells in them."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nst.config.variants import Variant
from nst.errors import ConfigError


@dataclass(frozen=True)
class Sheet:
    """A grid of a pair. ``cells`` has the variants' ``layers`` and ``ratio`` by row and column.

    ``name`` lists the labels of the grid on all other axes; it is empty for a single grid.
    """

    name: str
    row_axis: str
    column_axis: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[tuple[str, str]]]


def pair_sheets(variants: Sequence[Variant], chosen: Mapping[str, str]) -> list[Sheet]:
    """Lay out two axes as rows and columns, with one sheet per point of all other axes.

    ``chosen`` may name the axes of ``rows`` and ``columns``. By default, the columns are α/β, and
    the rows are the layer weightings. An axis with several labels replaces a default axis with a
    single label.

    Raises:
        ConfigError: an axis is unknown, or is chosen for both rows and columns.
    """
    axes = {
        name: list(dict.fromkeys(one.point[name] for one in variants)) for name in variants[0].point
    }
    if len(axes) == 1:  # only recipes, whose grid has a column per pair
        return []
    row_axis, column_axis = _choose(axes, chosen)
    others = {name: labels for name, labels in axes.items() if name not in (row_axis, column_axis)}
    rows, columns = axes[row_axis], axes[column_axis]
    at = {frozenset(one.point.items()): (one.layers, one.ratio) for one in variants}
    sheets = []
    for labels in itertools.product(*others.values()):
        rest = dict(zip(others, labels, strict=True))
        cells = [
            [
                at[frozenset({**rest, row_axis: row, column_axis: column}.items())]
                for column in columns
            ]
            for row in rows
        ]
        name = ", ".join(f"{one}={rest[one]}" for one in others if len(axes[one]) > 1)
        sheets.append(Sheet(name, row_axis, column_axis, rows, columns, cells))
    return sheets


def _choose(axes: Mapping[str, Sequence[str]], chosen: Mapping[str, str]) -> tuple[str, str]:
    """Choose the axes of the rows and of the columns."""
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
