"""One job: all the cells of a pair of images, from files to files."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import torch
from PIL import Image

from nst.cells.cell import (
    Cell,
    Source,
    changed_facts,
    current_versions,
    draw_failure,
    style_digest,
    write_cell,
    write_print,
)
from nst.cells.measure import Measure
from nst.cells.store import CellStore
from nst.config.composition import Composition
from nst.config.names import counted
from nst.config.prints import PrintFile, check_larger
from nst.config.settings import Settings
from nst.config.variants import Variant
from nst.imaging.deep import Levels, widen, with_alpha_of
from nst.imaging.images import load_image, pixel_digest, save_png, stack
from nst.imaging.masks import check_masks
from nst.imaging.transparency import cut_out, on_white
from nst.method.batches import refused_if_too_large
from nst.method.checkpoint import Checkpoint
from nst.method.objective import SUMS
from nst.method.resilience import Progress, Transfer, make_cells
from nst.method.stages import Images, count_steps, picture_size
from nst.network.extractor import file_digest, load_extractor
from nst.network.precision import Precision, choose_precision
from nst.network.shapes import Float, Tensor
from nst.network.tensors import from_bytes, to_image, to_levels
from nst.system.device import describe_device
from nst.system.machine import describe_machine

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_REPORTS = 10


@dataclass(frozen=True)
class Wanted:
    """A cell to make: the names of its variant, its settings, and where its picture goes.

    ``snapshots`` is where the pictures on the way go, stacked in one, if the settings ask for any.
    ``print_file`` says what is to be written if it is a print.
    """

    layers: str
    ratio: str
    formulation: str
    settings: Settings
    path: Path
    snapshots: Path | None = None
    print_file: PrintFile | None = None

    @property
    def deep(self) -> bool:
        """Whether a file of 16 bits is wanted."""
        return self.print_file is not None and self.print_file.deep(self.path) is not None


@dataclass(frozen=True)
class Pair:
    """A pair of image files with their names and titles, and the extractor's file.

    ``composition`` says what the style is made of if it is not one whole picture. ``start`` is an
    image for the cells that start from a file.
    """

    content: Path
    content_name: str
    content_title: str
    style: Path
    style_name: str
    style_title: str
    extractor: Path
    start: Path | None = None
    composition: Composition[Path] | None = None

    def __str__(self) -> str:
        return f"{self.content_name} × {self.style_name}"

    def load(self) -> Images:
        """Read the pictures.

        Raises:
            ImageError: a file cannot be read, or a mask does not fit.
        """
        style = self.composition or Composition.plain(self.style, self.style_name)
        images = Images(
            load_image(self.content, keep_alpha=True),
            style.mapped(load_image),
            load_image(self.start, any_shape=True) if self.start else None,
        )
        check_masks(str(self), images.content, images.style)
        return images


def want_cells(
    variants: Iterable[Variant],
    pictures: Iterable[str],
    snapshots: Iterable[str] = (),
    precision: Precision | None = None,
    *,
    print_file: PrintFile | None = None,
) -> list[Wanted]:
    """Say what to make of each variant, and where: paths end in ``{layers}/{ratio}.png``.

    ``precision`` takes the place of ``auto``. With ``print_file`` they are prints.
    """
    wanted_at, stack_at = _by_tail(pictures), _by_tail(snapshots)
    wanted = []
    for one in variants:
        settings = one.settings
        if precision and settings.precision == "auto":
            settings = replace(settings, precision=precision)
        tail = f"{one.layers}/{one.ratio}.png"
        names = (one.layers, one.ratio, one.formulation)
        wanted.append(Wanted(*names, settings, wanted_at[tail], stack_at.get(tail), print_file))
    return wanted


def _by_tail(paths: Iterable[str]) -> dict[str, Path]:
    """Return paths by each of their ends, from the whole name of the file on."""
    found = {}
    for path in map(Path, paths):
        for start in range(1, len(path.parts) + 1):
            found["/".join(path.parts[-start:])] = path
    return found


def stylize_pair(
    pair: Pair,
    wanted: Sequence[Wanted],
    device: torch.device,
    store: CellStore | None = None,
    on_evaluation: Progress | None = None,
    *,
    checkpoints: Path | None = None,
) -> list[Cell]:
    """Make every wanted cell of a pair, taking from the store what is there.

    Writes each cell's picture as soon as it is finished, and returns the cells in the order of
    ``wanted``. A cell that fails is written as a crossed-out field and returned with the status
    ``failed``; the others are not touched by it. Without ``on_evaluation``, a line about the
    progress is logged every ten seconds. ``checkpoints`` is the folder where the jobs of all
    pairs keep the batch that they are making.

    Raises:
        UserError: a file cannot be read, or the images are too small for a layer.
    """
    with refused_if_too_large():
        wanted = [_with_precision(one, device) for one in wanted]
    images = pair.load()
    _check_prints(wanted, images)
    drafts = _draft_cells(pair, wanted, images, device)
    cells: dict[Path, Cell] = {}
    missing: list[tuple[Wanted, Cell]] = []
    for one, draft in zip(wanted, drafts, strict=True):
        stored = _restore(store, one, draft) if store else None
        if stored:
            cells[one.path] = stored
        else:
            missing.append((one, draft))
    if cells:
        logger.info("%s: %d of %d cells were finished before", pair, len(cells), len(wanted))
        _log_differences(
            cells, {one.path: draft for one, draft in zip(wanted, drafts, strict=True)}
        )
    if missing:
        distinct = _distinct(missing)
        first = [equal[0] for equal in distinct.values()]
        steps = sum(count_steps(images, one.settings) for one, _ in first)
        report = on_evaluation or _Reporter(str(pair), len(first), steps)
        checkpoint = _checkpoint(checkpoints, pair, first)
        made = _make(
            pair.extractor, first, images, device, on_evaluation=report, checkpoint=checkpoint
        )
        for finished in made:
            (one, _), *twins = distinct[finished.cell.fingerprint]
            _write(finished, one, store)
            cells[one.path] = finished.cell
            for one, draft in twins:
                twin = finished.named(draft)
                _write(twin, one)
                cells[one.path] = twin.cell
        seconds = sum(cell.seconds for cell in cells.values() if not cell.reused)
        logger.info("%s: %s made in %.0f s", pair, counted(len(first), "cell"), seconds)
    return [cells[one.path] for one in wanted]


def _check_prints(wanted: Sequence[Wanted], images: Images) -> None:
    """Require that prints are larger than the cells that they start from."""
    for one in wanted:
        if one.print_file and images.start:
            size = max(picture_size(images.content, one.settings))
            check_larger(size, max(images.start.size), "its cell")


def _restore(store: CellStore, wanted: Wanted, draft: Cell) -> Cell | None:
    """Take a cell from the store if it is there, and still there when it is copied."""
    stored = store.find(draft.fingerprint, deep=wanted.deep)
    if stored is None:
        return None
    try:
        return store.restore(
            stored, draft, wanted.path, wanted.snapshots, print_file=wanted.print_file
        )
    except FileNotFoundError:
        logger.info("another job replaced the stored cell %s; making it again", draft.fingerprint)
        return None


def _distinct(missing: Sequence[tuple[Wanted, Cell]]) -> dict[str, list[tuple[Wanted, Cell]]]:
    """Group the cells to make by their fingerprints: equal ones are made once."""
    equal: dict[str, list[tuple[Wanted, Cell]]] = {}
    for one, draft in missing:
        equal.setdefault(draft.fingerprint, []).append((one, draft))
    return equal


def _log_differences(cells: Mapping[Path, Cell], drafts: Mapping[Path, Cell]) -> None:
    """Log which of the cells from the store would come out a little differently today."""
    changed = [changed_facts(cell, drafts[path]) for path, cell in cells.items()]
    if first := next(filter(None, changed), None):
        facts = ", ".join(f"{name} {then} then, {now} now" for name, (then, now) in first.items())
        logger.info("%d of them were made differently: %s", sum(map(bool, changed)), facts)


def _with_precision(wanted: Wanted, device: torch.device) -> Wanted:
    """Put the precision that this device is to use in the place of ``auto``.

    It decides pixels, so the cell's record and fingerprint must have it.
    """
    precision = choose_precision(wanted.settings.precision, device)
    return replace(wanted, settings=replace(wanted.settings, precision=precision))


@dataclass(frozen=True)
class _Finished:
    """What came out: the cell, its picture, and the pictures on the way.

    Of a print also its ``levels``, the picture in 16 bits.
    """

    cell: Cell
    image: Image.Image
    snapshots: Image.Image | None
    levels: Levels | None = None

    def named(self, draft: Cell) -> _Finished:
        """Return it under the names of an equal cell."""
        names = {name: getattr(draft, name) for name in ("layers", "ratio", "formulation")}
        return replace(self, cell=replace(self.cell, **names, reused=True))


def _make(
    extractor_path: Path,
    missing: Sequence[tuple[Wanted, Cell]],
    images: Images,
    device: torch.device,
    *,
    on_evaluation: Progress,
    checkpoint: Checkpoint,
) -> Iterator[_Finished]:
    """Compute the missing cells, and hand out each as it is finished."""
    with refused_if_too_large():
        extractor = load_extractor(extractor_path).to(device).to(memory_format=torch.channels_last)

    @cache
    def measure(blend: float | None) -> Measure:
        return Measure(extractor, on_white(images.content), images.style.blended(blend))

    settings = [one.settings for one, _ in missing]
    for result in make_cells(
        extractor, images, settings, progress=on_evaluation, checkpoint=checkpoint
    ):
        one, draft = missing[result.index]
        with refused_if_too_large():
            finished = _finish(draft, result, images.content, measure(one.settings.blend))
            if one.print_file:
                finished = replace(finished, levels=_levels(finished.image, result))
        yield finished


def _checkpoint(
    folder: Path | None, pair: Pair, missing: Sequence[tuple[Wanted, Cell]]
) -> Checkpoint:
    """Return the checkpoint of a pair's job: one file in ``folder``, named after the pair."""
    if folder is None:
        return Checkpoint(None)
    names = json.dumps([pair.content_name, pair.style_name])
    path = folder / f"{hashlib.sha256(names.encode()).hexdigest()[:32]}.pt"
    drafts = [draft for _, draft in missing]
    made_by = {**drafts[0].versions, "device": drafts[0].device}
    return Checkpoint(path, [draft.fingerprint for draft in drafts], made_by)


def _write(finished: _Finished, wanted: Wanted, store: CellStore | None = None) -> None:
    """Write a cell's files, and keep them if it did not fail."""
    if finished.snapshots and wanted.snapshots:
        save_png(finished.snapshots, wanted.snapshots)
    cell, image, levels = finished.cell, finished.image, finished.levels
    if wanted.print_file:
        write_print(cell, image, wanted.path, wanted.print_file, levels)
    else:
        write_cell(cell, image, wanted.path)
    if store and cell.status == "finished":
        store.add(cell, image, finished.snapshots, levels)


def _draft_cells(
    pair: Pair, wanted: Sequence[Wanted], images: Images, device: torch.device
) -> list[Cell]:
    """Describe the cells as far as is known before they are made."""
    content = Source(pair.content_name, pair.content_title, pixel_digest(images.content))
    digests = images.style.mapped(pixel_digest)
    start_digest = pixel_digest(images.start) if images.start else ""
    extractor_digest = file_digest(pair.extractor)
    drafts = []
    for one in wanted:
        width, height = picture_size(images.content, one.settings)
        draft = Cell(
            content=content,
            style=Source(
                pair.style_name,
                pair.style_title,
                style_digest(digests.blended(one.settings.blend)),
            ),
            composition=None if pair.composition is None else digests.to_dict(),
            layers=one.layers,
            ratio=one.ratio,
            formulation=one.formulation,
            settings=one.settings,
            extractor_digest=extractor_digest,
            start_digest=start_digest if one.settings.start == "file" else "",
            width=width,
            height=height,
            losses={},
            device=describe_device(device),
            versions=current_versions(),
            machine=describe_machine(device),
            trace={},
            seconds=0.0,
            attempts=0,
        )
        drafts.append(draft)
    return drafts


def _finish(draft: Cell, result: Transfer, content: Image.Image, measure: Measure) -> _Finished:
    """Fill in a draft with what came out, as transparent as the content."""
    cell = replace(draft, trace=result.trace, seconds=result.seconds, attempts=result.attempts)
    if result.image is not None:
        picture = to_image(result.image)
        losses = {**result.losses, **measure(picture)}
        frames = [
            cut_out(to_image(from_bytes(frame)), content)
            for _, frame in sorted(result.snapshots.items())
        ]
        return _Finished(
            replace(cell, losses=losses),
            cut_out(picture, content),
            stack(frames) if frames else None,
        )
    reason = (
        "the loss stopped being a finite number, twice. Try other weights, optimiser: adam, or a "
        "smaller image_size."
    )
    named = f"{cell.content.name} × {cell.style.name}, {cell.layers}, {cell.ratio}"
    logger.error("%s: %s", named, reason)
    failure = draw_failure(cell.width, cell.height)
    count = len(draft.settings.snapshots)
    return _Finished(
        replace(cell, status="failed", reason=reason),
        failure,
        stack([failure] * count) if count else None,
    )


def _levels(picture: Image.Image, result: Transfer) -> Levels:
    """Return a finished picture in 16 bits; of a cell that failed, what stands in its place."""
    if result.image is None:
        return widen(picture)
    return with_alpha_of(picture, to_levels(result.image))


class _Reporter:
    """Turns the optimiser's progress into a line of text every ten seconds."""

    def __init__(self, pair: str, count: int, steps: int) -> None:
        self._pair = pair
        self._count = count
        self._all = steps
        self._done: dict[int, int] = {}
        self._before = 0  # steps that another process took
        self._started = self._last = time.monotonic()

    def __call__(
        self, indices: Sequence[int], evaluation: int, _of: int, losses: Float[Tensor, "4 b"]
    ) -> None:
        self._before += sum(evaluation - 1 for index in indices if index not in self._done)
        # At a second attempt, ``evaluation`` begins anew; this process took the first one's steps.
        self._before -= sum(
            self._done[index] for index in indices if self._done.get(index, 0) > evaluation
        )
        self._done.update(dict.fromkeys(indices, evaluation))
        if time.monotonic() - self._last < SECONDS_BETWEEN_REPORTS:
            return
        self._last = time.monotonic()
        done = sum(self._done.values())
        means = dict(zip(SUMS, losses.mean(1).tolist(), strict=True))
        pace = (self._last - self._started) / max(1, done - self._before)
        logger.info(
            "%s: %.0f %% of %d cells, content %.3g, style %.3g, %.0f s left",
            self._pair,
            100 * done / self._all,
            self._count,
            means["content"],
            means["style"],
            pace * (self._all - done),
        )
