"""The workflow from end to end: a small grid through Snakemake, as a user runs it."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from conftest import cut, paint
from disks import cut as halve
from PIL import Image
from workflow_runs import (
    LAYERS,
    PRETENDED,
    details,
    finish,
    small_config,
    snakemake,
    write_config,
)

from nst.cells.cell import TEXT_KEY, read_details, read_record
from nst.imaging.images import save_png
from nst.reports.summary import COLUMNS, FACTS, MEASURES
from nst.reports.tables import AXES

CONFIG = small_config()
PAIR = "a cat/great_wave_study"
PAIRS = ("a cat/nuit étoilée", PAIR)
SUMMARY = "results/summary.csv"
STYLIZE = "Redraw "  # what Snakemake says of a job that computes cells


@pytest.fixture(scope="module", autouse=True)
def stopped_clock() -> Iterator[None]:
    """Let every cell take no time, so that two runs write the same bytes, and shorten the fit."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PRETENDED)
        patch.setenv("PRETENDED_STOP", "1")
        patch.setenv("PRETENDED_PATCHES", "1500")
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished grid of a partly transparent content.

    The name of its folder has a space and letters outside ASCII.
    """
    folder = tmp_path_factory.mktemp("grid") / "mes résultats"
    cut(paint(folder / "photos" / "a cat.png", 1, (64, 48)))
    paint(folder / "paintings" / "nuit étoilée.png", 3, (90, 60))
    write_config(folder, CONFIG)
    finish(folder)
    return folder


@pytest.fixture
def grid(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished grid with its time stamps, which a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "ma grille"))


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file by its path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_every_cell_is_made_and_says_what_made_it(finished):
    names = {
        f"{pair}/{layers}/{ratio}"
        for pair in PAIRS
        for layers in LAYERS
        for ratio in ("1e0", "1e-2")
    }
    assert set(details(finished)) == names
    cells = finished / "results/cells"
    assert set(contents(cells)) == {f"{name}.png" for name in names}, "there are only pictures"
    records = [read_record(cells / f"{name}.png") for name in names]
    precision = (finished / "results/precision.txt").read_text().strip()
    assert {record["settings"]["precision"] for record in records} == {precision}
    assert all(record["status"] == "finished" for record in records)


def test_everything_is_gathered(finished):
    results = finished / "results"
    of_contents = [f"contents/a cat/{layers}" for layers in LAYERS]
    grids = {"overview", *(f"pairs/{pair}" for pair in PAIRS), *of_contents}
    assert set(contents(results / "grids")) == {
        f"{name}.{form}" for name in grids for form in ("png", "pdf", "jpg")
    }
    for name in grids:
        with Image.open(results / "grids" / f"{name}.png") as picture:
            assert picture.width > 500
        assert (results / "grids" / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    assert all((results / f"plots/{name}.svg").is_file() for name in ("ratios", "layers"))
    assert set(contents(results / "tables")) == {
        f"{by}.{form}" for by in AXES for form in ("tex", "md")
    }
    assert "great_wave_study" in (results / "gallery/index.html").read_text("utf-8")
    table = pd.read_parquet(results / "summary.parquet")
    assert list(table.columns) == [*COLUMNS, *FACTS]
    assert table[list(MEASURES)].notna().all(axis=None)
    assert all((finished / path).is_file() for path in table["path"])
    assert list(pd.read_csv(finished / SUMMARY).columns) == list(COLUMNS)
    traces = pd.read_parquet(results / "traces.parquet")
    assert set(traces["fingerprint"]) == set(table["fingerprint"])


def test_another_mirror_or_device_is_no_reason_to_make_anything_again(grid):
    write_config(grid, CONFIG | {"mirror": "/nowhere", "device": "cpu"})
    assert "Nothing to be done" in finish(grid)


@pytest.mark.slow
def test_a_changed_grid_computes_only_its_new_cells(grid):
    """It loses a style, and gets a ratio and an axis."""
    before = contents(grid / "results/cells")
    fewer = CONFIG | {"styles": CONFIG["styles"][1:]}
    write_config(grid, fewer)
    assert STYLIZE not in finish(grid, "--dry-run")
    more = {"ratios": ["1e0", "1e-1"], "vary": {"style_scale": [0.5, 1]}}
    write_config(grid, fewer | more)
    targets = [f"results/grids/pairs/{PAIR}/style_scale={scale}.png" for scale in (0.5, 1)]
    targets += [f"results/cells/{PAIR}/all/style_scale=1/1e0.png", "results/report/table.html"]
    targets += ["results/plots/vary/style_scale.svg"]
    finish(grid, "--", *targets)
    assert before.items() <= contents(grid / "results/cells").items()
    made = read_details(grid / f"results/details/{PAIR}.json").values()
    assert {(one.layers, one.ratio): one.reused for one in made} == {
        (f"{layers}/style_scale={scale}", ratio): (scale, ratio) == (1, "1e0")
        for layers in LAYERS
        for scale in (0.5, 1)
        for ratio in ("1e0", "1e-1")
    }
    table = pd.read_csv(grid / SUMMARY)
    assert list(table["style_scale"]) == [0.5, 0.5, 1, 1] * 2
    assert list(table["ratio"]) == [1, 0.1] * 4
    page = (grid / "results/report/table.html").read_text("utf-8")
    assert "<button>layers</button></th><th><button>style_scale</button>" in page


@pytest.mark.slow
def test_another_order_and_another_picture_of_an_older_date_are_noticed(grid):
    write_config(grid, CONFIG | {"styles": CONFIG["styles"][::-1]})
    planned = finish(grid, "--dry-run")
    assert "Write the summary table" in planned
    assert STYLIZE not in planned
    images = {"images": CONFIG["kmeans"]["images"][::-1]}
    write_config(grid, CONFIG | {"kmeans": images})
    assert "Fit the extractor kmeans" in finish(grid, "--dry-run")
    write_config(grid, CONFIG)
    photo = grid / "photos/a cat.png"
    date = photo.stat().st_mtime - 1e6
    paint(photo, 7, (64, 48))
    os.utime(photo, (date, date))
    planned = finish(grid, "--dry-run")
    assert "Check and prepare content a cat" in planned
    assert "Check and prepare style" not in planned


@pytest.mark.slow
def test_what_is_lost_comes_back_from_the_store_and_a_title_may_have_braces(grid):
    titled = {"path": "paintings/nuit étoilée.png", "title": "A {night} {2020}"}
    write_config(grid, CONFIG | {"styles": [titled, "great_wave_study"]})
    named, lost = (grid / f"results/details/{pair}.json" for pair in PAIRS)
    cell = f"results/cells/{PAIR}/fine/1e0.png"
    details_before, cell_before = read_details(lost), (grid / cell).read_bytes()
    for path in (named, lost, grid / cell):
        path.unlink()
    targets = ("--", cell, *(f"results/grids/pairs/{pair}.png" for pair in PAIRS))
    finish(grid, *targets)
    assert {one.style.title for one in read_details(named).values()} == {"A {night} {2020}"}
    assert list(read_details(lost)) == list(details_before)
    assert (grid / cell).read_bytes() == cell_before
    assert all(one.reused for one in details(grid).values())
    assert "Nothing to be done" in finish(grid, *targets)


@pytest.mark.slow
def test_a_picture_that_a_grid_cannot_open_is_named_in_one_line(grid):
    broken = f"results/cells/{PAIR}/fine/1e0.png"
    whole = (grid / broken).read_bytes()
    (grid / broken).write_bytes(whole[:100])
    (grid / f"results/grids/pairs/{PAIR}.png").unlink()
    run = snakemake(grid)
    assert run.returncode != 0
    assert f"{broken} cannot be read" in run.stdout
    assert "Delete it; the next run writes it again" in run.stdout
    assert "Traceback" not in run.stdout
    (grid / broken).unlink()
    assert STYLIZE in finish(grid, "--dry-run")
    finish(grid, "--", broken)
    assert (grid / broken).read_bytes() == whole


@pytest.mark.slow
def test_a_grid_has_a_note_in_place_of_the_picture_of_a_failed_cell(grid):
    red, drawn = Image.new("RGB", (48, 36), "red"), f"results/grids/pairs/{PAIR}.png"
    save_png(red, grid / f"results/cells/{PAIR}/all/1e0.png", {TEXT_KEY: '{"status": "failed"}'})
    (grid / drawn).unlink()
    finish(grid, "--", drawn)
    with Image.open(grid / drawn) as picture:
        colours = picture.convert("RGB").getcolors(picture.width * picture.height)
    assert (255, 0, 0) not in {colour for _, colour in colours}


@pytest.mark.slow
def test_the_same_config_gives_the_same_bytes(finished, grid):
    """All results except logs and times; docs/reproducibility.md lists these files."""
    shutil.rmtree(grid / "results")
    shutil.rmtree(grid / ".snakemake")
    finish(grid)
    once, again = contents(finished / "results"), contents(grid / "results")
    assert len(once) > 80
    assert set(again) == set(once)
    different = {name for name in once if again[name] != once[name]}
    assert {name for name in different if not name.startswith(("logs/", "benchmarks/"))} == set()


@pytest.mark.slow
def test_votes_become_a_column_a_plot_and_a_measure_of_the_gallery(grid):
    table = pd.read_parquet(grid / "results/summary.parquet")
    one, other = table.loc[table["style"] == "great_wave_study", "fingerprint"][:2]
    vote = {"content": "a cat", "style": "great_wave_study", "chosen": "left"}
    votes = [vote | {"left": one, "right": other}] * 3
    saved = {"format": "nst-votes-1", "voter": "Zoë", "votes": votes}
    (grid / "zoë's votes.json").write_text(json.dumps(saved), encoding="utf-8")
    write_config(grid, CONFIG | {"votes": ["zoë's votes.json"]})
    gallery, folder = grid / "results/gallery/index.html", grid / "results/votes"
    run = finish(grid, "--", "results/votes/preference.png", "results/gallery/index.html")
    assert STYLIZE not in run
    found = pd.read_csv(grid / SUMMARY).set_index("fingerprint")["preference"]
    assert found[one] > 0.5 > found[other]
    assert found.notna().sum() == 2
    assert list(pd.read_csv(folder / "cells.csv")["votes"]).count(3) == 2
    assert len(pd.read_csv(folder / "variants.csv")) == 2
    assert pd.read_csv(folder / "agreement.csv")["votes"].max() == 3
    assert (folder / "preference.png").stat().st_size > 5000
    assert '"Preference"' in gallery.read_text("utf-8")
    (grid / "zoë's votes.json").write_text("[]")
    run = snakemake(grid)
    assert run.returncode != 0
    assert "The configuration cannot be used. votes: " in run.stdout
    assert "Traceback" not in run.stdout


@pytest.mark.slow
def test_formulations_are_compared_and_their_way_is_shown(grid):
    recipes = ["udacity", {"formulation": "coursera", "name": "course"}, "relative"]
    config = {name: value for name, value in CONFIG.items() if name not in ("ratios", "layers")}
    config |= {"styles": ["great_wave_study"], "formulations": recipes, "iterations_scale": 0.001}
    config |= {"iterations_least": 3, "snapshots": {"every": 100}}
    del config["iterations"]
    write_config(grid, config)
    results = grid / "results"
    targets = [
        *(SUMMARY, "results/grids/formulations.png", f"results/grids/recipes/{PAIR}.png"),
        *(f"results/strips/{PAIR}/{name}.png" for name in ("udacity/1e-6", "relative/2e-1")),
    ]
    finish(grid, "--", *targets)
    table = pd.read_csv(grid / SUMMARY)
    assert list(table["formulation"]) == ["udacity", "coursera", "relative"]
    assert list(table["layers"]) == ["udacity", "course", "relative"]
    assert table[["relative_content", "relative_style"]].notna().all(axis=None)
    with Image.open(results / f"grids/recipes/{PAIR}.png") as figure:
        assert figure.width > figure.height, "the figure has five pictures in a row"
    with Image.open(results / f"strips/{PAIR}/relative/2e-1.webp") as animation:
        assert animation.n_frames == 2  # the start and the end
        assert animation.size == (48, 36)
        assert animation.convert("RGBA").getchannel("A").getextrema() == (0, 255)
    with Image.open(results / f"strips/{PAIR}/udacity/1e-6.png") as strip:
        assert (strip.width > strip.height, strip.mode) == (True, "RGB")
    for path in ("inputs/content/a cat.png", f"cells/{PAIR}/relative/2e-1.png"):
        with Image.open(results / path) as picture:
            assert picture.mode == "RGBA"
    assert "Nothing to be done" in finish(grid, "--", *targets)


@pytest.mark.slow
def test_a_broken_image_is_named_before_any_long_job_and_costs_nothing(grid):
    halve(paint(grid / "photos" / "broken.jpg"))
    write_config(grid, CONFIG | {"contents": [*CONFIG["contents"], "photos/broken.jpg"]})
    before = contents(grid / "results/cells")
    run = snakemake(grid)
    assert run.returncode != 0
    assert "photos/broken.jpg: cannot be read as an image" in run.stdout
    assert "Traceback" not in run.stdout
    assert STYLIZE not in run.stdout
    assert contents(grid / "results/cells") == before


def test_the_plan_is_made_without_torch(tmp_path):
    """Planning a big grid takes only seconds because it imports no heavy package."""
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported while planning')")
    paint(tmp_path / "photos" / "a cat.png")
    write_config(tmp_path, CONFIG | {"styles": ["great_wave_study"]})
    finish(tmp_path, "--dry-run", PYTHONPATH=str(tmp_path))
