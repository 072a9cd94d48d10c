"""Where everything on a comparison grid goes: from the shapes of the pictures to boxes.

`arrange` is pure. It opens no file and paints nothing, so a test can ask it whether two boxes
overlap. Every length is given in mm or points on `Page` and becomes px here, once, so that the
resolution changes nothing else.

    title, subtitle
    label        |                          more content ◂── α/β ──▸ more style
    input        |                             column title      column title
    caption      |                             column input      column input
    label        |    row title   row input    tile              tile
    input        |    row title   row input    tile              tile
    caption      |
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from nst.figures.lettering import LEADING, Hand, Lettering, fit, fit_alike
from nst.figures.sheet import (
    GREY,
    INK,
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
    Tile,
)

# Millimetres on the page.
MARGIN = 5.0
GUTTER = 1.2  # between tiles
NARROW = 2.4  # between a title and what it names, and between heads and tiles
WIDE = 6.0  # between the blocks of the page
ROW_TITLE = 36.0  # the widest a row's title gets
INPUT = 32.0  # the narrowest an input in the margin gets
NARROWEST = 90.0  # the narrowest page, so that its title has room
NARROW_TILE = 20.0  # too narrow for most titles in four lines
ARROW = 3.0  # the shortest arrow worth drawing

# Limits on height, in widths. A picture gets the height at which the widest of its kind fills its
# width, within these: a portrait among landscapes becomes narrower, not a tower.
TILE_HEIGHT = (1.25, 2.0)
HEAD_HEIGHT = (0.75, 1.25)
INPUT_HEIGHT = (0.75, 1.25)
ROW_INPUT_HEIGHT = (0.5, 1.25)  # where the inputs stand side by side
CARD_SHAPE: Shape = (4, 3)  # for a missing picture in a row of missing pictures


def arrange(grid: Grid, page: Page, shapes: Mapping[Path, Shape]) -> Layout:
    """Lay a grid out on a page, given the shape of every picture it shows."""
    plan = _Plan(grid, page, shapes)
    marks, top = _heading(plan)
    header, tiles_top = _column_heads(plan, top)
    rows, rows_bottom = _rows(plan, tiles_top)
    inputs, inputs_bottom = _inputs(plan, tiles_top)
    height = max(rows_bottom, inputs_bottom) + page.mm(MARGIN)
    return Layout(plan.width, height, (*marks, *header, *rows, *inputs))


def width(grid: Grid, page: Page, shapes: Mapping[Path, Shape]) -> int:
    """Return how wide `arrange` makes a page, in px, without placing anything."""
    return _Plan(grid, page, shapes).width


@dataclass(frozen=True)
class _Plan:
    """The columns of the page: every left edge and width, in px."""

    grid: Grid
    page: Page
    shapes: Mapping[Path, Shape]

    def mm(self, length: float) -> int:
        """Return a length in px."""
        return self.page.mm(length)

    @property
    def beside(self) -> int:
        """Columns of inputs: all side by side for a single row of tiles, else one stack."""
        single_row = len(self.grid.tiles) == 1
        return len(self.grid.inputs) if single_row else min(1, len(self.grid.inputs))

    @cached_property
    def title_width(self) -> int:
        """Width of the column of row titles: what they need, up to a limit."""
        titles = fit_alike(self.grid.rows.titles, self.mm(ROW_TITLE), self.title_hand(3))
        axis = fit(self.grid.rows.name, self.mm(ROW_TITLE), self.axis_hand)
        return max(axis.width, *(title.width for title in titles))

    @cached_property
    def titles(self) -> list[Lettering]:
        """The row titles, in about as many lines as go beside a tile in landscape."""
        lines = min(max(3, self.lines(round(0.62 * self.tile))), 6)
        return fit_alike(self.grid.rows.titles, self.title_width, self.title_hand(lines))

    @property
    def axis_hand(self) -> Hand:
        """How the axes are lettered."""
        return self.page.hand(self.page.small_pt, 2)

    def title_hand(self, lines: int) -> Hand:
        """How the titles of rows and columns are lettered."""
        return self.page.hand(self.page.text_pt, lines, bold=True)

    @property
    def title_lines(self) -> int:
        """The most lines of a column's title: more over narrow tiles, where a line is a word."""
        return 4 if self.tile >= self.mm(NARROW_TILE) else 8

    @cached_property
    def tile(self) -> int:
        """Width of a tile: an equal share of what the page has left, within limits."""
        heads = 1 if self.grid.rows.heads else 0
        across = len(self.grid.columns.titles) + heads
        share = self._share(across + self.beside, self._gaps)
        if self.beside == 1 and share < self.mm(INPUT):
            share = self._share(across, self._gaps + self.mm(INPUT))
        return share

    @cached_property
    def _gaps(self) -> int:
        """Everything across the page that is neither a tile nor an input."""
        gaps = 2 * self.mm(MARGIN) + (len(self.grid.columns.titles) - 1) * self.mm(GUTTER)
        if self.beside:
            gaps += (self.beside - 1) * self.mm(NARROW) + self.mm(WIDE)
        if self.title_width:
            gaps += self.title_width + self.mm(NARROW)
        return gaps + (self.mm(NARROW) if self.grid.rows.heads else 0)

    def _share(self, columns: int, taken: int) -> int:
        """Share the page's width among columns, within the limits on a tile's width."""
        share = (self.mm(self.page.width_mm) - taken) // columns
        page = self.page
        return min(max(share, page.mm(page.smallest_tile_mm)), page.mm(page.largest_tile_mm))

    @property
    def input(self) -> int:
        """Width of an input in the margin."""
        return self.tile if self.beside > 1 else max(self.tile, self.mm(INPUT))

    @property
    def titles_left(self) -> int:
        """Left edge of the row titles."""
        left = self.mm(MARGIN)
        if self.beside:
            left += self.beside * self.input
            left += (self.beside - 1) * self.mm(NARROW) + self.mm(WIDE)
        return left

    @property
    def heads_left(self) -> int:
        """Left edge of the pictures at the heads of the rows."""
        return self.titles_left + (self.title_width + self.mm(NARROW) if self.title_width else 0)

    @property
    def tiles_left(self) -> int:
        """Left edge of the first column of tiles."""
        return self.heads_left + (self.tile + self.mm(NARROW) if self.grid.rows.heads else 0)

    @property
    def tiles_right(self) -> int:
        """Right edge of the last column of tiles."""
        columns = len(self.grid.columns.titles)
        return self.tiles_left + columns * self.tile + (columns - 1) * self.mm(GUTTER)

    @property
    def width(self) -> int:
        """Width of the page."""
        return max(self.tiles_right + self.mm(MARGIN), self.mm(NARROWEST))

    def column(self, index: int) -> int:
        """Left edge of a column of tiles."""
        return self.tiles_left + index * (self.tile + self.mm(GUTTER))

    @cached_property
    def tile_height(self) -> int:
        """The most height a tile may take, in px."""
        tiles = [tile for row in self.grid.tiles for tile in row]
        return self._height(tiles, self.tile, TILE_HEIGHT)

    @cached_property
    def head_height(self) -> int:
        """The most height a picture at the head of a column may take, in px."""
        return self._height(self.grid.columns.heads, self.tile, HEAD_HEIGHT)

    @cached_property
    def input_height(self) -> int:
        """The most height an input in the margin may take, in px."""
        limits = INPUT_HEIGHT if self.beside < 2 else ROW_INPUT_HEIGHT
        return self._height(self.grid.inputs, self.input, limits)

    def _height(self, tiles: Iterable[Tile], width: int, limits: tuple[float, float]) -> int:
        """Return the height at which the widest picture of a kind fills its width, in px."""
        shapes = [self.shapes[tile.picture] for tile in tiles if tile.picture is not None]
        least = min((down / across for across, down in shapes), default=0.0)
        return max(1, round(width * min(max(limits[0], least), limits[1])))

    def fitted(self, tile: Tile, within: Shape, neighbours: Iterable[Tile] = ()) -> Shape:
        """Return the px a tile takes within a width and a height, undistorted.

        A card takes the shape of its first neighbour with a picture, over the whole width.
        """
        shown = (each.picture for each in (tile, *neighbours))
        across, down = next((self.shapes[path] for path in shown if path), CARD_SHAPE)
        scale = min(within[0] / across, within[1] / down)
        height = max(1, round(down * scale))
        if tile.picture is not None:
            return max(1, round(across * scale)), height
        return within[0], max(height, 2 * self.page.pt(self.page.floor_pt))

    def mark(self, tile: Tile, box: Box) -> Picture | Card:
        """Return a picture, or the card in its place."""
        if tile.picture is not None:
            return Picture(box, tile.picture)
        hand = self.page.hand(self.page.floor_pt, self.lines(box.height - self.mm(GUTTER)))
        return Card(box, fit(tile.note, box.width - 2 * self.mm(GUTTER), hand))

    def lines(self, height: int) -> int:
        """Return how many lines of the smallest lettering a height holds; at least one."""
        return max(1, int(height / (LEADING * self.page.pt(self.page.floor_pt))))


def _heading(plan: _Plan) -> tuple[list[Mark], int]:
    """Place title and subtitle; return them and where the body starts."""
    page, left = plan.page, plan.mm(MARGIN)
    width = plan.width - 2 * left
    title = fit(plan.grid.title, width, page.hand(page.title_pt, 3, bold=True))
    subtitle = fit(plan.grid.subtitle, width, page.hand(page.text_pt, 3))
    marks: list[Mark] = []
    top = left
    for lettering, colour in ((title, INK), (subtitle, GREY)):
        if lettering.lines:
            marks.append(Text(left, top, lettering, colour))
            top += lettering.height + plan.mm(GUTTER)
    return marks, top + (plan.mm(NARROW) if marks else 0)


def _centred(lettering: Lettering, left: int, width: int, top: int, colour: Colour = INK) -> Text:
    """Centre lettering across a width."""
    return Text(left + (width - lettering.width) // 2, top, lettering, colour, "centre")


def _column_heads(plan: _Plan, top: int) -> tuple[list[Mark], int]:
    """Place what stands above the tiles; return it and where the tiles start."""
    marks, top = _axis(plan, top)
    titles = fit_alike(plan.grid.columns.titles, plan.tile, plan.title_hand(plan.title_lines))
    axis = fit(plan.grid.rows.name, plan.title_width, plan.axis_hand)
    labels = [_label(plan, tile) for tile in plan.grid.inputs]
    base = top + max(lettering.height for lettering in (*titles, *labels, axis))
    for index, title in enumerate(titles):
        if title.lines:
            marks.append(_centred(title, plan.column(index), plan.tile, base - title.height))
    heads, bottom = _head_pictures(plan, base + plan.mm(GUTTER))
    if axis.lines:
        base = bottom - plan.mm(NARROW) if heads else base
        left = plan.titles_left + plan.title_width - axis.width
        marks.append(Text(left, base - axis.height, axis, GREY, "right"))
    return [*marks, *heads], bottom


def _head_pictures(plan: _Plan, top: int) -> tuple[list[Mark], int]:
    """Place the pictures at the heads of the columns, standing on one line."""
    tiles = plan.grid.columns.heads
    if not tiles:
        return [], top
    within = (plan.tile, plan.head_height)
    sizes = [plan.fitted(tile, within, tiles) for tile in tiles]
    bottom = top + max(height for _, height in sizes)
    marks: list[Mark] = []
    for index, (tile, (width, height)) in enumerate(zip(tiles, sizes, strict=True)):
        left = plan.column(index) + (plan.tile - width) // 2
        marks.append(plan.mark(tile, Box(left, bottom - height, width, height)))
    return marks, bottom + plan.mm(NARROW)


def _axis(plan: _Plan, top: int) -> tuple[list[Mark], int]:
    """Place the line over the columns: start ◂── name ──▸ end."""
    axis, gap = plan.grid.columns, plan.mm(GUTTER)
    left, right = plan.tiles_left, plan.tiles_right
    third = (right - left) // 3 - gap
    texts = fit_alike((axis.start, axis.name, axis.end), third, plan.axis_hand)
    height = max(text.height for text in texts)
    if not height:
        return [], top
    start, name, end = texts
    lefts = (left, (left + right - name.width) // 2, right - end.width)
    marks: list[Mark] = [
        _centred(text, at, text.width, top + (height - text.height) // 2, GREY)
        for text, at in zip(texts, lefts, strict=True)
        if text.lines
    ]
    first = Box(left + start.width + gap, top, lefts[1] - left - start.width - 2 * gap, height)
    after = lefts[1] + name.width + gap
    second = Box(after, top, lefts[2] - after - gap, height)
    if start.lines and first.width >= plan.mm(ARROW):
        marks.append(Arrow(first, "left"))
    if end.lines and second.width >= plan.mm(ARROW):
        marks.append(Arrow(second, "right"))
    return marks, top + height + gap


def _rows(plan: _Plan, top: int) -> tuple[list[Mark], int]:
    """Place every row of tiles with its head; return them and the last row's bottom."""
    marks: list[Mark] = []
    for index in range(len(plan.grid.tiles)):
        row, bottom = _row(plan, index, top)
        marks += row
        top = bottom + plan.mm(GUTTER)
    return marks, top - plan.mm(GUTTER)


def _row(plan: _Plan, index: int, top: int) -> tuple[list[Mark], int]:
    """Place one row: its title, the picture at its head and its tiles, centred on one line."""
    inputs = _heads_of(plan, index)
    title = plan.titles[index]
    band = max(title.height, *(height for _, _, (_, height) in inputs))
    marks: list[Mark] = []
    for tile, left, (width, height) in inputs:
        start = left + (plan.tile - width) // 2
        if tile.picture or tile.note:
            marks.append(plan.mark(tile, Box(start, top + (band - height) // 2, width, height)))
    if title.lines:
        left = plan.titles_left + plan.title_width - title.width
        marks.append(Text(left, top + (band - title.height) // 2, title, INK, "right"))
    captions, bottom = _captions(plan, plan.grid.tiles[index], top + band)
    return [*marks, *captions], bottom


def _heads_of(plan: _Plan, index: int) -> list[tuple[Tile, int, Shape]]:
    """Return a row's tiles, and its head no taller than they, with left edges and sizes."""
    tiles = plan.grid.tiles[index]
    neighbours = [*tiles, *(tile for row in plan.grid.tiles for tile in row)]
    within = (plan.tile, plan.tile_height)
    sizes = [plan.fitted(tile, within, neighbours) for tile in tiles]
    lefts = [plan.column(column) for column in range(len(tiles))]
    inputs = list(zip(tiles, lefts, sizes, strict=True))
    tallest = max(height for _, height in sizes)
    for head in plan.grid.rows.heads[index : index + 1]:
        size = plan.fitted(head, (plan.tile, tallest), neighbours)
        inputs.append((head, plan.heads_left, size))
    return inputs


def _captions(plan: _Plan, tiles: Sequence[Tile], top: int) -> tuple[list[Mark], int]:
    """Place the captions below a row of tiles; return them and the row's bottom."""
    hand = plan.page.hand(plan.page.small_pt, 2)
    captions = fit_alike([tile.caption for tile in tiles], plan.tile, hand)
    height = max(caption.height for caption in captions)
    if not height:
        return [], top
    top += plan.mm(GUTTER) // 2
    marks: list[Mark] = [
        _centred(caption, plan.column(column), plan.tile, top, GREY)
        for column, caption in enumerate(captions)
        if caption.lines
    ]
    return marks, top + height + plan.mm(GUTTER)


def _inputs(plan: _Plan, tiles_top: int) -> tuple[list[Mark], int]:
    """Place the inputs in the left margin, the first level with the first row of tiles."""
    side_by_side = plan.beside > 1
    left, top, lowest = plan.mm(MARGIN), tiles_top, tiles_top
    marks: list[Mark] = []
    for index, tile in enumerate(plan.grid.inputs):
        if index and not side_by_side:
            top = lowest + plan.mm(NARROW) + _label(plan, tile).height + plan.mm(GUTTER)
        placed, bottom = _input(plan, tile, left, top)
        marks += placed
        lowest = max(lowest, bottom)
        left += plan.input + plan.mm(NARROW) if side_by_side else 0
    return marks, lowest


def _label(plan: _Plan, tile: Tile) -> Lettering:
    """Letter what an input is: content or style."""
    return fit(tile.label, plan.input, plan.page.hand(plan.page.small_pt, 1))


def _input(plan: _Plan, tile: Tile, left: int, top: int) -> tuple[list[Mark], int]:
    """Place one input with its top at `top`, its label above and its caption below."""
    gap = plan.mm(GUTTER)
    label = _label(plan, tile)
    width, height = plan.fitted(tile, (plan.input, plan.input_height))
    marks: list[Mark] = [plan.mark(tile, Box(left, top, width, height))]
    if label.lines:
        marks.append(Text(left, top - gap - label.height, label, GREY))
    caption = fit(tile.caption, plan.input, plan.page.hand(plan.page.small_pt, 6))
    if not caption.lines:
        return marks, top + height
    text = Text(left, top + height + gap, caption)
    return [*marks, text], text.box.bottom
