"""One job: all the cells of a pair of images, from files to files."""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from nst.cells.cell import (
    Cell,
    Pictures,
    Source,
    changed_facts,
    current_versions,
    draw_failure,
    style_digest,
    write_details,
    write_pictures,
)
from nst.cells.measure import Measure
from nst.cells.store import CellStore
from nst.config.composition import Composition
from nst.config.geometry import content_size
from nst.config.paths import STORE
from nst.config.prints import PrintFile, with_octaves
from nst.config.variants import Variant
from nst.errors import counted
from nst.imaging.images import load_image, stack, widen, with_alpha_of
from nst.imaging.masks import check_masks
from nst.imaging.srgb import cut_out, pixel_digest
from nst.method.checkpoint import Checkpoint
from nst.method.resilience import OnStep, Transfer, make_cells, refused_if_too_large
from nst.method.stages import Images, count_steps
from nst.network.extractor import choose_precision, load_extractor, read_precision
from nst.network.tensors import Float, Tensor, from_bytes, to_image, to_levels
from nst.system.device import describe_device, describe_machine, reserve_device, use_threads
from nst.system.files import DAY, file_digest

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_REPORTS = 10
FORGOTTEN = 30 * DAY  # seconds after which nobody resumes a job, and its checkpoint is removed
NOT_FINITE = (
    "the loss stopped being a finite number, twice. Try other weights, precision: "
    "float32, optimiser: adam, or a smaller image_size."
)


@dataclass(frozen=True)
class Pair:
    """A pair of image files with their names and titles, and the network's file.

    ``composition`` lists the pictures and masks of a style that is not one whole picture. ``start``
    is the image for cells that start from a file.
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
        """Load the images.

        Raises:
            ImageError: a file cannot be read, or a mask does not fit.
        """
        style = self.composition or Composition.plain(self.style, self.style_name)
        pictures = style.mapped(load_image)
        content = load_image(self.content, keep_alpha=True)
        start = load_image(self.start, any_shape=True) if self.start else None
        check_masks(str(self), content, pictures)
        return Images(content, pictures, start)


@refused_if_too_large()
def stylize_pair(
    pair: Pair,
    wanted: Sequence[Cell],
    device: torch.device,
    store: CellStore | None = None,
    on_evaluation: OnStep | None = None,
    *,
    checkpoint: Path | None = None,
) -> list[Cell]:
    """Compute every wanted cell of a pair, or restore it from the store.

    Writes each cell's picture as soon as it is finished, and returns the cells in the order of
    ``wanted``. Cells with the same fingerprint are computed once. A cell that fails is written as a
    crossed-out field and returned with the status ``failed``; the other cells are not affected.
    Without ``on_evaluation``, the progress is logged every ten seconds. ``checkpoint`` is the job's
    own file for the batch that it is computing.

    Raises:
        UserError: a file cannot be read, or the images are too small for a layer, or too large for
            the memory.
    """
    images = pair.load()
    wanted = _described(wanted, pair, images, device)
    cells: dict[Path, Cell] = {}
    missing: dict[str, list[Cell]] = {}  # by fingerprint
    for one in wanted:
        if store and (stored := store.restore(one)):
            cells[one.path] = stored
        else:
            missing.setdefault(one.fingerprint, []).append(one)
    if cells:
        _log_reused(pair, wanted, cells)
    first = [equal[0] for equal in missing.values()]
    made_by = {**wanted[0].versions, "device": wanted[0].device}
    kept = Checkpoint(checkpoint, [one.fingerprint for one in first], made_by)
    if missing:
        for cell, pictures in _compute(
            first, pair, images, device, on_evaluation=on_evaluation, checkpoint=kept
        ):
            cells[cell.path] = cell
            write_pictures(cell, pictures)
            if store and cell.status == "finished":
                store.add(cell, pictures)
            for twin in missing[cell.fingerprint][1:]:
                cells[twin.path] = cell.named(twin)
                write_pictures(cells[twin.path], pictures)
        seconds = sum(cell.seconds for cell in cells.values() if not cell.reused)
        logger.info("%s: %s made in %.0f s", pair, counted(len(first), "cell"), seconds)
    kept.remove()  # a killed job may have left it, although all its cells are stored
    return [cells[one.path] for one in wanted]


def _described(
    wanted: Sequence[Cell], pair: Pair, images: Images, device: torch.device
) -> list[Cell]:
    """Add the sources, the size and the machine to cells, before they are computed.

    The precision ``auto`` is replaced by the one that this device uses: it affects the pixels, so
    the record and the fingerprint must contain it.
    """
    digests = images.style.mapped(pixel_digest)
    start_digest = pixel_digest(images.start) if images.start else ""
    shared: dict[str, Any] = {
        "device": describe_device(device),
        "versions": current_versions(),
        "machine": describe_machine(device),
        "extractor_digest": file_digest(pair.extractor),
        "content": Source(pair.content_name, pair.content_title, pixel_digest(images.content)),
        "composition": digests.to_dict() if pair.composition else None,
    }
    described = []
    for one in wanted:
        precision = choose_precision(one.settings.precision, device)
        settings = replace(one.settings, precision=precision)
        width, height = content_size(images.content.size, settings, settings.image_size)
        if one.print_file and images.start:
            settings = with_octaves(settings, max(width, height), max(images.start.size))
        style = style_digest(digests.blended(settings.blend))
        cell = replace(
            one,
            settings=settings,
            style=Source(pair.style_name, pair.style_title, style),
            start_digest=start_digest if settings.start == "file" else "",
            width=width,
            height=height,
            **shared,
        )
        described.append(cell)
    return described


def _log_reused(pair: Pair, wanted: Sequence[Cell], cells: Mapping[Path, Cell]) -> None:
    """Log how many cells the store had, and how many were computed under other conditions."""
    logger.info("%s: %d of %d cells were finished before", pair, len(cells), len(wanted))
    compared = (changed_facts(cells[one.path], one) for one in wanted if one.path in cells)
    if changed := [facts for facts in compared if facts]:
        facts = [f"{name} {one['then']} then, {one['now']} now" for name, one in changed[0].items()]
        told = ", ".join(facts)
        logger.info("%d of them were computed under other conditions: %s", len(changed), told)


def _compute(
    cells: Sequence[Cell],
    pair: Pair,
    images: Images,
    device: torch.device,
    *,
    on_evaluation: OnStep | None,
    checkpoint: Checkpoint,
) -> Iterator[tuple[Cell, Pictures]]:
    """Compute cells, and yield each with its pictures as soon as it is finished."""
    settings = [one.settings for one in cells]
    steps = sum(count_steps(images, one) for one in settings)
    extractor = load_extractor(pair.extractor).to(device).to(memory_format=torch.channels_last)

    @cache
    def measure(blend: float | None) -> Measure:
        return Measure(extractor, images.content, images.style.blended(blend))

    computed = make_cells(
        extractor,
        images,
        settings,
        progress=on_evaluation or _reporter(str(pair), len(cells), steps),
        checkpoint=checkpoint,
    )
    for result in computed:
        cell = cells[result.index]
        yield _finished(cell, result, images.content, measure(cell.settings.blend))


def _finished(
    cell: Cell, result: Transfer, content: Image.Image, measure: Measure
) -> tuple[Cell, Pictures]:
    """Add a result to its cell, and return the cell with its pictures.

    The pictures get the content's alpha. Those of a failed cell are crossed out.
    """
    cell = replace(cell, trace=result.trace, seconds=result.seconds, attempts=result.attempts)
    if result.image is None:
        named = f"{cell.content.name} × {cell.style.name}, {cell.layers}, {cell.ratio}"
        logger.error("%s: %s", named, NOT_FINITE)
        cell = replace(cell, status="failed", reason=NOT_FINITE)
        image = draw_failure(cell.width, cell.height)
        frames = [image] * len(cell.settings.snapshots)
        levels = widen(image) if cell.print_file else None
    else:
        picture = to_image(result.image)
        levels = to_levels(result.image) if cell.print_file else None
        cell = replace(cell, losses={**result.losses, **measure(picture)})
        image = cut_out(picture, content)
        taken = [to_image(from_bytes(shown)) for _, shown in sorted(result.snapshots.items())]
        frames = [cut_out(frame, content) for frame in taken]
    deep = None if levels is None else with_alpha_of(image, levels)
    return cell, Pictures(image, stack(frames) if frames else None, deep)


def _reporter(pair: str, count: int, steps: int) -> OnStep:
    """Return a function that logs the optimiser's progress every ten seconds."""
    started = last = time.monotonic()
    taken = 0  # steps of this process, including those of an abandoned attempt
    reached: dict[int, int] = {}

    def report(
        indices: Sequence[int], evaluation: int, _of: int, losses: Float[Tensor, "4 b"]
    ) -> None:
        nonlocal last, taken
        taken += len(indices)
        reached.update(dict.fromkeys(indices, evaluation))
        if time.monotonic() - last < SECONDS_BETWEEN_REPORTS:
            return
        last = time.monotonic()
        done = sum(reached.values())
        content, style, *_ = losses.mean(1).tolist()  # in the order of SUMS
        left = (last - started) / taken * (steps - done)
        logger.info(
            "%s: %.0f %% of %d cells, content %.3g, style %.3g, %.0f s left",
            *(pair, 100 * done / steps, count, content, style, left),
        )

    return report


def stylize_by_rule(
    snakemake: Any, variants: Sequence[Variant], print_file: PrintFile | None = None
) -> None:
    """Compute the ``variants`` of a pair, as prints if ``print_file`` is given; write the details.

    ``snakemake`` is the object that Snakemake passes to a script. Its ``input`` has ``content``,
    ``style``, ``extractor`` and optionally ``start`` and the files of ``precision``. ``output`` has
    ``pictures`` and optionally ``snapshots``, in the order of the variants, and ``details``. With a
    storage plugin, these paths differ from the rule's patterns. ``params`` has the ``names`` of the
    pair and the ``composition`` of its style.

    Raises:
        UserError: as ``stylize_pair``.
    """
    files, output, params = snakemake.input, snakemake.output, snakemake.params
    with reserve_device(snakemake.config.get("device", "auto")) as device:
        use_threads(snakemake.threads)
        recorded = [read_precision(Path(path)) for path in files.get("precision", [])]
        snapshots = map(Path, output.get("snapshots", []))
        wanted = []
        for one, picture in zip(variants, output.pictures, strict=True):
            settings = one.settings
            if recorded and settings.precision == "auto":
                settings = replace(settings, precision=recorded[0])
            wanted.append(
                Cell(
                    *(one.layers, one.ratio, one.formulation, settings, Path(picture)),
                    snapshots=next(snapshots, None) if settings.snapshots else None,
                    print_file=print_file,
                )
            )
        made_of, start = params.composition, files.get("start")
        pair = Pair(
            content=Path(files.content),
            style=Path(files.style),
            extractor=Path(files.extractor),
            start=Path(start) if start else None,
            composition=Composition.from_dict(made_of).mapped(Path) if made_of else None,
            **params.names,
        )
        kept = _checkpoint_of([snakemake.rule, *snakemake.wildcards])
        cells = stylize_pair(pair, wanted, device, CellStore(STORE), checkpoint=kept)
    write_details({cell.path: cell for cell in cells}, Path(output.details))


def _checkpoint_of(job: Sequence[str]) -> Path:
    """Return the checkpoint's file of a job, named after its rule and wildcards.

    Its paths may differ at the next attempt, with a storage plugin. Forgotten files are removed.
    """
    folder = STORE / "checkpoints"
    for path in folder.glob("*.pt"):
        with suppress(OSError):  # another job was first
            if time.time() - path.stat().st_mtime > FORGOTTEN:
                path.unlink()
    return folder / f"{hashlib.sha256(json.dumps(job).encode()).hexdigest()[:32]}.pt"
