"""Small copies of pictures, for a page that shows many of them.

A copy is named by the bytes it was made from, so it is made only when the picture changed, and
never mistaken for that of another device or version with the same settings.
"""

from __future__ import annotations

import hashlib
import io
import re
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from nst.imaging.images import fit_long_side, load_image
from nst.system.files import write_atomically

THUMBNAIL = 400  # px, longer side: a card of 300 px, and some reserve for dense screens
PREVIEW = 800  # px, longer side: the full view, when the original is not at hand
QUALITY = 80  # of WebP; brush strokes stay clean, at about 60 kB per 400 × 400 px
MADE = re.compile(r"[0-9a-f]{24}-\d+\.webp")


@dataclass(frozen=True)
class Preview:
    """The names of a picture's copies; both are one if the picture is small."""

    thumbnail: str
    preview: str


@dataclass(frozen=True)
class Previews:
    """The copies in one folder; which of them were asked for is remembered."""

    folder: Path
    asked: set[str] = field(default_factory=set)

    def of(self, picture: Path, *, size: int = PREVIEW) -> Preview:
        """Make the copies of a picture that are not there yet; ``size`` is that of the larger.

        No copy is larger than the picture. Raises ``ImageError`` if it cannot be read.
        """
        longer = max(_size(picture))
        digest = hashlib.sha256(picture.read_bytes()).hexdigest()[:24]
        sides = [min(limit, longer) for limit in (THUMBNAIL, max(size, THUMBNAIL))]
        names = [f"{digest}-{side}.webp" for side in sides]
        missing = {
            name: side
            for name, side in zip(names, sides, strict=True)
            if not (self.folder / name).is_file()
        }
        if missing:
            original = load_image(picture, any_shape=True)
            for name, side in missing.items():
                write_atomically(self.folder / name, _webp(fit_long_side(original, side)))
        self.asked.update(names)
        return Preview(*names)

    def remove_others(self) -> int:
        """Remove the copies that were not asked for, and return how many there were."""
        others = [
            path
            for path in self.folder.glob("*.webp")
            if MADE.fullmatch(path.name) and path.name not in self.asked
        ]
        for path in others:
            path.unlink()
        return len(others)


def _size(picture: Path) -> tuple[int, int]:
    """Return a picture's width and height, read from its header alone."""
    try:
        with Image.open(picture) as image:
            return image.size
    except OSError:
        return load_image(picture, any_shape=True).size  # its errors name the fault and the remedy


def _webp(image: Image.Image) -> bytes:
    """Encode a picture as WebP."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=4)
    return buffer.getvalue()
