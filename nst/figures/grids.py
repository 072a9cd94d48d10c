"""What the comparison grids of a pair, of a content, of the recipes and of the run consist of."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from nst.config.sheets import Sheet
from nst.figures.sheet import Axis, Grid, Tile

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
