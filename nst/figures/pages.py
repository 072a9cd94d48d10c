"""Write comparison grids as A4 pages of a PDF: text that can be selected, pictures as JPEG.

A grid takes the fewest pages, in portrait or landscape, on which its panels stay readable. A part
of a grid keeps the heads of its rows and columns. The same files give the same bytes.

The pages are written with reportlab. It embeds JPEG files unchanged and only the used letters of a
font, its output is reproducible, and it adds no further dependency. Matplotlib would decompress
every picture.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import replace
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

from nst.figures.layout import (
    SHARES,
    Grid,
    Layout,
    Page,
    PictureBox,
    Shape,
    Text,
    arrange,
    columns_within,
)
from nst.figures.lettering import clean, font_file
from nst.figures.painting import (
    Line,
    draw_grid,
    open_reduced,
    read_shapes,
    reduced,
    save_grid,
    save_preview,
)
from nst.system.files import write_atomically

rl_config.useA85 = 0  # else reportlab encodes every picture as text, which is a quarter larger

POINT: Final = 72 / 25.4  # one mm
MARGIN = 5.0  # mm around the layout, which has another margin of 5 mm
DPI = 300  # the highest resolution of an embedded picture, and the resolution of the layout
STROKE = 0.13 * DPI / 25.4  # px, the width of lines
SMALLEST_PANEL = 25.0  # mm across; a grid is split rather than drawn smaller
PANELS = [SMALLEST_PANEL + 0.5 * step for step in range(71)]  # mm, the candidate sizes
QUALITY = 90
FONTS = {False: "DejaVuSans", True: "DejaVuSans-Bold"}
PORTRAIT = Page(width_mm=210.0 - 2 * MARGIN, height_mm=297.0 - 2 * MARGIN, dpi=DPI)
LANDSCAPE = replace(PORTRAIT, width_mm=PORTRAIT.height_mm, height_mm=PORTRAIT.width_mm)


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
    # Invariant: no dates, and an identifier that depends only on the contents.
    size = [(side + 2 * MARGIN) * POINT for side in (page.width_mm, page.height_mm)]
    canvas = Canvas("", size, invariant=1, initialFontName=FONTS[False])
    canvas.setTitle(clean(grid.title))
    for setter in (canvas.setAuthor, canvas.setCreator, canvas.setSubject):
        setter("")  # else reportlab writes "anonymous" and "unspecified"
    widest = max(layout.width for layout in layouts)
    for layout in layouts:
        _paint_page(canvas, page, layout, shapes, widest)
    write_atomically(path, canvas.getpdfdata())


def paginate(grid: Grid, shapes: Mapping[Path, Shape]) -> tuple[Page, list[Layout]]:
    """Return the best page for a grid, and the layouts of its pages, in px at `DPI`.

    The best page needs the fewest pages, and then has the largest panels. Only a layout of one row
    and one column can be larger than its page. It is then scaled down.
    """
    choices = []
    for paper in (PORTRAIT, LANDSCAPE):
        page, parts = _split(grid, paper, shapes)
        layouts = [arrange(part, page, shapes) for part in parts]
        merit = (all(map(page.holds, layouts)), -len(layouts), page.smallest_panel_mm)
        choices.append((merit, page, layouts))
    _, page, layouts = max(choices, key=itemgetter(0))
    return page, layouts


def _split(grid: Grid, paper: Page, shapes: Mapping[Path, Shape]) -> tuple[Page, list[Grid]]:
    """Cut a grid into the fewest parts, and return the page with the largest panels for them."""
    pages = [replace(paper, smallest_panel_mm=panel, largest_panel_mm=panel) for panel in PANELS]

    def is_too_large(page: Page, parts: Sequence[Grid]) -> bool:
        return not all(page.holds(arrange(part, page, shapes)) for part in parts)

    def parts_of(rows: int) -> list[Grid]:
        return split_grid(grid, rows, max(1, columns_within(grid, pages[0], shapes)))

    rows = range(1, max(1, len(grid.panels) - grid.head_rows) + 1)
    most = bisect_left(rows, True, key=lambda down: is_too_large(pages[0], parts_of(down)))
    parts = parts_of(max(1, most))
    enlarged = bisect_left(pages[1:], True, key=lambda page: is_too_large(page, parts))
    return pages[enlarged], parts


def split_grid(grid: Grid, rows: int, columns: int) -> list[Grid]:
    """Cut a grid into parts of at most `rows` rows and `columns` columns, in reading order.

    A part has the heads of its rows and columns, the grid's inputs, and the grid's first
    `head_rows` rows in addition to `rows`. Its subtitle has the number of the page.
    """
    heads = range(grid.head_rows)
    downs = [[*heads, *part] for part in _chunks(range(grid.head_rows, len(grid.panels)), rows)]
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
        panels=[[grid.panels[row][column] for column in across] for row in down],
        rows=grid.rows.part(down),
        columns=grid.columns.part(across),
    )


def _chunks(indices: range, most: int) -> list[Sequence[int]]:
    """Cut indices into the fewest runs of at most `most`, as even as possible."""
    count = max(1, -(-len(indices) // most))
    size = -(-len(indices) // count) or 1
    return [indices[start : start + size] for start in range(0, len(indices), size)] or [[]]


def _paint_page(
    canvas: Canvas, page: Page, layout: Layout, shapes: Mapping[Path, Shape], widest: int
) -> None:
    """Paint a layout at the top of a page, at the left edge of the `widest`, which is centred."""
    shrink = min(1.0, page.mm(page.width_mm) / widest, page.mm(page.height_mm) / layout.height)
    unit = shrink * 72 / DPI
    canvas.translate(((page.width_mm + 2 * MARGIN) * POINT - widest * unit) / 2, 0)
    canvas.translate(0, (page.height_mm + MARGIN) * POINT)
    canvas.scale(unit, unit)
    canvas.setLineWidth(STROKE)
    # The origin is the layout's upper left corner, and y points upwards.
    for mark in reduced(layout.marks, STROKE):
        match mark:
            case Line():
                _draw_line(canvas, mark)
            case Text():
                _write(canvas, mark)
            case PictureBox():
                _embed(canvas, mark, shapes[mark.path])
    canvas.showPage()


def _draw_line(canvas: Canvas, line: Line) -> None:
    """Draw a line, or fill an area."""
    colour = [part / 255 for part in line.colour]
    canvas.setFillColorRGB(*colour)
    canvas.setStrokeColorRGB(*colour)
    path = canvas.beginPath()
    path.moveTo(line.points[0][0], -line.points[0][1])
    for across, down in line.points[1:]:
        path.lineTo(across, -down)
    is_area = len(line.points) > 2
    canvas.drawPath(path, stroke=not is_area, fill=is_area)


def _write(canvas: Canvas, text: Text) -> None:
    """Write the lines of a text, each aligned within its box and squeezed to its width."""
    lettering = text.lettering
    font = FONTS[lettering.bold]
    for index, line in enumerate(lettering.lines):
        natural = pdfmetrics.stringWidth(line, font, lettering.size)
        squeeze = min(1.0, lettering.width / natural) if natural else 1.0
        base = text.top + lettering.ascent + index * lettering.pitch
        left = text.left + SHARES[text.align] * (lettering.width - squeeze * natural)
        written = canvas.beginText(left, -base)
        written.setFont(font, lettering.size)
        written.setFillColorRGB(*(part / 255 for part in text.colour))
        written.setHorizScale(100 * squeeze)
        written.textOut(line)
        canvas.drawText(written)


def _embed(canvas: Canvas, picture: PictureBox, shape: Shape) -> None:
    """Embed a picture as JPEG, reduced to `DPI` but never enlarged.

    The JPEG is not optimised: for this, Pillow's buffer has one byte per pixel, and noise takes
    nearly two.
    """
    box = picture.box
    shown = shape if shape[0] <= box.width else (box.width, box.height)
    encoded = BytesIO()
    open_reduced(picture.path, shown).save(encoded, format="JPEG", quality=QUALITY, subsampling=0)
    canvas.drawImage(ImageReader(encoded), box.left, -box.bottom, box.width, box.height)
