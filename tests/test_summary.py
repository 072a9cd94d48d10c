"""Files and panels from a run's cells: the table, the traces, the outcome, panels for grids."""

import json
import logging
from pathlib import Path

import pandas as pd
import pytest
from conftest import paint
from made_cells import make_cell, make_image, make_table

from nst.cells.cell import Cell, Source, write_cell
from nst.config.settings import Settings
from nst.errors import CellError, UserError
from nst.figures.grids import checked
from nst.figures.layout import Panel
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

Cells = dict[Path, Cell]


@pytest.fixture
def cells(tmp_path) -> Cells:
    """A finished cell and a failed one of four steps, by their pictures."""
    settings = Settings(beta=100.0, iterations=4, growth=0)
    nothing = {"losses": {}, "trace": {}}
    return {
        tmp_path / "finished.png": make_cell(settings=settings),
        tmp_path / "failed.png": make_cell(
            settings=settings, ratio="1e-1", status="failed", reason="no finite loss", **nothing
        ),
    }


# ---------------------------------------------------------------- the table


def test_the_table_has_all_of_a_cell_that_readers_see(cells, tmp_path):
    table, _ = make_table(cells, tmp_path)
    assert tuple(table.columns) == (*COLUMNS, *FACTS)
    assert list(table["path"]) == [path.as_posix() for path in cells]
    finished, failed = table.to_dict("records")
    cell = next(iter(cells.values()))
    assert (
        finished.items()
        >= {
            **{"content": "cat", "style": "night", "layers": "all", "formulation": "relative"},
            **{"alpha": 1.0, "beta": 100.0, "ratio": "1e-2", "extractor": cell.settings.extractor},
            **{
                "width": 64,
                "height": 48,
                "iterations": 3,
                "seed": 0,
                "attempts": 1,
                "seconds": 1.5,
            },
            **{"content_loss": 0.25, "style_loss": 0.125, "total_loss": 12.75},
            **{"status": "finished", "failure": "", "device": "cpu: x86_64, 1 threads"},
            **{"content_title": "Chelsea die Kätzin 猫", "style_title": "The Starry Night"},
            "fingerprint": cell.fingerprint,
        }.items()
    )
    assert json.loads(finished["settings"]) == cell.settings.to_dict()
    assert json.loads(finished["versions"]) == cell.versions
    assert json.loads(finished["machine"]) == cell.machine
    assert (failed["status"], failed["failure"]) == ("failed", "no finite loss")


def test_a_failed_cell_has_no_losses_in_the_summary(cells, tmp_path):
    write_summary(make_table(cells, tmp_path)[0], tmp_path / "summary.csv")
    table = pd.read_csv(tmp_path / "summary.csv")
    losses = table[[f"{name}_loss" for name in ("content", "style", "total")]]
    assert losses.iloc[0].notna().all()
    assert losses.iloc[1].isna().all()
    line = (tmp_path / "summary.csv").read_text(encoding="utf-8").splitlines()[2]
    assert ",4,,,,," in line, "missing losses must be empty, not nan or None"


def test_the_summary_survives_names_that_look_like_something_else(tmp_path):
    names = ("a, b", 'the "best" 猫')
    content, style = (Source(name, name, "d" * 64) for name in names)
    table, _ = make_table({tmp_path / "a.png": make_cell(content=content, style=style)}, tmp_path)
    write_summary(table, tmp_path / "summary.csv")
    read = pd.read_csv(tmp_path / "summary.csv")
    assert read[["content", "style"]].to_numpy().tolist() == [list(names)]


def test_parquet_holds_what_the_csv_does_with_its_types(cells, tmp_path):
    table, _ = make_table(cells, tmp_path)
    paths = [tmp_path / "new" / f"{name}.parquet" for name in ("first", "again")]
    for path in paths:
        write_parquet(table, path)
    back = read_table(paths[0])
    pd.testing.assert_frame_equal(back, table)
    assert back["ratio"].tolist()[0] == "1e-2", "the ratio is a label, not a number"
    assert back["pareto"].dtype == bool
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_the_traces_have_a_row_for_each_evaluation(cells, tmp_path):
    traces = read_table(make_table(cells, tmp_path)[1])
    cell = next(iter(cells.values()))
    assert dict(traces.dtypes.astype(str)) | TRACE_TYPES == dict(traces.dtypes.astype(str))
    assert list(traces["evaluation"]) == [1, 2, 3], "a failed cell has no trace"
    assert list(traces["style_loss"]) == cell.trace["style"]
    assert list(traces["total_loss"]) == cell.trace["total"]
    names = traces[["content", "style", "layers", "ratio", "fingerprint"]].drop_duplicates()
    assert names.to_numpy().tolist() == [["cat", "night", "all", "1e-2", cell.fingerprint]]


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


def test_the_outcome_names_the_cells_that_failed(cells, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    table, _ = make_table(cells, tmp_path)
    with pytest.raises(UserError) as caught:
        report_outcome(table)
    message = str(caught.value)
    assert message.startswith("1 of 2 cells failed, the others are finished: ")
    assert "failed.png" in message
    assert "finished.png" not in message
    assert "nst show" in message
    assert message.splitlines() == [message]
    report_outcome(table[:1])
    assert "1 cell finished" in caplog.text


# ---------------------------------------------------------------- panels for the grids


def test_a_cell_s_panel_is_its_picture_and_a_failed_one_s_says_so(cells):
    for path, cell in cells.items():
        write_cell(cell, make_image(), path)
    finished, failed = (checked(Panel(path)) for path in cells)
    assert finished.picture == next(iter(cells))
    assert "failed" in failed.note
    assert failed.picture is None


def test_a_picture_that_is_no_cell_is_named_with_the_remedy(tmp_path):
    with pytest.raises(CellError, match=r"cat\.png cannot be read .*\. Delete it; the next run"):
        checked(Panel(paint(tmp_path / "cat.png")))
