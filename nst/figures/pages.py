"""Write comparison grids as A4 pages of a PDF: text that can be selected, pictures as JPEG.

A grid takes the fewest pages, in portrait or landscape, on which its tiles stay readable. A part of
a grid keeps the heads of its rows and columns. The same files give the same bytes.

The pages are written with reportlab. It embeds JPEG files unchanged and only the used letters of a
font, its output is reproducible, and it adds no further dependency. Matplotlib would decompress
every picture.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from itertools import product
from operator import itemgetter
from pathlib import Path
from typing import Final

from reportlab import rl_config
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from nst.figures.layout import arrange, columns_within
from nst.figures.lettering import clean, font_file
from nst.figures.painting import (
    STROKE,
    Point,
    Surface,
    draw_grid,
    open_reduced,
    read_shapes,
    save_grid,
    save_preview,
)
from nst.figures.sheet import SHARES, Box, Colour, Grid, Layout, Page, Picture, Shape, Text
from nst.system.files import write_atomically

rl_config.useA85 = 0  # else reportlab encodes every picture as text, which is a quarter larger

POINT: Final = 72 / 25.4  # one mm
MARGIN = 5.0  # mm around the layout, which has another margin of 5 mm
DPI = 300  # the highest resolution of an embedded picture, and the resolution of the layout
SMALLEST_TILE = 25.0  # mm across; a grid is split rather than drawn smaller
TILES = [SMALLEST_TILE + 0.5 * step for step in range(71)]  # mm, the candidate sizes
QUALITY = 90
FONTS = {False: "DejaVuSans", True: "DejaVuSans-Bold"}
PORTRAIT = Page(width_mm=210.0 - 2 * MARGIN, height_mm=297.0 - 2 * MARGIN, dpi=DPI)
LANDSCAPE = replace(PORTRAIT, width_mm=PORTRAIT.height_mm, height_mm=PORTRAIT.width_mm)


@dataclass(frozen=True)
class Split:
    """A grid cut into parts, one per page.

    The best split has the least `cost`: whether even a single tile is too large, and the number of
    pages.
    """

    page: Page
    parts: list[Grid]
    cost: tuple[bool, int]


def publish_grid(grid: Grid, picture: Path, pages: Path, preview: Path) -> None:
    """Write a grid in three formats: a PNG, a PDF, and a small JPEG for the report.

    Raises `ImageError` for a file that is not a picture.
    """
    image = draw_grid(grid)
    save_grid(image, picture)
    save_preview(image, preview)
    save_pages(grid, pages)


def save_pages(grid: Grid, path: Path) -> None:
    """Write a grid as a PDF, whole or not at all.

    Raises `ImageError` for a file that is not a picture.
    """
    shapes = read_shapes(grid)
    page, layouts = paginate(grid, shapes)
    for bold, name in FONTS.items():
        pdfmetrics.registerFont(TTFont(name, str(font_file(bold))))
    encoded = BytesIO()
    # Invariant: no dates, and an identifier that depends only on the contents.
    size = [(side + 2 * MARGIN) * POINT for side in (page.width_mm, page.height_mm)]
    canvas = Canvas(encoded, size, invariant=1, initialFontName=FONTS[False])
    canvas.setTitle(clean(grid.title))
    for setter in (canvas.setAuthor, canvas.setCreator, canvas.setSubject):
        setter("")  # else reportlab writes "anonymous" and "unspecified"
    widest = max(layout.width for layout in layouts)
    for layout in layouts:
        _paint_page(canvas, page, layout, shapes, widest)
    canvas.save()
    write_atomically(path, encoded.getvalue())


def paginate(grid: Grid, shapes: Mapping[Path, Shape]) -> tuple[Page, list[Layout]]:
    """Return the best page for a grid, and the layouts of its pages, in px at `DPI`.

    Only a layout of one row and one column can be larger than its page. It is then scaled down.
    """
    costs = {one: _split(grid, one, shapes, SMALLEST_TILE).cost for one in (PORTRAIT, LANDSCAPE)}
    least = min(costs.values())

    def enlarged(paper: Page) -> int:
        """Return the number of steps by which tiles can grow without more pages."""
        return bisect_left(
            TILES[1:], True, key=lambda tile: _split(grid, paper, shapes, tile).cost > least
        )

    papers = [paper for paper, cost in costs.items() if cost == least]
    steps, paper = max(((enlarged(one), one) for one in papers), key=itemgetter(0))
    best = _split(grid, paper, shapes, TILES[steps])
    return best.page, [arrange(part, best.page, shapes) for part in best.parts]


def split_grid(grid: Grid, rows: int, columns: int) -> list[Grid]:
    """Cut a grid into parts of at most `rows` rows and `columns` columns, in reading order.

    A part has the heads of its rows and columns, the grid's inputs, and the grid's first
    `head_rows` rows in addition to `rows`. Its subtitle has the number of the page.
    """
    heads = range(grid.head_rows)
    downs = [[*heads, *part] for part in _chunks(range(grid.head_rows, len(grid.tiles)), rows)]
    acrosses = _chunks(range(len(grid.columns.titles)), columns)
    count = len(downs) * len(acrosses)
    return [
        _part(grid, down, across, f"page {number} of {count}" if count > 1 else "")
        for number, (down, across) in enumerate(product(downs, acrosses), start=1)
    ]


def _part(grid: Grid, down: Sequence[int], across: Sequence[int], note: str) -> Grid:
    """Return the rows `down` and the columns `across` of a grid."""
    return replace(
        grid,
        subtitle=", ".join(filter(None, (grid.subtitle, note))),
        tiles=[[grid.tiles[row][column] for column in across] for row in down],
        rows=grid.rows.part(down),
        columns=grid.columns.part(across),
    )


def _chunks(indices: range, most: int) -> list[Sequence[int]]:
    """Cut indices into the fewest runs of at most `most`, as even as possible."""
    count = max(1, -(-len(indices) // most))
    size = -(-len(indices) // count) or 1
    return [indices[start : start + size] for start in range(0, len(indices), size)] or [[]]


def _split(grid: Grid, page: Page, shapes: Mapping[Path, Shape], tile: float) -> Split:
    """Split a grid into the fewest pages with tiles of a given width in mm."""
    page = replace(page, smallest_tile_mm=tile, largest_tile_mm=tile)
    across = max(1, columns_within(grid, page, shapes))

    def is_too_large(down: int) -> bool:
        parts = split_grid(grid, down, across)
        return not all(page.holds(arrange(part, page, shapes)) for part in parts)

    rows = range(1, max(1, len(grid.tiles) - grid.head_rows) + 1)
    most = bisect_left(rows, True, key=is_too_large)
    parts = split_grid(grid, max(1, most), across)
    return Split(page, parts, (most == 0, len(parts)))


def _paint_page(
    canvas: Canvas, page: Page, layout: Layout, shapes: Mapping[Path, Shape], widest: int
) -> None:
    """Paint a layout at the top of a page, at the left edge of the `widest`, which is centred."""
    shrink = min(1.0, page.mm(page.width_mm) / widest, page.mm(page.height_mm) / layout.height)
    unit = shrink * 72 / DPI
    canvas.translate(((page.width_mm + 2 * MARGIN) * POINT - widest * unit) / 2, 0)
    canvas.translate(0, (page.height_mm + MARGIN) * POINT)
    canvas.scale(unit, unit)
    _Written(canvas, shapes).paint(layout.marks)
    canvas.showPage()


class _Written(Surface):
    """A page of a PDF to paint on; y points upwards, from the layout's upper left corner."""

    stroke = STROKE * DPI / 25.4

    def __init__(self, canvas: Canvas, shapes: Mapping[Path, Shape]) -> None:
        self.canvas, self.shapes = canvas, shapes
        canvas.setLineWidth(self.stroke)

    def rectangle(self, box: Box, colour: Colour, *, filled: bool = True) -> None:
        """Fill a box, or draw along its edge."""
        self._take(colour)
        self.canvas.rect(
            *(box.left, -box.bottom, box.width, box.height), stroke=not filled, fill=filled
        )

    def line(self, start: Point, end: Point, colour: Colour) -> None:
        """Draw a straight line."""
        self._take(colour)
        self.canvas.line(start[0], -start[1], end[0], -end[1])

    def polygon(self, corners: Sequence[Point], colour: Colour) -> None:
        """Fill a polygon."""
        self._take(colour)
        path = self.canvas.beginPath()
        path.moveTo(corners[0][0], -corners[0][1])
        for across, down in corners[1:]:
            path.lineTo(across, -down)
        path.close()
        self.canvas.drawPath(path, stroke=0, fill=1)

    def text(self, text: Text) -> None:
        """Write the lines of a text, each aligned within the box and squeezed to its width."""
        lettering, box = text.lettering, text.box
        font = FONTS[lettering.bold]
        for index, line in enumerate(lettering.lines):
            natural = pdfmetrics.stringWidth(line, font, lettering.size)
            squeeze = min(1.0, box.width / natural) if natural else 1.0
            base = box.top + lettering.ascent + index * lettering.pitch
            left = box.left + SHARES[text.align] * (box.width - squeeze * natural)
            written = self.canvas.beginText(left, -base)
            written.setFont(font, lettering.size)
            written.setFillColorRGB(*_parts(text.colour))
            written.setHorizScale(100 * squeeze)
            written.textOut(line)
            self.canvas.drawText(written)

    def picture(self, picture: Picture) -> None:
        """Embed a picture as JPEG, reduced to `DPI` but never enlarged.

        The JPEG is not optimised: for this, Pillow's buffer has one byte per pixel, and noise takes
        nearly two.
        """
        box, shape = picture.box, self.shapes[picture.path]
        shown = shape if shape[0] <= box.width else (box.width, box.height)
        encoded = BytesIO()
        open_reduced(picture.path, shown).save(
            encoded, format="JPEG", quality=QUALITY, subsampling=0
        )
        reader = ImageReader(encoded)
        self.canvas.drawImage(reader, box.left, -box.bottom, box.width, box.height)

    def _take(self, colour: Colour) -> None:
        """Set the colour of all following lines and fills."""
        self.canvas.setFillColorRGB(*_parts(colour))
        self.canvas.setStrokeColorRGB(*_parts(colour))


def _parts(colour: Colour) -> tuple[float, float, float]:
    """Return a colour's red, green and blue in [0, 1]."""
    return colour[0] / 255, colour[1] / 255, colour[2] / 255
