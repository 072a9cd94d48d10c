"""Votes: their files, the resulting preferences, and their agreement with the measures."""

import itertools
import json
import logging
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from configurations import refused
from scipy.optimize import minimize
from scipy.stats import binomtest

from nst.config.catalogue import read_catalogue
from nst.config.run import read_run
from nst.errors import ConfigError
from nst.reports.plots import plot_votes, save_plot
from nst.reports.ranking import (
    MEASURES,
    SPREAD,
    agreement,
    bradley_terry,
    matched_votes,
    prefer_cells,
    prefer_variants,
    preferences,
    read_votes,
    with_preference,
)

RATIOS = ("1e0", "1e-1", "1e-2")


@pytest.fixture
def table() -> pd.DataFrame:
    """Two pairs of six cells, with two layer weightings and three ratios; one cell failed."""
    names = itertools.product(("cat", "dog"), ("wave",), ("all", "fine"), RATIOS)
    rows = pd.DataFrame(names, columns=["content", "style", "layers", "ratio"])
    rows["fingerprint"] = rows.agg("-".join, axis=1)
    rows["status"] = ["failed", *["finished"] * (len(rows) - 1)]
    rows["alpha"], rows["beta"] = 1.0, [1 / float(one) for one in rows["ratio"]]
    rows["seconds"] = 1.0
    for number, name in enumerate(MEASURES):
        rows[name] = np.random.default_rng(number).random(len(rows))
    return rows


def cast(table: pd.DataFrame, *given: tuple[int, int, float]) -> pd.DataFrame:
    """Votes, each from the rows of its two cells and the left cell's score."""
    rows = [
        ("ann", *table.loc[left, ["content", "style"]], *table["fingerprint"][[left, right]], score)
        for left, right, score in given
    ]
    columns = ["voter", "content", "style", "left", "right", "score"]
    return pd.DataFrame(rows, columns=columns)


CAST = {"content": "cat", "style": "wave", "left": "a", "right": "b", "chosen": "left"}


def ballot(folder: Path, name: str = "ann.json", **changes: Any) -> Path:
    saved = {"format": "nst-votes-1", "voter": "Ann", "votes": [CAST]} | changes
    path = folder / name
    path.write_text(json.dumps(saved), encoding="utf-8")
    return path


refusal = partial(refused, read_votes, kind=ConfigError)


# ---------------------------------------------------------------- files


def test_votes_are_read_from_the_voters_files(tmp_path):
    votes = read_votes([ballot(tmp_path), ballot(tmp_path, "bob.json", voter="Bob")])
    assert votes.to_dict("list") == {
        "voter": ["Ann", "Bob"],
        "content": ["cat"] * 2,
        "style": ["wave"] * 2,
        "left": ["a"] * 2,
        "right": ["b"] * 2,
        "score": [1.0] * 2,
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "nst-votes-9"},
        {"votes": [{"content": "cat"}]},
        {"votes": [{"content": "c", "style": "s", "left": 1}]},
        {"votes": [CAST | {"chosen": "both"}]},
        {"votes": 3},
        {"votes": []},
    ],
)
def test_a_file_that_holds_no_votes_is_refused_in_one_line(tmp_path, changes):
    path = ballot(tmp_path, **changes)
    assert refusal([path]) == (
        f"votes: {path} must be a file of votes that the gallery saved, in the format nst-votes-1 "
        "and with at least one vote. Save it again, or leave it out."
    )


@pytest.mark.parametrize("text", ["", "[1, 2]", "{", "3", "\x00"])
def test_another_file_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    message = refusal([path])
    assert str(path) in message
    assert "indices" not in message, "the message must not quote a Python error"


def test_a_voter_has_one_file(tmp_path):
    message = refusal([ballot(tmp_path, "1.json"), ballot(tmp_path, "2.json")])
    assert "the voter 'Ann' is in" in message


def test_a_configuration_names_the_files_of_votes(tmp_path):
    keys = {"contents": ["chelsea"], "styles": ["starry_night_study"], "ratios": [1]}
    path = str(ballot(tmp_path))
    for named in (path, str(tmp_path / "*.json")):
        assert read_run({**keys, "votes": [named]}, read_catalogue()).votes == [path]
    (tmp_path / "empty.json").write_text("[]")
    for name, message in {
        "none*": "no file matches",
        "none.json": r"votes: .*none\.json",
        "empty.json": "must be a file of votes",
    }.items():
        with pytest.raises(ConfigError, match=message):
            read_run({**keys, "votes": [str(tmp_path / name)]}, read_catalogue())


# ---------------------------------------------------------------- strengths


def test_strengths_are_the_maximum_of_the_posterior():
    scores = np.random.default_rng(0).integers(0, 9, (5, 5)).astype(float) / 2
    np.fill_diagonal(scores, 0)

    def minus_log_posterior(strengths):
        difference = strengths[:, None] - strengths[None]
        losses = torch.tensor(scores) * torch.nn.functional.softplus(-difference)
        return losses.sum() + strengths.square().sum() / (2 * SPREAD**2)

    def value(strengths):
        return minus_log_posterior(torch.tensor(strengths)).item()

    found, covariance = bradley_terry(scores)
    expected = minimize(value, np.zeros(5), tol=1e-12).x
    np.testing.assert_allclose(found, expected - expected.mean(), atol=1e-5)
    hessian = torch.autograd.functional.hessian(minus_log_posterior, torch.tensor(expected))
    centred = np.eye(5) - 1 / 5
    inverse = centred @ np.linalg.inv(hessian.numpy()) @ centred
    np.testing.assert_allclose(covariance, inverse, rtol=1e-3, atol=1e-5)


def test_one_that_won_every_vote_has_a_finite_strength_and_a_wide_interval():
    few, many = (preferences(np.array([[0.0, number], [0.0, 0.0]])) for number in (2, 200))
    assert 0.5 < few["preference"][0] < many["preference"][0] < 1
    assert few["high"][0] - few["low"][0] > 3 * (many["high"][0] - many["low"][0])
    assert few["preference"].sum() == pytest.approx(1)


# ---------------------------------------------------------------- tables


def test_the_summary_has_the_preference_before_the_time(table):
    found = with_preference(table, cast(table, (1, 2, 1)))
    names = list(table.columns)
    names.insert(names.index("seconds"), "preference")
    assert list(found.columns) == names
    assert "preference" not in table


def test_variants_are_preferred_over_all_pairs(table):
    given = [(4, 3, 1), (10, 9, 1), (4, 5, 1), (10, 11, 0.5)]
    found = prefer_variants(table, matched_votes(table, cast(table, *given)))
    assert list(found["layers"]) == ["fine"] * 3
    assert list(found["ratio"]) == list(RATIOS)
    assert list(found["votes"]) == [2, 4, 2]
    assert found["preference"].idxmax() == 1


def test_votes_on_other_pictures_do_not_count_and_are_reported(table, caplog):
    votes = cast(table, (1, 2, 1), (3, 4, 1), (1, 7, 1), (5, 5, 1), (0, 1, 1))
    votes.loc[1, "left"] = "of another run"
    with caplog.at_level(logging.WARNING):
        found = matched_votes(table, votes)
    assert found[["left", "right"]].to_numpy().tolist() == [[1, 2]]
    assert "4 of 5 votes" in caplog.text


def test_votes_of_another_run_leave_the_column_empty(table, caplog, tmp_path):
    with caplog.at_level(logging.WARNING):
        found = with_preference(table, cast(table, (1, 7, 1)))
    assert "1 of 1 votes" in caplog.text
    assert found["preference"].isna().all()
    votes = matched_votes(table, cast(table, (1, 7, 1)))
    variants, agreed = prefer_variants(table, votes), agreement(table, votes)
    assert (len(variants), agreed["votes"].sum()) == (0, 0)
    save_plot(plot_votes(table, variants, agreed), tmp_path / "votes.png")


def test_only_the_cells_of_its_pair_with_votes_are_a_cell_s_opponents(table):
    given = [*[(1, 2, 1)] * 9, (1, 2, 0), (7, 8, 0)]
    found = prefer_cells(table, matched_votes(table, cast(table, *given)))
    two = preferences(np.array([[0.0, 9.0], [1.0, 0.0]]))
    np.testing.assert_allclose(found.loc[[1, 2], ["preference", "low", "high"]], two.iloc[:, :3])
    assert found["preference"][8] > 0.5 > found["preference"][7]
    assert list(found.index[found["preference"].notna()]) == [1, 2, 7, 8]


def test_equal_cells_have_their_votes_in_common_and_a_pair_its_own(table):
    table.loc[3, "fingerprint"] = table.loc[1, "fingerprint"]  # the same picture under another name
    table.loc[8, "fingerprint"] = table.loc[2, "fingerprint"]  # a cell of another pair
    votes = matched_votes(table, cast(table, (1, 2, 1), (2, 1, 0), (7, 8, 1)))
    assert votes["left"].tolist() == [1, 2, 7]
    found = prefer_cells(table, votes)
    assert found["preference"][1] == found["preference"][3] > 0.5
    assert found["votes"].tolist() == [0, 2, 2, 2, 0, 0, 0, 1, 1, 0, 0, 0]


def test_agreement_is_kendalls_tau_over_the_votes(table):
    table["ssim"] = np.arange(len(table)) / 10.0
    table["style_distance"] = np.arange(len(table)) / 10.0
    table["colour_distance"] = 0.5
    given = [(1, 2, 0), (3, 2, 1), (4, 1, 1), (1, 5, 1), (2, 3, 0.5)]
    found = agreement(table, matched_votes(table, cast(table, *given))).set_index("measure")
    assert found.loc["ssim", "tau"] == pytest.approx((3 - 1) / 4)
    assert found.loc["style_distance", "tau"] == pytest.approx((1 - 3) / 4)
    assert found.loc["ssim", "votes"] == 4
    assert found.loc["ssim", "low"] < found.loc["ssim", "tau"] < found.loc["ssim", "high"]
    wilson = binomtest(3, 4).proportion_ci(0.95, "wilson")
    assert found.loc["ssim", "low"] == pytest.approx(2 * wilson.low - 1)
    assert found.loc["ssim", "high"] == pytest.approx(2 * wilson.high - 1)
    assert found.loc["colour_distance", "votes"] == 0
    assert np.isnan(found.loc["colour_distance", "tau"])


@pytest.mark.parametrize("one_ratio", [False, True])
def test_the_plot_shows_every_variant_and_measure(table, tmp_path, one_ratio):
    if one_ratio:
        table["layers"] = table["layers"] + table["ratio"]
    votes = matched_votes(table, cast(table, (1, 2, 1), (3, 4, 0), (7, 11, 1)))
    variants, agreed = prefer_variants(table, votes), agreement(table, votes)
    figure = plot_votes(table, variants, agreed)
    left, right = figure.axes
    shown = [text.get_text() for text in left.get_xticklabels()]
    assert len(shown) == (6 if one_ratio else 3)
    assert sum(len(one.lines[0].get_xdata()) for one in left.containers) == len(variants)
    assert len(right.get_yticklabels()) == (agreed["votes"] > 0).sum()
    save_plot(figure, tmp_path / "votes.png")
    assert (tmp_path / "votes.png").stat().st_size > 5000
