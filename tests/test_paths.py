"""The files of a run, as lists, and what it is called."""

from snakemake.iocontainers import Namedlist

from nst.commands.stylize import _wanted
from nst.config.catalogue import read_catalogue
from nst.config.paths import (
    CELL,
    SNAPSHOTS,
    cell_files,
    details_files,
    grid_files,
    of_variants,
    plot_files,
)
from nst.config.run import read_run
from nst.config.titles import report_label, subtitle_of_grid, subtitle_of_run, title_of_run

GRID = {
    "contents": ["chelsea", "rocket"],
    "styles": ["starry_night_study", "great_wave_study"],
    "ratios": [1, 0.1],
    "layers": {
        name: {"content": {"relu1_1": 1}, "style": {"relu1_1": 1}} for name in ("all", "few")
    },
    "extractor": "kmeans",
}


def run_of(**changes: object):
    return read_run({**GRID, **changes}, read_catalogue())


def test_a_run_has_a_cell_for_each_pair_and_variant():
    cells = cell_files(run_of())
    assert len(set(cells)) == len(cells) == 2 * 2 * 2 * 2
    assert cells[0] == "results/cells/chelsea/starry_night_study/all/1e0.png"


def test_the_details_of_a_content_keep_it_as_a_wildcard():
    assert details_files(["{content}"], ["a", "b"]) == [
        "results/details/{content}/a.json",
        "results/details/{content}/b.json",
    ]


def test_grids_have_three_forms_and_cells_with_snapshots_a_strip():
    plain, kept = (set(grid_files(run_of(**changes))) for changes in ({}, {"snapshots": [0, 1]}))
    assert {f"results/grids/overview.{form}" for form in ("png", "pdf", "jpg")} < plain
    assert {path.replace("/cells/", "/strips/") for path in cell_files(run_of())} == kept - plain


def test_plots_follow_what_varies():
    shared = {f"results/plots/layers.{form}" for form in ("png", "svg")}
    grid = set(plot_files(run_of(vary={"seed": [1, 2]})))
    assert shared < grid
    assert {"results/plots/ratios.png", "results/plots/vary/seed.svg"} < grid
    assert "results/plots/losses/rocket/great_wave_study.png" in grid
    pair = {name: GRID[name] for name in ("contents", "styles")}
    config = {**pair, "formulations": ["gatys2016", "nnst"], "extractor": "vgg16_hed"}
    recipes = read_run(config, read_catalogue())
    assert shared < set(plot_files(recipes))
    assert "results/plots/ratios.png" not in plot_files(recipes)


def test_the_grid_of_a_recipe_has_the_cells_at_its_own_balance():
    pair = {name: GRID[name] for name in ("contents", "styles")}
    recipes = {"formulations": ["udacity", "relative"], "vary": {"seed": [0, 1]}}
    run = read_run({**pair, **recipes}, read_catalogue())
    assert run.places("udacity/seed=1") == [("udacity/seed=1", "1e-6")]
    assert len(run.ratios) == 2


def test_a_job_writes_the_paths_that_snakemake_gives_it():
    run = run_of(snapshots=[0, 1])
    prefix = "storage/fs/"
    places = of_variants(prefix + CELL, run.variants, ["cat"], ["night"])
    snapshots = of_variants(prefix + SNAPSHOTS, run.variants, ["cat"], ["night"])
    output = Namedlist(fromdict={"pictures": places, "snapshots": snapshots})
    cells = list(_wanted(run.variants, output, None, "float32"))
    assert [str(cell.path) for cell in cells] == places
    assert [str(cell.snapshots) for cell in cells] == snapshots
    assert {cell.settings.precision for cell in cells} == {"float32"}


def test_a_run_is_called_by_its_numbers_and_by_what_its_variants_share():
    run = run_of(vary={"image_size": [64, 96]}, iterations=7)
    assert title_of_run(run) == "2 pictures in 2 styles"
    assert title_of_run(run_of(contents=["chelsea"])) == "1 picture in 2 styles"
    assert subtitle_of_grid(run) == subtitle_of_run(run) == "kmeans, covariance loss, 7 iterations"


def test_a_label_of_the_report_has_no_wildcard_and_ends_no_script():
    assert report_label("a {b} </script>") == "a (b) <\N{WORD JOINER}/script>"
