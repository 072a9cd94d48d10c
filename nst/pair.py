"""One job: all the cells of a pair of images, from files to files."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from PIL import Image

from nst.cell import Cell, Source, current_versions, draw_failure, write_cell
from nst.device import describe_device
from nst.extractor import file_digest, load_extractor
from nst.images import fit_long_side, load_image, pixel_digest
from nst.objective import Parts
from nst.settings import Settings
from nst.store import CellStore
from nst.tensors import to_image, to_tensor
from nst.transfer import Progress, Transfer, transfer

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_REPORTS = 10


@dataclass(frozen=True)
class Wanted:
    """A cell to make: the names of its variant, its settings, and where its picture goes."""

    layers: str
    ratio: str
    settings: Settings
    path: Path


@dataclass(frozen=True)
class Pair:
    """A pair of image files with their names and titles, and the extractor's file."""

    content: Path
    content_name: str
    content_title: str
    style: Path
    style_name: str
    style_title: str
    extractor: Path

    def __str__(self) -> str:
        return f"{self.content_name} × {self.style_name}"


def stylize_pair(
    pair: Pair,
    wanted: Sequence[Wanted],
    device: torch.device,
    store: CellStore | None = None,
    on_evaluation: Progress | None = None,
) -> list[Cell]:
    """Make every wanted cell of a pair, taking from the store what is there.

    Writes each cell's picture and JSON as soon as it is finished. A cell that fails is written as
    a crossed-out field and returned with the status ``failed``; the others are not touched by it.
    Without ``on_evaluation``, a line about the progress is logged every ten seconds.

    Raises:
        UserError: a file cannot be read, or the images are too small for a layer.
    """
    images = load_image(pair.content), load_image(pair.style)
    drafts = _draft_cells(pair, wanted, *images, device)
    cells: list[Cell] = []
    missing: list[tuple[Wanted, Cell]] = []
    for one, draft in zip(wanted, drafts, strict=True):
        stored = store.find(draft.fingerprint) if store else None
        if store and stored:
            cells.append(store.restore(stored, draft, one.path))
        else:
            missing.append((one, draft))
    if cells:
        logger.info("%s: %d of %d cells were finished before", pair, len(cells), len(wanted))
    if missing:
        report = on_evaluation or _Reporter(str(pair), missing)
        for one, cell, image in _make(pair.extractor, missing, images, device, report):
            write_cell(cell, image, one.path)
            if store and cell.status == "finished":
                store.add(cell, image)
            cells.append(cell)
        seconds = sum(cell.seconds for cell in cells if not cell.reused)
        logger.info("%s: %d cells made in %.0f s", pair, len(missing), seconds)
    return cells


def _make(
    extractor_path: Path,
    missing: Sequence[tuple[Wanted, Cell]],
    images: tuple[Image.Image, Image.Image],
    device: torch.device,
    on_evaluation: Progress,
) -> Iterator[tuple[Wanted, Cell, Image.Image]]:
    """Compute the missing cells, and hand out each as it is finished."""
    extractor = load_extractor(extractor_path).to(device).to(memory_format=torch.channels_last)
    settings = [one.settings for one, _ in missing]
    content, style = (
        to_tensor(fit_long_side(image, size)).to(device)
        for image, size in zip(images, _sizes(settings[0]), strict=True)
    )
    for result in transfer(extractor, content, style, settings, progress=on_evaluation):
        one, draft = missing[result.place]
        yield one, *_finish(draft, result)


def _sizes(settings: Settings) -> tuple[int, int]:
    """Return the longer sides, in px, at which the content and the style are compared."""
    return settings.image_size, max(1, round(settings.image_size * settings.style_scale))


def _draft_cells(
    pair: Pair,
    wanted: Sequence[Wanted],
    content: Image.Image,
    style: Image.Image,
    device: torch.device,
) -> list[Cell]:
    """Describe the cells as far as is known before they are made."""
    content_source = Source(pair.content_name, pair.content_title, pixel_digest(content))
    style_source = Source(pair.style_name, pair.style_title, pixel_digest(style))
    extractor_digest = file_digest(pair.extractor)
    width, height = fit_long_side(content, wanted[0].settings.image_size).size
    return [
        Cell(
            content=content_source,
            style=style_source,
            layers=one.layers,
            ratio=one.ratio,
            settings=one.settings,
            extractor_digest=extractor_digest,
            width=width,
            height=height,
            losses={},
            device=describe_device(device),
            versions=current_versions(),
            trace={},
            seconds=0.0,
            attempts=0,
        )
        for one in wanted
    ]


def _finish(draft: Cell, result: Transfer) -> tuple[Cell, Image.Image]:
    """Fill in a draft with what came out."""
    cell = replace(
        draft,
        losses=result.losses,
        trace=result.trace,
        seconds=result.seconds,
        attempts=result.attempts,
    )
    if result.image is not None:
        return cell, to_image(result.image)
    reason = (
        f"the loss of {cell.layers}, {cell.ratio} stopped being a finite number, twice. "
        "Try other weights, optimiser: adam, or a smaller image_size."
    )
    logger.error("%s × %s: %s", cell.content.name, cell.style.name, reason)
    return replace(cell, status="failed", reason=reason), draw_failure(cell.width, cell.height)


class _Reporter:
    """Turns the optimiser's progress into a line of text every ten seconds."""

    def __init__(self, pair: str, missing: Sequence[tuple[Wanted, Cell]]) -> None:
        self._pair = pair
        self._count = len(missing)
        self._evaluations = missing[0][0].settings.iterations
        self._started = self._last = time.monotonic()

    def __call__(self, places: Sequence[int], evaluation: int, parts: Parts) -> None:
        if time.monotonic() - self._last < SECONDS_BETWEEN_REPORTS:
            return
        self._last = time.monotonic()
        done = (places[0] + len(places) * evaluation / self._evaluations) / self._count
        left = (self._last - self._started) * (1 - done) / done
        logger.info(
            "%s: %.0f %% of %d cells, content %.3f, style %.3f, %.0f s left",
            self._pair,
            100 * done,
            self._count,
            parts.content.mean(),
            parts.style.mean(),
            left,
        )
