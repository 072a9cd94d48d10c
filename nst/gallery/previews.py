"""Small copies of pictures, for a page that shows many pictures.

A copy is named after the sha256 of the picture's file. It is therefore written only if the picture
changed, and never confused with the copy of a picture with the same settings from another device or
version.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from PIL import Image

from nst.imaging.images import fit_long_side, load_image, read_size
from nst.system.files import write_atomically

THUMBNAIL = 400  # px, longer side: for a card of 300 px, with some reserve for dense screens
PREVIEW = 800  # px, longer side: for the full view, if the original is missing
QUALITY = 80  # of WebP; brush strokes stay clean, at about 60 kB per 400 × 400 px
COPIES = "pictures"  # the folder of the copies, in the gallery's folder
MADE = re.compile(r"[0-9a-f]{24}-\d+\.webp")


@dataclass(frozen=True)
class Previews:
    """The copies in a gallery's folder; ``asked`` has the paths of all requested copies."""

    folder: Path
    asked: set[str] = field(default_factory=set)

    def of(self, picture: Path | None, *, size: int = PREVIEW) -> dict[str, str | None]:
        """Return links from the gallery to a picture and its copies; without a picture, None.

        Missing copies are written. ``size`` is the longer side of the larger copy in px; no copy is
        larger than the picture. Raises ``ImageError`` if the picture cannot be read.
        """
        if picture is None:
            return dict.fromkeys(("thumbnail", "preview", "full"))
        longer = max(read_size(picture, any_shape=True))
        digest = hashlib.sha256(picture.read_bytes()).hexdigest()[:24]
        sides = [min(limit, longer) for limit in (THUMBNAIL, max(size, THUMBNAIL))]
        thumbnail, preview = (f"{COPIES}/{digest}-{side}.webp" for side in sides)
        original = None
        for name, side in zip((thumbnail, preview), sides, strict=True):
            if not (self.folder / name).is_file():
                original = original or load_image(picture, any_shape=True)
                write_atomically(self.folder / name, _webp(fit_long_side(original, side)))
        self.asked.update((thumbnail, preview))
        return {"thumbnail": thumbnail, "preview": preview, "full": _link(picture, self.folder)}

    def remove_others(self) -> int:
        """Remove the copies that were not requested, and return their number."""
        others = [
            path
            for path in (self.folder / COPIES).glob("*.webp")
            if MADE.fullmatch(path.name) and f"{COPIES}/{path.name}" not in self.asked
        ]
        for path in others:
            path.unlink()
        return len(others)


def _link(picture: Path, folder: Path) -> str | None:
    """Return a relative link from a folder to a picture; None across Windows drives."""
    try:
        return quote(Path(os.path.relpath(picture, folder)).as_posix())
    except ValueError:
        return None


def _webp(image: Image.Image) -> bytes:
    """Encode a picture as WebP."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=QUALITY, method=4)
    return buffer.getvalue()
