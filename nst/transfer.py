"""Style transfer of one pair of images in many variants: the whole method, top to bottom."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch.nn import functional

from nst.batches import best_batch_size, group_cells
from nst.errors import UserError
from nst.extractor import Extractor
from nst.objective import Objective, Parts
from nst.optimise import Outcome, optimise
from nst.optimisers import Adam, Lbfgs, Optimiser
from nst.settings import Settings
from nst.shapes import Float, Tensor
from nst.stages import Images, Stage, prepare_stages
from nst.start import start_image

logger = logging.getLogger(__name__)

Progress = Callable[[Sequence[int], int, Parts], None]
"""Called with the cells' places in the list, the step's number, and the losses before it."""

OPTIMISERS: Mapping[str, Callable[[Settings, float], Optimiser]] = {
    "lbfgs": lambda _, caution: Lbfgs(caution),
    "adam": lambda settings, caution: _adam(settings, caution, keras=False),
    "keras_adam": lambda settings, caution: _adam(settings, caution, keras=True),
}
CAUTION = 0.1  # how much smaller the steps are when a cell is tried again
SUMS = ("content", "style", "tv", "total")


@dataclass(frozen=True)
class Transfer:
    """A finished cell, or one that failed: then ``image`` is None and ``losses`` are empty.

    ``place`` is the cell's place in the list of settings. ``losses`` and each column of ``trace``
    are named ``content``, ``style``, ``tv``, ``total`` and, for the former, by layer.
    ``attempts`` is 2 if the cell had to be started again with smaller steps.
    """

    place: int
    settings: Settings
    image: Float[Tensor, "1 3 h w"] | None
    losses: Mapping[str, float]
    trace: Mapping[str, Sequence[float]]
    snapshots: Mapping[int, Float[Tensor, "1 3 h w"]]
    seconds: float
    attempts: int = 1


def transfer(
    extractor: Extractor,
    images: Images,
    cells: Sequence[Settings],
    *,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Transfer]:
    """Redraw a content in the style of another picture, once for each of ``cells``.

    The cells are optimised on the extractor's device, side by side, ``batch_size`` at a time, each
    as if it were alone, and yielded as they are finished. Only cells that differ in no more than
    ``nst.batches.VARIED`` share a batch. One that does not fit into the device's memory is halved.

    Raises:
        ExtractorError: a layer is unknown, or an image is too small for one.
        UserError: not even one cell fits into the memory.
    """
    size = batch_size or best_batch_size(next(extractor.parameters()).device)
    for waiting in group_cells(cells):
        stages = prepare_stages(extractor, images, [settings for _, settings in waiting])
        while waiting:
            batch = waiting[:size]
            results = _attempt(stages, batch, progress)
            if results is None:
                size = _halved(len(batch))
            else:
                yield from results
                del waiting[: len(batch)]


def _solve(
    stages: Sequence[Stage], batch: Sequence[tuple[int, Settings]], progress: Progress | None
) -> Iterator[Transfer]:
    """Optimise a batch, and once more, with smaller steps, the cells that went astray."""
    started = time.monotonic()
    outcome = _optimise(stages, batch, 1.0, progress)
    seconds = (time.monotonic() - started) / len(batch)
    for row, (place, settings) in enumerate(batch):
        if bool(outcome.finite[row]):
            yield _as_transfer(place, settings, outcome, row, seconds)
            continue
        logger.warning(
            "the loss of cell %d stopped being a finite number; starting it again with steps of "
            "%g the size",
            place + 1,
            CAUTION,
        )
        again = time.monotonic()
        retry = _optimise(stages, [(place, settings)], CAUTION, progress)
        total = seconds + time.monotonic() - again
        yield replace(_as_transfer(place, settings, retry, 0, total), attempts=2)


def _optimise(
    stages: Sequence[Stage],
    batch: Sequence[tuple[int, Settings]],
    caution: float,
    progress: Progress | None,
) -> Outcome:
    """Start the pictures and minimise the objective, at each size from where the last ended."""
    places, cells = zip(*batch, strict=True)
    outcomes: list[Outcome] = []
    for stage in stages:
        if outcomes:
            shape = stage.content.shape[-2:]
            image = functional.interpolate(outcomes[-1].images, size=shape, mode="bicubic")
            start = image.clamp(0, 1)
        else:
            pictures = (stage.content, stage.style, stage.start)
            start = torch.cat([start_image(cell, *pictures) for cell in cells])
        done = sum(len(outcome.trace) for outcome in outcomes)

        def report(number: int, parts: Parts, done: int = done) -> None:
            if progress is not None:
                progress(places, done + number, parts)

        objective = Objective(stage.network, stage.targets, cells)
        optimiser = OPTIMISERS[cells[0].optimiser](cells[0], caution)
        outcomes.append(optimise(objective, start, optimiser, stage.plan, report))
    return _joined(outcomes)


def _adam(settings: Settings, caution: float, *, keras: bool) -> Adam:
    """Build Adam as the settings ask for it."""
    betas = (settings.adam_beta1, settings.adam_beta2)
    return Adam(settings.learning_rate * caution, betas, settings.adam_epsilon, keras=keras)


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the last outcome, with the way there."""
    trace = [parts for outcome in outcomes for parts in outcome.trace]
    finite = torch.stack([outcome.finite for outcome in outcomes]).all(0)
    return replace(outcomes[-1], trace=trace, finite=finite)


def _attempt(
    stages: Sequence[Stage], batch: Sequence[tuple[int, Settings]], progress: Progress | None
) -> list[Transfer] | None:
    """Solve a batch, or return None if it does not fit into the memory.

    The memory is only free once the exception, which holds it, is gone.
    """
    try:
        return list(_solve(stages, batch, progress))
    except torch.OutOfMemoryError:
        return None
    except RuntimeError as error:
        if "can't allocate memory" in str(error):  # how torch says it of a CPU
            return None
        raise


def _halved(size: int) -> int:
    """Return half a batch size, after a batch of ``size`` did not fit into the memory."""
    if size == 1:
        raise UserError(
            "the picture does not fit into the device's memory; lower image_size, choose a smaller "
            "extractor, or set device to cpu"
        )
    logger.warning("%d cells do not fit into the memory; going on with %d", size, size // 2)
    torch.cuda.empty_cache()
    return size // 2


def _as_transfer(
    place: int, settings: Settings, outcome: Outcome, row: int, seconds: float
) -> Transfer:
    """Take one cell out of a batch's outcome."""
    if not bool(outcome.finite[row]):
        return Transfer(place, settings, None, {}, {}, {}, seconds)
    one = slice(row, row + 1)
    losses = {name: getattr(outcome.parts, name)[row].item() for name in SUMS}
    losses |= {
        name: loss[row].item()
        for name, loss in outcome.parts.layers.items()
        if _layer_weight(settings, name)
    }
    trace = {
        name: torch.stack([getattr(parts, name)[row] for parts in outcome.trace]).tolist()
        for name in SUMS
    }
    snapshots = {number: images[one] for number, images in outcome.snapshots.items()}
    return Transfer(place, settings, outcome.images[one], losses, trace, snapshots, seconds)


def _layer_weight(settings: Settings, name: str) -> float:
    """Return a cell's weight for a layer named as in ``Parts.layers``."""
    role, layer = name.split()
    weights = settings.content_layers if role == "content" else settings.style_layers
    return weights.get(layer, 0.0)
