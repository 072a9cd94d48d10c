"""Read 16-bit pictures with other programs than those that wrote them."""

import zlib
from pathlib import Path

import numpy as np
import png
from PIL import Image

DEFLATE, HORIZONTAL, INCH = 8, 2, 2  # a TIFF's compression, predictor and unit


def deep_levels(path: Path) -> np.ndarray:
    """Return the levels of a PNG or TIFF, height × width × channels."""
    return png_levels(path) if path.suffix == ".png" else tiff_levels(path)


def png_levels(path: Path) -> np.ndarray:
    width, height, rows, info = png.Reader(bytes=path.read_bytes()).read()
    assert info["bitdepth"] == 16
    return np.vstack([np.array(row, np.uint16) for row in rows]).reshape(height, width, -1)


def tiff_levels(path: Path) -> np.ndarray:
    """Decode the low bytes, which Pillow drops; the high bytes must equal Pillow's."""
    with Image.open(path) as image:
        high, tags = np.asarray(image), dict(image.tag_v2)
    content = path.read_bytes()
    assert content[:2] == b"II", "little-endian"
    assert (set(tags[258]), tags[259], tags[317]) == ({16}, DEFLATE, HORIZONTAL)
    strips = zip(np.atleast_1d(tags[273]), np.atleast_1d(tags[279]), strict=True)
    plain = b"".join(zlib.decompress(content[start : start + size]) for start, size in strips)
    steps = np.frombuffer(plain, "<u2").reshape(high.shape)
    levels = steps.cumsum(axis=1, dtype=np.uint16)
    assert np.array_equal(levels >> 8, high)
    return levels


def eight_bits(levels: np.ndarray) -> np.ndarray:
    """Round 16-bit levels to 8 bits as other programs do, mapping 65535 to 255."""
    return ((levels.astype(int) + 128) // 257).astype(np.uint8)
