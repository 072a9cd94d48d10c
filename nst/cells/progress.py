"""The progress of a run, counted from the pictures on disk, wherever its jobs run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from nst.cells.cell import read_record
from nst.cells.store import CellStore
from nst.errors import ImageError
from nst.system.files import time_stamp

SECONDS_TO_JUDGE = 20.0  # after the first computed cell, before the time left is estimated


class Progress:
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
        try:
            kept = self._store.time_stamp(read_record(Path(path))["fingerprint"])
        except (ImageError, KeyError):  # removed in the meantime, for example by a failed job
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
