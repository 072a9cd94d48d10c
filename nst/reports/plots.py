"""Plots of the tables, for a paper's column: what a pair offers, how it got there, what matters.

One look for all, in ``STYLE``. Colours are Okabe and Ito's for names and cividis for what has an
order, both legible to the colour-blind. The same table gives the same bytes: no dates, no random
ids. Names and titles are shown as they are, whatever characters they contain.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetBox, OffsetImage, TextArea, VPacker
from numpy.typing import NDArray
from PIL import Image

from nst.config.variants import labels_of
from nst.figures.lettering import clean
from nst.imaging.transparency import on_white
from nst.reports.ranking import AIMS
from nst.reports.summary import evenly
from nst.system.files import write_atomically

COLUMN = 3.5  # inches, of a printed page with two columns
PAGE = 7.2
AXES_SIZE = np.array([205.0, 165.0])  # points, about, of the axes of a plot of pictures
LABEL_HEIGHT = 10  # points, of the line above a picture, and its frame
LETTER = 3.5  # points, about, of a character of that line
STYLE: Any = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so it is the same everywhere
    "font.size": 7,
    "axes.titlesize": 8,
    "axes.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.4,
    "axes.axisbelow": True,
    "lines.linewidth": 1,
    "lines.markersize": 3,
    "legend.frameon": False,
    "legend.fontsize": 6.5,
    "legend.title_fontsize": 6.5,
    "figure.dpi": 300,
    "savefig.dpi": 300,
    "svg.hashsalt": "nst",
}
INKS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
DASHES = ("-", "--", ":", "-.")
QUIET = "#8a8a8a"
LINE = 68  # characters of a legend across the column
MOST_PICTURES = 16  # of a plot; the other cells are points
MOST_TICKS = 16  # of an axis of names
MOST_ENTRIES = 8  # of a legend; the rest is not named
MOST_LINES = 600  # thin ones of a plot; more are a blot, and a file that no viewer opens
NO_LINE: dict[str, Any] = {"ls": ""}  # of a note in a legend
AXIS_TITLES = {
    "content_distance": "content distance\n(lower keeps more)",
    "style_distance": "style distance\n(lower takes more)",
    "preference": "share of votes won\n(against another variant)",
}

Entry = tuple[str, dict[str, Any]]
"""A name in a legend, and the look of its line."""


def save_plot(figure: Figure, *paths: Path) -> None:
    """Write a figure in the formats of the paths' suffixes; the same one gives the same bytes."""
    for path in paths:
        encoded = io.BytesIO()
        kind = path.suffix.removeprefix(".")
        unsaid = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
        with mpl.rc_context(STYLE):
            figure.savefig(encoded, format=kind, metadata=unsaid.get(kind))
        write_atomically(path, encoded.getvalue())


def literal(text: str) -> str:
    """Return text that matplotlib draws as it is; a character that the font lacks becomes �."""
    known = _characters()
    drawn = "".join(
        character if ord(character) in known else "\N{REPLACEMENT CHARACTER}" for character in text
    )
    return clean(drawn).replace("$", r"\$")


def title_of(text: str, width: int) -> str:
    """Break a title into at most two lines of about so many characters."""
    lines = textwrap.wrap(clean(text), width, max_lines=2, placeholder="…") or [""]
    return "\n".join(literal(line) for line in lines)


# ---------------------------------------------------------------- a pair's cells


def plot_pair(table: pd.DataFrame, title: str) -> Figure:
    """Plot a pair's cells by what they keep and what they take, each as a small picture.

    ``table`` has the summary's rows of one pair; pictures are read from its ``path``. The line is
    the Pareto front: the cells that no other beats. Colours tell the layer weightings apart, or the
    first setting that varies; labels say the rest. Pictures in each other's way are moved aside,
    with a line to where they belong; of many cells only the first in rank have one. Cells without
    measures are left out, and counted.
    """
    points, orders = _axes(table)
    coloured, *others = _told_apart(orders)
    others = others or ["ratio"]
    inks = _in_turn(orders[coloured], INKS)
    table = table.assign(kind=points[coloured], label=points[others].agg(", ".join, axis=1))
    cells = table[table["rank"].notna()].sort_values("rank")
    with _figure(COLUMN, 3.4) as figure:
        axes = figure.subplots()
        axes.set_title(title_of(title, 52))
        axes.set_xlabel("content distance (lower keeps more)")
        axes.set_ylabel("style distance (lower takes more)")
        if len(cells):
            _leave_room(axes, cells)
            _draw_points(axes, cells, inks)
            _draw_pictures(axes, cells.head(MOST_PICTURES), inks)
        entries: list[Entry] = [("Pareto front", {"color": QUIET})]
        entries += [
            (_named(coloured, name), {"marker": "o", "ls": "", "color": inks[name]})
            for name in orders[coloured][:MOST_ENTRIES]
        ]
        entries.append((f"labels: {', '.join(map(_spoken, others))}", NO_LINE))
        if missing := len(table) - len(cells):
            entries.append((f"{missing} failed, not shown", NO_LINE))
        _legend(figure, entries, loc="outside lower center")
        return figure


def _leave_room(axes: Axes, cells: pd.DataFrame) -> None:
    """Set the axes' ends so that there is room around all the cells."""
    for set_ends, aim in ((axes.set_xlim, AIMS[0]), (axes.set_ylim, AIMS[1])):
        low, high = cells[aim].min(), cells[aim].max()
        margin = 0.15 * (high - low) or 0.1 * abs(high) or 0.1
        set_ends(low - margin, high + margin)


def _draw_points(axes: Axes, cells: pd.DataFrame, inks: dict[str, str]) -> None:
    """Draw a point for every cell, and the line through those that none beats."""
    front = cells[cells["pareto"]].sort_values(list(AIMS))
    axes.plot(front[AIMS[0]], front[AIMS[1]], color=QUIET, zorder=1.5, gid="front")
    colours = [inks[kind] for kind in cells["kind"]]
    # Above the pictures, since those may cover each other's points.
    look: Any = {"s": 11, "c": colours, "lw": 0.5, "edgecolors": "white", "zorder": 6}
    axes.scatter(cells[AIMS[0]], cells[AIMS[1]], gid="cells", **look)


def _draw_pictures(axes: Axes, cells: pd.DataFrame, inks: dict[str, str]) -> None:
    """Draw the cells' pictures with their labels, near their points, the suggested one largest."""
    side = float(np.clip(100 / len(cells) ** 0.5, 17, 30))  # points, of the longer one
    rows: list[Any] = list(cells.itertuples())
    framed = [_framed(row, 1.4 * side if row.suggested else side) for row in rows]
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    shares = (cells[list(AIMS)].to_numpy() - (left, bottom)) / (right - left, top - bottom)
    sizes = np.array([size for _, size in framed])
    offsets = spread_out(shares * AXES_SIZE, sizes, AXES_SIZE) - shares * AXES_SIZE
    for row, (parts, _), offset in zip(rows, framed, offsets, strict=True):
        # The label is at the end of the frame that is away from the point.
        children: list[Artist] = [*parts] if offset[1] >= 0 else [*reversed(parts)]
        picture = VPacker(children=children, align="center", pad=0, sep=1)
        _draw_picture(axes, row, picture, offset, inks[row.kind])


def _draw_picture(
    axes: Axes, row: Any, framed: VPacker, offset: NDArray[np.float64], ink: str
) -> None:
    """Draw one picture in its frame, ``offset`` points from the cell's place."""
    box = AnnotationBbox(
        framed,
        (row.content_distance, row.style_distance),
        (float(offset[0]), float(offset[1])),
        boxcoords="offset points",
        pad=0.1,
        bboxprops={"edgecolor": ink, "linewidth": 2 if row.suggested else 0.8},
        arrowprops={"arrowstyle": "-", "color": ink, "linewidth": 0.5, "shrinkB": 0},
        zorder=4 if row.suggested else 3,
    )
    box.set_gid("suggested" if row.suggested else "picture")
    axes.add_artist(box)


def _framed(row: Any, side: float) -> tuple[list[OffsetBox], NDArray[np.float64]]:
    """Return a cell's label and picture, and the points that they take together.

    The picture's longer side takes ``side`` points.
    """
    image = _thumbnail(Path(row.path))
    label = _short(row.label) + (" suggested" if row.suggested else "")
    weight = "bold" if row.suggested else "normal"
    # OffsetImage draws a pixel as a point, and scales it with the figure.
    zoom = side / max(image.size)
    parts: list[OffsetBox] = [
        TextArea(literal(label), textprops={"size": 5.5, "weight": weight}),
        OffsetImage(np.asarray(image), zoom=zoom, interpolation="antialiased"),
    ]
    width, height = np.array(image.size) * side / max(image.size) + (3, LABEL_HEIGHT)
    return parts, np.array([max(width, LETTER * len(label)), height])


def _thumbnail(path: Path) -> Image.Image:
    """Read a picture, no larger than print needs."""
    with Image.open(path) as image:
        small = on_white(image)
    small.thumbnail((160, 160), Image.Resampling.LANCZOS)
    return small


def spread_out(
    places: NDArray[np.float64], sizes: NDArray[np.float64], room: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Move the centres of boxes as little as it takes for none to cover another.

    All are n × 2, in the same unit; the boxes stay within ``room``. Those that overlap are pushed
    apart by half of what is needed, the shorter way, again and again. If there is no room for all,
    some overlap in the end.
    """
    first, last = sizes / 2, np.maximum(room - sizes / 2, sizes / 2)
    moved = np.clip(places, first, last)
    for _ in range(300):
        apart = moved[:, None] - moved[None]
        overlap = (sizes[:, None] + sizes[None]) / 2 - np.abs(apart)
        clash = np.triu((overlap > 1e-6).all(axis=2), 1)
        if not clash.any():
            break
        for one, other in np.argwhere(clash):
            axis = int(overlap[one, other].argmin())
            # Of two in the same place, the first goes up.
            way = 1.0 if apart[one, other, axis] >= 0 else -1.0
            step = 0.25 * overlap[one, other, axis] * way
            moved[one, axis] += step
            moved[other, axis] -= step
        moved = np.clip(moved, first, last)
    return moved


# ---------------------------------------------------------------- the way there


def plot_losses(table: pd.DataFrame, traces: pd.DataFrame, title: str) -> Figure:
    """Plot a pair's content and style losses against the evaluations, a curve for each cell.

    ``table`` and ``traces`` have the rows of one pair. Colour is α/β, dashes are layer weightings.
    Of settings that vary, the last takes the place of a single α/β, and the first that of a single
    layer weighting. The losses are those that each cell optimised, before weighting.
    """
    _, orders = _axes(table)
    dashed, *others = _told_apart(orders)
    if dashed != "layers" and not others:
        dashed, others = "layers", [dashed]
    shaded = others.pop() if others else "ratio"
    with _figure(COLUMN, 3.9) as figure:
        both = figure.subplots(2, sharex=True)
        both[0].set_title(title_of(title, 52))
        both[1].set_xlabel("evaluation")
        shades, dashes = _shades(orders[shaded]), _in_turn(orders[dashed], DASHES)
        for axes, name in zip(both, ("content_loss", "style_loss"), strict=True):
            axes.set_ylabel(_spoken(name))
            for (layers, ratio), trace in traces.groupby(["layers", "ratio"], sort=False):
                point = {**labels_of(str(layers)), "ratio": str(ratio)}
                axes.plot(
                    trace["evaluation"],
                    trace[name].where(trace[name] > 0),  # none on a logarithmic axis
                    color=shades[point[shaded]],
                    ls=dashes[point[dashed]],
                    lw=0.8,
                )
            if (traces[name] > 0).any():
                axes.set_yscale("log")
        entries = [(_named(shaded, one), {"color": shades[one]}) for one in _some(orders[shaded])]
        if len(dashes) > 1:
            entries += [
                (_named(dashed, one), {"color": QUIET, "ls": dashes[one]})
                for one in orders[dashed][:MOST_ENTRIES]
            ]
        if others:
            entries.append((f"not told apart: {', '.join(map(_spoken, others))}", NO_LINE))
        _legend(figure, entries, loc="outside lower center")
        return figure


# ---------------------------------------------------------------- what matters


def plot_effect(table: pd.DataFrame, axis: str) -> Figure:
    """Plot the effect of α/β, of the layer weighting or of a setting on both distances.

    ``axis`` is ``ratio``, ``layers`` or the name of a setting. A thin line is a pair at one point
    of all other axes; its colour is α/β, or the layer weighting for the axis α/β. Of many lines an
    even subset is drawn; the median uses all. It is a thick line for each colour where the axis has
    an order, at even places whatever its values, and otherwise a bar for each place.
    """
    points, orders = _axes(table)
    names = orders[axis]
    ordered = axis == "ratio" or (axis != "layers" and _are_numbers(names))
    coloured = "layers" if axis == "ratio" else "ratio"
    colours = _in_turn(orders["layers"], INKS) if axis == "ratio" else _shades(orders["ratio"])
    most = max(1, MOST_LINES // len(colours))
    thin: Any = {"lw": 0.5, "alpha": 0.35} if ordered else {"lw": 0.6, "marker": "o", "ms": 2.5}
    with _figure(PAGE, 2.6) as figure:
        for axes, aim in zip(figure.subplots(1, 2), AIMS, strict=True):
            for label, cells in table.groupby(points[coloured], sort=False):
                values = _effect(cells, points, axis, aim).reindex(names)
                colour = colours[str(label)]
                lines = values.to_numpy(float)[:, evenly(values.shape[1], most)]
                axes.plot(lines, color=colour, **thin)
                if ordered:
                    median = values.median(axis=1).to_numpy()
                    axes.plot(median, color=colour, lw=2, marker="o", ms=4)
            if not ordered:
                medians = table.groupby(points[axis])[aim].median().reindex(names)
                places = np.arange(len(names))
                axes.hlines(medians, places - 0.25, places + 0.25, color="black", lw=2, zorder=3)
            _name_places(axes, names, _spoken(axis), aim)
        chosen = _some(orders[coloured])
        if ordered:
            entries = [(_short(one), {"color": colours[one], "lw": 2}) for one in chosen]
        else:
            entries = [("median", {"color": "black", "lw": 2})]
            entries += [
                (f"α/β {one}", {"color": colours[one], "marker": "o", "ms": 2.5}) for one in chosen
            ]
        title = f"{_spoken(coloured)}, median" if ordered else None
        _legend(figure, entries, title=title, loc="outside right center", ncols=1)
        return figure


def plot_votes(table: pd.DataFrame, variants: pd.DataFrame, agreed: pd.DataFrame) -> Figure:
    """Plot what voters preferred, with intervals: variants, and how far the measures agree.

    ``variants`` and ``agreed`` are what ``prefer_variants`` and ``agreement`` return for ``table``,
    a summary. Where layers have several ratios, these are the places, and layers have colours;
    otherwise the layers or recipes are the places.
    """
    ratios = table.groupby("layers")["ratio"].nunique().max() > 1
    places = _ratios(table) if ratios else list(dict.fromkeys(table["layers"]))
    lines = list(dict.fromkeys(variants["layers"])) if ratios else [""]
    inks = _in_turn(lines, INKS)
    with _figure(PAGE, 2.8) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        for number, line in enumerate(lines):
            rows = variants[variants["layers"] == line] if ratios else variants
            aside = 0.3 * ((number + 0.5) / len(lines) - 0.5)  # side by side, not on each other
            at = [places.index(name) + aside for name in rows["ratio" if ratios else "layers"]]
            _draw_intervals(left, at, rows, "preference", inks[line])
        left.axhline(0.5, color=QUIET, lw=0.6, ls="--")
        left.set_ylim(0, 1)
        _name_places(left, places, "α/β" if ratios else "recipe or layers", "preference")
        rows = agreed[agreed["votes"] > 0]
        _draw_intervals(right, range(len(rows)), rows, "tau", INKS[0], vertical=False)
        right.axvline(0, color=QUIET, lw=0.6, ls="--")
        right.set_xlim(-1, 1)
        names = [_spoken(one).replace("ssim", "SSIM") for one in rows["measure"]]
        named = [f"{name} ({votes})" for name, votes in zip(names, rows["votes"], strict=True)]
        right.set_yticks(range(len(rows)), named)
        right.invert_yaxis()
        right.set_xlabel("agreement with the votes (Kendall's τ)")
        right.grid(visible=False, axis="y")
        if len(lines) > 1:
            look = {"marker": "o", "ms": 3, "lw": 1}
            entries = [(_short(one), {"color": inks[one], **look}) for one in _some(lines)]
            _legend(figure, entries, loc="outside lower center")
        return figure


def _draw_intervals(
    axes: Axes,
    places: Sequence[float] | range,
    rows: pd.DataFrame,
    name: str,
    ink: str,
    *,
    vertical: bool = True,
) -> None:
    """Draw a point with its interval at each place."""
    values = rows[name].to_numpy(float)
    low, high = rows[["low", "high"]].to_numpy(float).T
    around = np.clip([values - low, high - values], 0, None)
    style: Any = {"fmt": "o", "color": ink, "ms": 3, "elinewidth": 1}
    if vertical:
        axes.errorbar(places, values, yerr=around, **style)
    else:
        axes.errorbar(values, places, xerr=around, **style)


def _effect(cells: pd.DataFrame, points: pd.DataFrame, axis: str, aim: str) -> pd.DataFrame:
    """Return a measure by the labels of an axis; a column is a pair at one point of the others."""
    others = [name for name in points if name != axis]
    return (
        cells[["content", "style", aim]]
        .join(points)
        .pivot_table(index=axis, columns=["content", "style", *others], values=aim)
    )


def _name_places(axes: Axes, names: Sequence[str], what: str, aim: str) -> None:
    """Write the names below the places 0, 1, 2 … and the meaning of the axes."""
    step = -(-len(names) // MOST_TICKS)
    crowded = sum(map(len, names[::step])) > 40
    axes.set_xticks(
        range(0, len(names), step),
        [literal(_short(name)) for name in names[::step]],
        rotation=40 if crowded else 0,
        ha="right" if crowded else "center",
        rotation_mode="anchor",
    )
    axes.set_xlim(-0.5, len(names) - 0.5)
    axes.set_xlabel(what)
    axes.set_ylabel(AXIS_TITLES[aim])
    axes.grid(visible=False, axis="x")


# ---------------------------------------------------------------- one look


@contextmanager
def _figure(width: float, height: float) -> Iterator[Figure]:
    """Make a figure of this size in inches, in the look of all, for the time of the block."""
    with mpl.rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def _legend(figure: Figure, entries: Sequence[Entry], **options: Any) -> None:
    """Add a legend of names and their lines; a name may be anything.

    Matplotlib would leave out a name that begins with an underscore, so the names come afterwards.
    """
    widths = sorted((len(name) + 8 for name, _ in entries), reverse=True)  # characters, with a line
    options.setdefault("ncols", max(1, sum(np.cumsum(widths) <= LINE)))
    lines = [Line2D([], [], **look) for _, look in entries]
    legend = figure.legend(lines, [f"{place}" for place in range(len(lines))], **options)
    for text, (name, _) in zip(legend.get_texts(), entries, strict=True):
        text.set_text(literal(name))


def _short(name: str) -> str:
    """Cut a long name."""
    return name if len(name) <= 24 else f"{name[:23]}…"


def _axes(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Return the cells' labels by axis, and the labels of each axis in their order.

    The axes are ``layers``, the settings that vary, and ``ratio``.
    """
    points = pd.DataFrame([labels_of(name) for name in table["layers"]], index=table.index)
    orders = {str(axis): list(points[axis].drop_duplicates()) for axis in points}
    for axis, labels in orders.items():
        if axis != "layers" and _are_numbers(labels):
            labels.sort(key=float)
    return points.assign(ratio=table["ratio"]), {**orders, "ratio": _ratios(table)}


def _told_apart(orders: dict[str, list[str]]) -> list[str]:
    """List the axes with several labels; the ratio is never the first."""
    axes = [axis for axis, labels in orders.items() if len(labels) > 1]
    return axes if axes and axes[0] != "ratio" else ["layers", *axes]


def _are_numbers(labels: Sequence[str]) -> bool:
    """Tell whether each of the labels is a number."""
    try:
        list(map(float, labels))
    except ValueError:
        return False
    return True


def _spoken(axis: str) -> str:
    """Return the name of an axis for people."""
    return "α/β" if axis == "ratio" else axis.replace("_", " ")


def _named(axis: str, label: str) -> str:
    """Return a label for people, with the name of its axis; a weighting's stands for itself."""
    return _short(label if axis == "layers" else f"{_spoken(axis)} {label}")


def _ratios(table: pd.DataFrame) -> list[str]:
    """List the ratios' labels, from those that take most style to those that keep most content."""
    balance = table["alpha"] / (table["alpha"] + table["beta"])
    order = table.assign(balance=balance).sort_values("balance", kind="stable")
    return list(order["ratio"].drop_duplicates())


def _shades(labels: list[str]) -> dict[str, Any]:
    """Give each label a shade, dark for the first: of the ratios, for much style."""
    shades = mpl.colormaps["cividis"](np.linspace(0, 0.9, max(len(labels), 2)))
    return dict(zip(labels, shades, strict=False))


def _in_turn(labels: list[str], looks: Sequence[str]) -> dict[str, str]:
    """Give each label a look, such as a colour; after the last the first again."""
    return dict(zip(labels, cycle(looks), strict=False))


def _some(names: list[str]) -> list[str]:
    """Choose at most so many of the names as a legend holds."""
    return [names[place] for place in evenly(len(names), MOST_ENTRIES)]


@cache
def _characters() -> frozenset[int]:
    """Return the code points that the font can draw."""
    font = get_font(findfont(FontProperties(family="DejaVu Sans")))
    return frozenset(font.get_charmap())
