"""Make the pictures of the README and of docs/, from the runs that they show: `make images`."""

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright
from settings_sheet import draw_sheet
from tutorial import follow

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
SETTINGS = Path("results/settings")
TUTORIAL = {
    "tutorial_overview": Path("results/grids/overview.png"),
    "tutorial_print": Path("results/prints/cat/starry_night_study/relative/1e-1.png"),
}
TUTORIAL_PAIR = "#view=matrix&content=cat&style=great_wave_study"
WIDTH = 1400  # px; twice what a README shows, for sharp screens
SMALL = {"width": 960, "quality": 80}  # of the tutorial's
WINDOW = {"width": 1120, "height": 860}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FOLDER = Path("docs/images")


def save(picture: Image.Image, name: str, width: int = WIDTH, quality: int = 88) -> None:
    """Reduce a picture to a page's width; a smaller one stays as it is."""
    width = min(width, picture.width)
    height = round(picture.height * width / picture.width)
    reduced = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    reduced.save(FOLDER / f"{name}.jpg", quality=quality, subsampling=0, optimize=True)


def photograph_gallery(gallery: Path, view: str, name: str, **form: int) -> None:
    """Take a picture of a gallery in a browser."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        sys.exit(f"the gallery's picture needs one of the browsers {', '.join(BROWSERS)}")
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        page = chromium.new_page(viewport=WINDOW, device_scale_factor=2)
        page.goto(gallery.resolve().as_uri() + view)
        page.wait_for_load_state("networkidle")
        path = Path(folder) / "gallery.png"
        page.screenshot(path=path)
        chromium.close()
        with Image.open(path) as picture:
            save(picture, name, **form)


def picture_tutorial() -> None:
    """Follow the tutorial, and take its pictures."""
    with tempfile.TemporaryDirectory() as folder:
        for _step in follow(Path(folder)):
            pass
        checkout = Path(folder) / "nst"
        for name, source in TUTORIAL.items():
            with Image.open(checkout / source) as picture:
                save(picture, name, **SMALL)
        photograph_gallery(checkout / GALLERY, TUTORIAL_PAIR, "tutorial_gallery", **SMALL)


FOLDER.mkdir(exist_ok=True)
for name, source in PICTURES.items():
    with Image.open(source) as grid:
        save(grid, name)
photograph_gallery(GALLERY, PAIR, "gallery")
save(draw_sheet(SETTINGS), "settings", width=1100, quality=65)  # 43 pictures
picture_tutorial()
