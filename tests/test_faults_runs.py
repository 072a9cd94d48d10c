"""Whole runs are killed, started twice or fed damaged and changing files, and run again.

After each fault, the same command must produce the pictures and the table of an undisturbed run.
"""

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pandas as pd
import pytest
from conftest import paint
from disks import flip
from workflow_runs import LAYERS, command, details, finish, snakemake, wait_until, write_config

from nst.imaging.images import load_image
from nst.imaging.srgb import pixel_digest
from nst.system.locks import HOLDER

pytestmark = pytest.mark.slow

TABLE = "results/summary.csv"
TARGET = ("--nocolor", TABLE)  # without an option before it, Snakemake would parse it as a resource
PAIR = "cat/night"
SECONDS = 120


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run up to the table without a fault."""
    folder = tmp_path_factory.mktemp("undisturbed")
    paint(folder / "photos" / "cat.png", 1, (64, 48))
    paint(folder / "paintings" / "night.png", 3, (90, 60))
    config = {
        "contents": ["photos/cat.png"],
        "styles": ["paintings/night.png"],
        "ratios": ["1e0", "1e-1", "1e-2"],
        "layers": {"all": LAYERS["all"]},
        "image_size": 64,
        "iterations": 40,
        "precision": "float32",
        "extractor": "kmeans",
        "kmeans": {"images": ["night"]},  # a new fit takes longer than all other steps
    }
    write_config(folder, config)
    finish(folder, *TARGET)
    return folder


@pytest.fixture
def prepared(undisturbed: Path, tmp_path: Path) -> Path:
    """Return a copy of this run that has all inputs of the pictures but no pictures."""
    folder = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    for name in ("cells", "details", "store", "summary.csv", "summary.parquet", "traces.parquet"):
        path = folder / "results" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    return folder


@pytest.fixture
def run(prepared: Path) -> Iterator[subprocess.Popen[str]]:
    """Start this run in the background, in its own process group; end it after the test."""
    with (prepared / "said.txt").open("w") as said:
        process = subprocess.Popen(
            command(prepared, *TARGET), stdout=said, stderr=said, start_new_session=True
        )
    yield process
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def cells_in(folder: Path) -> dict[str, bytes]:
    cells = folder / "results" / "cells"
    return {str(path.relative_to(cells)): path.read_bytes() for path in cells.rglob("*.png")}


def table_of(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / TABLE).drop(columns="seconds")


def assert_as_undisturbed(folder: Path, undisturbed: Path) -> None:
    assert cells_in(folder) == cells_in(undisturbed)
    pd.testing.assert_frame_equal(table_of(folder), table_of(undisturbed))
    assert not list((folder / "results").rglob(".*.part")), "no partial file may be left"
    assert not (folder / HOLDER).exists()


def stored(folder: Path) -> list[Path]:
    return [path for path in (folder / "results/store").glob("??/*") if path.name[0] != "."]


# ---------------------------------------------------------------- kills


def test_after_a_kill_of_everything_in_the_middle_of_a_write_the_same_command_finishes(
    prepared, undisturbed, run
):
    wait_until(lambda: stored(prepared), run)
    wait_until(lambda: list((prepared / "results").rglob(".*.part")), run)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    before = len(stored(prepared))
    again = finish(prepared, *TARGET)
    assert re.search(r"A run was cut off \(process \d+ on .*\)\. This one continues it", again)
    assert f"{before} of 3 cells were finished before" in again
    assert_as_undisturbed(prepared, undisturbed)


def test_a_second_run_in_the_folder_is_refused_and_the_first_is_not_disturbed(
    prepared, undisturbed, run
):
    wait_until((prepared / HOLDER).exists, run)
    os.killpg(run.pid, signal.SIGSTOP)  # so that it is still there
    second = snakemake(prepared, *TARGET)
    assert second.returncode != 0
    assert "Only one run may be at work in a folder" in second.stdout
    assert f"(process {run.pid} on " in second.stdout
    assert "Wait for its end, or stop it with Ctrl-C" in second.stdout
    assert "Traceback" not in second.stdout
    finish(prepared, *TARGET, "--dry-run")  # needs no lock
    os.killpg(run.pid, signal.SIGCONT)
    assert run.wait(SECONDS) == 0
    assert_as_undisturbed(prepared, undisturbed)


# ---------------------------------------------------------------- damage


def test_a_damaged_input_of_a_job_is_named_and_made_again_once_it_is_deleted(prepared, undisturbed):
    damaged = prepared / "results/extractors/kmeans.safetensors"
    before = damaged.read_bytes()
    flip(damaged, -4)
    run = snakemake(prepared, *TARGET)
    assert run.returncode != 0
    assert f"delete {damaged.relative_to(prepared)}, then run the same command" in run.stdout
    damaged.unlink()
    assert "was cut off" not in finish(prepared, *TARGET), "the failed run ended by itself"
    assert damaged.read_bytes() == before
    assert_as_undisturbed(prepared, undisturbed)


# ---------------------------------------------------------------- inputs that change


def test_an_image_that_changes_during_the_run_is_used_as_it_was_and_redone_by_the_next(
    prepared, run
):
    photo, ready = prepared / "photos/cat.png", prepared / "results/inputs/content/cat.png"
    old = pixel_digest(load_image(photo))
    wait_until(lambda: stored(prepared), run)
    paint(photo, 7, (64, 48))
    assert run.wait(SECONDS) == 0, (prepared / "said.txt").read_text()
    assert {cell.content.digest for cell in details(prepared).values()} == {old}
    assert pixel_digest(load_image(ready)) == old, "the cells must record their pixels"
    finish(prepared, *TARGET)
    new = pixel_digest(load_image(photo))
    assert new != old
    assert {cell.content.digest for cell in details(prepared).values()} == {new}
