"""A run whose folder, files and titles look like commands or markup."""

import csv
import os
import re
from pathlib import Path

import pypdf
import pytest
from conftest import paint
from workflow_runs import snakemake, write_config

pytestmark = pytest.mark.slow

FOLDER = """it's "my" $(touch canary) ; `touch canary` & é {content} 🎨"""
PHOTO = 'photos/$(touch canary);`touch canary`& "d" [style] | ! 🎨.png'
DASHED = "-rf --help.png"
STYLE = "paintings/%(x)s %d it's; touch canary ~ #.png"
START = "photos/ [start] *?.png"
TITLES = {
    "content": """<img src=x onerror=alert(1)> $x^2$ {braces} "q" 'a' & \\frac{1}{2} =1+1""",
    "dashed": "=HYPERLINK(A1) </b></td> <!-- %s {0} {{}} $ unbalanced",
    "style": "--> <svg/onload=alert(2)> <para>x</para> <a href='javascript:1'>",
}
LAYERS = "fine - ø.1 _"


def all_files(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, bytes]]:
    """Return a finished run's folder, which contains the user's home, and its earlier files."""
    folder = tmp_path_factory.mktemp("hostile") / FOLDER
    for seed, name in enumerate((PHOTO, DASHED, STYLE, START)):
        paint(folder / name, seed)
    (folder / "home").mkdir()
    (folder / "tmp").mkdir()
    weights = {"content": {"relu3_1": 1}, "style": {"relu1_1": 1, "relu2_1": 1}}
    config = {
        "contents": [
            {"path": PHOTO, "title": TITLES["content"]},
            {"path": DASHED, "name": "naïve 雪.v2", "title": TITLES["dashed"]},
        ],
        "styles": [{"path": STYLE, "title": TITLES["style"]}],
        "layers": {LAYERS: weights},
        "ratios": ["1e-2"],
        "image_size": 48,
        "iterations": 2,
        "snapshots": [0, 2],
        "start": "file",
        "start_file": START,
        "device": "cpu",
        "precision": "float32",
        "extractor": "kmeans",
    }
    write_config(folder, config)
    before = all_files(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(folder / "home"))
        patch.setenv("TMPDIR", str(folder / "tmp"))
        for name in ("XDG_CACHE_HOME", "MPLCONFIGDIR"):
            patch.delenv(name, raising=False)
        done = snakemake(folder)
    assert done.returncode == 0, done.stdout
    return folder, before


def test_no_name_was_taken_for_a_command(run):
    folder, _ = run
    assert not [path for path in folder.parent.rglob("*") if path.name.startswith("canary")]
    assert not list(Path.cwd().glob("canary*"))
    assert (folder / "results/complete").exists()


def test_nothing_is_written_outside_the_results(run):
    """Snakemake's own folder and the libraries' caches in the user's home are exceptions."""
    folder, before = run
    after = all_files(folder)
    assert {name: after.get(name) for name in before} == before, "earlier files must not change"
    new = set(after) - set(before)
    outside = {name for name in new if not name.startswith(("results/", ".snakemake/"))}
    assert {name for name in outside if not name.startswith("home/.cache/")} == set()
    assert sorted(os.listdir(folder.parent)) == [FOLDER], "nothing may appear beside it"


MARKUP = ("<img", "<svg/", "<para>", "<a ", "</b></td>", "--> <")  # of the titles


def test_no_title_becomes_markup(run):
    """test_gallery.py covers the gallery, whose own markup has links."""
    folder, _ = run
    pages = sorted(folder.glob("results/report/*.html"))
    plots = sorted(folder.glob("results/plots/**/*.svg"))
    assert len(pages) >= 2
    assert len(plots) >= 4
    for path in (*pages, *plots):
        text = path.read_text("utf-8")
        assert not [part for part in MARKUP if part in text], path


def test_titles_are_text_in_the_grids_on_paper(run):
    folder, _ = run
    pages = sorted(folder.glob("results/grids/**/*.pdf"))
    assert len(pages) >= 5
    for path in pages:
        reader = pypdf.PdfReader(path)
        for page in reader.pages:
            assert "/Annots" not in page, "the page must have no links"
    overview = pypdf.PdfReader(folder / "results/grids/overview.pdf").pages[0].extract_text()
    written = "".join(overview.split())
    for title in TITLES.values():
        assert "".join(title.split())[:12] in written


def test_the_table_has_no_formulas(run):
    """A spreadsheet reads a text that begins with =, +, - or @ as a formula."""
    folder, _ = run
    with (folder / "results/summary.csv").open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            for value in row.values():
                assert re.match(r"\w|$", value) or float(value) < 0, value


def test_no_log_holds_anything_but_lines_of_text(run):
    folder, _ = run
    logs = sorted(folder.glob("results/logs/**/*.log"))
    assert len(logs) > 10
    for path in logs:
        for line in path.read_text("utf-8").split("\n"):
            assert line.replace("\t", " ").isprintable(), f"{path.name}: {line!r}"
