"""Several devices, a killed run and a wrong clock, with Snakemake as a user runs it."""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import paint
from PIL import Image
from test_gallery import page_data
from workflow_runs import (
    FITTED,
    ROOT,
    command,
    details,
    finish,
    small_config,
    snakemake,
    wait_until,
    write_config,
)

from nst.config.paths import GALLERY_SO_FAR, OVERVIEW_SO_FAR
from nst.system import locks as lock_module
from nst.system.locks import hold_one

pytestmark = pytest.mark.slow

UUIDS = [f"GPU-{digit * 8}-0000-4000-8000-{digit * 12}" for digit in "abcd"]
MADE = "results/details"
TABLE = ("--", "results/summary.csv")


@pytest.fixture
def pretended(monkeypatch) -> pytest.MonkeyPatch:
    """Let child processes simulate the devices and clock that their environment describes."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests" / "pretended"))
    return monkeypatch


@pytest.fixture
def grid(tmp_path: Path, take_fitted) -> Path:
    """A folder with two contents, two styles and a fitted network, but no results."""
    take_fitted(tmp_path)
    paint(tmp_path / "photos" / "a cat.png", 1, (64, 48))
    paint(tmp_path / "photos" / "über.jpg", 2, (50, 70))
    paint(tmp_path / "paintings" / "nuit étoilée.png", 3, (90, 60))
    write_config(tmp_path, small_config() | FITTED | {"precision": "float32"})
    return tmp_path


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    """Start Snakemake and its jobs in a new process group."""
    return subprocess.Popen(
        command(folder, *options),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )


def pairs(folder: Path) -> list[str]:
    return [
        f"{MADE}/{content}/{style}.json"
        for content in ("a cat", "über")
        for style in ("nuit étoilée", "great_wave_study")
    ]


def test_four_pairs_are_made_at_the_same_time_on_four_devices(grid, pretended):
    (grid / "locks").mkdir()
    (grid / "meeting").mkdir()
    pretended.setenv("PRETENDED_DEVICES", ",".join(UUIDS))
    pretended.setenv("PRETENDED_LOCKS", str(grid / "locks"))
    pretended.setenv("PRETENDED_MEETING", f"{grid / 'meeting'}:4")
    pretended.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    finish(
        *(grid, "--cores", "4", "--resources", "gpu=4", "--"),
        *pairs(grid),
    )
    logs = [path.read_text("utf-8") for path in grid.glob("results/logs/stylize/*/*.log")]
    devices = [re.search(r"computing on cuda:(\d), Pretended GPU, (\S+)", log) for log in logs]
    assert sorted(one[1] for one in devices) == ["0", "1", "2", "3"]
    assert {f"GPU-{one[2]}" for one in devices} == set(UUIDS)
    assert {cell.device for cell in details(grid).values()} == {"cuda: Pretended GPU"}


def test_a_run_shows_what_it_has_before_its_end_and_nothing_of_an_earlier_one(grid, pretended):
    finish(grid, "--", f"{MADE}/a cat/nuit étoilée.json")
    config = small_config() | {"precision": "float32", "iterations": 60}
    write_config(grid, config)  # it also changes the network
    pretended.setenv("PRETENDED_HASTE", "100")
    pages = [grid / GALLERY_SO_FAR, grid / OVERVIEW_SO_FAR]
    run = start(grid, "--", "results/gallery/index.html")
    wait_until(lambda: all(one.exists() for one in pages), run)
    shown = page_data(pages[0].parent, pages[0].name)
    with Image.open(pages[1]) as overview:
        assert overview.width > 200
    assert not (grid / "results/gallery/index.html").exists()
    out, _ = run.communicate(timeout=300)
    assert run.returncode == 0, out
    assert {one["status"] for one in shown["cells"]} == {"finished", "waiting"}
    assert len(shown["cells"]) == 16
    assert shown["settings"]["iterations"] == 60, "the settings are those of all shown cells"
    assert re.search(r"^\d+ of 16 cells", out, re.MULTILINE)
    assert f"finished cells so far: {GALLERY_SO_FAR}" in out
    assert (grid / "results/gallery/index.html").exists()
    assert not any(one.exists() for one in pages), "the final gallery replaces the pages"
    again = snakemake(grid, "--", "results/gallery/index.html")
    assert "Nothing to be done" in again.stdout


def test_a_job_waits_for_the_device_that_another_has_and_says_so(grid, pretended):
    locks = grid / "locks"
    locks.mkdir()
    pretended.setattr(lock_module, "DEVICE_LOCKS", locks)
    pretended.setenv("PRETENDED_DEVICES", ",".join(UUIDS))
    pretended.setenv("PRETENDED_LOCKS", str(locks))
    pretended.setenv("CUDA_VISIBLE_DEVICES", UUIDS[2])
    log = grid / "results/logs/stylize/über/great_wave_study.log"
    message = f"waiting for a device: other jobs hold cuda:0 ({locks}/nst-device-"
    with hold_one({"of this process": UUIDS[2].removeprefix("GPU-")}):
        run = start(grid, "--", f"{MADE}/über/great_wave_study.json")
        wait_until(lambda: log.exists() and message in log.read_text("utf-8"), run)
        assert not list(grid.glob("results/cells/*/*/*/*"))
    out, _ = run.communicate(timeout=300)
    assert run.returncode == 0, out
    assert message in out, "the user must see the message"
    assert "computing on cuda:0, Pretended GPU, cccccccc" in log.read_text("utf-8")


# ---------------------------------------------------------------- a killed run


@pytest.fixture
def long_grid(grid: Path) -> Path:
    """A pair with one slow cell."""
    config = small_config() | {"contents": ["photos/über.jpg"], "styles": ["great_wave_study"]}
    config |= {
        "ratios": ["1e0"],
        "iterations": 400,
        "precision": "float32",
        **FITTED,
    }
    config["layers"] = {"all": config["layers"]["all"]}
    write_config(grid, config)
    return grid


def test_a_killed_run_goes_on_within_a_cell_and_ends_with_the_same_bytes(
    long_grid, tmp_path_factory, pretended
):
    target = ("--", f"{MADE}/über/great_wave_study.json")
    whole = Path(shutil.copytree(long_grid, tmp_path_factory.mktemp("whole") / "grid"))
    assert snakemake(whole, *target).returncode == 0
    pretended.setenv("PRETENDED_GAP", "0.3")
    process = start(long_grid, *target)
    kept = long_grid / "results/store/checkpoints"
    wait_until(lambda: bool(list(kept.glob("*.pt"))), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finish(long_grid, *target)
    (log,) = long_grid.glob("results/logs/stylize/*/*.log")
    assert re.search(r"cell 1: continuing at step [1-9]\d*", log.read_text("utf-8"))
    name = "results/cells/über/great_wave_study/all/1e0.png"
    assert (long_grid / name).read_bytes() == (whole / name).read_bytes()
    assert not list((long_grid / "results/store/checkpoints").glob("*"))


# ---------------------------------------------------------------- clock adjustments


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table of a pair with two cells, and all its input files."""
    folder = tmp_path_factory.mktemp("clock") / "grid"
    photo = paint(folder / "photos" / "über.jpg", 2, (50, 70))
    # Old enough to precede the results even after the clock goes back by a day.
    os.utime(photo, (time.time() - 2 * 86400, time.time() - 2 * 86400))
    config = small_config() | {"contents": ["photos/über.jpg"], "styles": ["great_wave_study"]}
    config |= FITTED | {"precision": "float32"}
    config["layers"] = {"all": config["layers"]["all"]}
    write_config(folder, config)
    finish(folder, *TABLE)
    return folder


@pytest.fixture
def small_grid(finished: Path, tmp_path: Path) -> Path:
    """A copy of the finished pair with its time stamps."""
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def cells(folder: Path) -> dict[str, bytes]:
    found = folder.glob("results/cells/*/*/*/*")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}


def test_a_clock_that_goes_back_during_every_job_changes_nothing(small_grid, pretended):
    before = cells(small_grid)
    shutil.rmtree(small_grid / "results")
    shutil.rmtree(small_grid / ".snakemake")
    pretended.setenv("PRETENDED_CLOCK", "1.5")
    finish(small_grid, *TABLE)
    assert cells(small_grid) == before
    assert all(0 < cell.seconds < 60 for cell in details(small_grid).values())
