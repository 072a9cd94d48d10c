"""Rank the cells of a pair, suggest the first, and give the reasons.

Keeping content and taking style are two aims. Within a pair, cells are therefore compared by
``content_distance`` and ``style_distance``, which no recipe optimises, in three steps:

1. A cell *beats* another if it is no worse in either distance and better in one (Pareto dominance).
   The cells that no cell beats are the pair's first front. Without them, the cells that no cell
   beats are the second front, and so on (non-dominated sorting, Deb et al. 2002). An earlier front
   ranks first.
2. Within a front, the cell nearer to the ideal point ranks first. The ideal point has the least of
   each distance of all cells. Both distances are scaled by their range on the first front
   (compromise programming, Zeleny 1973), so that neither units nor outliers affect the order.
3. Ties are ranked by ``style_distance``, and then by the order in the table.

The first cell is suggested. Distances of different pairs are not compared.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

PAIR = ("content", "style")
AIMS = ("content_distance", "style_distance")
RANKING = ("rank", "pareto", "suggested", "reason")


def rank_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return a summary table with the columns of ``RANKING``.

    ``rank`` counts from 1 within each pair of ``PAIR`` and is missing for a cell that failed or
    was not measured. ``pareto`` is true if no cell of the pair beats the cell, ``suggested`` if the
    cell is the pair's first. ``reason`` explains the rank in a sentence.
    """
    ranked = table.reset_index(drop=True)
    ranked["rank"] = pd.array([pd.NA] * len(ranked), dtype="Int64")
    ranked["pareto"] = ranked["suggested"] = np.zeros(len(ranked), bool)
    ranked["reason"] = [_no_rank(status) for status in ranked["status"]]
    measured = ranked[list(AIMS)].notna().all(axis=1)
    candidates = ranked[measured & (ranked["status"] == "finished")]
    for _, cells in candidates.groupby(list(PAIR), sort=False):
        points = cells[list(AIMS)].to_numpy(float)
        front = fronts(points)
        order = preference(points, front)
        names = list(cells["layers"] + "/" + cells["ratio"])
        ranked.loc[cells.index, "rank"] = np.argsort(order) + 1
        ranked.loc[cells.index, "pareto"] = front == 1
        ranked.loc[cells.index[order[0]], "suggested"] = True
        ranked.loc[cells.index, "reason"] = _reasons(points, front, order, names)
    return ranked


def beats(points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return an n × n table for n points, less being better: whether the row beats the column."""
    one, other = points[:, None], points[None]
    nowhere_worse: NDArray[np.bool_] = np.all(one <= other, axis=2)
    somewhere_better: NDArray[np.bool_] = np.any(one < other, axis=2)
    return nowhere_worse & somewhere_better


def fronts(points: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the number of each point's front; front 1 has the points that no point beats."""
    beaten = beats(points)
    number = np.zeros(len(points), np.int64)
    while not number.all():
        left = number == 0
        number[left & ~beaten[left].any(axis=0)] = number.max() + 1
    return number


def preference(points: NDArray[np.float64], front: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the row numbers of the points in the order of their rank, the best first."""
    best = points[front == 1]
    ideal = best.min(axis=0)
    span = best.max(axis=0) - ideal
    # A front of one point has no range; the range of all points replaces it.
    span = np.where(span > 0, span, np.ptp(points, axis=0))
    distance = np.hypot(*((points - ideal) / np.where(span > 0, span, 1)).T)
    return np.lexsort((points[:, 1], distance.round(9), front))


def _reasons(
    points: NDArray[np.float64],
    front: NDArray[np.int64],
    order: NDArray[np.int64],
    names: Sequence[str],
) -> list[str]:
    """Return a sentence for each point that explains its rank."""
    beaten = beats(points)
    first = order[0]
    reasons = []
    for index in range(len(points)):
        if index == first:
            reason = _why_first(int((front == 1).sum()), len(points))
        elif front[index] == 1:
            reason = _why_not_first(points[index], points[first], names[first])
        else:
            better = next(one for one in order if beaten[one, index])
            reason = f"{names[better]} {_advantage(points[better], points[index])}."
        reasons.append(reason)
    return reasons


def _why_first(rivals: int, cells: int) -> str:
    """Explain why the suggested cell comes first."""
    if cells == 1:
        return "The only finished cell of its pair."
    if rivals == 1:
        return "No other cell keeps more content, and none takes more style."
    return f"Of the {rivals} cells that no other beats, this one is nearest to the best of both."


def _why_not_first(point: NDArray[np.float64], first: NDArray[np.float64], name: str) -> str:
    """Compare a point of the first front with the first point; neither beats the other."""
    if np.array_equal(point, first):
        return f"No better and no worse than {name}, which comes first in the table."
    kept, taken = ("more", "less") if point[0] < first[0] else ("less", "more")
    return (
        f"Keeps {kept} content and takes {taken} style than {name}, "
        "which is nearer to the best of both."
    )


def _advantage(better: NDArray[np.float64], point: NDArray[np.float64]) -> str:
    """Describe how one point beats another."""
    content, style = better < point
    kept = f"keeps {'more' if content else 'as much'} content"
    taken = f"takes {'more' if style else 'as much'} style"
    return f"{kept} and {taken}"


def _no_rank(status: str) -> str:
    """Explain why a cell has no rank; ranked cells get another reason afterwards."""
    if status == "failed":
        return "Failed, so there is nothing to rank."
    return "Not measured, so it cannot be ranked."
