"""The workflow from end to end: a small grid through Snakemake, as a user runs it."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from conftest import cut, paint
from disks import cut as halve
from PIL import Image
from workflow_runs import (
    FITTED,
    LAYERS,
    ROOT,
    command,
    details,
    finish,
    small_config,
    snakemake,
    write_config,
)

from nst.cells.cell import read_details

pytestmark = pytest.mark.slow

STYLES = ("nuit étoilée", "great_wave_study")
CONFIG = {**small_config(), "contents": small_config()["contents"][:1], **FITTED}


@pytest.fixture(scope="module", autouse=True)
def stopped_clock() -> Iterator[None]:
    """Let every cell take no time, so that two runs write the same bytes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(ROOT / "tests" / "pretended"))
        patch.setenv("PRETENDED_STOP", "1")
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished grid, in a folder whose name has a space and letters outside ASCII."""
    folder = tmp_path_factory.mktemp("grid") / "mes résultats"
    paint(folder / "photos" / "a cat.png", 1, (64, 48))
    paint(folder / "paintings" / "nuit étoilée.png", 3, (90, 60))
    write_config(folder, CONFIG)
    finish(folder)
    return folder


@pytest.fixture
def grid(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished grid with its time stamps, which a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "ma grille"))


def test_every_cell_and_grid_is_made(finished):
    assert set(details(finished)) == {
        f"a cat/{style}/{layers}/{ratio}"
        for style in STYLES
        for layers in LAYERS
        for ratio in ("1e0", "1e-2")
    }
    pictures = finished.glob("results/cells/*/*/*/*")
    assert {str(path.relative_to(finished / "results/cells")) for path in pictures} == {
        f"{name}.png" for name in details(finished)
    }, "the folder must contain only the pictures"
    grids = finished / "results" / "grids"
    assert {path.relative_to(grids).as_posix() for path in grids.rglob("*.png")} == {
        "overview.png",
        *(f"contents/a cat/{layers}.png" for layers in LAYERS),
        *(f"pairs/a cat/{style}.png" for style in STYLES),
    }


def test_another_mirror_or_device_is_no_reason_to_make_anything_again(grid):
    write_config(grid, CONFIG | {"mirror": "/nowhere", "device": "cpu"})
    run = snakemake(grid)
    assert "Nothing to be done" in run.stdout


def test_what_is_lost_comes_back_from_the_store_and_a_title_may_have_braces(grid):
    titled = {"path": "photos/a cat.png", "title": "A {cat} {2020}"}
    write_config(grid, CONFIG | {"contents": [titled]})
    named, lost = (grid / f"results/details/a cat/{style}.json" for style in STYLES)
    cell = grid / "results/cells/a cat/great_wave_study/fine/1e0.png"
    details_before, cell_before = read_details(lost), cell.read_bytes()
    for path in (named, lost, cell):
        path.unlink()
    pages = ("--", *(f"results/grids/pairs/a cat/{style}.png" for style in STYLES))
    finish(grid, *pages)
    assert {one.content.title for one in read_details(named).values()} == {"A {cat} {2020}"}
    assert list(read_details(lost)) == list(details_before)
    assert cell.read_bytes() == cell_before
    assert all(one.reused for one in details(grid).values())
    assert "Nothing to be done" in snakemake(grid, *pages).stdout


def test_removing_a_style_leaves_the_other_cells_untouched(grid):
    def stamps() -> dict[Path, float]:
        return {path: path.stat().st_mtime for path in grid.glob("results/cells/**/*.png")}

    before = stamps()
    write_config(grid, CONFIG | {"styles": CONFIG["styles"][1:]})
    run = finish(grid, "--", "results/summary.csv")
    assert "rule stylize" not in run
    assert stamps() == before
    assert len(pd.read_csv(grid / "results" / "summary.csv")) == 4


def test_a_picture_that_a_grid_cannot_open_is_named_in_one_line(grid):
    broken = Path("results/cells/a cat/great_wave_study/fine/1e0.png")
    whole = (grid / broken).read_bytes()
    (grid / broken).write_bytes(whole[:100])
    page = "results/grids/pairs/a cat/great_wave_study.png"
    (grid / page).unlink()
    run = snakemake(grid, "--", page)
    assert run.returncode != 0
    assert f"{broken} cannot be read" in run.stdout
    assert "Delete it; the next run writes it again" in run.stdout
    assert "Traceback" not in run.stdout
    (grid / broken).unlink()
    finish(grid, "--", page)
    assert (grid / broken).read_bytes() == whole


def test_the_same_config_gives_the_same_bytes(finished, grid):
    """All results except logs and times; docs/reproducibility.md lists these files."""
    shutil.rmtree(grid / "results")
    shutil.rmtree(grid / ".snakemake")
    finish(grid)
    once, again = contents(finished / "results"), contents(grid / "results")
    assert len(once) > 80
    assert set(again) == set(once)
    assert [name for name in once if again[name] != once[name]] == []


def contents(results: Path) -> dict[str, bytes]:
    """Return every file's content by its path, except those of logs."""
    return {
        path.relative_to(results).as_posix(): path.read_bytes()
        for path in results.rglob("*")
        if path.is_file() and path.relative_to(results).parts[0] not in ("logs", "benchmarks")
    }


def test_votes_become_a_column_a_plot_and_a_measure_of_the_gallery(grid):
    table = pd.read_parquet(grid / "results/summary.parquet")
    pair = table[(table["content"] == "a cat") & (table["style"] == "great_wave_study")]
    one, other = pair["fingerprint"][:2]
    vote = {"content": "a cat", "style": "great_wave_study", "chosen": "left"}
    votes = [vote | {"left": one, "right": other}] * 3
    saved = {"format": "nst-votes-1", "voter": "Zoë", "votes": votes}
    (grid / "zoë's votes.json").write_text(json.dumps(saved), encoding="utf-8")
    write_config(grid, CONFIG | {"votes": ["zoë's votes.json"]})
    gallery = "results/gallery/index.html"
    run = finish(grid, "--", "results/votes/preference.png", gallery)
    assert "rule stylize" not in run
    found = pd.read_csv(grid / "results/summary.csv").set_index("fingerprint")["preference"]
    assert found[one] > 0.5 > found[other]
    assert found.notna().sum() == 2
    folder = grid / "results/votes"
    assert list(pd.read_csv(folder / "cells.csv")["votes"]).count(3) == 2
    assert len(pd.read_csv(folder / "variants.csv")) == 2
    assert pd.read_csv(folder / "agreement.csv")["votes"].max() == 3
    assert (folder / "preference.png").stat().st_size > 5000
    assert '"Preference"' in (grid / gallery).read_text("utf-8")
    documented = (ROOT / "results/README.md").read_text("utf-8")
    assert all(f"`{name}`" in documented for name in ("preference", "cells.csv", "agreement.csv"))
    (grid / "zoë's votes.json").write_text("[]")
    run = snakemake(grid)
    assert run.returncode != 0
    assert "The configuration cannot be used. votes: " in run.stdout
    assert "Traceback" not in run.stdout


def test_formulations_are_compared_and_their_way_is_shown(grid):
    """The content is partly transparent."""
    cut(paint(grid / "photos" / "cut.png", 1, (64, 48)))
    config = {
        "contents": ["photos/cut.png"],
        "styles": ["great_wave_study"],
        "formulations": ["udacity", {"formulation": "coursera", "name": "course"}, "relative"],
        "image_size": 48,
        "iterations_scale": 0.001,
        "iterations_least": 3,
        "snapshots": {"every": 100},
        **FITTED,
    }
    write_config(grid, config)
    results, pair = grid / "results", "cut/great_wave_study"
    targets = [
        *("results/summary.csv", "results/grids/formulations.png"),
        f"results/grids/recipes/{pair}.png",
        *(f"results/strips/{pair}/{name}.png" for name in ("udacity/1e-6", "relative/2e-1")),
    ]
    finish(grid, "--", *targets)
    table = pd.read_csv(results / "summary.csv")
    assert list(table["formulation"]) == ["udacity", "coursera", "relative"]
    assert list(table["layers"]) == ["udacity", "course", "relative"]
    assert table[["relative_content", "relative_style"]].notna().all(axis=None)
    with Image.open(results / "grids" / "recipes" / f"{pair}.png") as figure:
        assert figure.width > figure.height, "the figure has five pictures in a row"
    with Image.open(results / "strips" / pair / "relative" / "2e-1.webp") as animation:
        assert animation.n_frames == 2  # the start and the end
        assert animation.size == (48, 36)
        assert animation.convert("RGBA").getchannel("A").getextrema() == (0, 255)
    with Image.open(results / "strips" / pair / "udacity" / "1e-6.png") as strip:
        assert (strip.width > strip.height, strip.mode) == (True, "RGB")
    for path in ("inputs/content/cut.png", f"cells/{pair}/relative/2e-1.png"):
        with Image.open(results / path) as picture:
            assert picture.mode == "RGBA"
    assert "Nothing to be done" in snakemake(grid, "--", *targets).stdout


def test_a_broken_image_is_named_before_any_long_job_and_costs_nothing(grid):
    halve(paint(grid / "photos" / "broken.jpg"))
    write_config(grid, CONFIG | {"contents": [*CONFIG["contents"], "photos/broken.jpg"]})
    before = sorted(grid.glob("results/cells/**/*.png"))
    run = snakemake(grid)
    assert run.returncode != 0
    assert "photos/broken.jpg: cannot be read as an image" in run.stdout
    assert "Traceback" not in run.stdout
    assert "rule stylize" not in run.stdout
    assert sorted(grid.glob("results/cells/**/*.png")) == before


def test_the_plan_is_made_without_torch(tmp_path):
    """Planning a big grid takes only seconds because it imports no heavy package."""
    (tmp_path / "torch.py").write_text("raise ImportError('torch was imported while planning')")
    paint(tmp_path / "photos" / "a cat.png")
    write_config(tmp_path, CONFIG | {"styles": ["great_wave_study"]})
    run = subprocess.run(
        command(tmp_path, "--dry-run", "--quiet"),
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
