"""How far a run is, from the pictures on the disk: whichever jobs make them, and wherever."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from nst.cells.cell import read_record
from nst.cells.store import CellStore
from nst.errors import ImageError
from nst.system.files import time_stamp

SECONDS_TO_JUDGE = 20.0  # from the first computed cell on, until the pace is logged


class Progress:
    """Counts the pictures of a run as they come, and judges how long the others will take.

    ``missing`` has the pictures to make with the time stamps of those that are there before. A
    picture counts when it is there with another one. ``now`` is a reading of a clock, in seconds.
    """

    def __init__(self, missing: Mapping[str, int | None], store: CellStore, now: float) -> None:
        self.count = len(missing)
        self._waiting = dict(missing)
        self._done: dict[str, bool] = {}  # whether a picture was computed in this run
        self._store = store
        self._began = now
        self._first: tuple[float, int] | None = None  # when cells were computed first; how many
        self._last = now

    def __contains__(self, path: str) -> bool:
        return path in self._done

    @property
    def done(self) -> int:
        """How many of the pictures are there."""
        return len(self._done)

    def look(self, now: float) -> None:
        """Look for pictures that are new."""
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
        """Return how far the run is, in words."""
        left = self.seconds_left(now) if self._waiting else None
        time = "" if left is None else f", {_about(left)} left"
        return f"{self.done} of {self.count} cells{time}"

    def seconds_left(self, now: float) -> float | None:
        """Return the time that the other cells will take; None as long as nothing tells.

        The pace is that of all jobs together since the first computed cell; the time before it is
        ignored. Cells from the store take no time. A pair that has begun has restored its cells
        already, and the other pairs may have the same share of them.
        """
        if self._first is None or now - self._first[0] < SECONDS_TO_JUDGE:
            return None
        since, already = self._first
        count = self._computed - already
        known = (self._last - since) / count if count else (self._last - self._began) / already
        pace = max(known, (now - since) / (count + 1))  # the next has taken until now at least
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
        """Whether a picture was copied from the store; a computed one is kept there afterwards."""
        try:
            kept = self._store.time_stamp(read_record(Path(path))["fingerprint"])
        except (ImageError, KeyError):  # removed meanwhile, as of a job that fails
            return False
        written = time_stamp(path)
        return kept is not None and written is not None and kept < written


def _pair(path: str) -> tuple[str, ...]:
    """Return what the pictures of a pair have in common: results, cells or prints, and names."""
    return tuple(path.split("/")[:4])


def _about(seconds: float) -> str:
    """Say a time roughly."""
    if seconds < 60:
        return "less than a minute"
    minutes = round(seconds / 60)
    return f"about {minutes} min" if minutes < 100 else f"about {seconds / 3600:.1f} h"
