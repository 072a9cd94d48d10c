"""The data types of a comparison grid: its tiles, the paper, and the marks on the paper.

`nst.figures.layout` turns a `Grid` and a `Page` into a `Layout`, and `nst.figures.painting` paints
the layout.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from nst.figures.lettering import Hand, Lettering

Shape = tuple[int, int]  # width and height of a picture in px, the right way up
Colour = tuple[int, int, int]
Align = Literal["left", "centre", "right"]

INK: Colour = (28, 28, 30)
GREY: Colour = (112, 112, 116)
SHARES = {"left": 0.0, "centre": 0.5, "right": 1.0}  # of the spare width, before a line of text


@dataclass(frozen=True)
class Page:
    """The paper. A grid of few columns is narrower than `width_mm`, one of very many is wider."""

    width_mm: float = 277.0  # A4 on its side, less 10 mm left and right
    height_mm: float = 1e6  # only the pages of a PDF have a real limit
    dpi: int = 200
    smallest_tile_mm: float = 12.2  # 96 px at 200 dpi
    largest_tile_mm: float = 53.4  # 420 px at 200 dpi
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
class Tile:
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

    `heads` are tiles at the heads of the rows or columns, one for each or none; the titles replace
    their captions. `start` and `end` describe the two ends of the axis, only for columns.
    """

    titles: Sequence[str]
    name: str = ""
    start: str = ""
    end: str = ""
    heads: Sequence[Tile] = ()

    def part(self, indices: Sequence[int]) -> "Axis":
        """Return the rows or columns with these indices."""
        titles = [self.titles[index] for index in indices]
        heads = [self.heads[index] for index in indices] if self.heads else ()
        return replace(self, titles=titles, heads=heads)


@dataclass(frozen=True)
class Grid:
    """The tiles of a comparison grid, `tiles[row][column]`, and their titles.

    `inputs` are drawn in the left margin. The first `head_rows` rows show the inputs of the
    columns, and are repeated on every page of a split grid.
    """

    title: str
    tiles: Sequence[Sequence[Tile]]
    rows: Axis
    columns: Axis
    subtitle: str = ""
    inputs: Sequence[Tile] = ()
    head_rows: int = 0

    @property
    def every_tile(self) -> list[Tile]:
        """All tiles, heads and inputs included."""
        results = [tile for row in self.tiles for tile in row]
        return [*self.inputs, *self.columns.heads, *self.rows.heads, *results]

    def changed(self, change: Callable[[Tile], Tile]) -> "Grid":
        """Return the grid with a change applied to every tile, heads and inputs included."""
        rows, columns = (
            replace(axis, heads=list(map(change, axis.heads))) for axis in (self.rows, self.columns)
        )
        tiles = [list(map(change, row)) for row in self.tiles]
        return replace(
            self, tiles=tiles, rows=rows, columns=columns, inputs=list(map(change, self.inputs))
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
class Picture:
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


Mark = Text | Picture | Card | Arrow


@dataclass(frozen=True)
class Layout:
    """A page ready for painting: its size in px and its marks, none of which overlap."""

    width: int
    height: int
    marks: tuple[Mark, ...]
