"""Rank the cells of a pair by their measures, and compare cells by the votes of readers.

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

Each vote is between two cells of one pair. The model is that of Bradley and Terry (1952): of two
cells with strengths θ₁ and θ₂, the first is preferred with the probability
1 / (1 + exp(θ₂ - θ₁)). "Neither" counts as half a vote for each.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nst.config.votes import Vote, read_ballots

PAIR = ("content", "style")
AIMS = ("content_distance", "style_distance")
RANKING = ("rank", "pareto", "suggested", "reason")
logger = logging.getLogger(__name__)
MEASURES: Mapping[str, str] = {
    "content_distance": "↓",
    "style_distance": "↓",
    "colour_distance": "↓",
    "relative_content": "↓",
    "relative_style": "↓",
    "ssim": "↑",
    "rank": "↓",
}
"""The measures that votes are compared with, and the better direction of each."""
PICTURE = [*PAIR, "fingerprint"]  # the columns that identify a row's picture
SPREAD = 2.0  # prior standard deviation of a strength θ: most cells win 12 to 88 % of their votes
DRAWS = 2000
ENDS = (2.5, 97.5)  # percentiles: the ends of an interval that holds 95 %
SMALLEST_STEP = 1e-10


def spoken(column: str) -> str:
    """Return the name of a column or of an axis as shown to readers."""
    return {"ratio": "α/β", "ssim": "SSIM"}.get(column, column.replace("_", " "))


def rank_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Return a summary table with the columns of ``RANKING``.

    ``rank`` counts from 1 within each pair of ``PAIR`` and is missing for a cell that failed or
    was not measured. ``pareto`` is true if no cell of the pair beats the cell, ``suggested`` if the
    cell is the pair's first. ``reason`` explains the rank in a sentence.
    """
    ranked = table.reset_index(drop=True)
    ranked["rank"] = pd.array([pd.NA] * len(ranked), dtype="Int64")
    ranked["pareto"] = ranked["suggested"] = np.zeros(len(ranked), bool)
    ranked["reason"] = "Not measured, so it cannot be ranked."
    ranked.loc[ranked["status"] == "failed", "reason"] = "Failed, so there is nothing to rank."
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
    for index, point in enumerate(points):
        if index == first:
            reason = _why_first(int((front == 1).sum()), len(points))
        elif np.array_equal(point, points[first]):
            reason = f"No better and no worse than {names[first]}, which comes first in the table."
        elif front[index] == 1:
            reason = (
                f"{_compared(point, points[first]).capitalize()} than {names[first]}, "
                "which is nearer to the best of both."
            )
        else:
            better = next(one for one in order if beaten[one, index])
            reason = f"{names[better]} {_compared(points[better], point)}."
        reasons.append(reason)
    return reasons


def _why_first(rivals: int, cells: int) -> str:
    """Explain why the suggested cell comes first."""
    if cells == 1:
        return "The only finished cell of its pair."
    if rivals == 1:
        return "No other cell keeps more content, and none takes more style."
    return f"Of the {rivals} cells that no other beats, this one is nearest to the best of both."


def _compared(point: NDArray[np.float64], other: NDArray[np.float64]) -> str:
    """Compare a point with another; less of a distance is more of its aim."""
    content, style = np.select([point < other, point > other], ["more", "less"], "as much")
    return f"keeps {content} content and takes {style} style"


def read_votes(paths: Iterable[Path]) -> pd.DataFrame:
    """Return the votes of the files that the gallery saves, a row for each ``Vote``.

    Raises:
        ConfigError: as ``nst.config.votes.read_ballots``.
    """
    votes = pd.DataFrame(read_ballots(paths), columns=list(Vote._fields))
    return votes.astype({"score": float})


def bradley_terry(
    scores: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the strengths θ of n items and their covariance, about their mean.

    ``scores`` has in row i and column j how often i was preferred to j. The strengths maximise the
    posterior under a normal prior of standard deviation ``SPREAD``, by Newton's method. The
    covariance is the inverse of the Hessian (Laplace). With the prior, an item that won every vote
    has a finite θ.
    """
    number = len(scores)
    votes = scores + scores.T
    strengths = np.zeros(number)
    step = np.full(number, np.inf)
    while np.abs(step).max() > SMALLEST_STEP:
        chances = _chances(strengths)
        gradient = (scores - votes * chances).sum(1) - strengths / SPREAD**2
        information = votes * chances * chances.T
        hessian = np.diag(information.sum(1) + 1 / SPREAD**2) - information
        step = np.clip(np.linalg.solve(hessian, gradient), -1, 1)
        strengths = strengths + step
    centred = np.eye(number) - 1 / number
    return centred @ strengths, centred @ np.linalg.inv(hessian) @ centred


def preferences(scores: NDArray[np.float64]) -> pd.DataFrame:
    """Return the probability, in [0, 1], that each of n items is preferred to another item.

    ``preference`` is the mean over all other items, ``low`` and ``high`` are the ends of the
    interval that holds 95 % of the draws from the posterior, and ``votes`` is the number of the
    item's votes.
    """
    if not len(scores):
        return pd.DataFrame({"preference": [], "low": [], "high": [], "votes": []})
    strengths, covariance = bradley_terry(scores)
    drawn = np.random.default_rng(0).multivariate_normal(
        strengths, covariance, DRAWS, method="eigh"
    )
    low, high = np.percentile([_means(one) for one in drawn], ENDS, axis=0)
    votes = (scores + scores.T).sum(1)
    return pd.DataFrame(
        {"preference": _means(strengths), "low": low, "high": high, "votes": votes.astype(int)}
    )


def _chances(strengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the probability that the item of the row is preferred to the item of the column."""
    chances: NDArray[np.float64] = 1 / (1 + np.exp(strengths[None] - strengths[:, None]))
    return chances


def _means(strengths: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each item's mean probability of being preferred to another."""
    others = len(strengths) - 1
    means: NDArray[np.float64] = (_chances(strengths).sum(1) - 0.5) / others
    return means


def matched_votes(table: pd.DataFrame, votes: pd.DataFrame) -> pd.DataFrame:
    """Return the votes on two finished cells of one pair of ``table``.

    ``left`` and ``right`` become row numbers of the table. If cells of a pair are equal, the votes
    refer to the first. A warning counts the votes that are left out, for example because the run no
    longer has the picture.
    """
    finished = table[table["status"] == "finished"].drop_duplicates(PICTURE)
    rows = pd.Series(finished.index, pd.MultiIndex.from_frame(finished[PICTURE]))
    found = votes.copy()
    for side in ("left", "right"):
        found[side] = rows.reindex(pd.MultiIndex.from_frame(votes[[*PAIR, side]])).to_numpy()
    known = found.dropna(subset=["left", "right"])
    matched = known[known["left"] != known["right"]].reset_index(drop=True)
    if lost := len(votes) - len(matched):
        logger.warning(
            "%d of %d votes are not on two cells of one pair of this run, and do not count",
            *(lost, len(votes)),
        )
    return matched.astype({"left": int, "right": int})


def prefer_cells(table: pd.DataFrame, votes: pd.DataFrame) -> pd.DataFrame:
    """Return the preference of each cell within its pair, in the order of ``table``.

    The columns are those of ``preferences``; the opponents are the pair's other cells with votes.
    A cell without votes has missing values. ``votes`` are those of ``matched_votes``.
    """
    columns = ["preference", "low", "high", "votes"]
    found = pd.DataFrame(np.nan, index=range(len(table)), columns=columns)
    for _, cast in votes.groupby(list(PAIR), sort=False):
        fitted = _preferences_by_number(cast)
        found.loc[fitted.index] = fitted
    first = table.assign(row=range(len(table))).groupby(PICTURE)["row"].transform("first")
    equal = found.loc[first].reset_index(drop=True)
    counted: pd.DataFrame = equal.fillna({"votes": 0}).astype({"votes": int})
    return counted


def prefer_variants(table: pd.DataFrame, votes: pd.DataFrame) -> pd.DataFrame:
    """Return the preference of each layer weighting or recipe and α/β, over all pairs.

    The columns are ``layers``, ``ratio`` and those of ``preferences``; variants without votes are
    left out. ``votes`` are those of ``matched_votes``.
    """
    names = table[["layers", "ratio"]]
    number = names.groupby(["layers", "ratio"], sort=False).ngroup().to_numpy()
    of_variant = votes.assign(left=number[votes["left"]], right=number[votes["right"]])
    variants = names.drop_duplicates(ignore_index=True)
    return variants.join(_preferences_by_number(of_variant), how="right").reset_index(drop=True)


def with_preference(table: pd.DataFrame, votes: pd.DataFrame) -> pd.DataFrame:
    """Return the summary table with a column ``preference`` before the column ``seconds``."""
    preference = prefer_cells(table, matched_votes(table, votes))["preference"]
    changed = table.copy()
    changed.insert(list(table.columns).index("seconds"), "preference", preference)
    return changed


def _preferences_by_number(votes: pd.DataFrame) -> pd.DataFrame:
    """Return the ``preferences`` of all items with votes, by their numbers in ``votes``."""
    numbers, places = np.unique(votes[["left", "right"]].to_numpy(), return_inverse=True)
    left, right = places.reshape(-1, 2).T
    scores = np.zeros((len(numbers), len(numbers)))
    np.add.at(scores, (left, right), votes["score"])
    np.add.at(scores, (right, left), 1 - votes["score"])
    return preferences(scores).set_index(numbers)


def agreement(table: pd.DataFrame, votes: pd.DataFrame) -> pd.DataFrame:
    """Return the agreement of each of ``MEASURES`` with the votes.

    ``tau`` is Kendall's τ over the pairs of cells that were voted on: the share of votes for the
    cell that is better by the measure, minus the share of votes for the other cell. ``low`` and
    ``high`` are its interval of 95 % (Wilson 1927), which has a width even at -1 and 1. Votes for
    neither, and on cells that are equal by the measure, do not count. ``votes`` are those of
    ``matched_votes``.
    """
    from scipy.stats import binomtest  # noqa: PLC0415  (takes 0.5 s, and few runs have votes)

    rows = []
    for name, better in MEASURES.items():
        values = table[name].astype(float).to_numpy()
        signs = np.sign(values[votes["left"]] - values[votes["right"]])
        signs *= np.sign(votes["score"].to_numpy() - 0.5) * (1 if better == "↑" else -1)
        signs = signs[np.isfinite(signs) & (signs != 0)]
        found = [np.nan] * 3
        if len(signs):
            wins = binomtest(int((signs > 0).sum()), len(signs)).proportion_ci(method="wilson")
            found = [signs.mean(), 2 * wins.low - 1, 2 * wins.high - 1]
        rows.append((name, *found, len(signs)))
    return pd.DataFrame(rows, columns=["measure", "tau", "low", "high", "votes"])
