"""The ranking of a pair's cells, and its reasons."""

import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nst.reports.ranking import AIMS, PAIR, RANKING, rank_cells

NAN = float("nan")
POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=14)


def table(
    *points: tuple[float, float], style: str = "night", status: str = "finished"
) -> pd.DataFrame:
    """Build a summary with a cell for each (content_distance, style_distance)."""
    return pd.DataFrame(
        [("cat", style, "all", f"1e{place}", *point, status) for place, point in enumerate(points)],
        columns=[*PAIR, "layers", "ratio", *AIMS, "status"],
    )


def ranks(*points: tuple[float, float]) -> list[int]:
    return list(rank_cells(table(*points))["rank"])


# ---------------------------------------------------------------- the order


GOOD = ((0.0, 3.0), (0.3, 1.0), (0.5, 0.9), (2.0, 0.1))
ORDERS = {
    # Scaled by the front's range: (0, 1), (0.2, 0.2), (1, 0) and (0.5, 0.1).
    "the nearest to the best of both": (((0, 10), (2, 2), (10, 0), (5, 1)), (4, 1, 3, 2)),
    "an earlier front, however far": (((0, 10), (1, 1), (10, 0), (1.1, 1.1)), (3, 1, 2, 4)),
    "a front of one is scaled by all cells": (((0, 0), (2, 20), (1, 30)), (1, 3, 2)),
    "the order of good cells": (GOOD, (4, 1, 2, 3)),
    "a cell gone wrong changes no order": ((*GOOD, (1e6, 1e6)), (4, 1, 2, 3, 5)),
    "of equals, the one with more style": (((0, 1), (1, 0)), (2, 1)),
    "then the earlier": (((1, 1), (1, 1), (1, 1)), (1, 2, 3)),
}


@pytest.mark.parametrize(("points", "expected"), ORDERS.values(), ids=ORDERS)
def test_the_first_are_those_of_the_rules_whatever_the_unit(points, expected):
    scaled = [(1000 * content + 5, style / 7) for content, style in points]
    assert tuple(ranks(*points)) == tuple(ranks(*scaled)) == expected


@given(POINTS)
def test_every_order_is_one_that_the_rules_allow(points):
    ranked = rank_cells(table(*points))
    assert sorted(ranked["rank"]) == list(range(1, len(points) + 1))
    beaten = [
        (i, j)
        for (i, one), (j, other) in itertools.permutations(enumerate(points), 2)
        if one != other and one[0] <= other[0] and one[1] <= other[1]
    ]
    unbeaten = set(range(len(points))) - {j for _, j in beaten}
    assert set(np.flatnonzero(ranked["pareto"])) == unbeaten
    assert ranked["suggested"].sum() == 1
    assert ranked.loc[ranked["suggested"], ["rank", "pareto"]].values.tolist() == [[1, True]]
    order = ranked["rank"].to_numpy(int)
    for one, other in beaten:
        assert order[one] < order[other], "a cell ranks before every cell that it beats"


@given(POINTS, st.randoms())
def test_the_order_of_the_table_only_decides_between_equals(points, random):
    unique = sorted(set(points))
    shuffled = random.sample(unique, len(unique))
    one, other = (dict(zip(order, ranks(*order), strict=True)) for order in (unique, shuffled))
    assert one == other


# ---------------------------------------------------------------- the columns


def test_pairs_are_ranked_each_for_itself():
    both = pd.concat([table((1, 1), (0, 0)), table((9, 8), (8, 9), style="wave")])
    ranked = rank_cells(both)
    assert list(ranked["rank"]) == [2, 1, 1, 2]
    assert list(ranked["suggested"]) == [False, True, True, False]
    assert list(ranked["style"]) == ["night", "night", "wave", "wave"], "the row order stays"


def test_failed_and_unmeasured_cells_have_no_rank():
    failed = table((0, 0), (NAN, NAN), status="failed")
    assert not rank_cells(failed)["suggested"].any()
    ranked = rank_cells(pd.concat([failed, table((1, 2), (NAN, 1), (2, 1))]))
    assert list(ranked["rank"].isna()) == [True, True, False, True, False]
    assert list(ranked["pareto"]) == [False, False, True, False, True]
    assert list(ranked["reason"][[0, 3]]) == [
        "Failed, so there is nothing to rank.",
        "Not measured, so it cannot be ranked.",
    ]


def test_an_empty_table_gets_the_columns_too():
    ranked = rank_cells(table((0, 0)).iloc[:0])
    assert tuple(ranked.columns[-4:]) == RANKING
    assert ranked.empty


# ---------------------------------------------------------------- the reasons


@pytest.mark.parametrize(
    ("points", "reasons"),
    [
        ([(1, 1)], ["The only finished cell of its pair."]),
        (
            [(1, 1), (2, 1), (1, 2), (2, 2)],
            [
                "No other cell keeps more content, and none takes more style.",
                "all/1e0 keeps more content and takes as much style.",
                "all/1e0 keeps as much content and takes more style.",
                "all/1e0 keeps more content and takes more style.",
            ],
        ),
        (
            [(0, 10), (2, 2), (10, 0)],
            [
                "Keeps more content and takes less style than all/1e1, which is nearer to the best "
                "of both.",
                "Of the 3 cells that no other beats, this one is nearest to the best of both.",
                "Keeps less content and takes more style than all/1e1, which is nearer to the best "
                "of both.",
            ],
        ),
        (
            [(1, 1), (1, 1)],
            [
                "Of the 2 cells that no other beats, this one is nearest to the best of both.",
                "No better and no worse than all/1e0, which comes first in the table.",
            ],
        ),
    ],
    ids=["alone", "best in both", "front", "equal"],
)
def test_each_cell_has_a_reason(points, reasons):
    assert list(rank_cells(table(*points))["reason"]) == reasons
