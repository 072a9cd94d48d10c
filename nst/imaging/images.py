"""Load image files as 8-bit sRGB pictures, and save pictures with 8 or 16 bits per channel.

A picture here is a Pillow image of mode RGB in sRGB, upright and without metadata; where a function
says so, it may be cut out and have mode RGBA. Every problem with a file raises an ``ImageError`` of
one line: rule, value, remedy.

A 16-bit picture, for print, is an array of ``uint16``, height × width × RGB or RGBA, with colours
that are not multiplied by the alpha. Pillow has no 16-bit colours.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin

from nst.config.geometry import fit_long
from nst.errors import ImageError
from nst.imaging.opening import (
    FORMATS,
    check_header,
    decoding,
    opened,
    refuse_scans,
    tiff_tag,
    warn,
)
from nst.imaging.srgb import check_mode, srgb_profile, to_srgb
from nst.system.files import write_atomically

Levels: TypeAlias = NDArray[np.uint16]
WIDER = 257  # levels of 16 bits per level of 8 bits: 255 becomes 65535
PAETH = 4  # the filter of PNG that predicts a sample from three neighbours
METRES_PER_INCH = 0.0254


def load_image(path: Path, *, keep_alpha: bool = False, any_shape: bool = False) -> Image.Image:
    """Read an image file as a picture: mode RGB, sRGB, upright, no metadata.

    The file's bytes decide the format, not its extension. Embedded colour profiles are converted to
    sRGB, transparency is composited on white, 16-bit and float values are scaled to 8 bits, and
    only the first frame of an animation is read. A broken profile, broken EXIF, further frames and
    Pillow's own warnings are logged. A PNG's gAMA, cHRM and cICP chunks are ignored.

    With ``keep_alpha``, a picture that is not opaque throughout has mode RGBA; ``on_white`` of it
    equals the picture without ``keep_alpha``. Saving and loading it again changes neither.

    Raises ``ImageError`` when the file does not exist, is not in one of ``FORMATS``, is damaged,
    has over ``MAX_MEGAPIXELS`` (judged by its header, before decoding), has a side under
    ``MIN_SIDE`` px, is longer than ``MAX_ASPECT`` times its width, or holds values out of range.
    With ``any_shape`` the sides are not checked: the cell of a panorama may be narrow.
    Takes less than 1 GiB of memory, whatever the file.
    """
    with opened(path, FORMATS) as image:
        check_header(path, image, any_shape=any_shape)
        with decoding(path):
            several = image.format != "MPO" and getattr(image, "is_animated", False)
        if several:
            warn(path, "has several frames; only the first is used.")
        if image.format in ("JPEG", "MPO"):
            refuse_scans(path)
        with decoding(path):
            image.load()
        try:
            image.getexif()  # which the image keeps
            for key in ("exif", "Raw profile type exif"):
                image.info.pop(key, None)  # else exif_transpose writes all of the EXIF anew
            # Pillow has already turned a TIFF. A turned copy would be a third image in memory.
            ImageOps.exif_transpose(image, in_place=True)
        except Exception as error:  # EXIF has its own parser, which raises as widely as decoders
            warn(path, f"its EXIF is broken ({error}); ignored.")
        return to_srgb(path, image, keep_alpha=keep_alpha)


def read_size(path: Path, *, any_shape: bool = False) -> tuple[int, int]:
    """Return the width and height in px of an image file, before it is turned upright.

    Reads only the header. Raises ``ImageError`` as ``load_image`` does, for errors in the header.
    """
    with opened(path, FORMATS) as image:
        check_header(path, image, any_shape=any_shape)
        return image.size


def fit_long_side(image: Image.Image, size: int) -> Image.Image:
    """Resize (Lanczos) so that the longer side has ``size`` px; the other is rounded, at least 1.

    An image that already fits is returned as an exact copy.
    """
    return image.resize(fit_long(image.size, size), Image.Resampling.LANCZOS)


def stretch(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize (Lanczos) to exactly ``size``, (width, height) in px, whatever the shape."""
    return image.resize(size, Image.Resampling.LANCZOS)


def side_by_side(pictures: Sequence[Image.Image], weights: Sequence[float]) -> Image.Image:
    """Join strips of the pictures' centres, each as wide as its weight, in the first's size."""
    width, height = pictures[0].size
    shown = Image.new("RGB", (width, height))
    edges = [0, *(round(width * one / sum(weights)) for one in itertools.accumulate(weights))]
    for picture, (left, right) in zip(pictures, itertools.pairwise(edges), strict=True):
        if right > left:
            strip = ImageOps.fit(picture, (right - left, height), Image.Resampling.LANCZOS)
            shown.paste(strip, (left, 0))
    return shown


def stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Stack pictures of one size and mode vertically into one picture."""
    width, height = pictures[0].size
    stacked = Image.new(pictures[0].mode, (width, height * len(pictures)))
    for index, picture in enumerate(pictures):
        stacked.paste(picture, (0, index * height))
    return stacked


def unstack(stacked: Image.Image, count: int) -> list[Image.Image]:
    """Split the result of ``stack`` into its ``count`` pictures."""
    height = stacked.height // count
    boxes = [(0, index * height, stacked.width, (index + 1) * height) for index in range(count)]
    return [stacked.crop(box) for box in boxes]


def save_png(
    image: Image.Image,
    path: Path,
    text: Mapping[str, str] | None = None,
    *,
    dpi: int | None = None,
) -> None:
    """Write a picture as an sRGB PNG with ``text`` as UTF-8 iTXt entries, whole or not at all.

    With ``dpi`` the file has its resolution, and an ICC profile instead of the sRGB chunk, which
    not every printing program reads. Creates parent folders. The same picture and text give the
    same bytes under the same Pillow and zlib, whatever the order of the entries. Keys are Latin-1,
    1 to 79 characters, as PNG requires.
    Raises ``ImageError`` for any mode but RGB and RGBA, and when the file cannot be written.
    """
    check_mode(image, ("RGB", "RGBA"))
    entries = PngImagePlugin.PngInfo()
    options: dict[str, object] = {}
    if dpi is None:
        entries.add(b"sRGB", b"\0")  # names the colour space, or viewers would have to guess
    else:
        options = {"dpi": (dpi, dpi), "icc_profile": srgb_profile()}
    for key, value in sorted((text or {}).items()):
        entries.add_itxt(key, value)
    bare = image
    if image.info:  # Pillow would write a profile or a transparent colour from here
        bare = image.copy()
        bare.info = {}
    encoded = io.BytesIO()
    bare.save(encoded, format="PNG", pnginfo=entries, **options)
    write_picture(path, encoded.getvalue())


def write_picture(path: Path, content: bytes) -> None:
    """Write an encoded picture whole or not at all, creating parent folders.

    Raises ``ImageError`` when it cannot be written.
    """
    try:
        write_atomically(path, content)
    except OSError as error:
        reason = error.strerror or error
        raise ImageError(
            f"{path}: cannot be written ({reason}). Check the folder's permissions and free space."
        ) from error


def read_png_text(path: Path, key: str = "") -> dict[str, str]:
    """Return a PNG's text entries (iTXt, tEXt, zTXt) by key.

    If ``key`` is among the entries before the pixels, where ``save_png`` puts them, only these
    entries are returned; otherwise the pixels are decoded to reach the entries after them.
    Raises ``ImageError`` when the file is missing, is damaged up to the last entry read, or is not
    a PNG.
    """
    with opened(path, ("PNG",)) as image:
        assert isinstance(image, PngImagePlugin.PngImageFile)
        before = {str(key): value for key, value in image.info.items() if isinstance(value, str)}
        if key in before:
            return before
        with decoding(path, ("PNG",)):
            return {key: str(value) for key, value in image.text.items()}


def read_description(path: Path) -> str | None:
    """Return a TIFF's description of its picture, if it has one.

    Raises ``ImageError`` when the file is missing, damaged or not a TIFF.
    """
    with opened(path, ("TIFF",)) as image:
        found = tiff_tag(image, "ImageDescription")
        return found if isinstance(found, str) else None


def widen(image: Image.Image) -> Levels:
    """Return an 8-bit picture in 16 bits, without new levels between the old levels."""
    return np.asarray(image).astype(np.uint16) * np.uint16(WIDER)


def with_alpha_of(image: Image.Image, levels: Levels) -> Levels:
    """Return levels with the alpha of a picture of the same size, if it has one."""
    if image.mode != "RGBA":
        return levels
    return np.dstack([levels, widen(image.getchannel("A"))])


def save_deep(
    levels: Levels, path: Path, *, dpi: int = 300, text: tuple[str, str] | None = None
) -> None:
    """Write levels as PNG or TIFF, according to the suffix, whole or not at all.

    ``text`` is a key and a value in ASCII; in a TIFF, the value is the description. The same
    picture gives the same bytes under the same versions of the libraries. Raises ``ImageError``
    when the file cannot be written.
    """
    encode = _png if path.suffix == ".png" else _tiff
    write_picture(path, encode(levels, dpi, text))


def read_deep(path: Path) -> Levels:
    """Return the levels of a TIFF. It reads only files written by ``save_deep``."""
    import tifffile  # noqa: PLC0415 - for prints alone

    return np.asarray(tifffile.imread(path))


def _png(levels: Levels, dpi: int, text: tuple[str, str] | None) -> bytes:
    """Encode as PNG."""
    import numpngw  # noqa: PLC0415 - for prints alone

    encoded, per_metre = io.BytesIO(), round(dpi / METRES_PER_INCH)
    undated = [("Creation Time", None), ("Software", None)]  # numpngw would add these
    numpngw.write_png(
        encoded,
        levels,
        text_list=[text, *undated] if text else undated,
        phys=(per_metre, per_metre, 1),
        iccp=("sRGB", srgb_profile()),
        filter_type=PAETH,
    )
    return encoded.getvalue()


def _tiff(levels: Levels, dpi: int, text: tuple[str, str] | None) -> bytes:
    """Encode as TIFF, with a lossless compression that every program reads."""
    import tifffile  # noqa: PLC0415 - for prints alone

    encoded = io.BytesIO()
    tifffile.imwrite(
        encoded,
        levels,
        photometric="rgb",
        extrasamples=["unassalpha"] if levels.shape[2] == 4 else None,
        compression="adobe_deflate",
        predictor="horizontal",
        iccprofile=srgb_profile(),
        resolution=(dpi, dpi),
        resolutionunit="inch",
        description=text[1] if text else None,
        metadata=None,
        software=False,
    )
    return encoded.getvalue()
