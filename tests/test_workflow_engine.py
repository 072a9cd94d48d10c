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
    LAYERS,
    PRETENDED,
    command,
    details,
    finish,
    small_config,
    wait_until,
    write_config,
)

from nst.config.paths import GALLERY_SO_FAR, OVERVIEW_SO_FAR

pytestmark = pytest.mark.slow

UUIDS = [f"GPU-{digit * 8}-0000-4000-8000-{digit * 12}" for digit in "ab"]
PAIRS = [f"results/details/a cat/{style}.json" for style in ("nuit étoilée", "great_wave_study")]
CONFIG = small_config() | FITTED | {"precision": "float32"}
GALLERY = "results/gallery/index.html"


@pytest.fixture
def pretended(monkeypatch) -> pytest.MonkeyPatch:
    """Let child processes simulate the devices and clock that their environment describes."""
    monkeypatch.setenv("PYTHONPATH", PRETENDED)
    return monkeypatch


@pytest.fixture
def grid(tmp_path: Path, take_fitted) -> Path:
    """A folder with a content, two styles and a fitted network, but no results."""
    take_fitted(tmp_path)
    paint(tmp_path / "photos" / "a cat.png", 1, (64, 48))
    paint(tmp_path / "paintings" / "nuit étoilée.png", 3, (90, 60))
    write_config(tmp_path, CONFIG)
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


def test_two_pairs_are_made_at_the_same_time_on_two_devices(grid, pretended):
    for name in ("locks", "meeting"):
        (grid / name).mkdir()
    pretended.setenv("PRETENDED_DEVICES", ",".join(UUIDS))
    pretended.setenv("PRETENDED_LOCKS", str(grid / "locks"))
    pretended.setenv("PRETENDED_MEETING", f"{grid / 'meeting'}:2")
    pretended.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    finish(grid, "--cores", "2", "--resources", "gpu=2", "--", *PAIRS)
    logs = [path.read_text("utf-8") for path in grid.glob("results/logs/stylize/*/*.log")]
    devices = [re.search(r"computing on cuda:(\d), Pretended GPU, (\S+)", log) for log in logs]
    assert sorted(one[1] for one in devices) == ["0", "1"]
    assert {f"GPU-{one[2]}" for one in devices} == set(UUIDS)
    assert {cell.device for cell in details(grid).values()} == {"cuda: Pretended GPU"}


def test_a_run_shows_what_it_has_before_its_end_and_nothing_of_an_earlier_one(grid, pretended):
    finish(grid, "--", PAIRS[0])
    write_config(grid, CONFIG | {"iterations": 60})
    pretended.setenv("PRETENDED_HASTE", "100")
    pages = [grid / GALLERY_SO_FAR, grid / OVERVIEW_SO_FAR]
    run = start(grid, "--", GALLERY)
    wait_until(lambda: all(one.exists() for one in pages), run)
    shown = page_data(pages[0].parent, pages[0].name)
    with Image.open(pages[1]) as overview:
        assert overview.width > 200
    assert not (grid / GALLERY).exists()
    out, _ = run.communicate(timeout=300)
    assert run.returncode == 0, out
    assert {one["status"] for one in shown["cells"]} == {"finished", "waiting"}
    assert len(shown["cells"]) == 8
    assert shown["settings"]["iterations"] == 60, "the settings are those of all shown cells"
    assert re.search(r"^\d+ of 8 cells", out, re.MULTILINE)
    assert f"finished cells so far: {GALLERY_SO_FAR}" in out
    assert (grid / GALLERY).exists()
    assert not any(one.exists() for one in pages), "the final gallery replaces the pages"
    assert "Nothing to be done" in finish(grid, "--", GALLERY)


def test_a_killed_run_goes_on_within_a_cell(grid, pretended):
    slow = {"ratios": ["1e0"], "iterations": 200, "layers": {"all": LAYERS["all"]}}
    write_config(grid, CONFIG | slow)
    pretended.setenv("PRETENDED_GAP", "0.3")
    process = start(grid, "--", PAIRS[1])
    kept = grid / "results/store/checkpoints"
    wait_until(lambda: bool(list(kept.glob("*.pt"))), process)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    finish(grid, "--", PAIRS[1])
    (log,) = grid.glob("results/logs/stylize/*/*.log")
    assert re.search(r"cell 1: continuing at step [1-9]\d*", log.read_text("utf-8"))
    assert not list(kept.glob("*"))


def test_a_clock_that_goes_back_during_every_job_changes_nothing(grid, pretended):
    write_config(grid, CONFIG | {"styles": ["great_wave_study"]})
    # Old enough to precede the results even after the clock goes back by a day.
    os.utime(grid / "photos" / "a cat.png", (time.time() - 2 * 86400,) * 2)

    def cells() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in grid.glob("results/cells/*/*/*/*")}

    finish(grid, "--", "results/summary.csv")
    before = cells()
    for made in ("results", ".snakemake"):
        shutil.rmtree(grid / made)
    pretended.setenv("PRETENDED_PATCHES", "1500")
    pretended.setenv("PRETENDED_CLOCK", "1.5")
    finish(grid, "--", "results/summary.csv")
    assert cells() == before
    assert all(0 < cell.seconds < 60 for cell in details(grid).values())
