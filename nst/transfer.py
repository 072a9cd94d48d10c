"""Style transfer of one pair of images in many variants: the whole method, top to bottom."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import torch

from nst.errors import ConfigError, UserError
from nst.extractor import Extractor
from nst.objective import Objective, Parts, Targets, measure_targets
from nst.optimise import Adam, Lbfgs, Optimiser, Outcome, optimise
from nst.settings import Settings
from nst.shapes import Float, Tensor
from nst.start import start_image

logger = logging.getLogger(__name__)

Progress = Callable[[Sequence[int], int, Parts], None]
"""Called with the cells' places in the list, the evaluation's number, and the losses."""

OPTIMISERS: Mapping[str, Callable[[float], Optimiser]] = {
    "lbfgs": Lbfgs,
    "adam": lambda caution: Adam(learning_rate=0.02 * caution),
}
CAUTION = 0.1  # how much smaller the steps are when a cell is tried again
SUMS = ("content", "style", "tv", "total")
VARIED = {"alpha", "beta", "tv_weight", "content_layers", "style_layers", "start", "seed"}


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
    seconds: float
    attempts: int = 1


def transfer(
    extractor: Extractor,
    content: Float[Tensor, "1 3 _h _w"],
    style: Float[Tensor, "1 3 _H _W"],
    cells: Sequence[Settings],
    *,
    batch_size: int | None = None,
    progress: Progress | None = None,
) -> Iterator[Transfer]:
    """Redraw ``content`` in the style of ``style``, once for each of ``cells``.

    The images are RGB in [0, 1], on the extractor's device. The cells are optimised side by side,
    ``batch_size`` at a time, each as if it were alone, and yielded as they are finished. A batch
    that does not fit into the device's memory is halved.

    Raises:
        ConfigError: the cells differ in something that a batch has to share.
        ExtractorError: a layer is unknown, or an image is too small for one.
        UserError: not even one cell fits into the memory.
    """
    _check_shared(cells)
    targets = measure_targets(extractor, content, style, cells)
    problem = _Problem(extractor, targets, content, style, progress)
    size = batch_size or best_batch_size(content.device)
    waiting = list(enumerate(cells))
    while waiting:
        batch = waiting[:size]
        try:
            results = list(problem.solve(batch))
        except torch.OutOfMemoryError as error:
            size = _halved(len(batch), cells[0].image_size, error)
            continue
        yield from results
        waiting = waiting[size:]


def best_batch_size(device: torch.device) -> int:
    """Choose how many cells to optimise side by side.

    A GPU is only filled by many pictures at once. A CPU is filled by one: batches of 2 and 6
    brought nothing there, take more memory, and finish nothing until the end.
    """
    return 1 if device.type == "cpu" else 16


def _halved(size: int, image_size: int, error: Exception) -> int:
    """Return half a batch size, after a batch of ``size`` did not fit into the memory."""
    if size == 1:
        raise UserError(
            f"a picture of image_size {image_size} does not fit into the device's memory; lower "
            "image_size, choose a smaller extractor, or set device to cpu"
        ) from error
    logger.warning("%d cells do not fit into the memory; going on with %d", size, size // 2)
    torch.cuda.empty_cache()
    return size // 2


@dataclass(frozen=True)
class _Problem:
    """What all batches of a pair share."""

    extractor: Extractor
    targets: Targets
    content: Tensor
    style: Tensor
    progress: Progress | None

    def solve(self, batch: Sequence[tuple[int, Settings]]) -> Iterator[Transfer]:
        """Optimise a batch, and once more, with smaller steps, the cells that went astray."""
        started = time.monotonic()
        outcome = self._optimise(batch, caution=1.0)
        seconds = (time.monotonic() - started) / len(batch)
        for row, (place, settings) in enumerate(batch):
            if bool(outcome.finite[row]):
                yield _as_transfer(place, settings, outcome, row, seconds)
                continue
            logger.warning(
                "the loss of cell %d stopped being a finite number; starting it again with "
                "steps of %g the size",
                place + 1,
                CAUTION,
            )
            retry = self._optimise([(place, settings)], caution=CAUTION)
            total = seconds + time.monotonic() - started
            yield replace(_as_transfer(place, settings, retry, 0, total), attempts=2)

    def _optimise(self, batch: Sequence[tuple[int, Settings]], caution: float) -> Outcome:
        """Write the objective, start the pictures, and optimise them."""
        places, cells = zip(*batch, strict=True)
        objective = Objective(self.extractor, self.targets, cells)
        start = torch.cat([start_image(cell, self.content, self.style) for cell in cells])
        optimiser = OPTIMISERS[cells[0].optimiser](caution)

        def report(evaluation: int, parts: Parts) -> None:
            if self.progress is not None:
                self.progress(places, evaluation, parts)

        return optimise(objective, start, optimiser, cells[0].iterations, report)


def _as_transfer(
    place: int, settings: Settings, outcome: Outcome, row: int, seconds: float
) -> Transfer:
    """Take one cell out of a batch's outcome."""
    if not bool(outcome.finite[row]):
        return Transfer(place, settings, None, {}, {}, seconds)
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
    return Transfer(place, settings, outcome.images[row : row + 1], losses, trace, seconds)


def _layer_weight(settings: Settings, name: str) -> float:
    """Return a cell's weight for a layer named as in ``Parts.layers``."""
    role, layer = name.split()
    weights = settings.content_layers if role == "content" else settings.style_layers
    return weights.get(layer, 0.0)


def _check_shared(cells: Sequence[Settings]) -> None:
    """Require the cells of a pair to differ only in what a batch can vary."""
    first = cells[0].to_dict()
    for cell in cells[1:]:
        for name, value in cell.to_dict().items():
            if name not in VARIED and value != first[name]:
                raise ConfigError(
                    f"all variants of a pair share {name}; got {first[name]!r} and {value!r}"
                )
