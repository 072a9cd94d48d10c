"""The documents agree with the code and files that they describe; the tutorial's commands run."""

import json
import re
import tomllib
import zipfile
from itertools import groupby
from pathlib import Path

import pandas as pd
import pytest
import yaml
from conftest import paint
from make_recipes import MARKS, with_table
from make_reference import with_reference
from make_site import pages
from PIL import Image
from settings_sheet import TITLES, draw_sheet, read_sheet
from tutorial import PAGE, follow, read_steps
from workflow_runs import ROOT, details

from nst.cells.cell import TEXT_KEY
from nst.config.catalogue import read_catalogue
from nst.config.documents import load_schema
from nst.config.layers import split_octave
from nst.config.paths import cell_path, prepared
from nst.config.run import read_file, read_run
from nst.config.settings import RULES
from nst.config.variants import Variant, read_presets
from nst.imaging.images import save_png
from nst.reports.summary import COLUMNS, FACTS, TRACE_TYPES

PAGES = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / folder / "README.md" for folder in ("benchmarks", "config", "results")),
]


def text_of(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def test_the_tests_that_the_faults_name_are_there():
    named = set(re.findall(r"`((?:slurm/)?test_\w+\.py)`", text_of("docs/reliability.md")))
    assert len(named) > 15
    assert {name for name in named if not (ROOT / "tests" / name).is_file()} == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_link_leads_to_a_file_and_a_heading(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8")):
        if "://" in target:
            continue
        path, _, heading = target.partition("#")
        file = page if not path else page.parent / path
        assert file.exists(), target
        if heading:
            assert heading in headings(file), target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_command_to_copy_names_the_environment_that_make_installs_into(page):
    bare = r"^(?:    )?(?:nst|snakemake|python) .*"
    assert re.findall(bare, page.read_text("utf-8"), re.MULTILINE) == []


def headings(page: Path) -> set[str]:
    """List the anchors of a page's headings."""
    titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_document_is_a_page_of_the_site():
    site = tomllib.loads(text_of("docs/zensical.toml"))
    listed = re.findall(r"[\w/-]+\.md", str(site["project"]["nav"]))
    assert {ROOT / page for page in listed} == set(PAGES) == set(pages())


def test_every_column_of_the_tables_is_described():
    described = text_of("results/README.md")
    names = (*COLUMNS, *FACTS, *TRACE_TYPES, "preference", "cells.csv", "agreement.csv")
    assert [name for name in names if f"`{name}`" not in described] == []


@pytest.mark.slow
def test_the_example_in_python_makes_its_pictures(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("photo", "painting"):
        Image.effect_noise((64, 48), 60).convert("RGB").save(f"{name}.jpg")
    block, *_ = re.findall(r"```python\n(.*?)```", text_of("docs/api.md"), re.DOTALL)
    assert '"image_size": 256' in block
    exec(block.replace("256", "64"), {})
    assert {path.name for path in tmp_path.glob("*.png")} == {"1.0.png", "0.1.png"}


COMING_FROM = text_of("docs/coming-from.md")


def test_the_example_configuration_is_valid():
    (block,) = re.findall(r"```yaml\n(.*?)```", COMING_FROM, re.DOTALL)
    pair = {"contents": ["chelsea"], "styles": ["starry_night_study"], "extractor": "vgg19"}
    run = read_run({**yaml.safe_load(block), **pair}, read_catalogue())
    (variant,) = run.variants
    assert (variant.settings.alpha, variant.settings.beta) == (1e5, 3e4)
    assert variant.settings.stages == ((400, 1000),)


def test_every_name_that_other_programs_options_are_mapped_to_is_one():
    """Check every name in backticks in the second column."""
    rows = re.findall(r"^\| `-[^|]*\| ([^|]*) \|", COMING_FROM, re.MULTILINE)
    assert len(rows) > 30
    named = re.findall(r"`([^`]+)`", " ".join(rows))
    keys = set(load_schema()["properties"])
    values = {one for rule in RULES.values() for one in rule.choices}
    known = keys | values | {"-s", "-n", "-o", "--device", "results/"}
    for text in named:
        key, _, value = text.partition(": ")
        assert key in known, text
        choices = RULES[key].choices if value and key in RULES else ()
        assert not choices or yaml.safe_load(value) in choices, text


# ---------------------------------------------------------------- the reference of the settings

REFERENCE = text_of("config/README.md")


def test_the_reference_is_what_the_command_writes_from_the_declarations():
    """A key without a heading, or a heading without a key, raises; an old row changes the text."""
    assert with_reference(REFERENCE) == REFERENCE, "run make reference"


def test_a_key_without_a_heading_is_named():
    with pytest.raises(ValueError, match="'style_scale'"):
        with_reference(REFERENCE.replace("### `style_scale`", "### Strokes"))


# ---------------------------------------------------------------- the choice of a recipe

RECIPES = text_of("docs/recipes.md")
COMPARED = read_run(read_file(ROOT / "config" / "formulations.yaml"), read_catalogue())


def test_all_recipes_are_compared_in_the_order_of_their_years():
    names = [one.layers for one in COMPARED.variants]
    assert set(names) == set(read_presets())
    years = [year for name in names if (year := read_presets()[name].year)]
    assert years == sorted(years)


def test_the_page_of_recipes_has_a_row_a_heading_and_a_picture_for_each():
    rows = re.findall(r"^\| (\w+(?:\\_\w+)*) +\|", RECIPES, re.MULTILINE)
    names = [one.layers for one in COMPARED.variants]
    assert [row.replace("\\", "") for row in rows if row != "recipe"] == names
    assert re.findall(r"^### `(\w+)`$", RECIPES, re.MULTILINE) == names
    assert all(f"(images/recipes/{name}.jpg)" in RECIPES for name in names)
    assert len(COMPARED.contents) * len(COMPARED.styles) == 6


def test_the_command_replaces_the_table_alone():
    before, after = RECIPES.split(MARKS[0])[0], RECIPES.split(MARKS[1])[1]
    changed = with_table(RECIPES, "| layers | pairs |\n|---|---|\n| a | 1 |\n")
    assert changed.startswith(before)
    assert changed.endswith(after)
    assert "| recipe | pairs |" in changed
    assert with_table(changed, "x") == with_table(RECIPES, "x")


# ---------------------------------------------------------------- the sheet of the settings

RUN, ROWS, SHEET_DEFAULTS = read_sheet()
CHANGED = {"ratio": {"beta"}, "layers": {"style_layers"}, "start": {"start", "start_noise"}}


def changes(one: Variant) -> dict[str, object]:
    """Return the settings in which a cell differs from the defaults."""
    defaults, values = SHEET_DEFAULTS.to_dict(), one.settings.to_dict()
    return {name: value for name, value in values.items() if value != defaults[name]}


@pytest.mark.parametrize("row", ROWS)
def test_the_cells_of_a_row_differ_in_its_setting_alone(row):
    found = [changes(one) for one in ROWS[row]]
    assert all(found.count(one) == 1 for one in found)
    if row == "iterations":
        assert {one.pop("growth") for one in found} == {0}
    assert found.count({}) == 1, "the default must appear once"
    assert all(len(one) <= 1 for one in found)
    assert {name for one in found for name in one} == CHANGED.get(row, {row})


@pytest.mark.parametrize("row", ROWS)
def test_a_cell_is_labelled_with_what_it_has(row):
    for one in ROWS[row]:
        label = one.layers.removeprefix(f"{row} ")
        if row == "ratio":
            assert float(label) == pytest.approx(1 / one.settings.beta)
        elif row == "layers":
            of_network = one.settings.style_layers.keys() - {"rgb"}
            layers = sorted(split_octave(name)[0] for name in of_network)
            assert label == (layers[0] if len(layers) == 1 else f"{layers[0]} to {layers[-1]}")
        elif label.startswith("start_noise "):
            assert float(label.removeprefix("start_noise ")) == one.settings.start_noise
        else:
            value = getattr(one.settings, row)
            assert label == (f"{value:g}" if isinstance(value, float) else str(value))


def test_the_page_speaks_of_every_row_in_their_order():
    headings = re.findall(r"^## (.+)$", text_of("docs/settings.md"), re.MULTILINE)
    assert headings == [*(TITLES.get(row, row) for row in ROWS), "Make it yourself"]


def test_the_sheet_has_a_row_for_each_setting(tmp_path):
    (content,), (style,) = RUN.contents, RUN.styles
    for role, name in (("content", content), ("style", style)):
        paint(tmp_path / prepared(role, name), 1, (64, 64))
    for one in RUN.variants:
        path = tmp_path / cell_path(content, style, one.layers, one.ratio)
        path.parent.mkdir(parents=True)
        save_png(Image.new("RGB", (64, 64), "#3060c0"), path, {TEXT_KEY: '{"status": "finished"}'})
    sheet = draw_sheet(tmp_path)
    column = [sheet.getpixel((sheet.width // 3, y)) for y in range(sheet.height)]
    assert [colour for colour, _ in groupby(column)].count((0x30, 0x60, 0xC0)) == len(ROWS)


# ---------------------------------------------------------------- the tutorial

# What makes the page's run quick: one pair, small pictures, and few steps.
QUICK = {
    **{", photos/coffee.png": "", ", great_wave_study, impression_sunrise_study": ""},
    **{"image_size: 192": "image_size: 48", "growth: 20": "growth: 2", "=768": "=192"},
}


def quick_page() -> str:
    """Return the page with a quicker run; the commands before it plan the page's own run."""
    plan, run = PAGE.split("## Run\n")
    run = plan[plan.index("Save this as `my.yaml`") : plan.index("The photographs are")] + run
    for given, quick in QUICK.items():
        assert given in run
        run = run.replace(given, quick)
    return plan + run


def test_every_command_of_the_tutorial_is_in_a_block_that_is_run():
    commands = "".join(step.commands for step in read_steps(PAGE))
    outside = re.sub(r"^```.*?^```$", "", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert not re.search(r"^(    |\t)", outside, re.MULTILINE), "every block is fenced"
    quoted = re.findall(r"`([^`]+)`", outside)
    assert len(quoted) > 10
    for one in quoted:
        if re.match(r"(make|nst|snakemake|\.venv/bin/\w+) ", one):
            assert one in commands


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(tmp_path, monkeypatch):
    monkeypatch.setenv("CORES", "1")  # for make; other tests use the other cores
    here = tmp_path / "nst"
    checked = 0
    for step in follow(tmp_path, quick_page()):
        for line in step.expected:
            pattern = ".*".join(map(re.escape, line.split("…")))
            assert re.search(f"^{pattern}$", step.output, re.MULTILINE), (line, step.output)
        for name in re.findall(r"`((?:results|photos)/[^`]*)`", step.said):
            assert (here / name).exists(), (step.commands, name)
            checked += 1
    assert checked > 8
    reused = {name: cell.reused for name, cell in details(here).items()}
    assert reused == {
        f"cat/starry_night_study/relative/{ratio}": ratio == "1e-1" for ratio in ("1e0", "1e-1")
    }, "the second run computes only the new cells"
    (star,) = json.loads((here / "starred.json").read_text("utf-8"))
    (row,) = pd.read_csv(here / "results/prints/summary.csv").to_dict("records")
    assert star.items() <= {**row, "ratio": star["ratio"]}.items()
    with Image.open(here / row["path"]) as picture:
        assert max(picture.size) == 192
    with zipfile.ZipFile(here / "results/report.zip") as report:
        assert "report/report.html" in report.namelist()
