"""Style transfer of one pair of images in many variants: the whole method, top to bottom."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch.nn import functional

from nst.errors import UserError
from nst.extractor import Extractor
from nst.images import fit_long_side, fit_short_side, stretch
from nst.objective import Objective, Parts, Targets, measure_targets
from nst.optimise import Adam, Lbfgs, Optimiser, Outcome, Plan, optimise
from nst.precision import DTYPES, choose_precision
from nst.settings import Settings
from nst.shapes import Float, Tensor
from nst.start import start_image
from nst.tensors import to_tensor

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
VARIED = frozenset(
    {
        *("alpha", "beta", "tv_weight", "content_layers", "style_layers"),
        *("start", "start_noise", "seed"),
    }
)


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


@dataclass(frozen=True)
class Images:
    """The pictures of a pair, of mode RGB; ``start`` is for cells that start from a file."""

    content: Image.Image
    style: Image.Image
    start: Image.Image | None = None


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
    ``VARIED`` share a batch. A batch that does not fit into the device's memory is halved.

    Raises:
        ExtractorError: a layer is unknown, or an image is too small for one.
        UserError: not even one cell fits into the memory.
    """
    size = batch_size or best_batch_size(next(extractor.parameters()).device)
    for waiting in _groups(cells):
        stages = _prepare(extractor, images, [settings for _, settings in waiting])
        while waiting:
            batch = waiting[:size]
            results = _attempt(stages, batch, progress)
            if results is None:
                size = _halved(len(batch))
            else:
                yield from results
                del waiting[: len(batch)]


def best_batch_size(device: torch.device) -> int:
    """Choose how many cells to optimise side by side.

    A GPU is only filled by many pictures at once. A CPU is filled by one: batches of 2 and 6
    brought nothing there, take more memory, and finish nothing until the end.
    """
    return 1 if device.type == "cpu" else 16


def picture_size(content: Image.Image, settings: Settings) -> tuple[int, int]:
    """Return the width and height in px of the result for a content."""
    return _resize(content, settings, settings.image_size).size


@dataclass(frozen=True)
class _Stage:
    """One size of a pair of pictures: the tensors, what they are compared with, how far to go."""

    network: Extractor
    content: Float[Tensor, "1 3 h w"]
    style: Float[Tensor, "1 3 _H _W"]
    start: Float[Tensor, "1 3 h w"] | None
    targets: Targets
    plan: Plan


def _prepare(extractor: Extractor, images: Images, cells: Sequence[Settings]) -> Sequence[_Stage]:
    """Measure the targets of cells that share a batch, at each of their sizes."""
    first = cells[0]
    precision = choose_precision(first.precision, next(extractor.parameters()).device)
    network = extractor.adapted(first.pooling, first.input, DTYPES[precision])
    stages = []
    for size, steps in (*first.coarse_stages, (first.image_size, first.iterations)):
        content, style, start = _tensors(images, first, size, network)
        targets = measure_targets(network, content, style, cells)
        plan = Plan(steps, first.keep, first.clamp)
        stages.append(_Stage(network, content, style, start, targets, plan))
    final = stages[-1]
    stages[-1] = replace(final, plan=replace(final.plan, snapshots=first.snapshots))
    return stages


def _solve(
    stages: Sequence[_Stage], batch: Sequence[tuple[int, Settings]], progress: Progress | None
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
    stages: Sequence[_Stage],
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


def _tensors(
    images: Images, settings: Settings, size: int | tuple[int, int], network: Extractor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Bring the pictures to the sizes at which they are compared, and onto the device."""
    device = next(network.parameters()).device
    content = _resize(images.content, settings, size)
    if settings.style_fit == "content":
        style = stretch(images.style, content.size)
    else:
        style = fit_long_side(images.style, max(1, round(max(content.size) * settings.style_scale)))
    start = None if images.start is None else to_tensor(stretch(images.start, content.size))
    return (
        to_tensor(content).to(device),
        to_tensor(style).to(device),
        None if start is None else start.to(device),
    )


def _resize(picture: Image.Image, settings: Settings, size: int | tuple[int, int]) -> Image.Image:
    """Bring a content to a size as the settings define it."""
    if isinstance(size, tuple):
        return stretch(picture, size)
    fit = fit_short_side if settings.size == "short_side" else fit_long_side
    return fit(picture, size)


def _adam(settings: Settings, caution: float, *, keras: bool) -> Adam:
    """Build Adam as the settings ask for it."""
    betas = (settings.adam_beta1, settings.adam_beta2)
    return Adam(settings.learning_rate * caution, betas, settings.adam_epsilon, keras=keras)


def _joined(outcomes: Sequence[Outcome]) -> Outcome:
    """Return the last outcome, with the way there."""
    trace = [parts for outcome in outcomes for parts in outcome.trace]
    finite = torch.stack([outcome.finite for outcome in outcomes]).all(0)
    return replace(outcomes[-1], trace=trace, finite=finite)


def _shared(settings: Settings) -> Mapping[str, object]:
    """Return the settings that the cells of a batch have in common."""
    return {name: value for name, value in settings.to_dict().items() if name not in VARIED}


def _groups(cells: Sequence[Settings]) -> list[list[tuple[int, Settings]]]:
    """Number the cells, and put those together that can share a batch."""
    groups: list[list[tuple[int, Settings]]] = []
    for place, cell in enumerate(cells):
        for group in groups:
            if _shared(group[0][1]) == _shared(cell):
                group.append((place, cell))
                break
        else:
            groups.append([(place, cell)])
    return groups


def _attempt(
    stages: Sequence[_Stage], batch: Sequence[tuple[int, Settings]], progress: Progress | None
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
