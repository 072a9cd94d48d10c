"""Watches a run from beside it: says how far it is, and draws what there is to look at so far.

The program of the process that ``nst.commands.watcher`` starts.
"""

from __future__ import annotations

import _thread
import logging
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from nst.cells.progress import Progress
from nst.cells.store import CellStore
from nst.config.paths import GALLERY_SO_FAR, OVERVIEW_SO_FAR
from nst.config.watched import Watched

logger = logging.getLogger("nst.watch")

STORE = Path("results/store")
SECONDS_BETWEEN_LOOKS = 10.0  # at least; ten thousand files on a slow disk are looked at less often
SECONDS_BETWEEN_LINES = 60.0  # while nothing changes
SECONDS_BETWEEN_PAGES = 60.0
SHARE = 0.015  # of the run's time that this process may compute; the next page may cost more
FIRST_PAGE = 2.0  # seconds, until one is measured

Clock = Callable[[], float]


class Watch:
    """What is done at each look. The clocks count seconds: the run's, and this process's work."""

    def __init__(
        self, watched: Watched, clock: Clock = time.monotonic, work: Clock = time.process_time
    ) -> None:
        self._watched = watched
        self._clock, self._work = clock, work
        self._began = clock()
        self._progress = Progress(watched.missing, CellStore(STORE), self._began)
        self._made = frozenset(watched.made)
        self._said = (self._began, 0)  # when a line was said last, and of how many cells
        self._drawn = (self._began, 0)
        self._cost = FIRST_PAGE
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
        if self._is_to_draw():
            before = self._work()
            self._draw()
            self._drawn = (self._clock(), self._progress.done)
            self._cost = self._work() - before
        return pause

    def _is_to_say(self) -> bool:
        """Say every change; from the first cell to the last, once a minute that there is none."""
        when, done = self._said
        if done == self._progress.count:
            return False
        waited = self._clock() - when >= SECONDS_BETWEEN_LINES
        return self._progress.done != done or (waited and done > 0)

    def _is_to_draw(self) -> bool:
        """Draw what is new, a minute after the last time, if the work stays within its share.

        Once all cells are there, the run itself draws.
        """
        now, (when, done) = self._clock(), self._drawn
        return (
            done < self._progress.done < self._progress.count
            and now - when >= SECONDS_BETWEEN_PAGES
            and self._work() + self._cost <= SHARE * (now - self._began)
        )

    def _draw(self) -> None:
        """Draw the pages. Trouble is logged once, and the run goes on."""
        try:
            # Only now: pandas takes time and memory, and a short run draws nothing.
            from nst.gallery.so_far import write_so_far  # noqa: PLC0415

            write_so_far(self._watched, self._is_finished, self._heading())
        except Exception as error:
            trouble = f"{type(error).__name__}: {' '.join(str(error).split())}"
            if trouble != self._trouble:
                logger.warning("what is finished so far cannot be shown (%s)", trouble)
            self._trouble = trouble
        else:
            if self._drawn[1] == 0:
                logger.info("to look at meanwhile: %s, %s", GALLERY_SO_FAR, OVERVIEW_SO_FAR)

    def _is_finished(self, picture: Path) -> bool:
        """Whether a picture is there, and one of this run's configuration."""
        name = picture.as_posix()
        return (name in self._made or name in self._progress) and picture.is_file()

    def _heading(self) -> str:
        """Return what stands above the pages."""
        when = time.strftime("%Y-%m-%d %H:%M")
        return f"At {when}: {self._progress.line(self._clock())}"


def main() -> None:
    """Watch the run that the first line of the input describes, until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is Snakemake's, which ends the input
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logger.setLevel(logging.INFO)
    with suppress(KeyboardInterrupt):
        if not (line := sys.stdin.readline()):
            return
        ended = threading.Event()
        threading.Thread(target=_await_end, args=(ended,), daemon=True).start()
        watch = Watch(Watched.from_json(line))
        while True:
            ended.wait(watch.look())


def _await_end(ended: threading.Event) -> None:
    """Interrupt the process when its input ends, whatever it is doing."""
    sys.stdin.read()
    ended.set()
    _thread.interrupt_main(signal.SIGTERM)
