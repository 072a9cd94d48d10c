"""The workflow from end to end: a small grid through Snakemake, as a user runs it."""

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from conftest import cut, paint
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


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished grid, in a folder whose name has a space and letters outside ASCII."""
    folder = tmp_path_factory.mktemp("grid") / "mes résultats"
    paint(folder / "photos" / "a cat.png", 1, (64, 48))
    paint(folder / "photos" / "über.jpg", 2, (50, 70))
    paint(folder / "paintings" / "nuit étoilée.png", 3, (90, 60))
    write_config(folder, small_config())
    finish(folder)
    return folder


@pytest.fixture
def grid(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished grid with its time stamps, which a test may change."""
    return Path(shutil.copytree(finished, tmp_path / "ma grille"))


def test_every_cell_and_grid_is_made(finished):
    assert set(details(finished)) == {
        f"{content}/{style}/{layers}/{ratio}"
        for content in ("a cat", "über")
        for style in ("nuit étoilée", "great_wave_study")
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
        *(f"contents/{c}/{layers}.png" for c in ("a cat", "über") for layers in LAYERS),
        *(
            f"pairs/{content}/{style}.png"
            for content in ("a cat", "über")
            for style in ("nuit étoilée", "great_wave_study")
        ),
    }


def test_another_mirror_or_device_is_no_reason_to_make_anything_again(grid):
    write_config(grid, small_config() | {"mirror": "/nowhere", "device": "cpu"})
    run = snakemake(grid)
    assert "Nothing to be done" in run.stdout


def test_what_is_lost_comes_back_from_the_store_and_a_title_may_have_braces(grid):
    config = small_config()
    config["contents"][0]["title"] = "A {cat} {2020}"
    write_config(grid, config)
    named = grid / "results/details/a cat/great_wave_study.json"
    lost = grid / "results/details/über/nuit étoilée.json"
    cell = grid / "results/cells/über/great_wave_study/fine/1e0.png"
    details_before, cell_before = read_details(lost), cell.read_bytes()
    for path in (named, lost, cell):
        path.unlink()
    finish(grid)
    assert {one.content.title for one in read_details(named).values()} == {"A {cat} {2020}"}
    assert list(read_details(lost)) == list(details_before)
    assert cell.read_bytes() == cell_before
    remade = [*read_details(lost).values(), details(grid)["über/great_wave_study/fine/1e0"]]
    assert all(one.reused for one in remade)
    assert "Nothing to be done" in snakemake(grid).stdout


def test_removing_a_style_leaves_the_other_cells_untouched(grid):
    def stamps() -> dict[Path, float]:
        return {path: path.stat().st_mtime for path in grid.glob("results/cells/**/*.png")}

    before = stamps()
    config = small_config()
    del config["styles"][0]
    write_config(grid, config)
    run = finish(grid)
    assert "rule stylize" not in run
    assert stamps() == before
    assert len(pd.read_csv(grid / "results" / "summary.csv")) == 8


def test_a_picture_that_a_grid_cannot_open_is_named_in_one_line(grid):
    broken = Path("results/cells/a cat/great_wave_study/fine/1e0.png")
    (grid / broken).write_bytes((grid / broken).read_bytes()[:100])
    (grid / "results/grids/pairs/a cat/great_wave_study.png").unlink()
    run = snakemake(grid)
    assert run.returncode != 0
    assert f"{broken} cannot be read" in run.stdout
    assert "Delete it; the next run writes it again" in run.stdout
    assert "Traceback" not in run.stdout
    (grid / broken).unlink()
    finish(grid)
    with Image.open(grid / broken) as image:
        image.load()


def test_the_same_config_gives_the_same_bytes(finished, grid):
    """All results except logs and times; docs/reproducibility.md lists these files."""
    shutil.rmtree(grid / "results")
    shutil.rmtree(grid / ".snakemake")
    finish(grid)
    once, again = without_times(finished / "results"), without_times(grid / "results")
    assert len(once) > 100
    assert set(again) == set(once)
    assert [name for name in once if again[name] != once[name]] == []


def without_times(results: Path) -> dict[str, bytes | str]:
    """Return every file's content by its path, without times."""
    found: dict[str, bytes | str] = {}
    for path in results.rglob("*"):
        name = path.relative_to(results).as_posix()
        if path.is_dir() or name.startswith(("logs/", "benchmarks/")):
            continue
        found[name] = path.read_bytes()
        if name == "summary.csv":
            found[name] = pd.read_csv(path).drop(columns="seconds").to_csv()
        elif name == "summary.parquet":
            found[name] = pd.read_parquet(path).drop(columns="seconds").to_csv()
        elif name == "report/table.html":
            found[name] = without_column(path.read_text("utf-8"), "seconds")
        elif name == "gallery/index.html":
            page, count = re.subn(r'\{"path":\["seconds"\],.*?\}', "", path.read_text("utf-8"))
            assert count == 1
            found[name] = page
        elif name.startswith("tables/"):  # the seconds are the last column
            ends = r"&[^&\n]*$" if path.suffix == ".tex" else r"\|[^|\n]*\|$"
            found[name] = re.sub(ends, "", path.read_text("utf-8"), flags=re.MULTILINE)
        elif path.name == "cell.sha256":
            found[name] = re.sub(r".* cell\.json\n", "", path.read_text("utf-8"))
        elif path.suffix == ".json":
            found[name] = re.sub(r'"seconds": ?[\d.]+', "", path.read_text("utf-8"))
    return found


def without_column(page: str, name: str) -> str:
    """Return the fields of a page's table by row, without one column."""
    rows = [re.findall(r"<t[hd].*?</t[hd]>", row) for row in page.split("<tr>")[1:]]
    (place,) = (at for at, head in enumerate(rows[0]) if name in head)
    return str([row[:place] + row[place + 1 :] for row in rows])


def test_votes_become_a_column_a_plot_and_a_measure_of_the_gallery(grid):
    table = pd.read_parquet(grid / "results/summary.parquet")
    pair = table[(table["content"] == "a cat") & (table["style"] == "great_wave_study")]
    one, other = pair["fingerprint"][:2]
    vote = {"content": "a cat", "style": "great_wave_study", "chosen": "left"}
    votes = [vote | {"left": one, "right": other}] * 3
    saved = {"format": "nst-votes-1", "voter": "Zoë", "votes": votes}
    (grid / "zoë's votes.json").write_text(json.dumps(saved), encoding="utf-8")
    write_config(grid, small_config() | {"votes": ["zoë's votes.json"]})
    run = finish(grid)
    assert "rule stylize" not in run
    found = pd.read_csv(grid / "results/summary.csv").set_index("fingerprint")["preference"]
    assert found[one] > 0.5 > found[other]
    assert found.notna().sum() == 2
    folder = grid / "results/votes"
    assert list(pd.read_csv(folder / "cells.csv")["votes"]).count(3) == 2
    assert len(pd.read_csv(folder / "variants.csv")) == 2
    assert pd.read_csv(folder / "agreement.csv")["votes"].max() == 3
    assert (folder / "preference.png").stat().st_size > 5000
    assert '"Preference"' in (grid / "results/gallery/index.html").read_text("utf-8")
    documented = (ROOT / "results/README.md").read_text("utf-8")
    assert all(f"`{name}`" in documented for name in ("preference", "cells.csv", "agreement.csv"))
    (grid / "zoë's votes.json").write_text("[]")
    run = snakemake(grid)
    assert run.returncode != 0
    assert "The configuration cannot be used. votes: " in run.stdout
    assert "Traceback" not in run.stdout


def test_formulations_are_compared_and_their_way_is_shown(tmp_path, take_fitted):
    """The content is partly transparent."""
    take_fitted(tmp_path)
    cut(paint(tmp_path / "photos" / "a cat.png", 1, (64, 48)))
    config = {
        "contents": ["photos/a cat.png"],
        "styles": ["great_wave_study"],
        "formulations": ["udacity", {"formulation": "coursera", "name": "course"}, "relative"],
        "image_size": 48,
        "iterations_scale": 0.001,
        "iterations_least": 3,
        "snapshots": {"every": 100},
        **FITTED,
    }
    write_config(tmp_path, config)
    finish(tmp_path)
    table = pd.read_csv(tmp_path / "results" / "summary.csv")
    assert list(table["formulation"]) == ["udacity", "coursera", "relative"]
    assert list(table["layers"]) == ["udacity", "course", "relative"]
    assert table[["relative_content", "relative_style"]].notna().all(axis=None)
    grids = tmp_path / "results" / "grids"
    assert (grids / "formulations.png").is_file()
    with Image.open(grids / "recipes" / "a cat" / "great_wave_study.png") as figure:
        assert figure.width > figure.height, "the figure has five pictures in a row"
    strips = tmp_path / "results" / "strips" / "a cat" / "great_wave_study"
    with Image.open(strips / "relative" / "2e-1.webp") as animation:
        assert animation.n_frames == 2  # the start and the end
        assert animation.size == (48, 36)
        assert animation.convert("RGBA").getchannel("A").getextrema() == (0, 255)
    with Image.open(strips / "udacity" / "1e-6.png") as strip:
        assert (strip.width > strip.height, strip.mode) == (True, "RGB")
    for path in ("inputs/content/a cat.png", "cells/a cat/great_wave_study/relative/2e-1.png"):
        with Image.open(tmp_path / "results" / path) as picture:
            assert picture.mode == "RGBA"
    again = snakemake(tmp_path)
    assert "Nothing to be done" in again.stdout


def test_a_broken_image_is_named_before_any_long_job_and_costs_nothing(grid):
    whole = (grid / "photos" / "über.jpg").read_bytes()
    (grid / "photos" / "broken.jpg").write_bytes(whole[: len(whole) // 2])
    config = small_config()
    config["contents"].append("photos/broken.jpg")
    write_config(grid, config)
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
    write_config(
        tmp_path,
        small_config() | {"contents": ["photos/a cat.png"]} | {"styles": ["great_wave_study"]},
    )
    run = subprocess.run(
        command(tmp_path, "--dry-run", "--quiet"),
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
