"""Thousands of cells: planning and gathering take little more memory for each cell.

The peaks of memory are measured in real processes. The limits apply to the growth from 500 to 2,000
cells, so that neither imports nor the versions of libraries count.
"""

import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from bounds import run_and_measure
from conftest import paint
from made_cells import make_cell
from workflow_runs import finish, write_config

from nst.cells.cell import TRACE_POINTS, Source, write_details
from nst.reports.summary import read_table, summarise

pytestmark = pytest.mark.slow

VARIANTS = 100
FEW, MANY = 5, 20  # pairs
BEGIN = """
import sys
from pathlib import Path
folder = Path(sys.argv[1])
"""
STEPS = {
    "tables": """
from nst.reports.summary import summarise, write_parquet, write_summary
table = summarise(sorted(folder.glob("details/*/*.json")), folder / "traces.parquet")
write_summary(table, folder / "summary.csv")
write_parquet(table, folder / "summary.parquet")
""",
    "made with": """
from nst.reports.tables import write_made_with_page
from nst.reports.summary import read_table
write_made_with_page(read_table(folder / "summary.parquet"), folder / "made_with.html")
""",
    "gallery": """
from nst.gallery.page import write_gallery
from nst.reports.summary import read_table
table = read_table(folder / "summary.parquet")
inputs = folder / "inputs"
write_gallery(table, folder / "traces.parquet", inputs, folder / "gallery", title="many")
""",
}
# kB of memory for each additional cell. Reading a cell's trace takes 60 kB.
LIMITS = {"tables": 32, "made with": 8, "gallery": 32}


def make_results(folder: Path, pairs: int) -> Path:
    """Write the details of pairs with traces of maximal length; all cells share one picture."""
    picture = paint(folder / "cells" / "one.png", 1, (32, 32))
    steps = range(1, TRACE_POINTS + 1)
    for number in range(pairs):
        cells = {}
        for place in range(VARIANTS):
            share = (number * VARIANTS + place) / (pairs * VARIANTS)
            parts = {"content": 0.1 + share, "style": 1.3 - share, "total": 1.0 + share}
            trace = {name: [value + 1 / step for step in steps] for name, value in parts.items()}
            path = folder / "cells" / f"{number}-{place}.png"
            path.hardlink_to(picture)
            cells[path] = make_cell(
                style=Source(f"style{number}", f"Style {number}", "5" * 64),
                ratio=f"1e-{place}",
                losses=parts | {"content_distance": share, "style_distance": 1 - share},
                trace={"evaluation": steps, **trace},
                width=32,
                height=32,
            )
        write_details(cells, folder / "details" / "cat" / f"style{number:03}.json")
    return folder


@pytest.fixture(scope="module")
def peaks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, int]]:
    """The peak of memory of each step at both sizes, in bytes."""
    folders = [make_results(tmp_path_factory.mktemp("results"), pairs) for pairs in (FEW, MANY)]
    return {
        name: tuple(run_and_measure(BEGIN + step, folder)[1] for folder in folders)
        for name, step in STEPS.items()
    }


@pytest.mark.parametrize("step", STEPS)
def test_gathering_takes_little_more_memory_for_each_cell(peaks, step):
    few, many = peaks[step]
    growth = (many - few) / ((MANY - FEW) * VARIANTS) / 1000
    assert growth < LIMITS[step], f"{few / 2**20:.0f} MiB, then {many / 2**20:.0f} MiB"


def test_the_traces_of_many_pairs_are_read_for_one_of_them_alone(tmp_path):
    """A reader finds a pair's row group by its names; only small pairs share a group."""
    results = make_results(tmp_path, 3)
    details = sorted(results.glob("details/*/*.json"))
    summarise(details, tmp_path / "traces.parquet")
    file = pq.ParquetFile(tmp_path / "traces.parquet")
    assert file.metadata.num_rows == 3 * VARIANTS * TRACE_POINTS
    assert file.num_row_groups == 3
    one = read_table(tmp_path / "traces.parquet", ("cat", "style1"))
    whole = read_table(tmp_path / "traces.parquet")
    expected = whole[whole["style"] == "style1"].reset_index(drop=True)
    pd.testing.assert_frame_equal(one, expected)


def test_ten_thousand_cells_are_planned_as_a_job_for_each_pair(tmp_path):
    for number in range(10):
        paint(tmp_path / f"contents/content{number}.png", number)
        paint(tmp_path / f"styles/style{number}.png", 10 + number)
    weights = {"content": {"relu3_1": 1}, "style": {"relu1_1": 1}}
    config = {
        "contents": ["contents/*.png"],
        "styles": ["styles/*.png"],
        "ratios": [f"1e-{number}" for number in range(10)],
        "layers": {
            f"weights{place}": weights | {"style": {"relu1_1": 1, "relu2_1": place + 1}}
            for place in range(10)
        },
        "image_size": 48,
        "iterations": 1,
    }
    write_config(tmp_path, config)
    run = finish(tmp_path, "--dry-run", "--quiet", "rules")
    planned = dict(re.findall(r"^(\w+) +(\d+)$", run, re.MULTILINE))
    assert planned["stylize"] == "100"
    assert planned["pair_grid"] == "100"
    images, grids, plots, once = 20 + 1, 100 + 100, 10, 8
    assert int(planned["total"]) == images + 100 + grids + plots + once
