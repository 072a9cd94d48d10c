"""Watches a run from beside it: says how far it is, and draws what there is to look at so far.

``start_watcher`` starts a process of its own, so that Snakemake and its jobs neither wait for it
nor fail with it. ``main`` is the program of that process.
"""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from nst.config.catalogue import read_catalogue
from nst.config.paths import GALLERY_SO_FAR, OVERVIEW_SO_FAR, STORE
from nst.config.run import Run, read_run
from nst.errors import UserError
from nst.system.files import time_stamp

logger = logging.getLogger("nst.watch")

SECONDS_TO_END = 10.0
SECONDS_BETWEEN_LOOKS = 10.0  # at least; ten thousand files on a slow disk are looked at less often
SECONDS_BETWEEN_LINES = 60.0  # while nothing changes
SECONDS_BETWEEN_PAGES = 60.0
SHARE = 0.015  # of the run's time that may be spent on looking, and of a processor on drawing
FIRST_PAGE = 2.0  # seconds, until one is measured

Clock = Callable[[], float]
_running: list[subprocess.Popen[str]] = []


def start_watcher(
    config: Mapping[str, Any],
    pictures: Mapping[str, bool],
    tell: Callable[[str], object],
) -> None:
    """Watch a run from a process that ends when ``stop_watcher`` is called, or this one is gone.

    ``pictures`` says of each cell's picture whether the run is to make it; the others stay as they
    are. What an earlier run left to look at meanwhile is removed. ``tell`` gets a line if the
    process cannot be started.
    """
    _remove_pages()
    # With the time stamps of those that are there before, of another configuration perhaps.
    missing = {path: time_stamp(path) for path, is_missing in pictures.items() if is_missing}
    if not missing:
        return
    made = [path for path in pictures if path not in missing]
    task = json.dumps({"config": config, "missing": missing, "made": made})
    program = "from nst.commands.watch import main; main()"
    try:
        process = subprocess.Popen(  # noqa: S603 - this Python, and the line above
            # -P: what lies in the run's folder is not to be imported.
            [sys.executable, "-P", "-c", program],
            stdin=subprocess.PIPE,
            text=True,
        )
        _running.append(process)
        assert process.stdin is not None
        process.stdin.write(f"{task}\n")
        process.stdin.flush()  # and left open: its end is the end of the run
    except OSError as error:
        tell(f"Progress will not be shown: the progress watcher cannot be started ({error}).")


def stop_watcher(*, finished: bool = True) -> None:
    """End the process, and remove its pages if the run is ``finished``: there are better now."""
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
    """Remove the gallery and the overview of a run that goes on."""
    for path in (GALLERY_SO_FAR, OVERVIEW_SO_FAR):
        with suppress(OSError):
            Path(path).unlink(missing_ok=True)


def main() -> None:
    """Watch the run that the first line of the input describes, until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is Snakemake's, which ends the input
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
        except UserError as error:  # a file has gone since the run was planned
            logger.warning("Progress will not be shown: %s", error)
            return
        watch = Watch(run, **task)
        while True:
            time.sleep(watch.look())


def _await_end() -> None:
    """Interrupt the process when its input ends, whatever it is doing."""
    sys.stdin.read()
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


class Watch:
    """What is done at each look. The clocks count seconds: the run's, and this process's work."""

    def __init__(
        self,
        run: Run,
        missing: Mapping[str, int | None],
        made: Iterable[str],
        *,
        clock: Clock = time.monotonic,
        work: Clock = time.process_time,
    ) -> None:
        # Here, since Snakemake's process needs nothing of what they load.
        from nst.cells.progress import Progress  # noqa: PLC0415
        from nst.cells.store import CellStore  # noqa: PLC0415

        self._run = run
        self._clock, self._work = clock, work
        began = clock()
        self._progress = Progress(missing, CellStore(STORE), began)
        self._made = frozenset(made)
        self._said = (began, 0)  # when a line was said last, and of how many cells
        self._drawn = 0
        self._next_page = began + max(SECONDS_BETWEEN_PAGES, FIRST_PAGE / SHARE)
        self._trouble = ""

    def look(self) -> float:
        """Look at what is there, and say and draw what is new if it is time to.

        Return how many seconds to let pass until the next look.
        """
        began = self._clock()
        self._progress.look(began)
        pause = max(SECONDS_BETWEEN_LOOKS, (self._clock() - began) / SHARE)
        if self._is_to_say():
            self._said = (self._clock(), self._progress.done)
            logger.info("%s", self._progress.line(self._clock()))
        # Once all cells are there, the run itself draws.
        if began >= self._next_page and self._drawn < self._progress.done < self._progress.count:
            before = self._work()
            self._draw()
            self._drawn = self._progress.done
            cost = self._work() - before
            self._next_page = self._clock() + max(SECONDS_BETWEEN_PAGES, cost / SHARE)
        return pause

    def _is_to_say(self) -> bool:
        """Say every change; from the first cell to the last, once a minute that there is none."""
        when, done = self._said
        if done == self._progress.count:
            return False
        waited = self._clock() - when >= SECONDS_BETWEEN_LINES
        return self._progress.done != done or (waited and done > 0)

    def _draw(self) -> None:
        """Draw the pages. Trouble is logged once, and the run goes on."""
        heading = f"At {time.strftime('%Y-%m-%d %H:%M')}: {self._progress.line(self._clock())}"
        try:
            # Only now: pandas takes time and memory, and a short run draws nothing.
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
        """Whether a picture is there, and one of this run's configuration."""
        name = picture.as_posix()
        return (name in self._made or name in self._progress) and picture.is_file()
