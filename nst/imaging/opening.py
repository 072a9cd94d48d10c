"""Open untrusted image files: problems are reported before a file is decoded."""

from __future__ import annotations

import logging
import re
import struct
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from nst.errors import ImageError, one_line

logger = logging.getLogger(__name__)

# Pillow's safe raster readers. Left out on purpose: EPS (runs ghostscript), icons, faxes and
# scientific formats. JPEG includes MPO, the JPEG with several pictures that phones write.
FORMATS = ("PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP", "PPM", "JPEG2000", "AVIF", "HEIF")
# Reading an image must take less than 1 GiB. Pillow uses 4 bytes for a pixel of colour, and two
# pictures are in memory at a time: the original and its sRGB version. Some decoders need more, by
# measurement.
MAX_MEGAPIXELS = 75
MAX_MEGAPIXELS_OF = {"WEBP": 50, "AVIF": 50, "HEIF": 50, "JPEG2000": 35}
MAX_BYTES = 400 * 2**20  # of a file: more than 75 uncompressed megapixels of 4 channels and 8 bits
MAX_METADATA = 64 * 2**20  # bytes
MAX_VALUES = 150_000  # of a TIFF's tag: four planes of the longest picture, a strip for each row
MAX_SCANS = 1000  # of a JPEG: 10 are usual
BYTES = (1, 2, 6, 7)  # the types of TIFF tags whose values Pillow keeps as bytes
BLOCK = 2**20  # bytes that are searched at a time
MIN_SIDE = 32  # px: VGG-19 halves the picture four times before relu5_1
MAX_ASPECT = 16  # long side over short side

HEIC = rb"(?s)....ftyp(hei|hev|mif|msf)"

# Other kinds of files, recognised by their first bytes in lower case. The third entry is Pillow's
# name for a format that only some installations read.
FOREIGN = (
    (rb"\s*(<!doctype html|<html)", "a web page", None),
    (rb"(?s)\s*<.*<svg|\s*<svg", "SVG, a drawing and not pixels", None),
    (rb"%pdf-|%!ps", "a document", None),
    (rb"8bps", "PSD, Photoshop's own", None),
    (rb"gimp xcf", "XCF, GIMP's own", None),
    (rb"\xff\x0a|\x00\x00\x00\x0cjxl ", "JPEG XL", None),
    (rb"(?s)....ftypavi[fs]", "AVIF, which this build of Pillow cannot read", "AVIF"),
    (HEIC, "HEIC, which cannot be read without the package pillow-heif", "HEIF"),
    (rb"(?s)....ftyp|riff....avi |\x1a\x65\xdf\xa3", "a film", None),
    (rb"pk\x03\x04|\x1f\x8b|rar!", "an archive", None),
)


@contextmanager
def opened(path: Path, formats: tuple[str, ...]) -> Iterator[ImageFile.ImageFile]:
    """Open an image file of one of Pillow's ``formats``; decode it inside ``decoding``.

    The image has no more pixels than may be decoded. Pillow's warnings inside the block are logged.
    Raises ``ImageError``.
    """
    path = Path(path)  # from Python it may be a text
    with warnings.catch_warnings(record=True) as notes, ExitStack() as files:
        warnings.simplefilter("always")
        with decoding(path, formats):
            _check_file(path)
            with suppress(struct.error):  # cut off; Pillow will report it
                _check_lists(path)
            _register(path)
            readable = [name for name in formats if name in Image.OPEN]
            file = files.enter_context(path.open("rb"))
            image = files.enter_context(Image.open(file, formats=readable))
        _check_pixels(path, image)
        yield image
    for note in notes:
        # MAX_MEGAPIXELS supersedes Pillow's own warning about large images.
        if not issubclass(note.category, Image.DecompressionBombWarning):
            warn(path, f"Pillow says: {note.message}")


@contextmanager
def decoding(path: Path, formats: tuple[str, ...] = FORMATS) -> Iterator[None]:
    """Raise every exception inside the block as an ``ImageError`` about a file.

    Put only Pillow's decoding into the block, or bugs of this package would be blamed on files.
    """
    try:
        yield
    except ImageError:
        raise
    except Exception as error:  # Pillow raises nearly every type of exception for damaged files
        raise ImageError(f"{path}: {_explain(path, error, formats)}") from error


def _register(path: Path) -> None:
    """Register Pillow's formats, and HEIC only if this file is HEIC."""
    Image.init()  # an older Pillow lacks AVIF
    if re.match(HEIC, _head(path)):
        with suppress(ImportError):  # reported when the file is refused
            from pillow_heif import register_heif_opener  # noqa: PLC0415 - takes 0.1 s

            register_heif_opener(thumbnails=False)


def check_header(path: Path, image: ImageFile.ImageFile, *, any_shape: bool = False) -> None:
    """Refuse an image whose header shows that it cannot or should not be decoded.

    With ``any_shape``, it may be too small or too narrow for the layers of a network. Raises
    ``ImageError``.
    """
    width, height = image.size
    if not any_shape and min(width, height) < MIN_SIDE:
        raise ImageError(
            f"{path}: needs at least {MIN_SIDE} px per side; got {width}x{height}. Use a larger "
            "one."
        )
    if not any_shape and max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            f"{path}: may be at most {MAX_ASPECT} times as long as wide; got {width}x{height}. "
            "Crop it."
        )
    metadata = sum(len(value) for value in image.info.values() if isinstance(value, bytes | str))
    _limit(path, metadata, MAX_METADATA, "bytes of metadata", "Export it without.")
    bits = tiff_tag(image, "BitsPerSample")
    deep = isinstance(bits, tuple) and len(bits) > 1 and max(bits) > 8
    raw = image.info.get("compression") == "raw"
    if deep and raw and tiff_tag(image, "PlanarConfiguration") == 2:
        raise ImageError(  # the one layout that Pillow misreads silently
            f"{path}: must hold its channels pixel by pixel; got uncompressed 16-bit planes. "
            "Export it with interleaved channels, or as PNG."
        )


def _check_pixels(path: Path, image: Image.Image) -> None:
    """Refuse, with an ``ImageError``, an image whose header claims too many pixels to decode."""
    width, height = image.size
    megapixels = width * height / 1e6
    most = min(MAX_MEGAPIXELS, MAX_MEGAPIXELS_OF.get(image.format or "", MAX_MEGAPIXELS))
    if megapixels > most:
        raise ImageError(
            f"{path}: may have at most {most} megapixels; got {width}x{height} ({megapixels:.2f}). "
            "Scale it down."
        )


def refuse_scans(path: Path) -> None:
    """Refuse a JPEG with too many scans: each is a pass over the whole picture.

    Reads the file, and also counts the scans of a thumbnail. Raises ``ImageError``.
    """
    scans = 0
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            scans += block.count(b"\xff\xda")
    _limit(path, scans, MAX_SCANS, "scans", "Export it again, not progressive.")


def _limit(path: Path, number: int, most: int, noun: str, remedy: str) -> None:
    """Refuse, with an ``ImageError``, a file that has more than ``most`` of something."""
    if number > most:
        raise ImageError(f"{path}: may have at most {most} {noun}; got {number}. {remedy}")


def warn(path: Path, message: str) -> None:
    """Log a warning about a file, in one printable line."""
    logger.warning("%s", one_line(f"{path}: {message}"))


def tiff_tag(image: Image.Image, name: str) -> object:
    """Return a TIFF's tag; ``None`` for an absent tag and for other formats."""
    return getattr(image, "tag_v2", {}).get(ExifTags.Base[name].value)


def _explain(path: Path, error: Exception, formats: tuple[str, ...]) -> str:
    """Explain a file's problem, from the error that Pillow or the system raised."""
    if isinstance(error, PermissionError):
        return f"cannot be opened ({error.strerror}). Make the file readable."
    if isinstance(error, Image.DecompressionBombError):
        return (
            f"may have at most {MAX_MEGAPIXELS} megapixels; its header claims more. Scale it down."
        )
    if isinstance(error, UnidentifiedImageError):
        head = _head(path)
        known = ((kind, name) for magic, kind, name in FOREIGN if re.match(magic, head))
        kind, name = next(known, ("", None))
        if not kind or name in Image.OPEN:  # if the format can be read, the file is damaged
            kind = "of another format, or damaged"
        return f"must be one of {', '.join(formats)}; it is {kind}. Export it as {formats[0]}."
    reason = str(error).strip() or type(error).__name__
    return f"cannot be read as an image ({reason}). Fetch or export it again."


def _head(path: Path) -> bytes:
    """Return a file's first bytes, in lower case."""
    with path.open("rb") as file:
        return file.read(1024).lower()


def _check_file(path: Path) -> None:
    """Refuse a path that cannot be an image, before Pillow opens it."""
    if path.is_dir():
        raise ImageError(f"{path}: must be an image file; it is a directory. Name a file in it.")
    if not path.exists():
        raise ImageError(f"{path}: must be an image file; there is no such file. Check the path.")
    if not path.is_file():  # opening a pipe would wait for ever
        raise ImageError(
            f"{path}: must be a regular file; it is a device or a pipe. Save it first."
        )
    if path.stat().st_size == 0:
        raise ImageError(f"{path}: must hold an image; it has 0 bytes. Fetch or export it again.")
    remedy = "Export it compressed, or scale it down."
    _limit(path, path.stat().st_size, MAX_BYTES, "bytes", remedy)


def _check_lists(path: Path) -> None:
    """Refuse a TIFF or BigTIFF whose first directory has too long a list.

    Pillow creates an object for every number in a list of strips: ten million take minutes. Raises
    ``struct.error`` for a file that is cut off.
    """
    with path.open("rb") as file:
        head = file.read(16)
        if head[:4] not in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
            return
        order = "<" if head.startswith(b"I") else ">"
        offset, number, entry = ("8xQ", "Q", "HHQ8x") if b"+" in head[:4] else ("4xI", "H", "HHI4x")
        file.seek(*struct.unpack_from(order + offset, head))
        (entries,) = struct.unpack(order + number, file.read(struct.calcsize(order + number)))
        of_tag = struct.Struct(order + entry)
        content = file.read(min(entries, 65535) * of_tag.size)
    whole = content[: len(content) // of_tag.size * of_tag.size]
    for tag, kind, count in of_tag.iter_unpack(whole):
        if kind not in BYTES:
            remedy = "Export it with larger strips, or as PNG."
            _limit(path, count, MAX_VALUES, f"values in tag {tag}", remedy)
