"""Draw the pictures of the README and of docs/ from finished runs: `make images`."""

import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image, ImageOps
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
OPENING = Path("results/opening/results")
TUTORIAL = {
    "tutorial_overview": Path("results/grids/overview.png"),
    "tutorial_print": Path("results/prints/cat/starry_night_study/relative/1e-1.png"),
}
TUTORIAL_PAIR = "#view=matrix&content=cat&style=great_wave_study"
WIDTH = 1400  # px; twice the width shown in the README, for high-resolution screens
SMALL = {"width": 960, "quality": 80}  # for the tutorial's pictures
PAGE, GAP = 1000, 8  # px, in the README's first picture
DETAILS = ((40, 90), (500, 290))  # upper left corners in the cell, px
WINDOW = {"width": 1120, "height": 860}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FOLDER = Path("docs/images")


def save(picture: Image.Image, name: str, width: int = WIDTH, quality: int = 88) -> None:
    """Reduce a picture to a page's width; keep a smaller picture unchanged."""
    width = min(width, picture.width)
    height = round(picture.height * width / picture.width)
    reduced = picture.convert("RGB").resize((width, height), Image.Resampling.LANCZOS)
    reduced.save(FOLDER / f"{name}.jpg", quality=quality, subsampling=0, optimize=True)


def draw_opening(run: Path) -> Image.Image:
    """Compose the README's first picture: a cell above its inputs and two of its details.

    The details are at 1:1, and each is half as wide as the page.
    """
    (cell,) = run.glob("cells/*/*/*/*.png")
    half = (PAGE - GAP) // 2
    with Image.open(cell) as picture:
        whole = ImageOps.contain(picture.convert("RGB"), (PAGE, PAGE))
        details = [picture.convert("RGB").crop(box(place, half)) for place in DETAILS]
    inputs = [
        ImageOps.fit(Image.open(path).convert("RGB"), (half, half * 5 // 9))
        for path in (*run.glob("inputs/content/*.png"), *run.glob("inputs/style/*.png"))
    ]
    rows = [[whole], inputs, details]
    height = sum(row[0].height + GAP for row in rows) - GAP
    page, top = Image.new("RGB", (PAGE, height), "white"), 0
    for row in rows:
        for place, one in enumerate(row):
            page.paste(one, (place * (half + GAP), top))
        top += row[0].height + GAP
    return page


def box(corner: tuple[int, int], width: int) -> tuple[int, int, int, int]:
    """Return the edges of a detail in px, from its upper left corner and width."""
    left, upper = corner
    return left, upper, left + width, upper + width * 5 // 9


def photograph_gallery(gallery: Path, view: str, name: str, **form: int) -> None:
    """Take a screenshot of a gallery in a browser."""
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
    """Follow the tutorial and save its pictures."""
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
save(draw_opening(OPENING), "opening", width=PAGE)
photograph_gallery(GALLERY, PAIR, "gallery")
save(draw_sheet(SETTINGS), "settings", width=1100, quality=65)  # 43 pictures
picture_tutorial()
