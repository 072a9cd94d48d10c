"""Fill docs/recipes.md, the comparison of recipes, from the run of config/formulations.yaml.

The command is `make recipes`. It replaces the table and the pictures of the page.
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image

from nst.config.catalogue import read_catalogue
from nst.config.paths import cell_path
from nst.config.run import read_file, read_run

DOCS = Path(__file__).resolve().parent
PAGE = DOCS / "recipes.md"
CONFIG = DOCS.parent / "config" / "formulations.yaml"
RUN = Path("results/recipes")
MARKS = ("<!-- table: make recipes -->\n", "<!-- end of the table -->\n")
SHOWN = (("tubingen", "starry_night"), ("mona_lisa", "great_wave"))
HEIGHT, GAP = 256, 6  # px
QUALITY = 82


def main() -> None:
    """Write the table and the pictures of the page."""
    pictures = DOCS / "images" / "recipes"
    pictures.mkdir(parents=True, exist_ok=True)
    for one in read_run(read_file(CONFIG), read_catalogue()).variants:
        strip = draw_strip([RUN / cell_path(*pair, one.layers, one.ratio) for pair in SHOWN])
        strip.save(pictures / f"{one.layers}.jpg", quality=QUALITY, optimize=True)
    with Image.open(RUN / f"results/grids/recipes/{'/'.join(SHOWN[0])}.jpg") as history:
        history.save(pictures / "history.jpg", quality=QUALITY, optimize=True)
    table = (RUN / "results/tables/layers.md").read_text(encoding="utf-8")
    PAGE.write_text(with_table(PAGE.read_text(encoding="utf-8"), table), encoding="utf-8")


def draw_strip(paths: list[Path]) -> Image.Image:
    """Put pictures of equal height side by side."""
    pictures = []
    for path in paths:
        with Image.open(path) as picture:
            size = (round(picture.width * HEIGHT / picture.height), HEIGHT)
            pictures.append(picture.convert("RGB").resize(size, Image.Resampling.LANCZOS))
    strip = Image.new("RGB", (sum(one.width + GAP for one in pictures) - GAP, HEIGHT), "white")
    left = 0
    for one in pictures:
        strip.paste(one, (left, 0))
        left += one.width + GAP
    return strip


def with_table(page: str, table: str) -> str:
    """Return the page with a new table of recipes."""
    before, rest = page.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    return f"{before}{MARKS[0]}\n{table.replace('| layers ', '| recipe ', 1)}\n{MARKS[1]}{after}"


if __name__ == "__main__":
    main()
