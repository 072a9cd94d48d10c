"""The sizes that a pair of pictures goes through."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image

from nst.config.composition import Composition, Part
from nst.config.geometry import content_size, halvings, stages, style_size
from nst.config.layers import Size
from nst.config.settings import Settings
from nst.imaging.images import stretch
from nst.imaging.masks import luma_of, split_mask
from nst.imaging.srgb import on_white
from nst.method.colours import prepare_content, prepare_style, recolour
from nst.method.objective import Role
from nst.method.regions import Region, put_together
from nst.network.tensors import Float, Tensor, mask_tensor, to_tensor

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Images:
    """The pictures of a pair, of mode RGB; ``start`` is for cells that start from a file.

    A content that is cut out may have mode RGBA; it is placed on white.
    """

    content: Image.Image
    style: Composition[Image.Image]
    start: Image.Image | None = None

    @classmethod
    def of(cls, content: Image.Image, style: Image.Image) -> Images:
        """Return a content and a style that is one picture."""
        return cls(content, Composition.plain(style))


@dataclass(frozen=True)
class Stage:
    """One size of a pair of pictures, RGB in [0, 1], and the ``settings`` for this size.

    The settings are those of the cells, with the steps, snapshots and learning rate of this size.
    ``original`` is the content in its own colours; ``content`` and the regions' styles are in the
    colours of the comparison. ``target`` is the target of the content loss: the content, or the
    content recoloured. ``start`` has their size, or is smaller and has to grow. ``halvings`` is the
    number of halvings from the final size to this size, and ``coarse`` says whether another size
    follows. ``only`` names the loss that is minimised alone.
    """

    original: Float[Tensor, "1 3 h w"]
    content: Float[Tensor, "1 3 h w"]
    target: Float[Tensor, "1 3 h w"]
    regions: Sequence[Region]
    start: Float[Tensor, "1 3 _h _w"] | None
    halvings: int
    settings: Settings
    coarse: bool = False
    only: Role | None = None


def prepare_stages(images: Images, settings: Settings, device: torch.device) -> Iterator[Stage]:
    """Yield the pictures at each of the sizes that they go through, the smallest first."""
    sizes = _sizes(images, settings)
    if len(sizes) < len(settings.stages) and settings.start != "file":
        logger.info(
            "growth begins at %s px: the pictures are too narrow for smaller sizes", sizes[0][0]
        )
    full = len(sizes) - bool(settings.finish)
    for number, (size, steps) in enumerate(sizes, start=1):
        coarse = settings.coarse_learning_rate if number < full else None
        here = replace(
            settings,
            iterations=steps,
            snapshots=settings.snapshots if number == full else (),
            learning_rate=settings.learning_rate if coarse is None else coarse,
        )
        stage = _prepare(images, here, device, size)
        only: Role = "style" if number == len(sizes) else "content"
        yield replace(stage, coarse=number < full, only=only if settings.finish else None)


def count_steps(images: Images, settings: Settings) -> int:
    """Return the number of steps at all the sizes that a pair of pictures goes through."""
    return sum(steps for _, steps in _sizes(images, settings))


def _sizes(images: Images, settings: Settings) -> list[tuple[int | Size, int]]:
    """Return the sizes that a pair of pictures goes through, with the steps at each."""
    style = images.style.blended(settings.blend)
    shapes = [one.image.size for one in style.parts] or [images.content.size]
    narrowest = min(shapes, key=lambda size: min(size) / max(size))
    start = images.start.size if images.start else None
    return stages(settings, images.content.size, narrowest, start)


def _prepare(images: Images, settings: Settings, device: torch.device, size: int | Size) -> Stage:
    """Resize the pictures to one size, in the colours of the comparison."""
    style = images.style.blended(settings.blend)
    wide_high = content_size(images.content.size, settings, size)
    original = to_tensor(stretch(on_white(images.content), wide_high)).to(device)
    start = None
    if images.start is not None:
        smaller = settings.growth and max(images.start.size) < max(wide_high)
        fitted = images.start if smaller else stretch(images.start, wide_high)
        start = to_tensor(fitted).to(device)
    regions = prepare_regions(style, wide_high, original, settings, device)
    content = prepare_content(original, settings.colours)
    target = content
    if settings.content_target == "recoloured":
        target = put_together(regions, content, lambda style: recolour(content, style))
    return Stage(original, content, target, regions, start, halvings(settings, size), settings)


def prepare_regions(
    style: Composition[Image.Image],
    wide_high: Size,
    content: Float[Tensor, "1 3 _h _w"],
    settings: Settings,
    device: torch.device | None = None,
) -> list[Region]:
    """Return a style's regions for a content, RGB in [0, 1], of the size ``wide_high``.

    ``style_fit``, ``style_scale`` and ``colours`` of the settings decide the size and the colours
    of the style's pictures.
    """

    def seen(part: Part[Image.Image]) -> Part[Tensor]:
        size = style_size(part.image.size, wide_high, settings)
        picture = to_tensor(stretch(part.image, size)).to(device)
        mask = None if part.mask is None else mask_tensor(luma_of(part.mask, size), device)
        return Part(part.name, prepare_style(picture, content, settings.colours), part.weight, mask)

    return [
        Region([seen(part) for part in style.regions[colour]], mask_tensor(mask, device))
        for colour, mask in split_mask(style, wide_high).items()
    ]
