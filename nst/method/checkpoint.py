"""Checkpoints of a running batch, so that a killed job loses at most a minute of its work.

The state of a batch is written to a file from time to time. A job that is started again takes it
up, and ends with the same bits as one that was never disturbed. What a batch goes through is a
number of *legs*: one for each attempt at each of its sizes. Its file holds the outcomes of the legs
it has behind it, and the state of the one it is in.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import shutil
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from nst.method.optimise import Outcome, State
from nst.method.optimisers import Optimiser
from nst.network.shapes import Tensor
from nst.network.tensor_file import TensorFileError, read_facts, read_tensors, write_tensors
from nst.system.files import remove_parts

logger = logging.getLogger(__name__)

LONGEST_GAP = 55.0  # s of work that may be lost; 60, less what a step may take longer than the last
SHORTEST_GAP = 30.0
# Of the time, what writing may take as long as the longest gap allows it. Measured with L-BFGS, on
# a busy disk: 19 MB in 0.05 s for a cell of 256 px, 0.2 %; 302 MB in 0.6 to 1.6 s for one of
# 1024 px, 2 to 3 %. benchmarks/checkpoints.py measures it.
SHARE = 0.03
FORGOTTEN = 30 * 24 * 3600.0  # s after which a file that no job has claimed is removed
FORMAT = "nst-checkpoint-1"  # raised by whoever changes what is kept
SUFFIX = ".safetensors"
MEMORY = "optimiser "  # begins the names of the optimiser's own tensors


@dataclass(frozen=True)
class _Kept:
    """A leg as it is kept. ``cells`` are the fingerprints of its rows."""

    attempt: int
    stage: int
    cells: tuple[str, ...]
    finished: bool
    steps: int
    seconds: float
    tensors: Mapping[str, Tensor] = field(repr=False)

    def facts(self) -> dict[str, Any]:
        """Return all but the tensors, for JSON."""
        names = ("attempt", "stage", "cells", "finished", "steps", "seconds")
        return {name: getattr(self, name) for name in names}

    def of(self, cells: Sequence[str]) -> _Kept:
        """Return what belongs to some of its cells."""
        if tuple(cells) == self.cells:
            return self
        rows = [self.cells.index(cell) for cell in cells]
        tensors = {name: tensor[rows] for name, tensor in self.tensors.items()}
        seconds = self.seconds * len(rows) / len(self.cells)
        return _Kept(
            self.attempt, self.stage, tuple(cells), self.finished, self.steps, seconds, tensors
        )


class Checkpoints:
    """The checkpoints of the job of a pair, in a folder of their own; without one, there are none.

    ``cells`` are the fingerprints of the cells to make, in their order. ``made_by`` names what
    else decides the bits: versions and the device. What was made by others is not taken up.
    """

    def __init__(
        self,
        folder: Path | None,
        cells: Sequence[str] = (),
        made_by: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._folder = folder
        self._cells = cells
        self._made_by = dict(made_by)

    def interrupted(self, places: Collection[int]) -> list[int]:
        """Return those of ``places`` whose cells an interrupted batch holds, in its order.

        Of several batches, the one that got furthest. They are to go on together: on a GPU, the
        number of pictures in a batch decides how its convolutions round.
        """
        for _, facts in self._files():
            found = [
                place for cell in facts["cells"] for place in places if self._cells[place] == cell
            ]
            if found:
                return list(dict.fromkeys(found))
        return []

    def begin(self, places: Sequence[int], device: torch.device) -> Checkpoint:
        """Return the checkpoint of a batch, with what is kept of the batch's cells."""
        if self._folder is None:
            return Checkpoint(None, {}, {}, [])
        remove_parts(self._folder)  # of a process that was killed while it wrote
        cells = {place: self._cells[place] for place in places}
        legs: list[_Kept] = []
        for path, facts in self._files():
            if not legs and set(cells.values()) <= set(facts["cells"]):
                legs = _read_legs(path, facts, device)
        return Checkpoint(self._path(places), self._made_by, cells, legs)

    def finish(self, places: Sequence[int]) -> None:
        """Remove the checkpoint of a batch whose cells are safe."""
        if path := self._path(places):
            _remove(path)

    def clear(self) -> None:
        """Remove them all, those that nobody has claimed too; for when the pair is made."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _path(self, places: Sequence[int]) -> Path | None:
        """Return the file of a batch."""
        if self._folder is None:
            return None
        cells = "".join(self._cells[place] for place in places)
        return self._folder / f"{hashlib.sha256(cells.encode()).hexdigest()[:32]}{SUFFIX}"

    def _files(self) -> list[tuple[Path, dict[str, Any]]]:
        """List the files that can be taken up, those with the most steps first; drop the others."""
        files = []
        for path in sorted(self._folder.glob(f"*{SUFFIX}")) if self._folder else []:
            try:
                facts = read_facts(path)
            except FileNotFoundError:
                continue
            except (OSError, TensorFileError) as error:
                _drop(path, f"is damaged: {error}")
                continue
            if facts["format"] == FORMAT and facts["made_by"] == self._made_by:
                files.append((path, facts))
            else:
                _drop(path, "was written by other versions or for another device")
        return sorted(files, key=_steps, reverse=True)


class Checkpoint:
    """What one batch has behind it, and the file in which it is kept.

    ``cells`` are the fingerprints of its cells by their places in the list, ``legs`` what was
    found of them.
    """

    def __init__(
        self,
        path: Path | None,
        made_by: Mapping[str, str],
        cells: Mapping[int, str],
        legs: Sequence[_Kept],
    ) -> None:
        self._path = path
        self._made_by = made_by
        self._cells = cells
        self._legs = list(legs)
        self._clock = _Clock()

    def leg(self, attempt: int, stage: int, places: Sequence[int]) -> Leg:
        """Return the leg of an attempt of the cells at these places, at one of their sizes."""
        cells = tuple(self._cells.get(place, "") for place in places)
        return Leg(self, attempt, stage, tuple(places), cells)

    def find(self, attempt: int, stage: int, cells: Sequence[str]) -> _Kept | None:
        """Return what is kept of a leg."""
        for leg in self._legs:
            if (leg.attempt, leg.stage) == (attempt, stage) and set(cells) <= set(leg.cells):
                return leg.of(cells)
        return None

    def add(self, leg: _Kept) -> None:
        """Remember a leg that is finished, to be written with what comes."""
        self._legs.append(leg)

    def forget_unfinished(self) -> None:
        """Let go of a state that was taken up; its tensors would stay in the memory."""
        self._legs = [leg for leg in self._legs if leg.finished]

    def is_due(self) -> bool:
        """Tell whether it is time to write; asked once after each step."""
        return self._path is not None and self._clock.is_due()

    def write(self, running: _Kept | None = None) -> None:
        """Write all that is finished, and the leg on its way.

        That they cannot be written is told, and no reason to stop.
        """
        if self._path is None:
            return
        started = time.monotonic()
        legs = [leg for leg in self._legs if leg.finished] + ([running] if running else [])
        facts = {
            "format": FORMAT,
            "made_by": self._made_by,
            "cells": list(self._cells.values()),
            "legs": [leg.facts() for leg in legs],
        }
        tensors = {
            f"{number} {name}": tensor
            for number, leg in enumerate(legs)
            for name, tensor in leg.tensors.items()
        }
        try:
            write_tensors(self._path, tensors, facts)
        except OSError as error:
            logger.warning("the work cannot be kept: %s; going on without a checkpoint", error)
        self._clock.restart(cost=time.monotonic() - started)


@dataclass(frozen=True)
class Leg:
    """One optimisation of a batch; the ``Keeper`` of its state."""

    checkpoint: Checkpoint
    attempt: int
    stage: int
    places: tuple[int, ...]
    cells: tuple[str, ...]

    def outcome(self) -> Outcome | None:
        """Return the outcome, if this leg was finished before an interruption."""
        kept = self.checkpoint.find(self.attempt, self.stage, self.cells)
        if kept is None or not kept.finished:
            return None
        return Outcome.from_tensors(kept.tensors, kept.seconds)

    def resume(self, optimiser: Optimiser) -> State | None:
        """Return the state that was kept, and give the optimiser its memory of it; if there is."""
        kept = self.checkpoint.find(self.attempt, self.stage, self.cells)
        if kept is None:
            return None
        memory = [name for name in kept.tensors if name.startswith(MEMORY)]
        optimiser.load({name.removeprefix(MEMORY): kept.tensors[name] for name in memory})
        logger.info("%s: continuing at step %d", self, kept.steps)
        self.checkpoint.forget_unfinished()
        return State.from_tensors(kept.tensors, kept.seconds)

    def offer(self, state: State, optimiser: Optimiser) -> None:
        """Write the state if it is time to."""
        if self.checkpoint.is_due():
            memory = {f"{MEMORY}{name}": one for name, one in optimiser.state().items()}
            tensors = {**state.tensors(), **memory}
            self.checkpoint.write(self._as_kept(state.steps, state.seconds, tensors))

    def finish(self, outcome: Outcome) -> None:
        """Remember the outcome."""
        kept = self._as_kept(len(outcome.trace), outcome.seconds, outcome.tensors(), finished=True)
        self.checkpoint.add(kept)

    def _as_kept(
        self, steps: int, seconds: float, tensors: Mapping[str, Tensor], *, finished: bool = False
    ) -> _Kept:
        return _Kept(self.attempt, self.stage, self.cells, finished, steps, seconds, tensors)

    def __str__(self) -> str:
        cells = ", ".join(str(place + 1) for place in self.places)
        return (
            f"{'cells' if len(self.places) > 1 else 'cell'} {cells}"
            + (f", size {self.stage + 1}" if self.stage else "")
            + (", started again" if self.attempt > 1 else "")
        )


class _Clock:
    """Tells when to write, from how long the steps and the writing take.

    Monotonic, so that a wall clock that is put right does no harm.
    """

    def __init__(self) -> None:
        self._kept = self._step = time.monotonic()
        self._cost = 0.0

    def is_due(self) -> bool:
        """Tell whether it is time; asked once after each step."""
        now = time.monotonic()
        step, self._step = now - self._step, now
        gap = min(max(SHORTEST_GAP, self._cost / SHARE), LONGEST_GAP)
        unkept = now - self._kept
        return unkept >= gap or unkept + step > LONGEST_GAP

    def restart(self, cost: float) -> None:
        """Begin a new gap, after a writing of so many seconds."""
        self._kept = self._step = time.monotonic()
        self._cost = cost


def remove_forgotten(folder: Path) -> None:
    """Remove what no job has claimed for long, as that of pairs that are no longer asked for."""
    for path in folder.glob("*/*"):
        with contextlib.suppress(FileNotFoundError):  # its own job may be removing it
            if time.time() - path.stat().st_mtime > FORGOTTEN:
                _drop(path, f"is older than {FORGOTTEN / 86400:.0f} days")


def _steps(file: tuple[Path, Mapping[str, Any]]) -> int:
    """Return how far the batch of a file got."""
    return sum(leg["steps"] for leg in file[1]["legs"])


def _read_legs(path: Path, facts: Mapping[str, Any], device: torch.device) -> list[_Kept]:
    """Read the legs of a file; none if it is damaged, which is told."""
    try:
        tensors = read_tensors(path, device)
    except FileNotFoundError:
        return []
    except (OSError, TensorFileError) as error:
        _drop(path, f"is damaged: {error}")
        return []
    legs = []
    for number, leg in enumerate(facts["legs"]):
        prefix = f"{number} "
        own = {
            name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)
        }
        legs.append(_Kept(**{**leg, "cells": tuple(leg["cells"])}, tensors=own))
    return legs


def _drop(path: Path, reason: str) -> None:
    """Remove a file that is of no use, and say so."""
    logger.warning("the checkpoint %s %s; its work is done again", path, reason)
    _remove(path)


def _remove(path: Path) -> None:
    """Remove a file; that it cannot be removed is told, and no reason to stop."""
    try:
        path.unlink()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        logger.warning("the checkpoint %s cannot be removed: %s", path, error)
