"""Any setting as an axis of the grid, and the layout of the axes."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from configurations import refused
from made_cells import make_cell, make_table
from snakemake.iocontainers import Namedlist

from nst.cells import pair as pair_module
from nst.config.catalogue import read_catalogue
from nst.config.paths import (
    CELL,
    SNAPSHOTS,
    grid_files,
    of_cells,
    plot_files,
    report_label,
    subtitle_of_run,
    title_of_run,
)
from nst.config.run import Run, pair_sheets, read_run
from nst.config.settings import Settings
from nst.config.variants import labels_of, read_variants
from nst.errors import ConfigError
from nst.reports.summary import COLUMNS, FACTS, read_table, write_parquet

LAYERS = {
    name: {"content": {"relu3_1": 1}, "style": {"relu1_1": 1, "relu2_1": weight}}
    for name, weight in (("all", 1), ("fine", 0))
}
GRID = {"ratios": [1, 0.1], "layers": LAYERS, "image_size": 64}


def paths(config: dict) -> list[str]:
    return [f"{one.layers}/{one.ratio}" for one in read_variants(config)]


def sheets(config: dict, **chosen: str) -> dict[str, tuple[str, str]]:
    found = pair_sheets(read_variants(config), chosen)
    return {one.name: (one.row_axis, one.column_axis) for one in found}


def test_every_combination_is_a_variant():
    variants = read_variants({**GRID, "vary": {"style_scale": [0.5, 1], "seed": [0, 1, 2]}})
    assert len(variants) == 2 * 2 * 2 * 3
    assert len({(one.layers, one.ratio) for one in variants}) == len(variants)
    one = variants[0]
    assert one.layers == "all/style_scale=0.5/seed=0"
    assert dict(one.point) == {"layers": "all", "ratio": "1e0", "style_scale": "0.5", "seed": "0"}
    assert (one.settings.style_scale, one.settings.seed) == (0.5, 0)
    assert one.settings.style_layers == LAYERS["all"]["style"]
    assert all({**labels_of(one.layers), "ratio": one.ratio} == one.point for one in variants)


@pytest.mark.parametrize(
    ("name", "value", "label"),
    [
        ("style_scale", 1.0, "1"),
        ("style_scale", 2.5e-1, "0.25"),
        ("learning_rate", 1e-9, "1e-09"),
        ("tv_weight", 1e12, "1e12"),
        ("seed", 20261130132518, "20261130132518"),
        ("style_loss", "covariance", "covariance"),
        ("octaves", "auto", "auto"),
        ("clamp", False, "false"),
        ("image_size", [64, 48], "64x48"),
        ("coarse_stages", [[32, 5]], "32x5"),
        ("coarse_stages", [], "none"),
    ],
)
def test_a_label_does_not_depend_on_the_spelling(name, value, label):
    config = {key: given for key, given in GRID.items() if key != name}
    variants = read_variants({**config, "vary": {name: [value]}})
    assert {one.layers for one in variants} == {f"all/{name}={label}", f"fine/{name}={label}"}


def test_a_size_that_varies_takes_the_place_of_a_recipe_s_stages():
    variants = read_variants({"formulation": "gatys_pytorch", "vary": {"image_size": [512, 600]}})
    assert [one.settings.image_size for one in variants] == [512, 600]
    assert all(not one.settings.coarse_stages for one in variants)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vary": {"style_scale": [1, 1.0]}}, "vary.style_scale: a value is there twice"),
        ({"vary": {"style_scale": [20]}}, "vary.style_scale must be"),
        ({"vary": {"style_loss": ["gram"]}}, "vary.style_loss must be one of"),
    ],
)
def test_an_axis_that_makes_no_sense_is_refused(changes, message):
    assert message in refused(read_variants, {**GRID, **changes}, kind=ConfigError)


def test_recipes_can_be_crossed_with_ratios_and_settings():
    config = {"formulations": ["udacity", "relative"], "iterations_scale": 0.01}
    assert paths(config) == ["udacity/1e-6", "relative/2e-1"]
    crossed = {**config, "ratios": [1, 0.1], "vary": {"seed": [0, 1]}}
    assert len(paths(crossed)) == 8
    assert paths(crossed)[:2] == ["udacity/seed=0/1e0", "udacity/seed=0/1e-1"]
    assert sheets(crossed) == {"seed=0": ("layers", "ratio"), "seed=1": ("layers", "ratio")}
    assert sheets({**config, "vary": {"seed": [0, 1]}}) == {"": ("layers", "seed")}


# ---------------------------------------------------------------- sheets


def test_rows_and_columns_are_what_they_were_without_other_axes():
    (sheet,) = pair_sheets(read_variants(GRID), {})
    assert (sheet.name, sheet.row_axis, sheet.column_axis) == ("", "layers", "ratio")
    assert (sheet.rows, sheet.columns) == (["all", "fine"], ["1e0", "1e-1"])
    assert sheet.cells == [[(row, column) for column in sheet.columns] for row in sheet.rows]


ONE = {"layers": {"all": LAYERS["all"]}}
SCALES, SEEDS = {"style_scale": [0.5, 1]}, {"seed": [0, 1]}
LAYOUTS = [
    ({**ONE, "vary": SEEDS}, {}, [""], ("seed", "ratio")),
    ({"vary": {"seed": [0]}}, {}, [""], ("layers", "ratio")),
    ({**ONE, "ratios": [1], "vary": SEEDS}, {}, [""], ("layers", "seed")),
    ({**ONE, "ratios": [1], "vary": SCALES | SEEDS}, {}, [""], ("style_scale", "seed")),
    ({"vary": SCALES}, {"rows": "ratio"}, ["layers=all", "layers=fine"], ("ratio", "style_scale")),
    (
        {"vary": SCALES},
        {"rows": "style_scale", "columns": "layers"},
        ["ratio=1e0", "ratio=1e-1"],
        ("style_scale", "layers"),
    ),
]


@pytest.mark.parametrize(("changes", "chosen", "names", "axes"), LAYOUTS)
def test_axes_with_several_labels_are_rows_and_columns_unless_chosen(changes, chosen, names, axes):
    assert sheets({**GRID, **changes}, **chosen) == dict.fromkeys(names, axes)


# ---------------------------------------------------------------- the table


@pytest.mark.parametrize(
    ("name", "values", "column", "held"),
    [
        ("octaves", ("auto", 2), "octaves", ["auto", "2"]),
        ("style_loss", ("relative", "covariance"), "style_loss_kind", ["relative", "covariance"]),
    ],
)
def test_the_table_has_a_column_for_each_setting_that_varies(tmp_path, name, values, column, held):
    cells = {
        Path(f"{value}.png"): make_cell(
            layers=f"all/{name}={value}", settings=Settings(**{name: value}, growth=5)
        )
        for value in values
    }
    table, _ = make_table(cells, tmp_path)
    assert [one for one in table.columns if one != column] == [*COLUMNS, *FACTS]
    assert list(table.columns).index(column) == COLUMNS.index("layers") + 1
    assert table[column].tolist() == held
    assert json.loads(table["settings"][0])["growth"] == 5
    write_parquet(table, tmp_path / "summary.parquet")
    assert read_table(tmp_path / "summary.parquet")[column].tolist() == held


# ---------------------------------------------------------------- the files of a run


PAIR = {"contents": ["chelsea", "rocket"], "styles": ["starry_night_study", "great_wave_study"]}


def run_of(**changes: object) -> Run:
    """Read a run of the grid, or of recipes."""
    grid = {} if "formulations" in changes else {**GRID, "extractor": "kmeans"}
    return read_run({**PAIR, **grid, **changes}, read_catalogue())


def test_cells_with_snapshots_have_a_strip():
    plain, kept = (set(grid_files(run_of(**changes))) for changes in ({}, {"snapshots": [0, 1]}))
    strips = {path.replace("/cells/", "/strips/") for path in of_cells(CELL, run_of().cells)}
    assert strips == kept - plain


def test_plots_follow_what_varies():
    shared = {f"results/plots/layers.{form}" for form in ("png", "svg")}
    grid = set(plot_files(run_of(vary=SEEDS)))
    assert shared < grid
    assert {"results/plots/ratios.png", "results/plots/vary/seed.svg"} < grid
    assert "results/plots/losses/rocket/great_wave_study.png" in grid
    recipes = run_of(formulations=["gatys2016", "nnst"], extractor="vgg16_hed")
    assert shared < set(plot_files(recipes))
    assert "results/plots/ratios.png" not in plot_files(recipes)


def test_the_grid_of_a_recipe_has_the_cells_at_its_own_balance():
    run = run_of(formulations=["udacity", "relative"], vary=SEEDS)
    assert ("udacity/seed=1", "1e-6") in run.places
    assert len(run.ratios) == 2


def test_a_job_writes_the_paths_that_snakemake_gives_it(tmp_path, monkeypatch):
    run = run_of(snapshots=[0, 1])
    precision = tmp_path / "precision.txt"
    precision.write_text("float32")
    prefix = "storage/fs/"
    wanted = [("cat", "night", one) for one in run.variants]
    places, snapshots = (of_cells(prefix + pattern, wanted) for pattern in (CELL, SNAPSHOTS))
    files = dict.fromkeys(("content", "style", "extractor"), "file") | {"precision": [precision]}
    written = {"pictures": places, "snapshots": snapshots, "details": tmp_path / "details.json"}
    names = dict.fromkeys(("content_name", "content_title", "style_name", "style_title"), "")
    job = SimpleNamespace(
        input=Namedlist(fromdict=files),
        output=Namedlist(fromdict=written),
        params=SimpleNamespace(names=names, composition=None),
        rule="stylize",
        wildcards=["cat", "night"],
        config={"device": "cpu"},
        threads=1,
    )
    cells = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pair_module, "stylize_pair", lambda _, wanted, *_rest, **_options: wanted)
    monkeypatch.setattr(pair_module, "write_details", lambda made, _: cells.extend(made.values()))
    pair_module.stylize_by_rule(job, run.variants)
    assert [str(cell.path) for cell in cells] == places
    assert [str(cell.snapshots) for cell in cells] == snapshots
    assert {cell.settings.precision for cell in cells} == {"float32"}


def test_a_run_is_called_by_its_numbers_and_by_what_its_variants_share():
    run = run_of(vary={"iterations": [7, 8]})
    assert title_of_run(run) == "2 pictures in 2 styles"
    assert title_of_run(run_of(contents=["chelsea"])) == "1 picture in 2 styles"
    assert subtitle_of_run(run) == "kmeans, covariance loss, 64 px"


def test_a_label_of_the_report_has_no_wildcard_and_ends_no_script():
    assert report_label("a {b} </script>") == "a (b) <\N{WORD JOINER}/script>"
