"""The progress of a run, and its gallery and overview with gaps before it ends."""

import itertools
import json
import logging
import os
import sys
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from conftest import paint
from made_cells import make_cell, make_image
from PIL import Image
from test_gallery import page_data
from workflow_runs import ROOT, start_python, wait_until

from nst.cells.cell import Cell, Pictures, Source, write_cell, write_details
from nst.cells.store import CellStore
from nst.commands import watch
from nst.commands.watch import Tally, Watcher, _running, start_watcher, stop_watcher
from nst.config.catalogue import read_catalogue
from nst.config.paths import DETAILS, GALLERY_SO_FAR, OVERVIEW_SO_FAR, cell_path, prepared
from nst.config.run import Run, read_run
from nst.config.settings import Settings
from nst.gallery.data import NAMES
from nst.gallery.so_far import write_so_far

RATIOS = ("1e0", "1e-1", "1e-2")
STYLES = ("night", "wave")
PATHS = [str(cell_path("cat", style, "all", ratio)) for style in STYLES for ratio in RATIOS]
LAYERS = {"content": {"relu2_1": 1}, "style": {"relu1_1": 1}}
CONFIG = {
    "contents": [{"path": "cat.png", "title": "Chelsea"}],
    "styles": ["night.png", "wave.png"],
    "ratios": list(RATIOS),
    "layers": {"all": LAYERS},
    "extractor": "kmeans",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run's folder with prepared images, as the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))  # the workflow does the same
    for number, name in enumerate(("cat", *STYLES)):
        role = "style" if number else "content"
        paint(Path(f"{name}.png"), number)
        paint(Path(prepared(role, name)), number)
    return tmp_path


def run() -> Run:
    """A run of one content and two styles."""
    return read_run(CONFIG, read_catalogue())


def write(there: list[str], said: str = "so far", of: Run | None = None) -> None:
    """Write the pages of a run with some finished cells."""
    write_so_far(of or run(), lambda path: str(path) in there, said)


def make(path: str, beta: float = 1.0) -> Cell:
    """Write a cell's picture, as a job does."""
    seed = zlib.crc32(path.encode()) % 1000
    content, style, layers, ratio = Path(path).with_suffix("").parts[-4:]
    cell = make_cell(
        content=Source(content, "Chelsea", "c" * 64),
        style=Source(style, style.title(), "5" * 64),
        layers=layers,
        ratio=ratio,
        settings=Settings.from_mapping({"beta": beta, "image_size": 64, "seed": seed}),
    )
    write_cell(cell, make_image(seed=seed), Path(path))
    return cell


def keep(cell: Cell) -> None:
    CellStore(watch.STORE).add(cell, Pictures(make_image()))


def data() -> dict:
    """The data in the gallery's page."""
    page = Path(GALLERY_SO_FAR)
    return page_data(page.parent, page.name)


def many(count: int) -> list[str]:
    """The paths of many cells of a pair."""
    return [f"results/cells/cat/night/all/{number}.png" for number in range(count)]


def statuses() -> list[str]:
    return [cell["status"] for cell in data()["cells"]]


# ---------------------------------------------------------------- progress


def progress(paths: list[str] = PATHS) -> Tally:
    return Tally(dict.fromkeys(paths), CellStore(watch.STORE), 0.0)


def test_a_picture_counts_once_and_one_of_an_earlier_configuration_when_it_is_made_again():
    make(PATHS[0])
    old = {PATHS[0]: os.stat(PATHS[0]).st_mtime_ns}
    found = Tally({**dict.fromkeys(PATHS), **old}, CellStore(watch.STORE), 0.0)
    found.look(1.0)
    assert found.line(1.0) == "0 of 6 cells"
    for path in PATHS[:2]:
        make(path)
    found.look(2.0)
    found.look(3.0)
    assert found.line(3.0) == "2 of 6 cells"
    assert PATHS[0] in found
    assert PATHS[2] not in found


@pytest.mark.parametrize(
    ("made", "left"),
    [
        # The time before the first cell is ignored, the countdown continues between two cells,
        # and a late cell slows the pace of all jobs together.
        ({90.0: 0, 100.0: 1, 190.0: 3}, {190.0: 2 * 30, 200.0: 2 * 30 - 10, 500.0: 400 / 4}),
        ({90.0: 0, 100.0: 1}, {100.0: None}),
        ({100.0: 1, 101.0: 2}, {160.0: 2 * 60 / 3}),  # together, as from a GPU
    ],
)
def test_the_time_left_follows_the_pace_of_all_jobs_together(made, left):
    found, paths = progress(), iter(PATHS)
    for now, count in made.items():
        for path in itertools.islice(paths, count):
            make(path)
        found.look(now)
    assert {now: found.seconds_left(now) for now in left} == pytest.approx(left)


@pytest.mark.parametrize(
    ("cells", "line"),
    [(6, "1 of 6 cells, about 50 min left"), (2000, "1 of 2000 cells, about 333.2 h left")],
)
def test_one_long_cell_tells_the_pace_of_the_others(cells, line):
    paths = many(cells)
    found = progress(paths)
    make(paths[0])
    found.look(600.0)
    assert found.line(620.0) == line


def test_cells_from_the_store_are_done_and_no_measure_of_the_pace():
    found = progress()
    for path in PATHS[:2]:
        keep(make(path))
        make(path)  # restored from the store
    found.look(50.0)
    assert found.line(100.0) == "2 of 6 cells"
    keep(make(PATHS[2]))
    found.look(100.0)
    # It assumes that a third of the other pair must be computed, as in this pair.
    assert found.seconds_left(130.0) == pytest.approx(100 - 30)


# ---------------------------------------------------------------- gallery and overview


def finish_first_pair_and_begin_second() -> list[str]:
    cells = {Path(path): make(path) for path in PATHS[:3]}
    write_details(cells, Path(DETAILS.format(content="cat", style="night")))
    make(PATHS[3])
    return PATHS[:4]


def test_pages_hold_what_is_finished_and_places_for_the_rest():
    done = finish_first_pair_and_begin_second()
    write(done, "4 of 6 cells")
    assert statuses() == ["finished"] * 4 + ["waiting"] * 2
    read = data()
    assert [[one[name] for name in NAMES] for one in read["cells"]] == [
        list(Path(path).with_suffix("").parts[-4:]) for path in PATHS
    ]
    previews = [Path(GALLERY_SO_FAR).parent / one["preview"] for one in read["cells"][:4]]
    assert all(one.is_file() for one in previews)
    assert read["cells"][0]["trace"]["total"] == [3.0, 2.0, 1.5]
    assert read["cells"][3]["trace"] == {}, "the trace is in the details, which are not written yet"
    assert {"image_size", "beta"} <= read["settings"].keys()
    assert "4 of 6 cells" in Path(GALLERY_SO_FAR).read_text("utf-8")
    with Image.open(OVERVIEW_SO_FAR) as overview:
        assert overview.width > 200
    assert not list(Path("results").rglob(".*.part"))


def test_the_overview_has_the_pictures_that_are_finished_and_no_other():
    """Two runs that differ in one cell give overviews that differ."""
    done = finish_first_pair_and_begin_second()
    drawn = []
    for there in ([], [PATHS[1]], done):
        write(there)
        drawn.append(Path(OVERVIEW_SO_FAR).read_bytes())
    assert drawn[0] != drawn[1]
    assert drawn[1] == drawn[2], "the overview's cell of the second style is not finished"


def test_images_that_are_yet_to_be_prepared_leave_gaps():
    Path(prepared("style", "wave")).unlink()
    make(PATHS[0])
    write(PATHS[:1])
    assert [one["preview"] is None for one in data()["styles"]] == [False, True]
    assert Path(OVERVIEW_SO_FAR).exists()


def test_a_run_that_compares_recipes_shows_their_grid():
    sizes = []
    recipes = {key: one for key, one in CONFIG.items() if key not in ("ratios", "layers")}
    recipes["formulations"] = ["gatys2016", "relative", "udacity"]
    for of in (run(), read_run(recipes, read_catalogue())):
        write([], of=of)
        with Image.open(OVERVIEW_SO_FAR) as overview:
            sizes.append(overview.size)
    assert sizes[1][1] > 1.5 * sizes[0][1], "five rows instead of one"


def test_a_failed_cell_is_shown_as_one_and_old_small_pictures_stay():
    old = paint(Path("results/gallery/pictures") / f"{'a' * 24}-400.webp")
    write([])
    assert not Path(GALLERY_SO_FAR).exists()
    cell = make_cell(layers="all", ratio="1e0", status="failed", reason="no finite loss", losses={})
    write_cell(cell, make_image(), Path(PATHS[0]))
    write(PATHS[:1])
    assert statuses() == ["failed"] + ["waiting"] * 5
    assert old.is_file()


# ---------------------------------------------------------------- timing and cost

NONE = dict.fromkeys(PATHS)


class Clocks:
    """The clock of a run, and the work of its watcher."""

    now = 0.0
    worked = 0.0

    def watch(self, missing: Mapping[str, int | None] = NONE, made: Sequence[str] = ()) -> Watcher:
        clocks = {"clock": lambda: self.now, "work": lambda: self.worked}
        return Watcher(run(), missing, made, **clocks)


@pytest.fixture
def clocks() -> Clocks:
    return Clocks()


@pytest.fixture
def drawn(clocks: Clocks, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The times at which pages were drawn; each page takes three seconds of work."""
    times: list[float] = []

    def draw(*_: object) -> None:
        times.append(clocks.now)
        clocks.worked += 3

    monkeypatch.setattr("nst.gallery.so_far.write_so_far", draw)
    return times


def test_pages_are_drawn_when_there_is_news_and_within_their_share_of_the_run(clocks, drawn):
    paths = many(200)
    watching = clocks.watch(missing=dict.fromkeys(paths))
    for number, path in enumerate(paths[:180]):
        paint(Path(path), number, (8, 8))
        clocks.now += 20
        watching.look()
        assert clocks.worked <= max(3, 0.02 * clocks.now)
    assert clocks.now == 3600
    assert len(drawn) > 10, "the pages are drawn often enough in an hour"
    before = len(drawn)
    for _ in range(180):
        clocks.now += 20
        watching.look()
    assert len(drawn) <= before + 1, "pages are drawn again only for the last cells"


def test_pages_are_drawn_a_minute_apart_and_not_for_the_last_cell(clocks, drawn, monkeypatch):
    monkeypatch.setattr(watch, "SHARE", 1.0)
    watching = clocks.watch()
    for path in PATHS[:5]:
        make(path)
        clocks.now += 40
        watching.look()
    make(PATHS[5])
    clocks.now = 10_000.0
    watching.look()
    assert drawn == [80, 160]


def test_a_full_disk_is_reported_once_and_the_run_is_watched_on(clocks, monkeypatch, caplog):
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device", GALLERY_SO_FAR)

    monkeypatch.setattr("nst.gallery.so_far.write_so_far", fail)
    watching = clocks.watch()
    with caplog.at_level(logging.INFO):
        for path in PATHS[:3]:
            make(path)
            clocks.now += 1000
            watching.look()
    (message,) = (one for one in caplog.messages if "cannot be drawn" in one)
    assert "No space left on device" in message
    lines = [one.split(",")[0] for one in caplog.messages if " of 6 cells" in one]
    assert lines == [f"{count} of 6 cells" for count in (1, 2, 3)]


def test_a_damaged_picture_is_reported_and_the_run_is_watched_on(clocks, caplog):
    Path(PATHS[0]).parent.mkdir(parents=True)
    Path(PATHS[0]).write_bytes(b"no picture")
    watching = clocks.watch()
    clocks.now = 1000.0
    watching.look()
    assert f"{PATHS[0]}: must be" in caplog.text
    make(PATHS[0])
    clocks.now = 2000.0
    make(PATHS[1])
    watching.look()
    assert statuses()[:3] == ["finished", "finished", "waiting"]


def test_what_an_earlier_configuration_left_is_not_shown(clocks):
    old = {Path(path): make(path, beta=5.0) for path in PATHS}
    for style in STYLES:
        of_style = {path: cell for path, cell in old.items() if path.parts[3] == style}
        write_details(of_style, Path(DETAILS.format(content="cat", style=style)))
    # The first style's pair is recomputed; the last cell is not part of this run.
    missing = {path: os.stat(path).st_mtime_ns for path in PATHS[:3]}
    watching = clocks.watch(missing=missing, made=PATHS[3:5])
    Path(DETAILS.format(content="cat", style="night")).unlink()  # Snakemake does this
    make(PATHS[0], beta=7.0)
    clocks.now = 1000.0
    watching.look()
    cells = data()["cells"]
    found = [one["settings"]["beta"] if one["settings"] else one["status"] for one in cells]
    assert found == [7, "waiting", "waiting", 5, 5, "waiting"]


def test_silence_is_broken_once_a_minute(clocks, caplog):
    watching = clocks.watch()
    make(PATHS[0])
    with caplog.at_level(logging.INFO):
        for _ in range(13):
            watching.look()
            clocks.now += 10
    assert caplog.messages == [
        "1 of 6 cells",
        "1 of 6 cells, about 4 min left",
        "1 of 6 cells, about 8 min left",
    ]


def test_a_slow_disk_is_looked_at_less_often(clocks, monkeypatch):
    watching = clocks.watch()
    assert watching.look() == watch.SECONDS_BETWEEN_LOOKS

    def slow(_self: Tally, _now: float) -> None:
        clocks.now += 3

    monkeypatch.setattr(Tally, "look", slow)
    assert watching.look() == pytest.approx(200)


# ---------------------------------------------------------------- the watcher's process

MISSING = dict.fromkeys(PATHS, True)


def test_a_run_with_nothing_to_make_is_not_watched_and_loses_old_pages():
    for path in (GALLERY_SO_FAR, OVERVIEW_SO_FAR):
        paint(Path(path).with_suffix(".png")).rename(path)
    make(PATHS[0])
    start_watcher(CONFIG, {PATHS[0]: False}, pytest.fail)
    assert not _running
    assert not Path(GALLERY_SO_FAR).exists()
    assert not Path(OVERVIEW_SO_FAR).exists()


def test_cells_that_the_target_does_not_ask_for_are_reported():
    make(PATHS[0])
    told: list[str] = []
    start_watcher(CONFIG, dict.fromkeys(PATHS, False), told.append)
    (line,) = told
    assert line.startswith(f"5 cells of this run will be missing, such as {PATHS[1]}: ")
    assert line.endswith("Run snakemake without a target to make all cells.")


@pytest.mark.parametrize("finished", [True, False])
def test_the_process_ends_with_the_run_and_a_failed_run_keeps_its_pages(finished):
    start_watcher(CONFIG, MISSING, pytest.fail)
    (process,) = _running
    paint(Path(GALLERY_SO_FAR).with_suffix(".png")).rename(GALLERY_SO_FAR)
    stop_watcher(finished=finished)
    assert process.returncode == 0
    assert Path(GALLERY_SO_FAR).exists() is not finished


def test_the_process_ends_with_a_run_that_is_killed(folder):
    code = (
        "import json, sys, time\n"
        "from nst.commands import watch\n"
        "watch.start_watcher(*json.loads(sys.argv[1]), print)\n"
        "print(watch._running[0].pid, flush=True)\n"
        "time.sleep(100)\n"
    )
    run = start_python(code, json.dumps([CONFIG, MISSING]))
    pid = int(run.stdout.readline())
    assert Path(f"/proc/{pid}").exists()
    run.kill()
    run.communicate(timeout=60)  # waits for every process with the pipe
    wait_until(lambda: not Path(f"/proc/{pid}").exists())


def test_a_process_whose_images_have_gone_says_so_and_ends(folder, capfd):
    (folder / "cat.png").unlink()
    start_watcher(CONFIG, MISSING, pytest.fail)
    assert _running[0].wait(60) == 0
    stop_watcher()
    (line,) = capfd.readouterr().err.splitlines()
    assert line.startswith("Progress will not be shown: contents: 'cat.png'")


def test_a_process_that_cannot_be_started_is_reported(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    warnings: list[str] = []
    start_watcher(CONFIG, MISSING, warnings.append)
    assert "watcher cannot be started" in warnings[0]
    assert not _running


def test_what_lies_in_the_run_s_folder_is_not_run(folder):
    (folder / "json.py").write_text("open('taken', 'w')")
    (folder / "nst").mkdir()
    (folder / "nst" / "__init__.py").write_text("open('taken', 'w')")
    start_watcher(CONFIG, MISSING, pytest.fail)
    stop_watcher()
    assert not (folder / "taken").exists()
