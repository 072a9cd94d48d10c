"""The sizes that a picture goes through, and what it is compared with at each."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image

from nst.config.geometry import content_size, halvings, stages, style_size
from nst.config.settings import Settings
from nst.imaging.images import stretch
from nst.method.objective import Targets, measure_targets
from nst.method.optimise import Plan
from nst.method.start import recolour
from nst.network.extractor import Extractor
from nst.network.precision import DTYPES, choose_precision
from nst.network.shapes import Float, Tensor
from nst.network.tensors import to_tensor

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Images:
    """The pictures of a pair, of mode RGB; ``start`` is for cells that start from a file."""

    content: Image.Image
    style: Image.Image
    start: Image.Image | None = None


@dataclass(frozen=True)
class Stage:
    """One size of a pair of pictures: the tensors, what they are compared with, how far to go."""

    network: Extractor
    content: Float[Tensor, "1 3 h w"]
    style: Float[Tensor, "1 3 _H _W"]
    start: Float[Tensor, "1 3 h w"] | None
    targets: Targets
    plan: Plan


def prepare_stages(
    extractor: Extractor, images: Images, cells: Sequence[Settings]
) -> Sequence[Stage]:
    """Measure the targets of cells that share a batch, at each of their sizes."""
    first = cells[0]
    precision = choose_precision(first.precision, next(extractor.parameters()).device)
    network = extractor.adapted(first.pooling, first.input, DTYPES[precision])
    sizes = stages(first, images.content.size, images.style.size)
    if len(sizes) < len(first.stages):
        logger.info("growth begins at %s px: the pictures are too narrow below", sizes[0][0])
    made = []
    for size, steps in sizes:
        content, style, start = _tensors(images, first, size, network)
        target = recolour(content, style) if first.content_target == "recoloured" else content
        targets = measure_targets(network, target, style, cells, halvings(first, size))
        plan = Plan(steps, first.keep, first.clamp)
        made.append(Stage(network, content, style, start, targets, plan))
    final = made[-1]
    made[-1] = replace(final, plan=replace(final.plan, snapshots=first.snapshots))
    return made


def picture_size(content: Image.Image, settings: Settings) -> tuple[int, int]:
    """Return the width and height in px of the result for a content."""
    return content_size(content.size, settings, settings.image_size)


def _tensors(
    images: Images, settings: Settings, size: int | tuple[int, int], network: Extractor
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Bring the pictures to the sizes at which they are compared, and onto the device."""
    device = next(network.parameters()).device
    content = stretch(images.content, content_size(images.content.size, settings, size))
    style = stretch(images.style, style_size(images.style.size, content.size, settings))
    start = None if images.start is None else to_tensor(stretch(images.start, content.size))
    return (
        to_tensor(content).to(device),
        to_tensor(style).to(device),
        None if start is None else start.to(device),
    )
