"""Pictures of 16 bits per channel, for print: sRGB, with a profile and a resolution.

A 16-bit picture is an array of ``uint16``, height × width × RGB or RGBA, with colours that are not
multiplied by the alpha. Pillow has no 16-bit colours.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from nst.imaging.images import write_picture
from nst.imaging.srgb import srgb_profile

Levels: TypeAlias = NDArray[np.uint16]

WIDER = 257  # levels of 16 bits per level of 8 bits: 255 becomes 65535
PAETH = 4  # the filter of PNG that predicts a sample from three neighbours
METRES_PER_INCH = 0.0254


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
