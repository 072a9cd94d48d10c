"""Pictures in 8-bit sRGB: conversion of decoded images of every kind, digests, cut-out pictures.

A cut-out picture has mode RGBA, with colours that are not multiplied by the alpha.
"""

from __future__ import annotations

import hashlib
import io
import struct
from collections.abc import Callable, Iterator, Sequence
from operator import methodcaller
from pathlib import Path

import numpy as np
from PIL import Image, ImageChops, ImageCms, ImageOps

from nst.errors import ImageError
from nst.imaging.opening import decoding, tiff_tag, warn

BAND = 2**20  # px that are converted at a time
DATE = slice(24, 36)  # in the header of an ICC profile: when it was made
STANDARD = struct.pack(">6H", 1999, 10, 18, 0, 0, 0)  # the day of IEC 61966-2-1, which is sRGB

Conversion = Callable[[Image.Image], Image.Image]
_as_rgb: Conversion = methodcaller("convert", "RGB")


def to_srgb(path: Path, image: Image.Image, *, keep_alpha: bool = False) -> Image.Image:
    """Convert a decoded image to sRGB, band by band: all at once would need twice the memory.

    The image is composited on white and has mode RGB; with ``keep_alpha``, an image that is not
    opaque throughout keeps its alpha and has mode RGBA. ``path`` is its file, for messages. Raises
    ``ImageError`` when values are out of range; a broken colour profile is logged and ignored.
    """
    in_8_bits, profile = _scaling(path, image), image.info.get("icc_profile")

    def split(box: tuple[int, int, int, int]) -> tuple[Image.Image, Image.Image | None]:
        return _colour_and_alpha(path, in_8_bits(image.crop(box)))

    alphas = (split(box)[1] for box in bands(image.size))
    seen_through = (one is not None and one.getextrema() != (255, 255) for one in alphas)
    kept = keep_alpha and any(seen_through)
    convert: Conversion | None = None
    picture = Image.new("RGBA" if kept else "RGB", image.size)
    for box in bands(image.size):
        colour, alpha = split(box)
        convert = convert or _converter(path, colour.mode, profile)
        shown = convert(colour)
        if alpha is not None:
            shown.putalpha(alpha)
        picture.paste(shown if kept else on_white(shown), box)
    return picture


def srgb_profile() -> bytes:
    """Return an ICC profile of sRGB with a fixed date, so that its bytes are always the same."""
    made = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    return bytes(made[: DATE.start] + STANDARD + made[DATE.stop :])


def bands(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Divide a picture of this size into boxes of its whole width and about ``BAND`` px."""
    width, height = size
    rows = max(1, BAND // width)
    for top in range(0, height, rows):
        yield 0, top, width, min(top + rows, height)


def _scaling(path: Path, image: Image.Image) -> Conversion:
    """Return a function that scales deep grey (I;16 and similar, I, F) to 8 bits.

    It leaves all other images unchanged. Colour is never deep: Pillow keeps the high byte of 16-bit
    RGB.
    """
    if not image.mode.startswith(("I", "F")):
        return lambda band: band
    if image.mode == "F":
        kind, white = "float", 1.0
    else:  # Pillow leaves 12-bit TIFF at 0 to 4095; mode I holds 16-bit values of PNG and PGM
        kind, white = "integer", 4095.0 if tiff_tag(image, "BitsPerSample") == (12,) else 65535.0
    values = (np.asarray(image.crop(box)) for box in bands(image.size))
    ends = np.array([(band.min(), band.max()) for band in values])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    if not (low >= 0 and high <= white):  # written so that it also refuses NaN
        raise ImageError(
            f"{path}: {kind} pixels must lie in 0 to {white:g}; got {low:g} to {high:g}. Rescale "
            "them."
        )
    transparent = image.info.get("transparency")
    inverted = tiff_tag(image, "PhotometricInterpretation") == 0  # Pillow inverts 8 bits itself

    def scale(band: Image.Image) -> Image.Image:
        values = np.asarray(band).astype(np.float32)
        # Pillow's ``convert`` would clip.
        grey = Image.fromarray(np.rint(values * (255 / white)).astype(np.uint8))
        if transparent is not None:
            opaque = np.where(values == transparent, 0, 255).astype(np.uint8)
            grey.putalpha(Image.fromarray(opaque))
        return ImageOps.invert(grey) if inverted else grey

    return scale


def _colour_and_alpha(path: Path, image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Split an image into colour (mode L, RGB, CMYK or LAB) and opacity (mode L; ``None``: opaque).

    Grey stays grey and CMYK stays CMYK, because colour profiles refer to those values.
    """
    grey = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:  # an alpha channel, or one colour or palette entry
        with decoding(path):  # Pillow first reads a palette's transparency here
            rgba = image.convert("RGBA")
        return rgba.getchannel("R") if grey else rgba.convert("RGB"), rgba.getchannel("A")
    if image.mode in ("CMYK", "LAB"):
        return image, None
    return image.convert("L" if grey else "RGB"), None


def _converter(path: Path, mode: str, profile: bytes | None) -> Conversion:
    """Return a conversion to sRGB by the profile; without a usable profile, Pillow's conversion."""
    if profile and mode != "LAB":  # Lab is absolute
        try:
            return _by_profile(mode, profile)
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as error:
            warn(path, f"its colour profile is broken ({error}); ignored.")
    return _as_rgb


def _by_profile(mode: str, profile: bytes) -> Conversion:
    """Return a conversion by an ICC profile: relative colorimetric, black point compensated.

    Photo editors do the same, so that colours in gamut are kept. A profile that is already sRGB (of
    16 levels per channel, it moves no colour by more than one level of 255) changes no bytes.
    """
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if source.profile.xcolor_space.strip() == "RGB":
        mode = "RGB"  # editors embed RGB profiles in grey images
    transform = ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    levels = np.arange(0, 256, 17, dtype=np.uint8)
    colours = np.stack(np.meshgrid(levels, levels, levels), axis=-1).reshape(64, 64, 3)
    probe = Image.fromarray(colours).convert(mode)
    moved = ImageChops.difference(transform.apply(probe), probe.convert("RGB"))
    if np.asarray(moved).max() <= 1:
        return _as_rgb

    def convert(colour: Image.Image) -> Image.Image:
        return transform.apply(colour if colour.mode == mode else colour.convert(mode))

    return convert


def on_white(image: Image.Image) -> Image.Image:
    """Return a copy of an image in mode RGB, composited on white."""
    colours = image.convert("RGB")
    if image.mode != "RGBA":
        return colours
    white = Image.new("RGB", image.size, "white")
    return Image.composite(colours, white, image.getchannel("A"))


def cut_out(picture: Image.Image, original: Image.Image) -> Image.Image:
    """Give a picture of mode RGB the alpha of its original, resized to the picture.

    The colours are kept, even where they are invisible. If the original is opaque, of mode RGB, the
    picture is returned unchanged.
    """
    if original.mode != "RGBA":
        return picture
    cut = picture.copy()
    cut.putalpha(original.getchannel("A").resize(picture.size, Image.Resampling.LANCZOS))
    return cut


def pixel_digest(image: Image.Image) -> str:
    """Return the sha256 (hex) of a picture's size and RGB bytes: equal in every file format.

    A cut-out picture is composited on white, and its alpha is added to the hash: programs change
    colours that are too transparent to be visible. Raises ``ImageError`` for any mode but RGB and
    RGBA.
    """
    check_mode(image, ("RGB", "RGBA"))
    digest = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    for band in bands(image.size):
        digest.update(on_white(image.crop(band)).tobytes())
    if image.mode == "RGBA":
        for band in bands(image.size):
            digest.update(image.crop(band).getchannel("A").tobytes())
    return digest.hexdigest()


def check_mode(image: Image.Image, modes: Sequence[str] = ("RGB",)) -> None:
    """Refuse an image that ``load_image`` did not load: its values mean something else."""
    if image.mode not in modes:
        raise ImageError(
            f"A picture must have mode {' or '.join(modes)}; got {image.mode}. "
            "Read it by load_image."
        )
