"""Files and tiles from a run's cells: the table, the traces, the outcome, tiles for grids."""

import dataclasses
import json
import logging
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import POISON

from nst.cells.cell import Cell, read_details, write_details
from nst.cells.pair import Pair, stylize_pair
from nst.errors import CellError, UserError
from nst.figures.grids import checked
from nst.figures.layout import Tile
from nst.reports.summary import (
    COLUMNS,
    FACTS,
    TRACE_TYPES,
    read_table,
    report_outcome,
    summarise,
    write_parquet,
    write_summary,
)

CPU = torch.device("cpu")


# ---------------------------------------------------------------- the summary


def described(pair: Pair, wanted: list[Cell]) -> tuple[Path, dict[Path, Cell]]:
    """Make a pair's cells; return its details file and the cells by their pictures."""
    cells = stylize_pair(pair, wanted, CPU)
    by_picture = dict(zip((one.path for one in wanted), cells, strict=True))
    path = wanted[0].path.parent / "details.json"
    write_details(by_picture, path)
    return path, by_picture


@pytest.fixture
def results(pair, wanted, poisoned) -> tuple[Path, dict[Path, Cell]]:
    """The details and the cells of a pair: a finished one and a failed one."""
    return described(pair, wanted(1.0, POISON))


def test_the_summary_has_a_row_for_each_cell(results):
    details, cells = results
    table = summarise([details, details])
    assert tuple(table.columns) == (*COLUMNS, *FACTS)
    assert list(table["path"]) == [path.as_posix() for path in cells] * 2
    first = table.iloc[0]
    cell = next(iter(cells.values()))
    assert (first["content"], first["style"]) == ("cat", "night")
    assert (first["alpha"], first["beta"], first["ratio"]) == (1.0, 1.0, "1e+00")
    assert (first["layers"], first["iterations"], first["seed"]) == ("all", 4, 0)
    assert (first["width"], first["height"]) == (32, 24)
    assert first["status"] == "finished"
    assert first["fingerprint"] == cell.fingerprint
    for name in ("content", "style", "tv", "total"):
        assert first[f"{name}_loss"] == cell.losses[name]


def test_a_failed_cell_has_no_losses_in_the_summary(results, tmp_path):
    write_summary(summarise([results[0]]), tmp_path / "summary.csv")
    table = pd.read_csv(tmp_path / "summary.csv")
    assert list(table["status"]) == ["finished", "failed"]
    losses = table[[f"{name}_loss" for name in ("content", "style", "tv", "total")]]
    assert losses.iloc[0].notna().all()
    assert losses.iloc[1].isna().all()
    line = (tmp_path / "summary.csv").read_text(encoding="utf-8").splitlines()[2]
    assert ",4,,,,," in line, "missing losses must be empty, not nan or None"


def test_the_summary_survives_names_that_look_like_something_else(pair, wanted, tmp_path):
    odd = dataclasses.replace(pair, content_name="a, b", style_name='the "best" 猫')
    details, _ = described(odd, wanted(1.0))
    write_summary(summarise([details]), tmp_path / "summary.csv")
    table = pd.read_csv(tmp_path / "summary.csv")
    assert list(table["content"]) == ["a, b"]
    assert list(table["style"]) == ['the "best" 猫']


def test_parquet_holds_what_the_csv_does_with_its_types(results, tmp_path):
    details, _ = results
    table = summarise([details])
    write_parquet(table, tmp_path / "new" / "summary.parquet")
    back = pd.read_parquet(tmp_path / "new" / "summary.parquet")
    pd.testing.assert_frame_equal(back, table)
    assert back["ratio"].tolist()[0] == "1e+00", "the ratio is a label, not a number"
    assert back["pareto"].dtype == bool
    write_parquet(table, tmp_path / "again.parquet")
    first = (tmp_path / "new" / "summary.parquet").read_bytes()
    assert (tmp_path / "again.parquet").read_bytes() == first


def test_the_table_has_all_that_the_gallery_and_the_report_show(results):
    details, cells = results
    finished, failed = summarise([details]).to_dict("records")
    cell = next(iter(cells.values()))
    assert (finished["content_title"], finished["style_title"]) == (
        cell.content.title,
        cell.style.title,
    )
    assert json.loads(finished["settings"]) == cell.settings.to_dict()
    assert json.loads(finished["versions"]) == cell.versions
    assert json.loads(finished["machine"]) == cell.machine
    assert finished["failure"] == ""
    assert "stopped being a finite number" in failed["failure"]


def test_the_traces_have_a_row_for_each_evaluation(results, tmp_path):
    details, (picture, _) = results
    summarise([details], tmp_path / "traces.parquet")
    traces = read_table(tmp_path / "traces.parquet")
    cell = read_details(details)[picture]
    assert dict(traces.dtypes.astype(str)) | TRACE_TYPES == dict(traces.dtypes.astype(str))
    own = traces[traces["fingerprint"] == cell.fingerprint]
    assert list(own["evaluation"]) == [1, 2, 3, 4]
    assert list(own["style_loss"]) == cell.trace["style"]
    assert list(own["total_loss"]) == cell.trace["total"]
    assert set(own["content"]) == {"cat"}
    assert set(traces["ratio"]) == {"1e+00"}, "a failed cell has no trace"


def test_a_summary_of_nothing_has_columns_and_types_all_the_same(tmp_path):
    table = summarise([], tmp_path / "traces.parquet")
    assert tuple(table.columns) == (*COLUMNS, *FACTS)
    assert table.empty
    traces = read_table(tmp_path / "traces.parquet")
    assert traces.empty
    assert traces.dtypes["evaluation"] == "int64"
    assert traces.dtypes["tv_loss"] == "float64"


@pytest.mark.parametrize("content", [b"", b"PAR1 and then nothing"])
def test_a_damaged_table_is_named_with_the_remedy(tmp_path, content):
    path = tmp_path / "summary.parquet"
    path.write_bytes(content)
    with pytest.raises(CellError, match=r"summary\.parquet cannot be read .*; delete it, and run"):
        read_table(path)


def test_a_summary_names_the_details_that_cannot_be_read(results):
    details, _ = results
    details.write_text("{")
    with pytest.raises(CellError, match=r"details\.json cannot be read .* Delete"):
        summarise([details])


def test_the_outcome_names_the_cells_that_failed(results):
    details, (finished, failed) = results
    with pytest.raises(UserError) as caught:
        report_outcome(summarise([details]))
    message = str(caught.value)
    assert message.startswith("1 of 2 cells failed, the others are finished: ")
    assert failed.as_posix() in message
    assert finished.as_posix() not in message
    assert "nst show" in message
    assert message.splitlines() == [message]


def test_the_outcome_of_a_run_without_failures_is_a_line_in_the_log(pair, wanted, caplog):
    caplog.set_level(logging.INFO)
    details, _ = described(pair, wanted(1.0))
    report_outcome(summarise([details]))
    assert "1 cell finished" in caplog.text


# ---------------------------------------------------------------- tiles for the grids


def test_a_cell_s_tile_is_its_picture_and_a_failed_one_s_says_so(results):
    _, cells = results
    finished, failed = (checked(Tile(picture)) for picture in cells)
    assert finished.picture == next(iter(cells))
    assert "failed" in failed.note
    assert failed.picture is None


def test_a_missing_picture_is_named_with_the_remedy(results):
    _, cells = results
    for picture in cells:
        picture.unlink()
        with pytest.raises(CellError, match=r"png is missing; run snakemake without a target"):
            checked(Tile(picture))


def test_a_picture_that_is_no_cell_is_named_with_the_remedy(pair):
    with pytest.raises(CellError, match=r"cat\.png cannot be read .*\. Delete it; the next run"):
        checked(Tile(pair.content))
