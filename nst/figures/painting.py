"""Paint a layout as pixels, and reduce cards and arrows to lines for any kind of page.

`nst.figures.pages` writes the same texts, pictures and lines as PDF. Pictures are opened, reduced
and closed one by one, so a page of hundreds of pictures needs little more memory than the page
itself.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from io import BytesIO
from math import sqrt
from pathlib import Path

from PIL import Image, ImageDraw

from nst.errors import ImageError
from nst.figures.layout import (
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
    PictureBox,
    Shape,
    Text,
    arrange,
)
from nst.figures.lettering import extent, face, overhang
from nst.imaging.srgb import on_white
from nst.system.files import atomic_file, write_atomically

PAPER: Colour = (255, 255, 255)
CARD: Colour = (248, 248, 248)
HATCH: Colour = (218, 218, 221)
RULE: Colour = (196, 196, 200)

PATCH = 5.0  # mm; a smaller panel shows only patches of colour
PREVIEW_WIDTH = 1400  # px
PREVIEW_QUALITY = 80


@dataclass(frozen=True)
class Line:
    """A straight line between two points in px, or the filled area between several points."""

    points: Sequence[tuple[int, int]]
    colour: Colour


def reduced(marks: Iterable[Mark], stroke: float) -> Iterator[Text | PictureBox | Line]:
    """Reduce marks to texts, pictures and lines; `stroke` is the width of a line in px."""
    for mark in marks:
        match mark:
            case Card():
                yield from _card(mark, stroke)
            case Arrow():
                yield from _arrow(mark, stroke)
            case _:
                yield mark


def _card(card: Card, stroke: float) -> Iterator[Text | Line]:
    """Draw a hatched card and, on a plain plate in its middle, its note."""
    box, note, pad = card.box, card.note, round(6 * stroke)
    yield Line(_corners(box), CARD)
    for start in range(-box.height, box.width - 1, round(10 * stroke)):
        # A diagonal, without the parts to the left and to the right of the box.
        first, last = max(1, -start), min(box.height, box.width - 1 - start)
        corner = box.left + start
        ends = ((corner + first, box.bottom - first), (corner + last, box.bottom - last))
        yield Line(ends, HATCH)
    corners = _corners(box)
    for side in zip(corners, corners[1:] + corners[:1], strict=True):
        yield Line(side, RULE)
    if note.lines:
        left = box.left + (box.width - note.width) // 2
        top = box.top + (box.height - note.height) // 2
        plate = Box(left - pad, top - pad, note.width + 2 * pad + 1, note.height + 2 * pad + 1)
        yield Line(_corners(plate.within(box)), CARD)
        yield Text(left, top, note, GREY, "centre")


def _corners(box: Box) -> list[tuple[int, int]]:
    """Return the four outermost px of a box, clockwise."""
    right, bottom = box.right - 1, box.bottom - 1
    return [(box.left, box.top), (right, box.top), (right, bottom), (box.left, bottom)]


def _arrow(arrow: Arrow, stroke: float) -> Iterator[Line]:
    """Draw a thin line that ends in a small triangle."""
    box, head = arrow.box, round(5 * stroke)
    middle = box.top + box.height // 2
    tip, inwards = (box.left, 1) if arrow.points == "left" else (box.right - 1, -1)
    yield Line([(box.left, middle), (box.right - 1, middle)], RULE)
    base = tip + inwards * 2 * head
    yield Line([(tip, middle), (base, middle - head), (base, middle + head)], RULE)


def paint(layout: Layout) -> Image.Image:
    """Paint a layout on white paper, with lines of one px."""
    image = Image.new("RGB", (layout.width, layout.height), PAPER)
    draw = ImageDraw.Draw(image)
    for mark in reduced(layout.marks, stroke=1.0):
        match mark:
            case Line(points=(start, end)):
                draw.line((start, end), fill=mark.colour)
            case Line():
                draw.polygon(mark.points, fill=mark.colour)
            case PictureBox(box=box):
                picture = open_reduced(mark.path, (box.width, box.height))
                image.paste(picture, (box.left, box.top))
            case Text():
                _letter(draw, mark)
    return image


def _letter(draw: ImageDraw.ImageDraw, text: Text) -> None:
    """Letter the lines of a text, each aligned within its box."""
    lettering = text.lettering
    font = face(lettering.size, lettering.bold)
    for index, line in enumerate(lettering.lines):
        spare = lettering.width - extent(line, font)
        left = text.left + round(SHARES[text.align] * spare) + overhang(line, font)
        base = text.top + lettering.ascent + index * lettering.pitch
        draw.text((left, base), line, fill=text.colour, font=font, anchor="ls")


def draw_grid(grid: Grid, page: Page | None = None) -> Image.Image:
    """Draw a grid on white paper; the same files give the same pixels.

    The picture is RGB and has at most `page.most_pixels`. Its printed size follows from
    `info["dpi"]`. Raises `ImageError` for a file that is not a picture. Use a `Panel` with a note
    for a missing picture.
    """
    layout, page = _bounded(grid, page or Page(), read_shapes(grid))
    image = paint(layout)
    image.info["dpi"] = (page.dpi, page.dpi)
    return image


def _bounded(grid: Grid, page: Page, shapes: Mapping[Path, Shape]) -> tuple[Layout, Page]:
    """Arrange a grid within the page's limit on pixels, and return the layout and its page.

    If the grid is too large, its panels shrink. Once they would be mere patches of colour, the
    resolution is reduced, and the lettering with it.
    """
    layout = arrange(grid, page, shapes)
    while (excess := layout.width * layout.height / page.most_pixels) > 1:
        shrink = 0.98 / sqrt(excess)
        if page.smallest_panel_mm > PATCH:
            page = replace(page, smallest_panel_mm=max(PATCH, shrink * page.smallest_panel_mm))
        else:
            page = replace(page, dpi=int(shrink * page.dpi))
        layout = arrange(grid, page, shapes)
    return layout, page


def read_shapes(grid: Grid) -> Mapping[Path, Shape]:
    """Read the shape of every picture from its header, without decoding it."""
    shapes = {}
    for path in {panel.picture for panel in grid.every_panel if panel.picture is not None}:
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
    with atomic_file(path) as file:
        image.save(file, format="PNG", dpi=image.info["dpi"])


def save_preview(image: Image.Image, path: Path) -> None:
    """Write a grid as a JPEG, at most `PREVIEW_WIDTH` px wide and twice as high."""
    reduced = image.copy()
    reduced.thumbnail((PREVIEW_WIDTH, 2 * PREVIEW_WIDTH), Image.Resampling.LANCZOS)
    encoded = BytesIO()  # Pillow does not notice when a disk takes only a part of a JPEG
    reduced.save(encoded, format="JPEG", quality=PREVIEW_QUALITY, optimize=True, progressive=True)
    write_atomically(path, encoded.getvalue())
