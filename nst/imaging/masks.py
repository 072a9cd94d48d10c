"""Masks: pictures whose colours say which pixels belong to which region."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor

from nst.config.composition import Composition
from nst.errors import ImageError

NEAR = 64  # of 255, in each of red, green and blue: colours that differ less count as equal
SEVERAL = 0.01  # of a mask's pixels: a colour with more pixels is a region, not an edge


def split_mask(
    style: Composition[Image.Image], size: tuple[int, int]
) -> dict[str, Image.Image | None]:
    """Return each region's share of each pixel, 255 for the whole pixel; None without a mask.

    Each pixel of the mask belongs to the nearest colour. The regions are then resized to ``size``,
    where a pixel at the border may belong partly to each of two regions.
    """
    if style.mask is None:
        return dict.fromkeys(style.regions)
    colours = list(style.regions)
    nearest = _distances(style.mask, colours).argmin(0)
    return {
        colour: Image.fromarray(np.uint8(nearest == index) * np.uint8(255)).resize(
            size, Image.Resampling.BOX
        )
        for index, colour in enumerate(colours)
    }


def luma_of(mask: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Return the luma of a style's own mask, resized: the brighter a pixel, the more it counts."""
    return mask.convert("L").resize(size, Image.Resampling.BOX)


def check_masks(who: str, content: Image.Image, style: Composition[Image.Image]) -> None:
    """Require that all masks have the shapes of their pictures, and the colours of the regions.

    Raises:
        ImageError: a mask does not fit; the message begins with ``who``.
    """
    for part in style.parts:
        if part.mask is not None:
            named = f"{who}, style {part.name!r}"
            _check_shape(named, part.mask.size, part.image.size)
            if np.array(part.mask).max() < NEAR:
                raise ImageError(
                    f"{named}: the mask is black throughout; paint the part of the image to use "
                    "white"
                )
    if style.mask is not None:
        _check_shape(who, style.mask.size, content.size)
        _check_regions(who, style.mask, style.regions)


def _check_regions(who: str, mask: Image.Image, colours: Iterable[str]) -> None:
    """Require that a mask has pixels of each of the colours, and of no other colour."""
    names = list(colours)
    for name in names:
        try:
            ImageColor.getrgb(name)
        except ValueError:
            raise ImageError(
                f"{who}: {name!r} is not a colour; write one such as white, red or #ff8000"
            ) from None
    distances = _distances(mask, names)
    nearest = distances.argmin(0)
    for index, name in enumerate(names):
        if not (nearest[distances.min(0) < NEAR] == index).any():
            raise ImageError(
                f"{who}: no pixel of the mask is {name}, so its region is empty; paint it, or "
                "leave that region out"
            )
    strange = np.array(mask)[distances.min(0) >= NEAR]
    found, counts = np.unique(strange.reshape(-1, 3), axis=0, return_counts=True)
    if len(found) and counts.max() > SEVERAL * mask.width * mask.height:
        red, green, blue = found[counts.argmax()]
        raise ImageError(
            f"{who}: the mask also has the colour #{red:02x}{green:02x}{blue:02x}, which is none "
            f"of {', '.join(names)}; add it to regions, or repaint it"
        )


def _check_shape(who: str, mask: tuple[int, int], picture: tuple[int, int]) -> None:
    """Require that the widths are at most a hundredth or a pixel apart at equal heights."""
    fitting = picture[0] * mask[1] / picture[1]
    if abs(mask[0] - fitting) > max(1.0, 0.01 * fitting):
        raise ImageError(
            f"{who}: the mask must have the shape of its picture, {picture[0]}x{picture[1]}; got "
            f"{mask[0]}x{mask[1]} px. Crop it like its picture."
        )


def _distances(mask: Image.Image, colours: Iterable[str]) -> npt.NDArray[np.int16]:
    """Return the distance of each pixel from each colour: the largest difference of its bands."""
    values = np.array(mask).astype(np.int16)
    return np.stack(
        [
            np.abs(values - np.array(ImageColor.getcolor(colour, "RGB"), np.int16)).max(2)
            for colour in colours
        ]
    )
