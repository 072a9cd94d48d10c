"""A comparison grid, and its layout: from the shapes of the pictures to boxes.

`arrange` turns a `Grid` and a `Page` into a `Layout`. It is pure: it opens no file and paints
nothing, so a test can check whether two boxes overlap. Every length is given in mm or points and
is converted to px once, by `Page`, so that the resolution changes nothing else.

    title, subtitle
    label        |                          more content ◂── α/β ──▸ more style
    input        |                             column title      column title
    caption      |                             column input      column input
    label        |    row title   row input    panel              panel
    input        |    row title   row input    panel              panel
    caption      |
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import floor
from pathlib import Path
from typing import Literal

from nst.figures.lettering import LEADING, Hand, Lettering, fit, fit_alike

Shape = tuple[int, int]  # width and height of a picture in px, the right way up
Colour = tuple[int, int, int]
Align = Literal["left", "centre", "right"]

INK: Colour = (28, 28, 30)
GREY: Colour = (112, 112, 116)
SHARES = {"left": 0.0, "centre": 0.5, "right": 1.0}  # of the spare width, before a line of text
# Millimetres on the page.
MARGIN = 5.0
GUTTER = 1.2  # between panels
NARROW = 2.4  # between a title and its pictures, and between heads and panels
WIDE = 6.0  # between the blocks of the page
ROW_TITLE = 36.0  # the largest width of a row's title
INPUT = 32.0  # the smallest width of an input in the margin
NARROWEST = 90.0  # the smallest width of a page, so that its title has room
NARROW_PANEL = 20.0  # below this width, most titles need more than four lines
ARROW = 3.0  # the shortest arrow worth drawing
# Limits on height, in widths. A picture gets the height at which the widest picture of its kind
# fills its width, within these limits. A portrait among landscapes thus becomes narrower, not
# taller.
PANEL_HEIGHT = (1.25, 2.0)
HEAD_HEIGHT = (0.75, 1.25)
INPUT_HEIGHT = (0.75, 1.25)
ROW_INPUT_HEIGHT = (0.5, 1.25)  # for inputs side by side
CARD_SHAPE: Shape = (4, 3)  # for a missing picture in a row of missing pictures


@dataclass(frozen=True)
class Page:
    """The paper. A grid of few columns is narrower than `width_mm`, one of very many is wider."""

    width_mm: float = 277.0  # A4 on its side, less 10 mm left and right
    height_mm: float = 1e6  # only the pages of a PDF have a real limit
    dpi: int = 200
    smallest_panel_mm: float = 12.2  # 96 px at 200 dpi
    largest_panel_mm: float = 53.4  # 420 px at 200 dpi
    most_pixels: int = 40_000_000  # of the whole grid; 120 MB while painting
    title_pt: float = 13.0
    text_pt: float = 9.0
    small_pt: float = 8.0
    floor_pt: float = 7.0  # the smallest lettering

    def mm(self, length: float) -> int:
        """Return a length in px."""
        return max(1, round(length * self.dpi / 25.4))

    def pt(self, size: float) -> int:
        """Return a size of lettering in px."""
        return max(1, -int(-size * self.dpi // 72))

    def holds(self, layout: "Layout") -> bool:
        """Tell whether a layout fits on the page."""
        width, height = self.mm(self.width_mm), self.mm(self.height_mm)
        return layout.width <= width and layout.height <= height

    def hand(self, size: float, lines: int, *, bold: bool = False) -> Hand:
        """Return the hand for a text of `size` points in at most `lines` lines."""
        return Hand(self.pt(max(size, self.floor_pt)), self.pt(self.floor_pt), lines, bold)


@dataclass(frozen=True)
class Panel:
    """The place of a picture, which is opened only when it is painted.

    Without a picture, a hatched card with the note is drawn. Without both, the place stays empty.
    `label`, such as "content", is drawn in grey above the picture, only for `Grid.inputs`.
    """

    picture: Path | None = None
    caption: str = ""
    note: str = ""
    label: str = ""


@dataclass(frozen=True)
class Axis:
    """The rows or the columns of a grid: their titles, and the name of the axis.

    `heads` are panels at the heads of the rows or columns, one for each or none; the titles replace
    their captions. `start` and `end` describe the two ends of the axis, only for columns.
    """

    titles: Sequence[str]
    name: str = ""
    start: str = ""
    end: str = ""
    heads: Sequence[Panel] = ()

    def part(self, indices: Sequence[int]) -> "Axis":
        """Return the rows or columns with these indices."""
        titles = [self.titles[index] for index in indices]
        heads = [self.heads[index] for index in indices] if self.heads else ()
        return replace(self, titles=titles, heads=heads)


@dataclass(frozen=True)
class Grid:
    """The panels of a comparison grid, `panels[row][column]`, and their titles.

    `inputs` are drawn in the left margin. The first `head_rows` rows show the inputs of the
    columns, and are repeated on every page of a split grid.
    """

    title: str
    panels: Sequence[Sequence[Panel]]
    rows: Axis
    columns: Axis
    subtitle: str = ""
    inputs: Sequence[Panel] = ()
    head_rows: int = 0

    @property
    def every_panel(self) -> list[Panel]:
        """All panels, heads and inputs included."""
        results = [panel for row in self.panels for panel in row]
        return [*self.inputs, *self.columns.heads, *self.rows.heads, *results]

    def changed(self, change: Callable[[Panel], Panel]) -> "Grid":
        """Return the grid with a change applied to every panel, heads and inputs included."""
        rows, columns = (
            replace(axis, heads=list(map(change, axis.heads))) for axis in (self.rows, self.columns)
        )
        panels = [list(map(change, row)) for row in self.panels]
        return replace(
            self, panels=panels, rows=rows, columns=columns, inputs=list(map(change, self.inputs))
        )


@dataclass(frozen=True)
class Box:
    """A rectangle in px; right and bottom are exclusive."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """The first px to the right of the box."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """The first px below the box."""
        return self.top + self.height

    def within(self, other: "Box") -> "Box":
        """Return the part of the box that lies inside another."""
        left, top = max(self.left, other.left), max(self.top, other.top)
        right, bottom = min(self.right, other.right), min(self.bottom, other.bottom)
        return Box(left, top, right - left, bottom - top)


@dataclass(frozen=True)
class Text:
    """Lettering, with its left and upper edge in px; its lines are aligned with each other."""

    left: int
    top: int
    lettering: Lettering
    colour: Colour = INK
    align: Align = "left"

    @property
    def box(self) -> Box:
        """The box that the text takes."""
        return Box(self.left, self.top, self.lettering.width, self.lettering.height)


@dataclass(frozen=True)
class PictureBox:
    """A picture to fit into a box of the same shape."""

    box: Box
    path: Path


@dataclass(frozen=True)
class Card:
    """A hatched card where a picture is missing, and its note."""

    box: Box
    note: Lettering


@dataclass(frozen=True)
class Arrow:
    """An arrow along the middle of its box."""

    box: Box
    points: Literal["left", "right"]


Mark = Text | PictureBox | Card | Arrow


@dataclass(frozen=True)
class Layout:
    """A page ready for painting: its size in px and its marks, none of which overlap."""

    width: int
    height: int
    marks: tuple[Mark, ...]


def arrange(grid: Grid, page: Page, shapes: Mapping[Path, Shape]) -> Layout:
    """Lay out a grid on a page, given the shapes of all its pictures."""
    plan = _Plan(grid, page, shapes)
    panels_top = _place_column_heads(plan, _place_heading(plan))
    bottom = max(_place_rows(plan, panels_top), _place_inputs(plan, panels_top))
    return Layout(plan.width, bottom + page.mm(MARGIN), tuple(plan.marks))


def columns_within(grid: Grid, page: Page, shapes: Mapping[Path, Shape]) -> int:
    """Return the number of columns of panels that fit the width of a page."""
    plan = _Plan(grid, page, shapes)
    gutter = page.mm(GUTTER)
    room = page.mm(page.width_mm) - page.mm(MARGIN) - plan.panels_left
    return (room + gutter) // (plan.panel + gutter)


class _Plan:
    """The columns of a page, with left edges and widths in px, and the marks placed so far.

    `panel` is the width of a panel: an equal share of the page's free width, within limits.
    `beside` is the number of columns of inputs: side by side for a single row of panels, else one
    stack.
    """

    def __init__(self, grid: Grid, page: Page, shapes: Mapping[Path, Shape]) -> None:
        self.grid, self.page, self.shapes = grid, page, shapes
        self.marks: list[Mark] = []
        self.axis_hand = page.hand(page.small_pt, 2)
        columns, heads = len(grid.columns.titles), 1 if grid.rows.heads else 0
        self.beside = len(grid.inputs) if len(grid.panels) == 1 else min(1, len(grid.inputs))
        self.title_width = self._title_width()

        margin, gutter, narrow = map(page.mm, (MARGIN, GUTTER, NARROW))
        beside_gaps = (self.beside - 1) * narrow + page.mm(WIDE) if self.beside else 0
        title_room = self.title_width + narrow if self.title_width else 0
        gaps = 2 * margin + beside_gaps + title_room + heads * narrow + (columns - 1) * gutter
        self.panel = self.input = self._share(columns + heads + self.beside, gaps)
        if self.beside == 1:
            least = page.mm(INPUT)
            if self.panel < least:
                self.panel = self._share(columns + heads, gaps + least)
            self.input = max(self.panel, least)

        self.titles_left = margin + self.beside * self.input + beside_gaps
        self.heads_left = self.titles_left + title_room
        self.panels_left = self.heads_left + heads * (self.panel + narrow)
        self.panels_right = self.column(columns) - gutter
        self.width = max(self.panels_right + margin, page.mm(NARROWEST))

    def _title_width(self) -> int:
        """Return the width of the column of row titles: as wide as the titles, up to a limit."""
        limit = self.page.mm(ROW_TITLE)
        titles = fit_alike(self.grid.rows.titles, limit, self.title_hand(3))
        axis = fit(self.grid.rows.name, limit, self.axis_hand)
        return max(axis.width, *(title.width for title in titles))

    def _share(self, columns: int, taken: int) -> int:
        """Share the page's width among columns, within the limits on a panel's width."""
        page = self.page
        share = (page.mm(page.width_mm) - taken) // columns
        return min(max(share, page.mm(page.smallest_panel_mm)), page.mm(page.largest_panel_mm))

    def column(self, index: int) -> int:
        """Return the left edge of a column of panels."""
        return self.panels_left + index * (self.panel + self.page.mm(GUTTER))

    def title_hand(self, lines: int) -> Hand:
        """Return the hand for the titles of rows and columns."""
        return self.page.hand(self.page.text_pt, lines, bold=True)

    def label(self, panel: Panel) -> Lettering:
        """Letter the label of an input: content or style."""
        return fit(panel.label, self.input, self.page.hand(self.page.small_pt, 1))

    def lines(self, height: int) -> int:
        """Return the number of lines of the smallest lettering that fit a height; at least one."""
        return max(1, int(height / (LEADING * self.page.pt(self.page.floor_pt))))

    def height(self, panels: Iterable[Panel], width: int, limits: tuple[float, float]) -> int:
        """Return the height in px at which the widest picture fills the width, within limits."""
        shapes = [self.shapes[panel.picture] for panel in panels if panel.picture is not None]
        least = min((down / across for across, down in shapes), default=0.0)
        return max(1, round(width * min(max(limits[0], least), limits[1])))

    def fitted(self, panel: Panel, within: Shape, neighbours: Iterable[Panel] = ()) -> Shape:
        """Return a panel's undistorted width and height in px, within a width and a height.

        A card takes the shape of its first neighbour with a picture, over the whole width.
        """
        shown = (each.picture for each in (panel, *neighbours))
        across, down = next((self.shapes[path] for path in shown if path), CARD_SHAPE)
        scale = min(within[0] / across, within[1] / down)
        height = max(1, round(down * scale))
        if panel.picture is not None:
            return max(1, round(across * scale)), height
        return within[0], max(height, 2 * self.page.pt(self.page.floor_pt))

    def show(self, panel: Panel, box: Box) -> None:
        """Place a panel's picture, or else a card with its note; a panel with neither is empty."""
        if panel.picture is not None:
            self.marks.append(PictureBox(box, panel.picture))
        elif panel.note:
            gutter = self.page.mm(GUTTER)
            hand = self.page.hand(self.page.floor_pt, self.lines(box.height - gutter))
            self.marks.append(Card(box, fit(panel.note, box.width - 2 * gutter, hand)))

    def write(
        self,
        lettering: Lettering,
        left: int,
        top: int,
        *,
        across: int | None = None,
        align: Align = "left",
        colour: Colour = INK,
    ) -> None:
        """Place lettering, unless it is empty, aligned within a width `across`."""
        if lettering.lines:
            spare = 0 if across is None else across - lettering.width
            left += floor(SHARES[align] * spare)
            self.marks.append(Text(left, top, lettering, colour, align))


def _place_heading(plan: _Plan) -> int:
    """Place title and subtitle; return the top of the body."""
    page = plan.page
    left = top = page.mm(MARGIN)
    across = plan.width - 2 * left
    title = fit(plan.grid.title, across, page.hand(page.title_pt, 3, bold=True))
    subtitle = fit(plan.grid.subtitle, across, page.hand(page.text_pt, 3))
    for lettering, colour in ((title, INK), (subtitle, GREY)):
        plan.write(lettering, left, top, colour=colour)
        top += lettering.height + page.mm(GUTTER) if lettering.lines else 0
    return top + page.mm(NARROW) if plan.marks else top


def _place_column_heads(plan: _Plan, top: int) -> int:
    """Place titles, axis and heads of the columns; return the top of the panels."""
    top = _place_axis(plan, top)
    page, heads = plan.page, plan.grid.columns.heads
    # Titles over narrow panels may have more lines, since a line often holds a single word.
    lines = 4 if plan.panel >= page.mm(NARROW_PANEL) else 8
    titles = fit_alike(plan.grid.columns.titles, plan.panel, plan.title_hand(lines))
    axis = fit(plan.grid.rows.name, plan.title_width, plan.axis_hand)
    labels = map(plan.label, plan.grid.inputs)
    base = top + max(lettering.height for lettering in (*titles, *labels, axis))
    within = (plan.panel, plan.height(heads, plan.panel, HEAD_HEIGHT))
    sizes = [plan.fitted(head, within, heads) for head in heads]
    bottom = base + page.mm(GUTTER) + max((height for _, height in sizes), default=0)

    for index, title in enumerate(titles):
        left, above = plan.column(index), base - title.height
        plan.write(title, left, above, across=plan.panel, align="centre")
    above = (bottom if heads else base) - axis.height
    plan.write(axis, plan.titles_left, above, across=plan.title_width, align="right", colour=GREY)
    for index, (head, (width, height)) in enumerate(zip(heads, sizes, strict=True)):
        left = plan.column(index) + (plan.panel - width) // 2
        plan.show(head, Box(left, bottom - height, width, height))
    return bottom + page.mm(NARROW) if heads else bottom


def _place_axis(plan: _Plan, top: int) -> int:
    """Place the line over the columns: start ◂── name ──▸ end; return its bottom."""
    axis, gap = plan.grid.columns, plan.page.mm(GUTTER)
    left, right = plan.panels_left, plan.panels_right
    third = (right - left) // 3 - gap
    texts = fit_alike((axis.start, axis.name, axis.end), third, plan.axis_hand)
    height = max(text.height for text in texts)
    if not height:
        return top
    start, name, end = texts
    lefts = (left, (left + right - name.width) // 2, right - end.width)
    for text, at in zip(texts, lefts, strict=True):
        plan.write(text, at, top + (height - text.height) // 2, align="centre", colour=GREY)
    first = Box(left + start.width + gap, top, lefts[1] - left - start.width - 2 * gap, height)
    after = lefts[1] + name.width + gap
    second = Box(after, top, lefts[2] - after - gap, height)
    if start.lines and first.width >= plan.page.mm(ARROW):
        plan.marks.append(Arrow(first, "left"))
    if end.lines and second.width >= plan.page.mm(ARROW):
        plan.marks.append(Arrow(second, "right"))
    return top + height + gap


def _place_rows(plan: _Plan, top: int) -> int:
    """Place every row of panels with its title and head; return the last row's bottom."""
    panels = [panel for row in plan.grid.panels for panel in row]
    within = (plan.panel, plan.height(panels, plan.panel, PANEL_HEIGHT))
    # The titles have about as many lines as fit beside a panel in landscape.
    lines = min(max(3, plan.lines(round(0.62 * plan.panel))), 6)
    titles = fit_alike(plan.grid.rows.titles, plan.title_width, plan.title_hand(lines))
    for index, (row, title) in enumerate(zip(plan.grid.panels, titles, strict=True)):
        neighbours = [*row, *panels]
        placed = [
            (panel, plan.column(column), plan.fitted(panel, within, neighbours))
            for column, panel in enumerate(row)
        ]
        tallest = max(height for _, _, (_, height) in placed)
        for head in plan.grid.rows.heads[index : index + 1]:
            size = plan.fitted(head, (plan.panel, tallest), neighbours)
            placed.append((head, plan.heads_left, size))
        band = max(title.height, *(height for _, _, (_, height) in placed))
        for panel, left, (width, height) in placed:
            middle = left + (plan.panel - width) // 2, top + (band - height) // 2
            plan.show(panel, Box(*middle, width, height))
        above = top + (band - title.height) // 2
        plan.write(title, plan.titles_left, above, across=plan.title_width, align="right")
        top = _place_captions(plan, row, top + band) + plan.page.mm(GUTTER)
    return top - plan.page.mm(GUTTER)


def _place_captions(plan: _Plan, panels: Sequence[Panel], top: int) -> int:
    """Place the captions below a row of panels; return the row's bottom."""
    hand = plan.page.hand(plan.page.small_pt, 2)
    captions = fit_alike([panel.caption for panel in panels], plan.panel, hand)
    height = max(caption.height for caption in captions)
    if not height:
        return top
    top += plan.page.mm(GUTTER) // 2
    for column, caption in enumerate(captions):
        left = plan.column(column)
        plan.write(caption, left, top, across=plan.panel, align="centre", colour=GREY)
    return top + height + plan.page.mm(GUTTER)


def _place_inputs(plan: _Plan, top: int) -> int:
    """Place the inputs in the left margin, and return the bottom of the lowest.

    The first input is level with the first row of panels. Each input has its label above and its
    caption below.
    """
    gap, narrow = plan.page.mm(GUTTER), plan.page.mm(NARROW)
    side_by_side = plan.beside > 1
    limits = ROW_INPUT_HEIGHT if side_by_side else INPUT_HEIGHT
    within = (plan.input, plan.height(plan.grid.inputs, plan.input, limits))
    left, lowest = plan.page.mm(MARGIN), top
    for index, panel in enumerate(plan.grid.inputs):
        label = plan.label(panel)
        if index and side_by_side:
            left += plan.input + narrow
        elif index:
            top = lowest + narrow + label.height + gap
        width, height = plan.fitted(panel, within)
        plan.show(panel, Box(left, top, width, height))
        plan.write(label, left, top - gap - label.height, colour=GREY)
        bottom = top + height
        caption = fit(panel.caption, plan.input, plan.page.hand(plan.page.small_pt, 6))
        plan.write(caption, left, bottom + gap)
        lowest = max(lowest, bottom + gap + caption.height if caption.lines else bottom)
    return lowest
