"""How a job handles full disks, damaged inputs, changing inputs, and bugs in its code."""

import logging
import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import paint
from disks import Disk, cut, flip, mounted, part_of_another
from filelock import FileLock
from gallery_samples import make_sample, write_cells
from made_cells import make_cell, make_image
from workflow_runs import ROOT, killed_soon

from nst.cells.cell import Pictures, read_details, write_cell, write_details
from nst.cells.store import CellStore
from nst.commands.job import job
from nst.errors import ConfigError, UserError
from nst.figures.layout import Axis, Grid, Panel
from nst.figures.pages import publish_grid
from nst.imaging.images import load_image, save_png
from nst.network.extractor import load_extractor, save_extractor
from nst.reports.summary import summarise, write_parquet, write_summary
from nst.system import locks
from nst.system.files import write_atomically
from nst.system.locks import FOLDER, HOLDER, begin_run, end_run

LOG = "results/logs/job.log"


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch) -> Iterator[Path]:
    """Change to a new working directory; restore logging and forget run locks afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(locks, "_held", [])
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    yield tmp_path
    root.handlers[:] = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)


@pytest.fixture
def fails(capsys) -> Callable[..., str]:
    """Run a job whose body ends the process; return the job's terminal output."""

    def run(body: Callable[[], object], *inputs: Path, log: str = LOG) -> str:
        with pytest.raises(SystemExit) as caught, job(log, map(str, inputs)):
            body()
        assert caught.value.code == 1
        return capsys.readouterr().err

    return run


# ---------------------------------------------------------------- full and read-only disks


def save_cell(out: Path, _sources: Path) -> None:
    write_cell(make_cell(), make_image(), out / "cell.png")


def save_entry(out: Path, _sources: Path) -> None:
    CellStore(out).add(make_cell(), Pictures(make_image()))


def save_details(out: Path, _sources: Path) -> None:
    trace = {"total": [float(number) for number in range(1000)]}
    cells = {out / f"{number}.png": make_cell(trace=trace) for number in range(5)}
    write_details(cells, out / "details.json")


def save_grid(out: Path, sources: Path) -> None:
    picture = paint(sources / "cell.png", 1)
    axis = Axis(["a"], heads=[Panel(picture)])
    grid = Grid("small", [[Panel(picture)]], axis, axis)
    publish_grid(grid, *(out / f"grid.{suffix}" for suffix in ("png", "pdf", "jpg")))


def save_summary(out: Path, sources: Path) -> None:
    write_details({sources / "cell.png": make_cell()}, sources / "details.json")
    table = summarise([sources / "details.json"])
    write_summary(table, out / "summary.csv")
    write_parquet(table, out / "summary.parquet")


def save_gallery(out: Path, sources: Path) -> None:
    write_cells([make_sample(sources, 0)], sources, out / "gallery")


SAVED = (save_cell, save_entry, save_details, save_grid, save_summary, save_gallery)


@pytest.fixture
def disk(tmp_path) -> Iterator[Disk]:
    with mounted(tmp_path / "results", "2m") as disk:
        yield disk


@pytest.mark.parametrize("save", SAVED, ids=lambda save: save.__name__)
@pytest.mark.parametrize("trouble", ["full", "read-only"])
def test_a_disk_that_takes_nothing_is_reported_in_one_line_and_mended_by_the_same_command(
    disk, tmp_path, fails, save, trouble
):
    out, sources, log = Path("results/out"), tmp_path / "sources", str(tmp_path / "job.log")
    write_atomically(out / "old", b"finished before")
    disk.fill() if trouble == "full" else disk.protect()
    message = fails(lambda: save(out, sources), log=log)
    reason = "No space left on device" if trouble == "full" else "Read-only file system"
    (line,) = [line for line in message.splitlines() if reason in line]
    assert re.match(rf"results/out/[-\w/.]+: {reason}\. ", line), "it starts with the file"
    assert ".part" not in line
    assert "run the same command again; the cells that are finished are kept" in line
    assert "Traceback" not in message
    assert [path.name for path in out.rglob("*") if path.is_file()] == ["old"]
    disk.free() if trouble == "full" else disk.protect(False)
    with job(log):
        save(out, sources)
    assert (out / "old").read_bytes() == b"finished before"
    assert len(list(out.rglob("*"))) > 1


def test_a_picture_that_cannot_be_saved_is_not_computed(disk, nst):
    images = [str(paint(Path(f"{name}.png"), seed)) for seed, name in enumerate(("photo", "style"))]
    disk.protect()
    status, _, told = nst("stylize", *images, "-o", "results/picture.png")
    assert status == 1
    assert "results/picture.png: Read-only file system. Mount that file system for" in told


def test_a_log_that_cannot_be_written_hides_nothing(disk, fails):
    Path(LOG).parent.mkdir(parents=True)
    disk.fill()

    def body() -> None:
        logging.getLogger("nst").info("half done")
        raise ConfigError("the mistake itself")

    assert fails(body).splitlines() == ["half done", "the mistake itself"]


def test_a_log_that_cannot_even_be_begun_is_reported_in_one_line(disk, fails):
    Path(LOG).parent.mkdir(parents=True)
    disk.protect()
    (line,) = fails(lambda: pytest.fail("the body ran")).splitlines()
    assert line.startswith(f"{LOG}: Read-only file system. Mount that file system for writing")


def test_a_defect_is_a_traceback_even_if_it_is_the_system_s_word(capsys):
    """A missing file that is no input is the program's own defect, not a fault of the disk."""
    with pytest.raises(FileNotFoundError), job(LOG):
        Path("results/nowhere").read_bytes()
    message = capsys.readouterr().err
    assert "this is a bug in nst" in message
    assert "Traceback" in message
    assert "Traceback" in Path(LOG).read_text("utf-8")


# ---------------------------------------------------------------- damaged inputs


PICTURE = Path("results/inputs/content/cat.png")
EXTRACTOR = Path("results/extractors/tiny.safetensors")
DETAILS = Path("results/details/cat/night.json")
MADE = {  # how each file of the workflow is written and read
    PICTURE: (lambda tiny: save_png(make_image(), PICTURE), load_image),
    EXTRACTOR: (lambda tiny: save_extractor(tiny, EXTRACTOR), load_extractor),
    DETAILS: (
        lambda tiny: write_details({Path("results/cells/1e0.png"): make_cell()}, DETAILS),
        read_details,
    ),
}


@pytest.mark.parametrize(
    ("path", "damage"),
    [
        (PICTURE, cut),
        (PICTURE, lambda path: flip(path, -60)),
        (EXTRACTOR, cut),
        (DETAILS, cut),  # only truncated: JSON has no sha256, so a changed digit goes unnoticed
    ],
)
def test_a_damaged_file_of_the_workflow_s_is_named_with_the_remedy(tiny, fails, path, damage):
    write, read = MADE[path]
    write(tiny)
    with job(LOG, [str(path)]):
        read(path)
    damage(path)
    message = fails(lambda: read(path), path)
    assert f"delete {path}, then run the same command again" in message
    assert "Traceback" not in message


def test_a_flipped_bit_in_the_weights_is_noticed_wherever_it_is(tiny, fails):
    save_extractor(tiny, EXTRACTOR)
    before = EXTRACTOR.read_bytes()
    for place in range(8, len(before), 97):
        flip(EXTRACTOR, place)
        assert f"delete {EXTRACTOR}" in fails(lambda: load_extractor(EXTRACTOR), EXTRACTOR), place
        EXTRACTOR.write_bytes(before)


def test_what_was_fetched_is_looked_at_before_it_is_used(fails):
    path = Path("results/inputs/catalogue/great_wave_study.jpg")
    path.parent.mkdir(parents=True)
    shutil.copy(ROOT / "resources" / "studies" / path.name, path)
    with job(LOG, [str(path)]):
        pass
    path.write_bytes(path.read_bytes() + b"\0")  # any image reader still accepts it
    message = fails(lambda: pytest.fail("the body ran"), path)
    assert f"{path} must have the sha256 of the catalogue, and has another" in message
    assert f"delete {path}, then run the same command again" in message


def test_a_file_of_the_user_s_is_not_to_be_deleted(fails):
    mine = paint(Path("photos/cat.png"))
    cut(mine)
    message = fails(lambda: load_image(mine), mine)
    assert "photos/cat.png: cannot be read as an image" in message
    assert "delete" not in message


# ---------------------------------------------------------------- inputs that change


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"?"),
        lambda path: os.replace(paint(path.with_name("new.png"), 2), path),
        lambda path: path.unlink(),
    ],
    ids=["written in place", "replaced", "deleted"],
)
def test_an_input_that_changes_while_it_is_used_fails_the_job(fails, change):
    """Snakemake checks inputs after the job, and would take old outputs for up to date."""
    mine = paint(Path("photos/cat.png"), 1)
    message = fails(lambda: change(mine), mine)
    assert "photos/cat.png changed while it was read" in message
    assert "run the same command again" in Path(LOG).read_text("utf-8")


def test_an_input_that_stays_is_fine_whatever_the_clock_does():
    mine = paint(Path("photos/cat.png"), 1)
    os.utime(mine, (time.time() + 9e6, time.time() + 9e6))  # in the future
    with job(LOG, [str(mine)]):
        load_image(mine)


def test_a_disk_that_takes_nothing_is_reported_before_the_run_begins(disk):
    FOLDER.mkdir()
    disk.protect()
    with pytest.raises(UserError, match=r"^results: Read-only file system\. Mount that file"):
        begin_run(print)


# ---------------------------------------------------------------- one process per job and run


HOLD = """
import sys, time
from nst.commands.job import job
with job(sys.argv[1]):
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_second_process_of_a_job_waits_for_the_first_and_says_so(capsys):
    FOLDER.mkdir()
    with killed_soon(HOLD, LOG) as first:
        with job("results/logs/other.log"):
            assert first.poll() is None, "another job does not wait"
        with job(LOG):
            assert first.wait(0.2) == -signal.SIGKILL, "the first process must have ended"
    assert "a job of a killed run is still working; waiting for it" in capsys.readouterr().err
    with job(LOG):
        assert "waiting" not in capsys.readouterr().err


def test_a_run_after_a_killed_one_goes_on_and_says_so():
    FOLDER.mkdir()
    HOLDER.write_bytes(b"process 7 \xff")  # a damaged note stops nobody
    part = part_of_another(Path("results/cells/cell.png"), 2**22 + 1)  # no process has this number
    write_atomically(part, b"half")
    said: list[str] = []
    begin_run(said.append)
    assert said[0].startswith("A run was cut off (process 7 \ufffd). This one continues it")
    assert said[1:] == ["Removed 1 file that killed processes left half written."]
    assert not part.exists()
    assert HOLDER.read_text().startswith(f"process {os.getpid()} on ")
    end_run()
    locks._held.pop().release()
    begin_run(pytest.fail)  # the last run ended by itself
    end_run()


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), NotImplementedError("flock")])
def test_where_there_are_no_locks_a_run_and_its_jobs_go_on(monkeypatch, error):
    def acquire(*_: object, **_options: object) -> None:
        raise error

    FOLDER.mkdir()
    monkeypatch.setattr(FileLock, "acquire", acquire)
    lines: list[str] = []
    begin_run(lines.append)
    end_run()
    assert "This file system has no locks" in lines[0]
    with job(LOG):
        pass
