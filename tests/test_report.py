"""The report: its pages, and a complete report of a finished run."""

import html
import json
import re
import zipfile
from pathlib import Path

import pandas as pd
import pytest
from conftest import paint
from workflow_runs import FITTED, ROOT, finish, write_config

from nst.reports.tables import write_table_page

TITLE = '<b>&"x"</b> {or} *y*'
STYLES = {"wave": "The wave", "night": TITLE}


def rows(page: str) -> list[list[str]]:
    """The texts of a page's tables, by row."""
    fields = [re.findall(r"<t[hd].*?</t[hd]>", row) for row in page.split("<tr>")[1:]]
    return [[html.unescape(re.sub(r"<.*?>", "", field)) for field in row] for row in fields]


# ---------------------------------------------------------------- the table


@pytest.fixture
def text(tmp_path) -> str:
    """The page of a small table."""
    table = {
        "content": ["cat", '<b>&"x"', "cat"],
        "ratio": ["1e-1", "1e-1", "1e-1"],
        "total_loss": [0.123456, None, 12.0],
        "rank": pd.array([2, None, 1], dtype="Int64"),
        "pareto": [True, False, False],
        "fingerprint": ["abc", "def", "ghi"],
    }
    write_table_page(pd.DataFrame(table), tmp_path / "table.html")
    return (tmp_path / "table.html").read_text("utf-8")


def test_a_table_shows_its_rows_rounded_and_sorts_them_as_they_are(text):
    assert rows(text) == [
        ["content", "total_loss", "rank", "pareto"],
        ["cat", "0.1235", "2", "yes"],
        ['<b>&"x"', "", "", "no"],
        ["cat", "12", "1", "no"],
    ]
    assert 'data-value="0.123456"' in text


def test_what_all_rows_share_stands_above_the_table(text):
    assert "The same for all cells: ratio 1e-1." in text
    assert "fingerprint" not in text


def test_text_in_a_table_stays_text(text):
    assert "<b>" not in text
    assert "&lt;b&gt;&amp;&#34;x&#34;" in text


# ---------------------------------------------------------------- the complete report


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, take_fitted) -> Path:
    """A finished run with a report, in a folder whose name has a space."""
    folder = tmp_path_factory.mktemp("report") / "my run"
    take_fitted(folder)
    paint(folder / "a cat.png", 1, (64, 48))
    paint(folder / "wave.png", 2, (90, 60))
    paint(folder / "night.png", 3, (60, 60))
    config = {
        "contents": [{"path": "a cat.png", "title": "A cat"}],
        "styles": [{"path": f"{name}.png", "title": title} for name, title in STYLES.items()],
        "ratios": ["1e0", "1e-2"],
        "layers": {"all": {"content": {"relu3_1": 1}, "style": {"relu1_1": 1}}},
        "vary": {"style_scale": [1]},
        "image_size": 48,
        "iterations": 2,
        **FITTED,
    }
    write_config(folder, config)
    targets = ("--", "all", "results/report/gallery")
    finish(folder, *targets)
    style = str(ROOT / "workflow" / "report" / "style.css")
    packing = ("--report", "results/report.zip", "--report-stylesheet", style)
    finish(folder, *packing, *targets)
    with zipfile.ZipFile(folder / "results" / "report.zip") as packed:
        packed.extractall(folder / "unpacked")
    return folder


@pytest.fixture(scope="module")
def report(run: Path) -> str:
    return (run / "unpacked" / "report" / "report.html").read_text("utf-8")


def data(report: str, name: str) -> dict:
    """A variable of the report's script."""
    found = re.search(rf"^\s*var {name} = ([{{\"].*);$", report, re.MULTILINE)
    assert found, name
    return json.loads(found[1])


@pytest.mark.slow
def test_the_report_has_each_grid_plot_and_page_once_under_its_labels(run, report):
    results = data(report, "results")
    styles = {
        "wave": "The wave",
        "night": TITLE.replace("{", "(").replace("}", ")").replace("</", "<\u2060/"),
    }
    of_all = {"content": "all", "style": "all"}
    assert {path: result["labels"] for path, result in results.items()} == {
        **{
            f"results/plots/{kind}/a cat/{name}.png": {"content": "A cat", "style": title} | shown
            for name, title in styles.items()
            for kind, shown in (("pairs", {"shows": "cells"}), ("losses", {"shows": "losses"}))
        },
        "results/plots/ratios.png": {**of_all, "shows": "effect of α/β"},
        "results/plots/layers.png": {**of_all, "shows": "effect of layer weighting"},
        "results/plots/vary/style_scale.png": {**of_all, "shows": "effect of style scale"},
        "results/report/gallery/index.html": {"page": "all pictures"},
        "results/grids/overview.jpg": {"grid": "contents × styles"},
        "results/grids/contents/a cat/all/style_scale=1.jpg": {
            "content": "A cat",
            "layers": "all/style_scale=1",
        },
        **{
            f"results/grids/pairs/a cat/{name}.jpg": {"content": "A cat", "style": title}
            for name, title in styles.items()
        },
        "results/report/table.html": {"page": "all cells"},
        "results/report/made_with.html": {"page": "settings, versions and devices"},
    }
    for path, result in results.items():
        packed = run / "unpacked" / "report" / result["data_uri"]
        assert packed.read_bytes() == (run / path).read_bytes()
        assert "<p>" in result["caption"], "the caption is rendered"
        assert "system-message" not in result["caption"], "docutils parses the caption"


@pytest.mark.slow
def test_the_categories_are_few(report):
    categories = data(report, "categories")
    assert set(categories) == {"Grids", "Plots", "Gallery", "Table", "Settings"}
    assert set(categories["Grids"]) == {"Overview", "Contents", "Pairs"}


@pytest.mark.slow
def test_the_start_page_has_the_configuration_as_text(report):
    text = data(report, "workflow_desc")
    assert "Neural style transfer" in text
    assert "iterations: 2" in text
    assert "title: &lt;b&gt;&amp;&quot;x&quot;&lt;/b&gt; {or} *y*" in text
    assert "<b>" not in text
    assert "system-message" not in text


@pytest.mark.slow
def test_the_pages_say_what_the_cells_are_and_were_made_with(run):
    pages = run / "results" / "report"
    table, made_with = (
        (pages / f"{name}.html").read_text("utf-8") for name in ("table", "made_with")
    )
    assert len(rows(table)) == 1 + 4
    facts = [row for row in rows(made_with) if len(row) == 2]
    assert dict(facts).items() >= {"iterations": "2", "extractor": "kmeans"}.items()
    assert any("torch " in value and key == "4 cells" for key, value in facts)
    assert not re.search(r"\b(src|href)=", table + made_with)


@pytest.mark.slow
def test_the_report_asks_nothing_of_the_network(report):
    page = re.sub(r"<script[^>]*>.*?</script>", "", report, flags=re.DOTALL)
    assert not re.search(r"""\b(src|href)=["']?(https?:)?//""", page)
    assert not re.search(r"<script[^>]+src=", report)


@pytest.mark.slow
def test_the_report_is_small_beside_the_run(run, report):
    """Snakemake's scripts make up most of this small report; only the run's part grows."""
    own = len(report.encode())
    packed = run / "results" / "report.zip"
    assert packed.stat().st_size < 3_000_000
    pictures = sum(path.stat().st_size for path in (run / "unpacked").rglob("*.jpg"))
    grids = sum(path.stat().st_size for path in (run / "results" / "grids").rglob("*.png"))
    assert pictures < grids / 3
    plots = list((run / "unpacked").rglob("*.png"))
    assert len(plots) == 7, "only plots; no grids or cells at full size"
    shown = pictures + sum(path.stat().st_size for path in plots)
    assert packed.stat().st_size < own + shown


@pytest.mark.slow
def test_the_gallery_of_the_report_has_its_pictures_beside_it(run, report):
    page = data(report, "results")["results/report/gallery/index.html"]["data_uri"]
    beside = (run / "unpacked" / "report" / page).parent / "pictures"
    made = run / "results" / "gallery" / "pictures"
    assert {one.name for one in beside.iterdir()} == {one.name for one in made.iterdir()}
