"""Image files for the tests, in formats that Pillow writes and some that it only reads."""

import io
import struct
import zlib
from pathlib import Path

import numpngw
import numpy as np
import tifffile
from PIL import Image
from pillow_heif import register_heif_opener

from nst.imaging.images import load_image

WIDTH, HEIGHT = 48, 40
WHITE, BLACK, RED = (255, 255, 255), (0, 0, 0), (255, 0, 0)

Image.init()
register_heif_opener()  # to write HEIC; the package registers it on the first HEIC file
AVIF = ["AVIF"] if "AVIF" in Image.SAVE else []  # some builds of Pillow lack it


def picture() -> Image.Image:
    """Return a picture in which no two corners, channels or neighbours are equal."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH]
    return Image.fromarray(np.stack([x * 5, y * 6, (x * y) % 256], axis=-1).astype(np.uint8))


def plain(mode: str, colour: object) -> Image.Image:
    return Image.new(mode, (WIDTH, HEIGHT), colour)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def read(folder: Path, content: bytes, name: str = "picture.bin") -> Image.Image:
    path = folder / name
    path.write_bytes(content)
    return load_image(path)


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    """Return the set of all colours in the picture."""
    return {tuple(pixel) for pixel in np.asarray(image).reshape(-1, 3).tolist()}


def nearly(image: Image.Image, colour: tuple[int, ...], tolerance: int = 3) -> bool:
    return bool(np.abs(np.asarray(image).astype(int) - colour).max() <= tolerance)


def chunk(kind: bytes, content: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def png(values: np.ndarray) -> bytes:
    """Encode a PNG of 16 bits, which Pillow cannot write in colour."""
    buffer = io.BytesIO()
    numpngw.write_png(buffer, values.astype(np.uint16))
    return buffer.getvalue()


def tiff(values: np.ndarray, **options: object) -> bytes:
    """Encode an uncompressed TIFF, in layouts that Pillow reads but cannot write."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, values, metadata=None, **options)
    return buffer.getvalue()


def white_in_twelve_bits() -> bytes:
    """Encode 12-bit white: all bits are set, so that 8-bit white of more columns is the same."""
    buffer = io.BytesIO(tiff(np.full((HEIGHT, WIDTH * 3 // 2), 255, np.uint8)))
    with tifffile.TiffFile(buffer, mode="r+") as file:
        tags = file.pages[0].tags
        tags["ImageWidth"].overwrite(WIDTH)
        tags["BitsPerSample"].overwrite(12)
        return buffer.getvalue()


def png_header(width: int, height: int) -> bytes:
    """Return a PNG header that claims a size, without pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


def orientation_exif(orientation: int) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


# ---------------------------------------------------------------- colour profiles


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def icc_profile(space: bytes, connection: bytes, tags: dict[bytes, bytes]) -> bytes:
    """Build an ICC version 2 profile by hand, so that its effect is known."""
    names, body, table = list(tags), b"", struct.pack(">I", len(tags))
    for name in names:
        start = 128 + 4 + 12 * len(tags) + len(body)
        table += name + struct.pack(">II", start, len(tags[name]))
        body += tags[name] + bytes(-len(tags[name]) % 4)
    kind = b"prtr" if space == b"CMYK" else b"mntr"
    header = struct.pack(
        ">I4sI4s4s4s", 128 + len(table + body), b"", 0x02100000, kind, space, connection
    )
    header += bytes(12) + b"acsp" + bytes(28) + fixed(0.9642, 1, 0.8249)
    return header.ljust(128, b"\0") + table + body


def curve(gamma: float | None) -> bytes:
    """Return a power law; for ``None``, sRGB's curve as a table, as most sRGB profiles have it."""
    if gamma is not None:
        return b"curv" + bytes(4) + struct.pack(">IH", 1, round(gamma * 256))
    level = np.linspace(0, 1, 1024)
    linear = np.where(level <= 0.04045, level / 12.92, ((level + 0.055) / 1.055) ** 2.4)
    return b"curv" + bytes(4) + struct.pack(">I1024H", 1024, *np.rint(linear * 65535).astype(int))


def xyz(*values: float) -> bytes:
    return b"XYZ " + bytes(4) + fixed(*values)


def rgb_profile(gamma: float | None, order: str = "rgb", off: float = 0) -> bytes:
    """Return sRGB's primaries (adapted to D50), in this order, with this gamma and red shifted."""
    primaries = {
        "r": xyz(0.4361 + off, 0.2225, 0.0139),
        "g": xyz(0.3851, 0.7169, 0.0971),
        "b": xyz(0.1431, 0.0606, 0.7141),
    }
    tags = {f"{c}TRC".encode(): curve(gamma) for c in "rgb"}
    tags |= {f"{c}XYZ".encode(): primaries[p] for c, p in zip("rgb", order, strict=True)}
    return icc_profile(b"RGB ", b"XYZ ", tags)


def grey_profile(gamma: float) -> bytes:
    return icc_profile(b"GRAY", b"XYZ ", {b"wtpt": xyz(0.9642, 1, 0.8249), b"kTRC": curve(gamma)})


def cmyk_profile() -> bytes:
    """Return a press profile with red cyan ink: white paper, full cyan red, all else black."""
    grid = {(0, 0, 0, 0): (255, 128, 128), (1, 0, 0, 0): (138, 209, 198)}  # L a b
    corners = [tuple(int(bit) for bit in f"{index:04b}") for index in range(16)]
    ramp = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0]) + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut += ramp * 4 + b"".join(bytes(grid.get(c, (0, 128, 128))) for c in corners) + ramp * 3
    return icc_profile(b"CMYK", b"Lab ", {b"A2B0": lut})
