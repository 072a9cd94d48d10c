"""The sizes that a pair of pictures goes through."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image

from nst.config.geometry import content_size, halvings, stages, style_size
from nst.config.settings import Settings
from nst.imaging.images import stretch
from nst.method.colours import prepare_colours, recolour
from nst.method.optimise import Plan
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
    """One size of a pair of pictures, RGB in [0, 1], and how far to go there.

    ``original`` is the content in its own colours; ``content`` and ``style`` are in those in which
    they are compared. ``target`` is what the content loss compares with: the content, or the
    content recoloured. ``halvings`` says how often the size was halved against that in the end.
    """

    original: Float[Tensor, "1 3 h w"]
    content: Float[Tensor, "1 3 h w"]
    target: Float[Tensor, "1 3 h w"]
    style: Float[Tensor, "1 3 _H _W"]
    start: Float[Tensor, "1 3 h w"] | None
    halvings: int
    plan: Plan


def prepare_stages(images: Images, settings: Settings, device: torch.device) -> Sequence[Stage]:
    """Bring the pictures to each of the sizes that they go through, the smallest first."""
    sizes = stages(settings, images.content.size, images.style.size)
    if len(sizes) < len(settings.stages):
        logger.info("growth begins at %s px: the pictures are too narrow below", sizes[0][0])
    made = []
    for size, steps in sizes:
        original, style, start = _tensors(images, settings, size, device)
        content, style = prepare_colours(original, style, settings.colours)
        recoloured = settings.content_target == "recoloured"
        target = recolour(content, style) if recoloured else content
        plan = Plan(steps, settings.keep, settings.clamp)
        halved = halvings(settings, size)
        made.append(Stage(original, content, target, style, start, halved, plan))
    made[-1] = replace(made[-1], plan=replace(made[-1].plan, snapshots=settings.snapshots))
    return made


def picture_size(content: Image.Image, settings: Settings) -> tuple[int, int]:
    """Return the width and height in px of the result for a content."""
    return content_size(content.size, settings, settings.image_size)


def _tensors(
    images: Images, settings: Settings, size: int | tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Bring the pictures to the sizes at which they are compared, and onto the device."""
    content = stretch(images.content, content_size(images.content.size, settings, size))
    style = stretch(images.style, style_size(images.style.size, content.size, settings))
    start = None if images.start is None else to_tensor(stretch(images.start, content.size))
    return (
        to_tensor(content).to(device),
        to_tensor(style).to(device),
        None if start is None else start.to(device),
    )
