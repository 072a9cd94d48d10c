"""Draw a cell's snapshots: as a strip for print, as an animation for the screen."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from nst.config.names import counted
from nst.figures.grids import wrap_tiles
from nst.figures.painting import draw_grid
from nst.figures.sheet import Tile
from nst.imaging.images import unstack
from nst.system.files import write_atomically

COLUMNS = 6
FRAME_MS = 600
LAST_FRAME_MS = 2400  # the last picture stays longer before the animation repeats


def draw_strip(
    stacked: Path, steps: Sequence[int], *, title: str = "", subtitle: str = ""
) -> Image.Image:
    """Draw the stacked pictures of a file side by side, each with its number of steps."""
    with tempfile.TemporaryDirectory(prefix="nst-") as folder:
        tiles = []
        for frame, step in zip(_frames(stacked, len(steps)), steps, strict=True):
            path = Path(folder) / f"{step}.png"
            frame.save(path)
            caption = counted(step, "step") if step else "start"
            tiles.append(Tile(path, caption))
        return draw_grid(wrap_tiles(title, tiles, min(COLUMNS, len(tiles)), subtitle))


def save_animation(stacked: Path, steps: Sequence[int], path: Path) -> None:
    """Write the stacked pictures of a file as an animated WebP that repeats endlessly."""
    first, *others = _frames(stacked, len(steps))
    durations = [FRAME_MS] * len(others) + [LAST_FRAME_MS]
    encoded = io.BytesIO()
    first.save(
        encoded,
        format="WEBP",
        save_all=True,
        append_images=others,
        duration=durations if others else LAST_FRAME_MS,
        loop=0,
        quality=90,
    )
    write_atomically(path, encoded.getvalue())


def _frames(stacked: Path, count: int) -> list[Image.Image]:
    """Read the pictures from the file in which they are stacked vertically."""
    with Image.open(stacked) as picture:
        return unstack(picture, count)
