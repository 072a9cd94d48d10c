"""Make the README's pictures from the default grid's results: `make images`."""

from pathlib import Path

from PIL import Image

PICTURES = {
    "overview": Path("results/grids/overview.png"),
    "pair": Path("results/grids/pairs/rocket/starry_night_study.png"),
}
WIDTH = 1400  # px; twice what a README shows, for sharp screens

FOLDER = Path("docs/images")
FOLDER.mkdir(exist_ok=True)

for name, grid in PICTURES.items():
    with Image.open(grid) as picture:
        height = round(picture.height * WIDTH / picture.width)
        reduced = picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
    reduced.save(FOLDER / f"{name}.jpg", quality=88, subsampling=0, optimize=True)
