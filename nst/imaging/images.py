"""Image files in; 8-bit sRGB pictures out.

A picture here is a Pillow image of mode RGB in sRGB, upright and without metadata. Whatever is
wrong with a file is told in one ``ImageError`` line: rule, value, remedy.
"""

from __future__ import annotations

import hashlib
import io
import logging
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import (
    ExifTags,
    Image,
    ImageChops,
    ImageCms,
    ImageFile,
    ImageOps,
    PngImagePlugin,
    UnidentifiedImageError,
)

from nst.config.geometry import fit_long
from nst.errors import ImageError, one_line
from nst.imaging.bombs import refuse_lists, refuse_scans
from nst.system.files import write_atomically

logger = logging.getLogger(__name__)

# Pillow's safe raster readers. Left out on purpose: EPS (runs ghostscript), icons, faxes and
# scientific formats. JPEG includes MPO, the JPEG with several pictures that phones write.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000", "AVIF")
# Reading an image is to take less than 1 GiB. Pillow has 4 bytes for a pixel of colour, and two
# pictures are there at a time: as it was, and in sRGB. Some decoders need more, by measurement.
MAX_MEGAPIXELS = 75
MAX_MEGAPIXELS_OF = {"WEBP": 50, "AVIF": 50, "JPEG2000": 35}
MAX_BYTES = 400 * 2**20  # of a file: 75 megapixels, 4 channels, 8 bits, not compressed, and more
MAX_METADATA = 64 * 2**20  # bytes
BAND = 2**20  # px that are brought to sRGB at a time
MIN_SIDE = 32  # px: VGG-19 halves the picture four times before relu5_1
MAX_ASPECT = 16  # long side over short side

# What else one may take for an image, by the first of its bytes that tell, in lower case.
FOREIGN = (
    (rb"\s*(<!doctype html|<html)", "a web page"),
    (rb"(?s)\s*<.*<svg|\s*<svg", "SVG, a drawing and not pixels"),
    (rb"%pdf-|%!ps", "a document"),
    (rb"8bps", "PSD, Photoshop's own"),
    (rb"gimp xcf", "XCF, GIMP's own"),
    (rb"\xff\x0a|\x00\x00\x00\x0cjxl ", "JPEG XL"),
    (rb"(?s)....ftypavi[fs]", "AVIF, which this build of Pillow cannot read"),
    (rb"(?s)....ftyp(hei|hev|mif|msf)", "HEIC"),
    (rb"(?s)....ftyp|riff....avi |\x1a\x45\xdf\xa3", "a film"),
    (rb"pk\x03\x04|\x1f\x8b|rar!", "an archive"),
)

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def load_image(path: Path) -> Image.Image:
    """Read an image file as a picture: mode RGB, sRGB, upright, no metadata.

    The content decides the format, not the extension. Embedded colour profiles are converted to
    sRGB, transparency is laid on white, 16-bit and float values are scaled to 8 bits, and only the
    first frame of an animation is read. A broken profile, broken EXIF, further frames and Pillow's
    own warnings are announced in the log. A PNG's gAMA, cHRM and cICP chunks are ignored.

    Raises ``ImageError`` when there is no such file, when it is not one of ``FORMATS``, is damaged,
    has over ``MAX_MEGAPIXELS`` (judged by its header, before decoding), has a side under
    ``MIN_SIDE`` px, is longer than ``MAX_ASPECT`` times its width, or holds values out of range.
    Takes less than 1 GiB of memory, whatever the file.
    """
    with _opened(path, FORMATS) as image:
        _check_header(path, image)
        if image.format != "MPO" and getattr(image, "is_animated", False):
            logger.warning("%s: has several frames; only the first is used.", _shown(path))
        if image.format in ("JPEG", "MPO"):
            refuse_scans(path)
        image.load()
        upright = _upright(path, image)
        if upright is not image:
            image.close()  # or there would be three of them
        return _picture(path, upright)


def read_size(path: Path) -> tuple[int, int]:
    """Return the width and height in px of an image file, before it is turned upright.

    Reads its header alone. Raises ``ImageError`` as ``load_image`` does, as far as can be told.
    """
    with _opened(path, FORMATS) as image:
        _check_header(path, image)
        return image.size


def fit_long_side(image: Image.Image, size: int) -> Image.Image:
    """Resize (Lanczos) so that the longer side has ``size`` px; the other is rounded, at least 1.

    An image that already fits is returned as an exact copy. Raises ``ValueError`` for a size
    below 1.
    """
    if size < 1:
        raise ValueError(f"size must be at least 1 px; got {size}.")
    return image.resize(fit_long(image.size, size), Image.Resampling.LANCZOS)


def stretch(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize (Lanczos) to exactly ``size``, (width, height) in px, whatever the shape."""
    return image.resize(size, Image.Resampling.LANCZOS)


def stack(pictures: Sequence[Image.Image]) -> Image.Image:
    """Put pictures of one size below each other, into one."""
    width, height = pictures[0].size
    stacked = Image.new("RGB", (width, height * len(pictures)))
    for place, picture in enumerate(pictures):
        stacked.paste(picture, (0, place * height))
    return stacked


def unstack(stacked: Image.Image, count: int) -> list[Image.Image]:
    """Take ``count`` pictures apart that ``stack`` put together."""
    height = stacked.height // count
    boxes = [(0, place * height, stacked.width, (place + 1) * height) for place in range(count)]
    return [stacked.crop(box) for box in boxes]


def pixel_digest(image: Image.Image) -> str:
    """Return the SHA-256 (hex) of a picture's size and RGB bytes: equal whatever the file format.

    Raises ``ImageError`` for any mode but RGB.
    """
    check_mode(image)
    digest = hashlib.sha256(f"{image.width}x{image.height}:".encode())
    for band in _bands(image.size):
        digest.update(image.crop(band).tobytes())
    return digest.hexdigest()


def save_png(image: Image.Image, path: Path, text: Mapping[str, str] | None = None) -> None:
    """Write a picture as an sRGB PNG with ``text`` as UTF-8 iTXt entries, wholly or not at all.

    Creates parent folders. The same picture and text give the same bytes under the same Pillow and
    zlib, in whatever order the entries come. Keys are Latin-1, 1 to 79 characters, as PNG asks.
    Raises ``ImageError`` for any mode but RGB and when the file cannot be written.
    """
    check_mode(image)
    entries = PngImagePlugin.PngInfo()
    entries.add(b"sRGB", b"\0")  # names the colour space, for viewers that would otherwise guess
    for key, value in sorted((text or {}).items()):
        entries.add_itxt(key, value)
    bare = image
    if image.info:  # Pillow would write a profile or a transparent colour from here
        bare = image.copy()
        bare.info = {}
    encoded = io.BytesIO()
    bare.save(encoded, format="PNG", pnginfo=entries)
    try:
        write_atomically(path, encoded.getvalue())
    except OSError as error:
        reason = error.strerror or error
        raise _refusal(
            path, f"cannot be written ({reason}). Check the folder's permissions and free space."
        ) from error


def read_png_text(path: Path) -> dict[str, str]:
    """Return a PNG's text entries (iTXt, tEXt, zTXt) by key.

    Raises ``ImageError`` when the file is missing, damaged or not a PNG.
    """
    with _opened(path, ("PNG",)) as image:
        _check_pixels(path, image)
        assert isinstance(image, PngImagePlugin.PngImageFile)
        return {key: str(value) for key, value in image.text.items()}


@contextmanager
def _opened(path: Path, formats: tuple[str, ...]) -> Iterator[ImageFile.ImageFile]:
    """Open an image file; whatever goes wrong with it inside the block is an ``ImageError``."""
    Image.init()  # registers the formats; an older Pillow lacks AVIF
    readable = [name for name in formats if name in Image.OPEN]
    with warnings.catch_warnings(record=True) as notes:
        warnings.simplefilter("always")
        try:
            _check_file(path)
            with suppress(struct.error):  # cut off; Pillow will say so
                refuse_lists(path)
            with path.open("rb") as file, Image.open(file, formats=readable) as image:
                yield image
        except ImageError:
            raise
        except Exception as error:  # damaged files make Pillow raise nearly every type there is
            raise _refusal(path, _explain(path, error, formats)) from error
    for note in notes:
        # MAX_MEGAPIXELS supersedes Pillow's own warning about large images.
        if not issubclass(note.category, Image.DecompressionBombWarning):
            logger.warning("%s: Pillow says: %s", _shown(path), one_line(str(note.message)))


def _refusal(path: Path, reason: str) -> ImageError:
    """Build the error about a file."""
    return ImageError(f"{_shown(path)}: {reason}")


def _shown(path: Path) -> str:
    """Return a file's name as it can be printed."""
    return one_line(str(path))


def _explain(path: Path, error: Exception, formats: tuple[str, ...]) -> str:
    """Say what is wrong with a file, from what Pillow or the system raised."""
    if isinstance(error, PermissionError):
        return f"cannot be opened ({error.strerror}). Make the file readable."
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"may have at most {MAX_MEGAPIXELS} megapixels; its header claims more. Scale it down."
        )
    kinds = ", ".join(formats)
    if isinstance(error, UnidentifiedImageError):
        kind = _foreign_kind(path)
        if kind:
            return f"must be one of {kinds}; it is {kind}. Export it as {formats[0]}."
        return (
            f"must be one of {kinds}; its content is none, or damaged. Export it as {formats[0]}."
        )
    reason = str(error).strip() or type(error).__name__
    return f"cannot be read as an image ({reason}). Fetch or export it again."


def _foreign_kind(path: Path) -> str | None:
    """Name the kind of a file that holds a picture, but not in a format that is read."""
    with path.open("rb") as file:
        head = file.read(1024).lower()
    return next((kind for sign, kind in FOREIGN if re.match(sign, head)), None)


def _check_file(path: Path) -> None:
    """Refuse what cannot hold an image, before Pillow sees it."""
    if path.is_dir():
        raise _refusal(path, "must be an image file; it is a directory. Name a file in it.")
    if not path.exists():
        raise _refusal(path, "must be an image file; there is no such file. Check the path.")
    if not path.is_file():  # opening a pipe would wait for ever
        raise _refusal(path, "must be a regular file; it is a device or a pipe. Save it first.")
    if path.stat().st_size == 0:
        raise _refusal(path, "must hold an image; it has 0 bytes. Fetch or export it again.")
    if path.stat().st_size > MAX_BYTES:
        raise _refusal(
            path,
            f"may have at most {MAX_BYTES} bytes; it has {path.stat().st_size}. Export it "
            "compressed, or scale it down.",
        )


def _check_header(path: Path, image: ImageFile.ImageFile) -> None:
    """Refuse, by what its header promises, what cannot or should not be decoded."""
    _check_pixels(path, image)
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise _refusal(
            path, f"needs at least {MIN_SIDE} px per side; got {width}x{height}. Use a larger one."
        )
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise _refusal(
            path,
            f"may be at most {MAX_ASPECT} times as long as wide; got {width}x{height}. Crop it.",
        )
    metadata = sum(len(value) for value in image.info.values() if isinstance(value, bytes | str))
    if metadata > MAX_METADATA:
        raise _refusal(
            path,
            f"may carry at most {MAX_METADATA} bytes of metadata; got {metadata}. "
            "Export it without.",
        )
    _check_layout(path, image)


def _check_pixels(path: Path, image: Image.Image) -> None:
    """Refuse a header that promises too many pixels to decode."""
    width, height = image.size
    megapixels = width * height / 1e6
    most = MAX_MEGAPIXELS_OF.get(image.format or "", MAX_MEGAPIXELS)
    most = min(most, MAX_MEGAPIXELS)
    if megapixels > most:
        raise _refusal(
            path,
            f"may have at most {most} megapixels; got {width}x{height} ({megapixels:.2f}). "
            "Scale it down.",
        )


def _check_layout(path: Path, image: Image.Image) -> None:
    """Refuse the one layout that Pillow misreads without a word: raw 16-bit planes in a TIFF."""
    bits = _tiff_tag(image, "BitsPerSample")
    deep = isinstance(bits, tuple) and len(bits) > 1 and max(bits) > 8
    raw = image.info.get("compression") == "raw"
    if deep and raw and _tiff_tag(image, "PlanarConfiguration") == 2:
        raise _refusal(
            path,
            "must hold its channels pixel by pixel; got uncompressed 16-bit planes. "
            "Export it with interleaved channels, or as PNG.",
        )


def check_mode(image: Image.Image) -> None:
    """Refuse an image that did not come through ``load_image``: its values mean something else."""
    if image.mode != "RGB":
        raise ImageError(f"A picture must have mode RGB; got {image.mode}. Read it by load_image.")


def _upright(path: Path, image: Image.Image) -> Image.Image:
    """Turn an image the way its EXIF says (Pillow has already turned a TIFF)."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception as error:  # EXIF has its own parser, which raises as widely as the decoders
        logger.warning("%s: its EXIF is broken (%s); ignored.", _shown(path), one_line(str(error)))
        return image
    return image.transpose(_UPRIGHT[orientation]) if orientation in _UPRIGHT else image


def _picture(path: Path, image: Image.Image) -> Image.Image:
    """Bring a decoded image to opaque sRGB, band by band: all at once would need twice as much."""
    grey = _deep_grey(path, image)
    profile = image.info.get("icc_profile")
    convert: Callable[[Image.Image], Image.Image] | None = None
    picture = Image.new("RGB", image.size)
    for box in _bands(image.size):
        band = image.crop(box)
        colour, alpha = _colour_and_alpha(grey.eight_bits(band) if grey else band)
        convert = convert or _to_srgb(path, colour.mode, profile)
        shown = convert(colour)
        if alpha is not None:
            shown = Image.composite(shown, Image.new("RGB", shown.size, "white"), alpha)
        picture.paste(shown, box)
    return picture


def _bands(size: tuple[int, int]) -> Iterator[tuple[int, int, int, int]]:
    """Divide a picture of a size into boxes over its whole width, of about ``BAND`` px."""
    width, height = size
    rows = max(1, BAND // width)
    for top in range(0, height, rows):
        yield 0, top, width, min(top + rows, height)


@dataclass(frozen=True)
class _DeepGrey:
    """How grey of more than 8 bits is to be read."""

    white: float
    """The value that means white."""
    transparent: int | None
    """The one value that is transparent."""
    inverted: bool
    """Whether 0 is white. Pillow inverts 8 bits itself."""

    def eight_bits(self, image: Image.Image) -> Image.Image:
        """Scale to 8 bits; Pillow's ``convert`` would clip."""
        values = np.asarray(image).astype(np.float32)
        grey = Image.fromarray(np.rint(values * (255 / self.white)).astype(np.uint8))
        if self.transparent is not None:
            opaque = np.where(values == self.transparent, 0, 255).astype(np.uint8)
            grey.putalpha(Image.fromarray(opaque))
        return ImageOps.invert(grey) if self.inverted else grey


def _deep_grey(path: Path, image: Image.Image) -> _DeepGrey | None:
    """Tell how to read a deep grey image (I;16 and kin, I, F); None for all others.

    Colour never comes deep: Pillow keeps the high byte of 16-bit RGB.
    """
    if not image.mode.startswith(("I", "F")):
        return None
    white = _white_level(image)
    bands = (np.asarray(image.crop(box)) for box in _bands(image.size))
    ends = np.array([(band.min(), band.max()) for band in bands])
    low, high = float(ends[:, 0].min()), float(ends[:, 1].max())
    if not (low >= 0 and high <= white):  # so put that NaN is refused too
        raise _refusal(
            path,
            f"{'float' if image.mode == 'F' else 'integer'} pixels must lie in 0 to {white:g}; "
            f"got {low:g} to {high:g}. Rescale them.",
        )
    inverted = _tiff_tag(image, "PhotometricInterpretation") == 0
    return _DeepGrey(white, image.info.get("transparency"), inverted)


def _white_level(image: Image.Image) -> float:
    """Return the value that means white in a deep grey image."""
    if image.mode == "F":
        return 1.0
    # Pillow leaves 12-bit TIFF at 0 to 4095; mode I holds 16-bit values of PNG and PGM.
    return 4095.0 if _tiff_tag(image, "BitsPerSample") == (12,) else 65535.0


def _tiff_tag(image: Image.Image, name: str) -> object:
    """Return a TIFF's tag; ``None`` for an absent tag and for other formats."""
    return getattr(image, "tag_v2", {}).get(ExifTags.Base[name].value)


def _colour_and_alpha(image: Image.Image) -> tuple[Image.Image, Image.Image | None]:
    """Split an image into colour (mode L, RGB, CMYK or LAB) and opacity (mode L; ``None``: opaque).

    Grey stays grey and CMYK stays CMYK, because colour profiles speak of those values.
    """
    grey = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:  # an alpha channel, or one colour or palette entry
        rgba = image.convert("RGBA")
        return rgba.getchannel("R") if grey else rgba.convert("RGB"), rgba.getchannel("A")
    if image.mode in ("CMYK", "LAB"):
        return image, None
    return image.convert("L" if grey else "RGB"), None


def _to_srgb(path: Path, mode: str, profile: bytes | None) -> Callable[[Image.Image], Image.Image]:
    """Return what converts colours to sRGB by a profile; without one they are, or Pillow's CMYK."""
    if profile and mode != "LAB":  # Lab is absolute
        try:
            return _by_profile(mode, profile)
        except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as error:
            logger.warning(
                "%s: its colour profile is broken (%s); ignored.",
                _shown(path),
                one_line(str(error)),
            )
    return _as_rgb


def _as_rgb(colour: Image.Image) -> Image.Image:
    """Convert by what Pillow knows of the mode."""
    return colour.convert("RGB")


def _by_profile(mode: str, profile: bytes) -> Callable[[Image.Image], Image.Image]:
    """Return what converts by an ICC profile: relative colorimetric, black point compensated.

    That is what photo editors do, so that colours in gamut are kept. A profile which is sRGB
    already (moves no probe by over one level of 255) leaves the bytes as they are.
    """
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    if source.profile.xcolor_space.strip() == "RGB":
        mode = "RGB"  # editors give grey images RGB profiles
    transform = ImageCms.buildTransform(
        source,
        ImageCms.createProfile("sRGB"),
        mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    probe = _probe(mode)
    if probe is not None:
        moved = ImageChops.difference(transform.apply(probe), probe.convert("RGB"))
        if np.asarray(moved).max() <= 1:
            return _as_rgb

    def convert(colour: Image.Image) -> Image.Image:
        return transform.apply(colour if colour.mode == mode else colour.convert(mode))

    return convert


def _probe(mode: str) -> Image.Image | None:
    """Return every grey (L) or 16 levels per channel (RGB); ``None`` for CMYK, never sRGB."""
    if mode == "L":
        return Image.linear_gradient("L")
    if mode == "RGB":
        levels = np.arange(0, 256, 17, dtype=np.uint8)
        cube = np.stack(np.meshgrid(levels, levels, levels), axis=-1)
        return Image.fromarray(cube.reshape(64, 64, 3))
    return None
