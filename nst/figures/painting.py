"""Paint a layout: a `Surface` reduces its marks to five primitives.

These are rectangles, lines, polygons, text and pictures. `Raster` draws them as pixels, and
`nst.figures.pages` writes them as PDF. Pictures are opened, reduced and closed one by one, so a
page of hundreds of pictures needs little more memory than the page itself.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from math import sqrt
from pathlib import Path

from PIL import Image, ImageDraw

from nst.errors import ImageError
from nst.figures.layout import arrange
from nst.figures.lettering import extent, face, overhang
from nst.figures.sheet import (
    GREY,
    SHARES,
    Arrow,
    Box,
    Card,
    Colour,
    Grid,
    Layout,
    Mark,
    Page,
    Picture,
    Shape,
    Text,
)
from nst.imaging.srgb import on_white
from nst.system.files import write_atomically

PAPER: Colour = (255, 255, 255)
CARD: Colour = (248, 248, 248)
HATCH: Colour = (218, 218, 221)
RULE: Colour = (196, 196, 200)
STROKE = 0.13  # mm, the width of lines

PATCH = 5.0  # mm; a smaller tile shows only patches of colour
PREVIEW_WIDTH = 1400  # px
PREVIEW_QUALITY = 80

Point = tuple[int, int]


class Surface(ABC):
    """A surface to paint marks on. Positions and lengths are in px of the layout."""

    stroke: float  # the width of lines

    @abstractmethod
    def rectangle(self, box: Box, colour: Colour, *, filled: bool = True) -> None:
        """Fill a box, or draw along its edge."""

    @abstractmethod
    def line(self, start: Point, end: Point, colour: Colour) -> None:
        """Draw a straight line."""

    @abstractmethod
    def polygon(self, corners: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon."""

    @abstractmethod
    def text(self, text: Text) -> None:
        """Letter the lines of a text, each aligned within its box."""

    @abstractmethod
    def picture(self, picture: Picture) -> None:
        """Fit a picture into its box."""

    def paint(self, marks: Iterable[Mark]) -> None:
        """Paint every mark of a layout."""
        for mark in marks:
            match mark:
                case Text():
                    self.text(mark)
                case Picture():
                    self.picture(mark)
                case Card():
                    self.card(mark)
                case Arrow():
                    self.arrow(mark)

    def card(self, card: Card) -> None:
        """Paint a hatched card and, on a plain plate in its middle, its note."""
        box, note, pad = card.box, card.note, round(6 * self.stroke)
        self.rectangle(box, CARD)
        for start in range(-box.height, box.width - 1, round(10 * self.stroke)):
            # A diagonal, without the parts to the left and to the right of the box.
            first, last = max(1, -start), min(box.height, box.width - 1 - start)
            corner = box.left + start
            ends = ((corner + first, box.bottom - first), (corner + last, box.bottom - last))
            self.line(*ends, HATCH)
        self.rectangle(box, RULE, filled=False)
        if note.lines:
            left = box.left + (box.width - note.width) // 2
            top = box.top + (box.height - note.height) // 2
            sides = (note.width + 2 * pad + 1, note.height + 2 * pad + 1)
            self.rectangle(Box(left - pad, top - pad, *sides).within(box), CARD)
            self.text(Text(left, top, note, GREY, "centre"))

    def arrow(self, arrow: Arrow) -> None:
        """Paint a thin line that ends in a small triangle."""
        box, head = arrow.box, round(5 * self.stroke)
        middle = box.top + box.height // 2
        tip, inwards = (box.left, 1) if arrow.points == "left" else (box.right - 1, -1)
        self.line((box.left, middle), (box.right - 1, middle), RULE)
        base = tip + inwards * 2 * head
        self.polygon([(tip, middle), (base, middle - head), (base, middle + head)], RULE)


class Raster(Surface):
    """White paper made of pixels."""

    stroke: int

    def __init__(self, width: int, height: int, stroke: int) -> None:
        self.image = Image.new("RGB", (width, height), PAPER)
        self.stroke = stroke
        self._draw = ImageDraw.Draw(self.image)

    def rectangle(self, box: Box, colour: Colour, *, filled: bool = True) -> None:
        """Fill a box, or draw along the inside of its edge."""
        corners = (box.left, box.top, box.right - 1, box.bottom - 1)
        how = {"fill": colour} if filled else {"outline": colour, "width": self.stroke}
        self._draw.rectangle(corners, **how)

    def line(self, start: Point, end: Point, colour: Colour) -> None:
        """Draw a straight line, both ends included."""
        self._draw.line((start, end), fill=colour, width=self.stroke)

    def polygon(self, corners: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon, its edge included."""
        self._draw.polygon(corners, fill=colour)

    def text(self, text: Text) -> None:
        """Letter the lines of a text, each aligned within its box."""
        lettering = text.lettering
        font = face(lettering.size, lettering.bold)
        for index, line in enumerate(lettering.lines):
            spare = text.box.width - extent(line, font)
            left = text.box.left + round(SHARES[text.align] * spare) + overhang(line, font)
            base = text.box.top + lettering.ascent + index * lettering.pitch
            self._draw.text((left, base), line, fill=text.colour, font=font, anchor="ls")

    def picture(self, picture: Picture) -> None:
        """Paste a picture, reduced or enlarged to its box."""
        box = picture.box
        self.image.paste(open_reduced(picture.path, (box.width, box.height)), (box.left, box.top))


def draw_grid(grid: Grid, page: Page | None = None) -> Image.Image:
    """Draw a grid on white paper; the same files give the same pixels.

    The picture is RGB and has at most `page.most_pixels`. Its printed size follows from
    `info["dpi"]`. Raises `ImageError` for a file that is not a picture. Use a `Tile` with a note
    for a missing picture.
    """
    layout, page = _bounded(grid, page or Page(), read_shapes(grid))
    raster = Raster(layout.width, layout.height, stroke=page.mm(STROKE))
    raster.paint(layout.marks)
    raster.image.info["dpi"] = (page.dpi, page.dpi)
    return raster.image


def _bounded(grid: Grid, page: Page, shapes: Mapping[Path, Shape]) -> tuple[Layout, Page]:
    """Arrange a grid within the page's limit on pixels, and return the layout and its page.

    If the grid is too large, its tiles shrink. Once they would be mere patches of colour, the
    resolution is reduced, and the lettering with it.
    """
    layout = arrange(grid, page, shapes)
    while (excess := layout.width * layout.height / page.most_pixels) > 1:
        shrink = 0.98 / sqrt(excess)
        if page.smallest_tile_mm > PATCH:
            smaller = max(PATCH, shrink * page.smallest_tile_mm)
            page = replace(page, smallest_tile_mm=smaller)
        elif page.dpi > 1:
            page = replace(page, dpi=max(1, int(shrink * page.dpi)))
        else:
            return layout, page
        layout = arrange(grid, page, shapes)
    return layout, page


def read_shapes(grid: Grid) -> Mapping[Path, Shape]:
    """Read the shape of every picture from its header, without decoding it."""
    shapes = {}
    for path in {tile.picture for tile in grid.every_tile if tile.picture is not None}:
        with _opened(path) as file:
            shapes[path] = file.size
    return shapes


def open_reduced(path: Path, size: Shape) -> Image.Image:
    """Open a picture at a given size in px, on a white background."""
    with _opened(path) as file:
        return on_white(file).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open one of the run's pictures, which are already upright and in sRGB."""
    try:
        with Image.open(path, formats=["PNG"]) as file:
            yield file
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(
            f"{path} cannot be read ({error}). Delete it; the next run writes it again."
        ) from error


def save_grid(image: Image.Image, path: Path) -> None:
    """Write a PNG, whole or not at all, with the resolution that it was drawn for."""
    encoded = BytesIO()
    image.save(encoded, format="PNG", dpi=image.info["dpi"])
    write_atomically(path, encoded.getvalue())


def save_preview(image: Image.Image, path: Path) -> None:
    """Write a grid as a JPEG, at most `PREVIEW_WIDTH` px wide and twice as high."""
    reduced = image.copy()
    reduced.thumbnail((PREVIEW_WIDTH, 2 * PREVIEW_WIDTH), Image.Resampling.LANCZOS)
    encoded = BytesIO()
    reduced.save(encoded, format="JPEG", quality=PREVIEW_QUALITY, optimize=True, progressive=True)
    write_atomically(path, encoded.getvalue())
