"""Make the README's pictures from the default grid and `config/control.yaml`: `make images`."""

import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

CONTROL = Path("results/control/results/grids")
PICTURES = {
    "overview": Path("results/grids/overview.png"),
    "pair": Path("results/grids/pairs/rocket/starry_night_study.png"),
    "plot": Path("results/plots/pairs/rocket/starry_night_study.png"),
    "control": CONTROL / "overview.png",
    "sweep": CONTROL / "pairs/astronaut/starry_night_study.png",
}
GALLERY = Path("results/gallery/index.html")
PAIR = "#view=matrix&content=rocket&style=starry_night_study"
WIDTH = 1400  # px; twice what a README shows, for sharp screens
WINDOW = {"width": 1120, "height": 860}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FOLDER = Path("docs/images")


def save(picture: Image.Image, name: str) -> None:
    """Reduce a picture to the README's width."""
    height = round(picture.height * WIDTH / picture.width)
    reduced = picture.convert("RGB").resize((WIDTH, height), Image.Resampling.LANCZOS)
    reduced.save(FOLDER / f"{name}.jpg", quality=88, subsampling=0, optimize=True)


def photograph_gallery(path: Path) -> None:
    """Take a picture of the gallery in a browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"the gallery's picture needs one of the browsers {', '.join(BROWSERS)}")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport=WINDOW, device_scale_factor=2)
        page.goto(GALLERY.resolve().as_uri() + PAIR)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=path)
        chromium.close()


FOLDER.mkdir(exist_ok=True)
for name, source in PICTURES.items():
    with Image.open(source) as grid:
        save(grid, name)
screenshot = FOLDER / "gallery.png"
photograph_gallery(screenshot)
with Image.open(screenshot) as page:
    save(page, "gallery")
screenshot.unlink()
