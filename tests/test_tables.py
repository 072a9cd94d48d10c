"""The summary tables for a paper."""

import re
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from workflow_runs import ROOT

from nst.reports.tables import (
    MEASURES,
    as_latex,
    as_markdown,
    mean_and_interval,
    summarise_by,
    write_summaries,
)


def table(styles: tuple[str, ...] = ("Wave", "Night"), contents: int = 3) -> pd.DataFrame:
    """Cells of all pairs at two ratios. A style's measures are about its number: 1, 2, …"""
    rows = [
        {
            **{"content": f"c{content}", "style": f"s{number}", "style_title": title},
            **{"ratio": ratio, "layers": "all", "status": "finished"},
            **dict.fromkeys(MEASURES, number + 0.1 * content),
        }
        for content in range(contents)
        for number, title in enumerate(styles, start=1)
        for ratio in ("1e0", "1e-1")
    ]
    return pd.DataFrame(rows)


def test_a_mean_has_the_interval_of_the_bootstrap_over_its_values():
    values = np.random.default_rng(1).normal(5, 1, size=400)
    mean, low, high = map(float, re.findall(r"[\d.]+", mean_and_interval(values)))
    assert mean == pytest.approx(values.mean(), abs=0.01)
    margin = 1.96 * values.std() / 400**0.5
    assert (low, high) == (
        pytest.approx(mean - margin, abs=0.03),
        pytest.approx(mean + margin, abs=0.03),
    )
    assert mean_and_interval(values) == mean_and_interval(values), "the interval is deterministic"


def test_one_value_has_no_interval_and_none_no_mean():
    assert mean_and_interval(np.array([0.25])) == "0.25"
    assert mean_and_interval(np.array([0.25, np.nan])) == "0.25"
    assert mean_and_interval(np.array([np.nan])) == "–"
    assert mean_and_interval(np.array([1234.5])) == "1234"


def test_styles_of_the_same_title_are_rows_of_their_own():
    assert list(summarise_by(table(("Study", "Study")), "style").index) == ["Study", "Study"]


def test_cells_of_a_pair_count_as_one_and_those_that_failed_do_not():
    cells = table()
    cells.loc[cells.index[0], "ssim"] = 9.0  # the first style; it counts for half of its pair
    cells.loc[cells.index[1], "status"] = "failed"
    found = summarise_by(cells, "style")
    assert list(found.index) == ["Wave", "Night"]
    assert list(found["pairs"]) == ["3", "3"]
    assert found.loc["Wave", "SSIM ↑"].startswith(f"{(9 + 1.1 + 1.2) / 3:.3g} (")
    assert list(summarise_by(cells, "ratio").index) == ["1e0", "1e-1"]


def test_titles_are_written_as_they_are():
    hostile = ("50 % & more_|_$x$", r"\input{/etc/passwd}", "[Untitled]", "*Star ↓")
    found = summarise_by(table(hostile), "style")
    latex, markdown = as_latex(found), as_markdown(found)
    assert r"50 \% \& more\_|\_\$x\$" in latex
    assert r"\textbackslash input\{/etc/passwd\}" in latex
    header = r"style & pairs & content distance $\downarrow$ & style distance $\downarrow$ & SSIM"
    assert header in latex
    for line in ("toprule", "midrule", "bottomrule"):
        assert f"\\{line}" in latex
    assert "\n{}[Untitled] & " in latex
    assert "\n{}*Star $\\downarrow$ & " in latex
    assert r"50 % & more\_\|\_$x$" in markdown
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in markdown.splitlines()}) == 1


def test_the_example_compiles(tmp_path):
    """The example includes a table and a grid of a run."""
    if not shutil.which("pdflatex"):
        pytest.skip("needs pdflatex, with the packages booktabs, graphicx and geometry")
    cells = table(("[Untitled]", "*Star"))
    write_summaries(cells.assign(ratio=cells["style_title"]), tmp_path / "results" / "tables")
    (tmp_path / "results" / "grids").mkdir()
    Image.new("RGB", (200, 100)).save(tmp_path / "results" / "grids" / "overview.pdf")
    shutil.copy(ROOT / "docs" / "paper.tex", tmp_path)
    command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "paper.pdf").read_bytes().startswith(b"%PDF")
