"""The progress watcher: logs a run's progress, and draws pages of its finished cells.

``start_watcher`` starts a separate process, so that Snakemake and its jobs neither wait for it nor
fail with it. ``main`` is the program of that process.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nst.config.catalogue import read_catalogue
from nst.config.paths import GALLERY_SO_FAR, OVERVIEW_SO_FAR, STORE
from nst.config.run import Run, read_run
from nst.errors import UserError, counted
from nst.system.files import time_stamp

if TYPE_CHECKING:
    from nst.cells.store import CellStore

logger = logging.getLogger("nst.watch")

SECONDS_TO_END = 10.0
SECONDS_TO_JUDGE = 20.0  # after the first computed cell, before the time left is estimated
SECONDS_BETWEEN_LOOKS = 10.0  # at least; ten thousand files on a slow disk are checked less often
SECONDS_BETWEEN_LINES = 60.0  # while nothing changes
SECONDS_BETWEEN_PAGES = 60.0
SHARE = 0.015  # of the run's time that checks may take, and of a processor's for drawing
FIRST_PAGE = 2.0  # seconds: the assumed cost of a page until it is measured

Clock = Callable[[], float]
_running: list[subprocess.Popen[str]] = []


def start_watcher(
    config: Mapping[str, Any],
    pictures: Mapping[str, bool],
    tell: Callable[[str], object],
) -> None:
    """Start a process that watches a run until ``stop_watcher`` is called or this process ends.

    ``pictures`` maps each cell's picture to whether the run will make it. Pages of an earlier run's
    progress are removed. ``tell`` is called with a message if the process cannot be started, or if
    a cell will be missing.
    """
    _remove_pages()
    # Snakemake reruns a job for a new output only if another job, or the target, names that output.
    lost = [path for path, is_made in pictures.items() if not (is_made or Path(path).exists())]
    if lost:
        tell(
            f"{counted(len(lost), 'cell')} of this run will be missing, such as {lost[0]}: the "
            "target does not ask for them. Run snakemake without a target to make all cells."
        )
    # With the time stamps of existing files, which may come from another configuration.
    missing = {path: time_stamp(path) for path, is_missing in pictures.items() if is_missing}
    if not missing:
        return
    made = [path for path in pictures if path not in missing]
    task = json.dumps({"config": config, "missing": missing, "made": made})
    program = "from nst.commands.watch import main; main()"
    try:
        process = subprocess.Popen(  # noqa: S603 - this Python, and the line above
            # -P: never import modules from the run's folder.
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.PIPE,
            text=True,
        )
        _running.append(process)
        assert process.stdin is not None
        process.stdin.write(f"{task}\n")
        process.stdin.flush()  # and left open: its end marks the end of the run
    except OSError as error:
        tell(f"Progress will not be shown: the progress watcher cannot be started ({error}).")


def stop_watcher(*, finished: bool = True) -> None:
    """End the process; remove its pages if the run is ``finished`` and has its final pages."""
    while _running:
        process = _running.pop()
        assert process.stdin is not None
        with suppress(OSError):  # it ended before
            process.stdin.close()
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    if finished:
        _remove_pages()


def _remove_pages() -> None:
    """Remove the gallery and the overview of an unfinished run."""
    for path in (GALLERY_SO_FAR, OVERVIEW_SO_FAR):
        with suppress(OSError):
            Path(path).unlink(missing_ok=True)


def main() -> None:
    """Watch the run that the first line of the input describes, until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Snakemake handles Ctrl-C and ends the input
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logger.setLevel(logging.INFO)
    with suppress(KeyboardInterrupt):
        if not (line := sys.stdin.readline()):
            return
        threading.Thread(target=_await_end, daemon=True).start()
        task = json.loads(line)
        try:
            run = read_run(task.pop("config"), read_catalogue())
        except UserError as error:  # a file was removed after the run was planned
            logger.warning("Progress will not be shown: %s", error)
            return
        watch = Watcher(run, **task)
        while True:
            time.sleep(watch.look())


def _await_end() -> None:
    """Interrupt the process when its input ends, whatever it is doing."""
    sys.stdin.read()
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


class Watcher:
    """Checks, logs and draws a run's progress.

    ``clock`` counts the seconds of the run, ``work`` the processor seconds of this process.
    """

    def __init__(
        self,
        run: Run,
        missing: Mapping[str, int | None],
        made: Iterable[str],
        *,
        clock: Clock = time.monotonic,
        work: Clock = time.process_time,
    ) -> None:
        # Imported here, because Snakemake's process need not load their dependencies.
        from nst.cells.store import CellStore  # noqa: PLC0415

        self._run = run
        self._clock, self._work = clock, work
        began = clock()
        self._progress = Tally(missing, CellStore(STORE), began)
        self._made = frozenset(made)
        self._said = (began, 0)  # time of the last line logged, and its number of cells
        self._drawn = 0
        self._next_page = began + max(SECONDS_BETWEEN_PAGES, FIRST_PAGE / SHARE)
        self._trouble = ""

    def look(self) -> float:
        """Check for new cells; log and draw them if it is time to.

        Return the seconds to wait before the next check.
        """
        began = self._clock()
        self._progress.look(began)
        pause = max(SECONDS_BETWEEN_LOOKS, (self._clock() - began) / SHARE)
        if self._is_to_say():
            self._said = (self._clock(), self._progress.done)
            logger.info("%s", self._progress.line(self._clock()))
        # Once all cells are finished, the run draws the final pages.
        if began >= self._next_page and self._drawn < self._progress.done < self._progress.count:
            before = self._work()
            self._draw()
            self._drawn = self._progress.done
            cost = self._work() - before
            self._next_page = self._clock() + max(SECONDS_BETWEEN_PAGES, cost / SHARE)
        return pause

    def _is_to_say(self) -> bool:
        """Return whether to log: at every change, and each minute between first and last cell."""
        when, done = self._said
        if done == self._progress.count:
            return False
        waited = self._clock() - when >= SECONDS_BETWEEN_LINES
        return self._progress.done != done or (waited and done > 0)

    def _draw(self) -> None:
        """Draw the pages. A repeated error is logged once, and the run continues."""
        heading = f"At {time.strftime('%Y-%m-%d %H:%M')}: {self._progress.line(self._clock())}"
        try:
            # Imported here: pandas takes time and memory, and a short run draws nothing.
            from nst.gallery.so_far import write_so_far  # noqa: PLC0415

            write_so_far(self._run, self._is_finished, heading)
        except Exception as error:
            trouble = f"{type(error).__name__}: {' '.join(str(error).split())}"
            if trouble != self._trouble:
                logger.warning("the pages of finished cells cannot be drawn (%s)", trouble)
            self._trouble = trouble
        else:
            if self._drawn == 0:
                logger.info("finished cells so far: %s, %s", GALLERY_SO_FAR, OVERVIEW_SO_FAR)

    def _is_finished(self, picture: Path) -> bool:
        """Return whether a picture exists and belongs to this run's configuration."""
        name = picture.as_posix()
        return (name in self._made or name in self._progress) and picture.is_file()


class Tally:
    """Counts the pictures of a run as they appear, and estimates the time left.

    ``missing`` maps each picture to make to the time stamp of its old file, or None. A picture
    counts as soon as its file has another time stamp. ``now`` is a clock's reading in seconds.
    """

    def __init__(self, missing: Mapping[str, int | None], store: CellStore, now: float) -> None:
        self.count = len(missing)
        self._waiting = dict(missing)
        self._done: dict[str, bool] = {}  # whether a picture was computed in this run
        self._store = store
        self._began = now
        self._first: tuple[float, int] | None = None  # time of the first computed cells; how many
        self._last = now

    def __contains__(self, path: str) -> bool:
        return path in self._done

    @property
    def done(self) -> int:
        """The number of pictures made so far."""
        return len(self._done)

    def look(self, now: float) -> None:
        """Check for new pictures."""
        before = self._computed
        for path, old in list(self._waiting.items()):
            stamp = time_stamp(path)
            if stamp not in (None, old):
                self._done[path] = not self._is_from_store(path)
                del self._waiting[path]
        if self._computed > before:
            self._last = now
            self._first = self._first or (now, self._computed)

    def line(self, now: float) -> str:
        """Return the progress in words, with the time left if it is known."""
        left = self.seconds_left(now) if self._waiting else None
        time = "" if left is None else f", {_about(left)} left"
        return f"{self.done} of {self.count} cells{time}"

    def seconds_left(self, now: float) -> float | None:
        """Return the estimated time for the other cells; None until there is a pace to measure.

        The pace is that of all jobs together since the first computed cell; the time before it is
        ignored. Cells from the store take no time. A pair that has begun has already restored its
        stored cells; the other pairs are assumed to have the same share of stored cells.
        """
        if self._first is None or now - self._first[0] < SECONDS_TO_JUDGE:
            return None
        since, already = self._first
        count = self._computed - already
        known = (self._last - since) / count if count else (self._last - self._began) / already
        pace = max(known, (now - since) / (count + 1))  # the next cell is not finished yet
        begun = Counter(map(_pair, self._done))
        waiting = Counter(map(_pair, self._waiting))
        here = sum(waiting[pair] for pair in begun)
        share = 1 - (self.done - self._computed) / (self.done + here)
        work = here + share * (len(self._waiting) - here)
        return max(pace * work - (now - self._last), pace * (work - 1), 0.0)

    @property
    def _computed(self) -> int:
        return sum(self._done.values())

    def _is_from_store(self, path: str) -> bool:
        """Return whether a picture came from the store; a computed cell is stored afterwards."""
        from nst.cells.cell import read_record  # noqa: PLC0415 - quick to start without Pillow

        try:
            kept = self._store.time_stamp(read_record(Path(path))["fingerprint"])
        except (UserError, KeyError):  # removed in the meantime, for example by a failed job
            return False
        written = time_stamp(path)
        return kept is not None and written is not None and kept < written


def _pair(path: str) -> tuple[str, ...]:
    """Return the folders that a pair's pictures share: results, cells or prints, content, style."""
    return tuple(path.split("/")[:4])


def _about(seconds: float) -> str:
    """Return a rounded time in words."""
    if seconds < 60:
        return "less than a minute"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 100 else f"about {seconds / 3600:.1f} h"
