"""Comparison grids: many pictures on one page, captioned, ready to print.

`draw_grid` arranges (`nst.figures.layout`), then paints. The three builders say what a pair's, a
content's and the whole run's grid consist of. A picture is opened when its turn comes, reduced and
closed, so a page of hundreds needs little more memory than itself.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from math import sqrt
from pathlib import Path

from PIL import Image, ImageDraw

from nst.config.sheets import Sheet
from nst.errors import ImageError
from nst.figures.layout import arrange
from nst.figures.lettering import extent, face, overhang
from nst.figures.sheet import (
    GREY,
    Arrow,
    Axis,
    Box,
    Card,
    Colour,
    Grid,
    Layout,
    Page,
    Picture,
    Shape,
    Text,
    Tile,
)
from nst.imaging.transparency import on_white
from nst.system.files import write_atomically

__all__ = [
    "Axis",
    "Grid",
    "Page",
    "Tile",
    "content_grid",
    "draw_grid",
    "formulation_grid",
    "overview_grid",
    "pair_grid",
    "ratio_title",
    "recipe_grid",
    "save_grid",
    "save_preview",
]

PAPER: Colour = (255, 255, 255)
CARD: Colour = (248, 248, 248)
HATCH: Colour = (218, 218, 221)
RULE: Colour = (196, 196, 200)

OWN_FORMATS = ("PNG", "JPEG")  # of the run's own pictures
PATCH = 5.0  # mm; a tile below this shows colours at best
PREVIEW_WIDTH = 1400  # px
PREVIEW_QUALITY = 80

_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
IN_ROW = (5, 4, 6)  # pictures in a row of recipes, the best number first
_FEW_COLUMNS = 6  # up to here each column repeats "α/β ="; beyond, the axis says it once


def pair_grid(
    content: Tile,
    style: Tile,
    sheet: Sheet,
    tiles: Sequence[Sequence[Tile]],
    *,
    title: str = "",
    subtitle: str = "",
) -> Grid:
    """Return a grid of one pair: by default a row per layer weighting, a column per ratio α/β.

    `content` and `style` carry their titles as captions; `tiles` are those of `sheet.cells`.
    """
    row_titles, row_axis = _axis(sheet.row_axis, sheet.rows)
    column_titles, column_axis = _axis(sheet.column_axis, sheet.columns)
    return Grid(
        title=title or f"{content.caption} × {style.caption}",
        subtitle=subtitle,
        tiles=tiles,
        row_titles=row_titles,
        row_axis=row_axis.name,
        column_titles=column_titles,
        column_axis=column_axis,
        inputs=(_labelled(content, "content"), _labelled(style, "style")),
    )


def _axis(name: str, labels: Sequence[str]) -> tuple[Sequence[str], Axis]:
    """Return the titles and the name of a grid's axis."""
    if name == "ratio":
        return _ratio_titles(labels), _ratio_axis(labels)
    return labels, Axis("layer weights" if name == "layers" else name.replace("_", " "))


def content_grid(
    content: Tile,
    styles: Sequence[Tile],
    ratios: Sequence[str],
    tiles: Sequence[Sequence[Tile]],
    *,
    title: str = "",
    subtitle: str = "",
) -> Grid:
    """Return the grid of one content: a row per style, a column per ratio α/β.

    `tiles[style][ratio]`; every style's picture stands at the head of its row.
    """
    return Grid(
        title=title or content.caption,
        subtitle=subtitle,
        tiles=tiles,
        row_titles=[style.caption for style in styles],
        row_axis="style",
        row_inputs=styles,
        column_titles=_ratio_titles(ratios),
        column_axis=_ratio_axis(ratios),
        inputs=(_labelled(content, "content"),),
    )


def overview_grid(
    contents: Sequence[Tile],
    styles: Sequence[Tile],
    tiles: Sequence[Sequence[Tile]],
    *,
    title: str = "Overview",
    subtitle: str = "",
) -> Grid:
    """Return the grid of a run: a row per content, a column per style, headed by their pictures.

    `tiles[content][style]` is the one picture chosen to stand for its pair.
    """
    return Grid(
        title=title,
        subtitle=subtitle,
        tiles=tiles,
        row_titles=[content.caption for content in contents],
        row_axis="content",
        row_inputs=contents,
        column_titles=[style.caption for style in styles],
        column_axis=Axis("style"),
        column_inputs=styles,
    )


def formulation_grid(
    pairs: Sequence[tuple[Path, Path]],
    formulations: Sequence[str],
    tiles: Sequence[Sequence[Tile]],
    *,
    title: str = "Formulations",
    subtitle: str = "",
) -> Grid:
    """Return the grid of recipes: a row for each, a column per pair; the two head rows show it.

    `pairs` are the files of contents and styles; `tiles[formulation][pair]`.
    """
    contents = [Tile(content) for content, _ in pairs]
    styles = [Tile(style) for _, style in pairs]
    return Grid(
        title=title,
        subtitle=subtitle,
        tiles=[contents, styles, *tiles],
        row_titles=["content", "style", *formulations],
        row_axis="",
        column_titles=[""] * len(pairs),
        head_rows=2,
    )


def recipe_grid(
    content: Tile, style: Tile, recipes: Sequence[Tile], *, title: str = "", subtitle: str = ""
) -> Grid:
    """Return the grid of a pair: content, style, and then each recipe's picture, in rows.

    All carry captions. The rows are of about five pictures, so that few places stay empty.
    """
    tiles = [content, style, *recipes]
    columns = min(len(tiles), min(IN_ROW, key=lambda one: -len(tiles) % one))
    rows = [list(tiles[first : first + columns]) for first in range(0, len(tiles), columns)]
    rows[-1] += [Tile(blank=True)] * (columns - len(rows[-1]))
    return Grid(
        title=title or f"{content.caption} × {style.caption}",
        subtitle=subtitle,
        tiles=rows,
        row_titles=[""] * len(rows),
        column_titles=[""] * columns,
    )


def ratio_title(label: str) -> str:
    """Return a ratio as it is printed: `1e-2` as 10⁻², `5e-2` as 5·10⁻², `5e1` as 50.

    A label without an exponent stays as it is.
    """
    found = re.fullmatch(r"([+-]?\d+(?:\.\d*)?)[eE]([+-]?\d+)", label.strip())
    if not found:
        return label
    mantissa, exponent = found[1].lstrip("+"), int(found[2])
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    if exponent in (0, 1):
        return f"{float(label):g}"
    power = "10" + str(exponent).translate(_SUPERSCRIPTS)
    return power if mantissa == "1" else f"{mantissa}·{power}"


def _ratio_titles(ratios: Sequence[str]) -> list[str]:
    """Return the titles of columns that differ in their ratio."""
    prefix = "α/β\N{NO-BREAK SPACE}= " if len(ratios) <= _FEW_COLUMNS else ""
    return [prefix + ratio_title(ratio) for ratio in ratios]


def _ratio_axis(ratios: Sequence[str]) -> Axis:
    """Return the axis of α/β, its ends named if the ratios rise or fall throughout."""
    if len(ratios) == 1:
        return Axis()
    try:
        values = [float(ratio) for ratio in ratios]
    except ValueError:
        return Axis("α/β")
    if values == sorted(values):
        return Axis("α/β", "more style", "more content")
    if values == sorted(values, reverse=True):
        return Axis("α/β", "more content", "more style")
    return Axis("α/β")


def _labelled(tile: Tile, label: str) -> Tile:
    """Label an input, unless the caller has."""
    return tile if tile.label else replace(tile, label=label)


def draw_grid(grid: Grid, page: Page | None = None) -> Image.Image:
    """Draw a grid on white paper; the same files give the same pixels.

    The picture is RGB, has at most `page.most_pixels`, and `info["dpi"]` says how large it prints.
    Raises `ImageError` for a file that is no
    picture; a picture known to be missing is a `Tile` with a note.
    """
    layout, page = _bounded(grid, page or Page(), read_shapes(grid))
    canvas = Image.new("RGB", (layout.width, layout.height), PAPER)
    _paint(canvas, layout, stroke=page.mm(0.13))
    canvas.info["dpi"] = (page.dpi, page.dpi)
    return canvas


def _bounded(grid: Grid, page: Page, shapes: Mapping[Path, Shape]) -> tuple[Layout, Page]:
    """Arrange a grid within the page's limit on pixels, and return the page that it took.

    A grid too large has smaller tiles, and only when these would be no more than patches of colour,
    smaller lettering too.
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
    """Read the shape of every picture from its header."""
    paths = {tile.shown for tile in grid.every_tile if tile.shown is not None}
    return {path: _shape(path) for path in paths}


def _shape(path: Path) -> Shape:
    """Return a picture's width and height in px, without decoding it."""
    with _opened(path) as file:
        return file.size


def open_reduced(path: Path, size: Shape) -> Image.Image:
    """Open a picture at a given size in px, as it looks on white paper."""
    with _opened(path) as file:
        return on_white(file).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open one of the run's own pictures, which are upright and in sRGB already."""
    try:
        with Image.open(path, formats=OWN_FORMATS) as file:
            yield file
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(
            f"{path} cannot be read ({error}). Delete it; the next run makes it again."
        ) from error


def _paint(canvas: Image.Image, layout: Layout, stroke: int) -> None:
    """Paint every mark of a layout; strokes are `stroke` px wide."""
    draw = ImageDraw.Draw(canvas)
    for mark in layout.marks:
        match mark:
            case Text():
                _paint_text(draw, mark)
            case Picture():
                size = (mark.box.width, mark.box.height)
                canvas.paste(open_reduced(mark.path, size), (mark.box.left, mark.box.top))
            case Card():
                _paint_card(canvas, mark, stroke)
            case Arrow():
                _paint_arrow(draw, mark, stroke)


def _paint_text(draw: ImageDraw.ImageDraw, text: Text) -> None:
    """Letter the lines of a text, each aligned within its box."""
    lettering = text.lettering
    font = face(lettering.size, lettering.bold)
    share = {"left": 0.0, "centre": 0.5, "right": 1.0}[text.align]
    for index, line in enumerate(lettering.lines):
        spare = text.box.width - extent(line, font)
        left = text.box.left + round(share * spare) + overhang(line, font)
        base = text.box.top + lettering.ascent + index * lettering.pitch
        draw.text((left, base), line, fill=text.colour, font=font, anchor="ls")


def _paint_card(canvas: Image.Image, card: Card, stroke: int) -> None:
    """Paint a hatched card and, on a plain plate in its middle, its note."""
    width, height = card.box.width, card.box.height
    picture = Image.new("RGB", (width, height), CARD)
    draw = ImageDraw.Draw(picture)
    for start in range(-height, width, 10 * stroke):
        draw.line((start, height, start + height, 0), fill=HATCH, width=stroke)
    draw.rectangle((0, 0, width - 1, height - 1), outline=RULE, width=stroke)
    note, pad = card.note, 6 * stroke
    left, top = (width - note.width) // 2, (height - note.height) // 2
    plate = (left - pad, top - pad, left + note.width + pad, top + note.height + pad)
    if note.lines:
        draw.rectangle(plate, fill=CARD)
    box = Box(left, top, note.width, note.height)
    _paint_text(draw, Text(box, note, GREY, "centre"))
    canvas.paste(picture, (card.box.left, card.box.top))


def _paint_arrow(draw: ImageDraw.ImageDraw, arrow: Arrow, stroke: int) -> None:
    """Paint a thin line that ends in a small triangle."""
    box, head = arrow.box, 5 * stroke
    middle = box.top + box.height // 2
    tip, inwards = (box.left, 1) if arrow.points == "left" else (box.right - 1, -1)
    draw.line((box.left, middle, box.right - 1, middle), fill=RULE, width=stroke)
    base = tip + inwards * 2 * head
    draw.polygon([(tip, middle), (base, middle - head), (base, middle + head)], fill=RULE)


def save_grid(image: Image.Image, path: Path, *, width: int | None = None) -> None:
    """Write a PNG, whole or not at all, that prints at the size it was drawn for.

    `width` (px) asks for a reduced variant; a picture already narrower stays as it is.
    """
    dpi = float(image.info.get("dpi", (Page().dpi,))[0])
    if width is not None and width < image.width:
        height = max(1, round(image.height * width / image.width))
        dpi *= width / image.width
        image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)
    encoded = BytesIO()
    image.save(encoded, format="PNG", dpi=(dpi, dpi))
    write_atomically(path, encoded.getvalue())


def save_preview(image: Image.Image, path: Path) -> None:
    """Write a grid as a JPEG of at most `PREVIEW_WIDTH` px across and twice that down."""
    reduced = image.copy()
    reduced.thumbnail((PREVIEW_WIDTH, 2 * PREVIEW_WIDTH), Image.Resampling.LANCZOS)
    encoded = BytesIO()
    reduced.save(encoded, format="JPEG", quality=PREVIEW_QUALITY, optimize=True, progressive=True)
    write_atomically(path, encoded.getvalue())
