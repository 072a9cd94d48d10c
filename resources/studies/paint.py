"""Paint the project's own style images: four studies after famous paintings.

The default run needs style images that may be shipped with the project, so these are painted
by a program, from nothing but curves and seeded noise.  Each has a palette of its own and texture
at several scales, which is what a style image is judged by in neural style transfer.
`brush.py` explains the method, which is that of Hertzmann (1998): layers of curved brush strokes
from coarse to fine.  There is one module per study.

    python resources/studies/paint.py [--out DIR] [NAME ...]
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import great_wave
import impression_sunrise
import numpy as np
import seated_nude
import starry_night
from brush import Array
from PIL import Image

STUDIES: dict[str, Callable[[np.random.Generator], Array]] = {
    "starry_night": starry_night.paint,
    "impression_sunrise": impression_sunrise.paint,
    "seated_nude": seated_nude.paint,
    "great_wave": great_wave.paint,
}
SEED = 1889


def main() -> None:
    """Paint the studies that are named on the command line, or all of them."""
    parser = argparse.ArgumentParser(description="Paint the style images of the default run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"any of: {', '.join(STUDIES)}")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, metavar="DIR")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(STUDIES):
        parser.error(f"no such study: {', '.join(sorted(unknown))}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or STUDIES:
        # Each study has a generator of its own, so it looks the same painted alone or with others.
        picture = STUDIES[name](np.random.default_rng(SEED))
        save(picture, arguments.out / f"{name}_study.jpg")


def save(picture: Array, path: Path) -> None:
    """Write a picture as a JPEG without colour subsampling, which would blur the strokes."""
    pixels = np.round(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(path, quality=90, subsampling=0, optimize=True)


if __name__ == "__main__":
    main()
