"""The state of the current batch, saved so that a killed job loses at most a minute of work.

A restarted job resumes from this state, and computes the same bits as an uninterrupted job.
"""

from __future__ import annotations

import logging
import time
import zipfile
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from types import MappingProxyType

import torch

from nst.config.settings import Settings
from nst.method.optimise import State
from nst.method.optimisers import Adam, History, Lbfgs, Pyramid
from nst.system.files import atomic_file

logger = logging.getLogger(__name__)

LONGEST_GAP = 55.0  # s of work that may be lost: 60, less a margin for a step slower than the last
SHORTEST_GAP = 30.0
# The largest share of the time for writing, unless the longest gap requires more. Measured with
# L-BFGS on a busy disk: 19 MB in 0.05 s for a cell of 256 px, 0.2 %; 302 MB in 0.6 to 1.6 s for a
# cell of 1024 px, 2 to 3 %. benchmarks/checkpoints.py measures it.
SHARE = 0.03


@dataclass(frozen=True)
class Batch:
    """Cells that are optimised side by side, by index.

    The second ``attempt`` retries a cell that failed, with smaller steps; ``seconds`` is the time
    of the first attempt.
    """

    cells: Mapping[int, Settings]
    attempt: int = 1
    seconds: float = 0.0

    def first(self, count: int) -> Batch:
        """Return the batch of at most the first ``count`` cells."""
        return replace(self, cells=dict(islice(self.cells.items(), count)))

    def without(self, indices: Container[int]) -> Batch:
        """Return the batch without some cells."""
        left = {index: one for index, one in self.cells.items() if index not in indices}
        return replace(self, cells=left)


class Checkpoint:
    """The file with the state of a job's current batch; without a path, nothing is saved.

    ``fingerprints`` identify the cells to compute, by index. ``made_by`` names the versions and the
    device, which also decide the bits. A checkpoint of another version or device is not used.
    """

    def __init__(
        self,
        path: Path | None,
        fingerprints: Sequence[str] = (),
        made_by: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._path = path
        self._fingerprints = dict(enumerate(fingerprints))
        self._made_by = dict(made_by)
        self._saved = self._stepped = time.monotonic()
        self._cost = 0.0

    def load(self, device: torch.device) -> tuple[Batch, State] | None:
        """Return the interrupted batch and its state, if any of its cells is still wanted.

        Cells that are no longer wanted get negative indices. They stay in the batch, because the
        number of pictures in it can decide how a GPU rounds.
        """
        if self._path is None or not self._path.exists():
            return None
        try:
            if damaged := zipfile.ZipFile(self._path).testzip():
                raise zipfile.BadZipFile(f"{damaged} does not have its checksum")
            with torch.serialization.safe_globals([State, Lbfgs, History, Adam, Pyramid]):
                kept = torch.load(self._path, map_location=device, weights_only=True)
            cells = {one: Settings.from_mapping(plain) for one, plain in kept["cells"].items()}
            made_by, state = kept["made_by"], kept["state"]
            attempt, seconds = kept["attempt"], kept["seconds"]
            state.snapshots = {number: one.cpu() for number, one in state.snapshots.items()}
        except MemoryError:
            raise
        except Exception as error:  # a damaged pickle may raise any exception
            self._drop(f"cannot be read ({type(error).__name__})")
            return None
        if made_by != self._made_by:
            self._drop("was written by other versions or for another device")
            return None
        index = {fingerprint: index for index, fingerprint in self._fingerprints.items()}
        numbered = {
            index.get(fingerprint, -number): settings
            for number, (fingerprint, settings) in enumerate(cells.items(), start=1)
        }
        if max(numbered) < 0:
            return None
        self._fingerprints |= dict(zip(numbered, cells, strict=True))
        names = ", ".join(str(index + 1) for index in numbered if index >= 0)
        logger.info("cell %s: continuing at step %d", names, len(state.trace))
        return Batch(numbered, attempt, seconds), state

    def offer(self, batch: Batch, state: State) -> None:
        """Save the state if a save is due; called after each step.

        The time is measured by a monotonic clock, so that clock adjustments do no harm.
        """
        now = time.monotonic()
        step, self._stepped = now - self._stepped, now
        gap = min(max(SHORTEST_GAP, self._cost / SHARE), LONGEST_GAP)
        unsaved = now - self._saved
        if unsaved >= gap or unsaved + step > LONGEST_GAP:
            self.save(batch, state)

    def save(self, batch: Batch, state: State) -> None:
        """Save the state of a batch; if it cannot be written, log a warning and continue."""
        if self._path is None:
            return
        started = time.monotonic()
        cells = {self._fingerprints[index]: one.to_dict() for index, one in batch.cells.items()}
        kept = {**vars(batch), "cells": cells, "made_by": self._made_by, "state": state}
        try:
            with atomic_file(self._path) as file:
                torch.save(kept, file)
        except (OSError, RuntimeError) as error:  # torch raises the latter after a disk's error
            told = "the checkpoint %s cannot be written: %s; continuing without it"
            logger.warning(told, self._path, error.__context__ or error)
        self._saved = self._stepped = time.monotonic()
        self._cost = self._saved - started

    def remove(self) -> None:
        """Remove the file, once the cells of the batch are stored."""
        try:
            if self._path is not None:
                self._path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("the checkpoint %s cannot be removed: %s", self._path, error)

    def _drop(self, reason: str) -> None:
        """Remove an unusable file, and log the reason."""
        logger.warning("the checkpoint %s %s; starting its cells again", self._path, reason)
        self.remove()
