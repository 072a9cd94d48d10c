"""Which cells of a pair stand in which row and column of its comparison grids."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nst.config.variants import Variant
from nst.errors import ConfigError


@dataclass(frozen=True)
class Sheet:
    """A grid of a pair. ``cells`` are the variants' layers and ratios by row and column.

    ``name`` says at which labels of the other axes it is; it is empty if there is one sheet alone.
    """

    name: str
    row_axis: str
    column_axis: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[tuple[str, str]]]


def pair_sheets(variants: Sequence[Variant], chosen: Mapping[str, str]) -> list[Sheet]:
    """Lay out two axes as rows and columns, and make a sheet for each point of the others.

    ``chosen`` may name the axes of ``rows`` and ``columns``. By default, the columns are the
    ratios if there are several, and the rows the layer weightings; an axis with one label alone
    gives way to one with several.

    Raises:
        ConfigError: an axis is unknown, or is to be both.
    """
    axes = {
        name: list(dict.fromkeys(one.point[name] for one in variants)) for name in variants[0].point
    }
    if len(axes) == 1:  # recipes alone, whose grid has the pairs across
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
