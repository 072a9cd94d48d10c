"""One small grid from end to end: run, run again, change a ratio, run again."""

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from conftest import paint
from PIL import Image
from workflow_runs import details, finish, write_config

from nst.cells.cell import read_record
from nst.reports.summary import COLUMNS, FACTS, MEASURES
from nst.reports.tables import AXES

CONFIG = {
    "contents": [{"path": "photos/a cat.png", "title": "A cat"}],
    "styles": ["paintings/nuit étoilée.png", "great_wave_study"],
    "ratios": ["1e0", "1e-2"],
    "layers": {"all": {"content": {"relu3_1": 1}, "style": {"relu1_1": 1, "relu2_1": 1}}},
    "image_size": 48,
    "iterations": 3,
    "extractor": "kmeans",
    "kmeans": {"images": ["a cat", "great_wave_study"]},
}
PAIRS = ("a cat/nuit étoilée", "a cat/great_wave_study")


@dataclass(frozen=True)
class Runs:
    """The results of three runs in a folder: the first, an unchanged one, one with a new ratio."""

    folder: Path
    before: dict[str, bytes]
    unchanged: str


def pictures(folder: Path) -> dict[str, bytes]:
    cells = folder / "results/cells"
    return {str(path.relative_to(cells)): path.read_bytes() for path in cells.rglob("*.png")}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Run in a folder whose name has a space and letters outside ASCII."""
    folder = tmp_path_factory.mktemp("grid") / "mes résultats"
    paint(folder / "photos" / "a cat.png", 1, (64, 48))
    paint(folder / "paintings" / "nuit étoilée.png", 3, (90, 60))
    write_config(folder, CONFIG)
    finish(folder)
    before, unchanged = pictures(folder), finish(folder)
    write_config(folder, {**CONFIG, "ratios": ["1e0", "1e-2", "1e-1"]})
    # Render the new cells and the table, but no plots and pages.
    new = [f"results/cells/{pair}/all/1e-1.png" for pair in PAIRS]
    finish(folder, "--", *new, "results/summary.csv")
    return Runs(folder, before, unchanged)


def test_every_cell_is_made_and_says_what_made_it(runs):
    names = {f"{pair}/all/{ratio}.png" for pair in PAIRS for ratio in ("1e0", "1e-2")}
    assert set(runs.before) == names
    cells = runs.folder / "results/cells"
    records = [read_record(cells / name) for name in names]
    assert {record["settings"]["precision"] for record in records} == {
        (runs.folder / "results/precision.txt").read_text().strip()
    }
    assert all(record["status"] == "finished" for record in records)


def test_everything_is_gathered(runs):
    results = runs.folder / "results"
    for name in ("overview", *(f"pairs/{pair}" for pair in PAIRS), "contents/a cat/all"):
        with Image.open(results / "grids" / f"{name}.png") as grid:
            assert grid.width > 500
        assert (results / "grids" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert all((results / f"plots/{name}.svg").is_file() for name in ("ratios", "layers"))
    summaries = {path.name for path in (results / "tables").iterdir()}
    assert summaries == {f"{by}.{form}" for by in AXES for form in ("tex", "md")}
    page = (results / "gallery/index.html").read_text("utf-8")
    assert page.count("great_wave_study") > 0
    table = pd.read_parquet(results / "summary.parquet")
    assert list(table.columns) == [*COLUMNS, *FACTS]
    assert table[list(MEASURES)].notna().all(axis=None)
    assert all((runs.folder / path).is_file() for path in table["path"])
    assert list(pd.read_csv(results / "summary.csv").columns) == list(COLUMNS)
    traces = pd.read_parquet(results / "traces.parquet")
    assert set(traces["fingerprint"]) == set(table["fingerprint"])


def test_a_second_run_has_nothing_to_do(runs):
    assert "Nothing to be done" in runs.unchanged


def test_a_new_ratio_computes_only_the_new_cells(runs):
    after = pictures(runs.folder)
    assert {name: after[name] for name in runs.before} == runs.before
    reused = {name: cell.reused for name, cell in details(runs.folder).items()}
    assert len(reused) == 6
    assert {name for name, again in reused.items() if not again} == {
        f"{pair}/all/1e-1" for pair in PAIRS
    }
    assert list(pd.read_csv(runs.folder / "results/summary.csv")["ratio"]) == [1, 0.01, 0.1] * 2
