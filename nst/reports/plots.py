"""Plot the tables, for a column of a paper: trade-offs, losses, and the effects of settings.

All plots share one look, ``STYLE``. Names have the colours of Okabe and Ito, ordered values have
cividis; both are legible to the colour-blind. The same table gives the same bytes: no dates, no
random ids. Names and titles are drawn literally, whatever characters they contain.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import get_font
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnnotationBbox, OffsetBox, OffsetImage, TextArea, VPacker
from numpy.typing import NDArray
from PIL import Image

from nst.config.variants import labels_of
from nst.figures.lettering import clean, font_file
from nst.imaging.srgb import on_white
from nst.reports.ranking import AIMS, spoken
from nst.reports.summary import evenly
from nst.system.files import atomic_file

COLUMN = 3.5  # inches, of a printed page with two columns
PAGE = 7.2
AXES_SIZE = np.array([205.0, 165.0])  # points: about the size of the axes in a plot of pictures
LABEL_HEIGHT = 10  # points: the label above a picture, and its frame
LETTER = 3.5  # points: about the width of a character of the label
STYLE: Any = {
    "font.family": "DejaVu Sans",  # shipped with matplotlib, so it is the same everywhere
    "font.size": 7,
    "axes.titlesize": 8,
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
INTERVAL: Any = {"fmt": "o", "ms": 3, "elinewidth": 1}  # a value and its interval
MOST_PICTURES = 16  # in a plot; the other cells are points
MOST_TICKS = 16  # on an axis of names
MOST_ENTRIES = 8  # in a legend; the other names are left out
MOST_LINES = 600  # thin lines in a plot; more are illegible, and viewers cannot open the file
NO_LINE: dict[str, Any] = {"ls": ""}  # for a note in a legend
AXIS_TITLES = {
    "content_distance": "content distance\n(lower keeps more)",
    "style_distance": "style distance\n(lower takes more)",
    "preference": "share of votes won\n(against another variant)",
}

LegendEntry = tuple[str, dict[str, Any]]
"""A name in a legend, and the look of its line."""


def save_plot(figure: Figure, *paths: Path) -> None:
    """Write a figure in the formats of the paths' suffixes; equal figures give equal bytes."""
    for path in paths:
        kind = path.suffix.removeprefix(".")
        unsaid = {"svg": {"Date": None, "Creator": None}, "png": {"Software": None}}
        with atomic_file(path) as file, mpl.rc_context(STYLE):
            figure.savefig(file, format=kind, metadata=unsaid.get(kind))


def literal(text: str) -> str:
    """Return text that matplotlib draws literally; characters that the font lacks become �."""
    font = get_font(font_file())
    drawn = [one if font.get_char_index(ord(one)) else "\N{REPLACEMENT CHARACTER}" for one in text]
    return clean("".join(drawn)).replace("$", r"\$")


def title_of(text: str, width: int) -> str:
    """Break a title into at most two lines of about ``width`` characters."""
    lines = textwrap.wrap(clean(text), width, max_lines=2, placeholder="…") or [""]
    return "\n".join(literal(line) for line in lines)


# ---------------------------------------------------------------- a pair's cells


def plot_pair(table: pd.DataFrame, title: str) -> Figure:
    """Plot a pair's cells by content distance and style distance, each as a small picture.

    ``table`` has the summary's rows of one pair; pictures are read from its ``path``. The line is
    the Pareto front: the cells that no other cell beats. Colours distinguish the layer weightings,
    or else the labels of the first setting that varies; text labels give all other axes.
    Overlapping pictures are moved aside, with a line to their points. If there are many cells, only
    the first in rank have pictures. Cells without measures are left out, and the legend has their
    number.
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
        axes.set_xlabel(AXIS_TITLES[AIMS[0]].replace("\n", " "))
        axes.set_ylabel(AXIS_TITLES[AIMS[1]].replace("\n", " "))
        if len(cells):
            axes.margins(0.15)
            _draw_points(axes, cells, inks)
            _draw_pictures(axes, cells.head(MOST_PICTURES), inks)
        entries: list[LegendEntry] = [("Pareto front", {"color": QUIET})]
        entries += [
            (_named(coloured, name), {"marker": "o", "ls": "", "color": inks[name]})
            for name in orders[coloured][:MOST_ENTRIES]
        ]
        entries.append((f"labels: {', '.join(map(spoken, others))}", NO_LINE))
        if missing := len(table) - len(cells):
            entries.append((f"{missing} failed, not shown", NO_LINE))
        _legend(figure, entries, loc="outside lower center")
        return figure


def _draw_points(axes: Axes, cells: pd.DataFrame, inks: dict[str, str]) -> None:
    """Draw a point for every cell, and the line of the Pareto front."""
    front = cells[cells["pareto"]].sort_values(list(AIMS))
    axes.plot(front[AIMS[0]], front[AIMS[1]], color=QUIET, zorder=1.5, gid="front")
    colours = [inks[kind] for kind in cells["kind"]]
    # Points are above the pictures, since a picture may cover the points of other cells.
    look: Any = {"s": 11, "c": colours, "lw": 0.5, "edgecolors": "white", "zorder": 6}
    axes.scatter(cells[AIMS[0]], cells[AIMS[1]], gid="cells", **look)


def _draw_pictures(axes: Axes, cells: pd.DataFrame, inks: dict[str, str]) -> None:
    """Draw the cells' pictures and labels near their points, the suggested cell's largest."""
    side = float(np.clip(100 / len(cells) ** 0.5, 17, 30))  # points, the longer side
    rows: list[Any] = list(cells.itertuples())
    framed = [_framed(row, 1.4 * side if row.suggested else side) for row in rows]
    low, high = np.transpose([axes.get_xlim(), axes.get_ylim()])
    places = (cells[list(AIMS)].to_numpy() - low) / (high - low) * AXES_SIZE
    offsets = spread_out(places, np.array([size for _, size in framed]), AXES_SIZE) - places
    for row, (parts, _), offset in zip(rows, framed, offsets, strict=True):
        ink = inks[row.kind]
        # The label is on the side of the picture that is away from the point.
        children: list[Artist] = [*parts] if offset[1] >= 0 else [*reversed(parts)]
        box = AnnotationBbox(
            VPacker(children=children, align="center", pad=0, sep=1),
            (row.content_distance, row.style_distance),
            (float(offset[0]), float(offset[1])),
            boxcoords="offset points",
            pad=0.1,
            bboxprops={"edgecolor": ink, "linewidth": 2 if row.suggested else 0.8},
            arrowprops={"arrowstyle": "-", "color": ink, "linewidth": 0.5, "shrinkB": 0},
            zorder=4 if row.suggested else 3,
            gid="suggested" if row.suggested else "picture",
        )
        axes.add_artist(box)


def _framed(row: Any, side: float) -> tuple[list[OffsetBox], NDArray[np.float64]]:
    """Return a cell's label and picture, and their common width and height in points.

    The picture's longer side is ``side`` points.
    """
    with Image.open(row.path) as whole:
        image = on_white(whole)
    image.thumbnail((160, 160), Image.Resampling.LANCZOS)  # the size that print needs
    label = _short(row.label) + (" suggested" if row.suggested else "")
    weight = "bold" if row.suggested else "normal"
    zoom = side / max(image.size)  # OffsetImage draws a pixel as a point, and scales with figure
    parts: list[OffsetBox] = [
        TextArea(literal(label), textprops={"size": 5.5, "weight": weight}),
        OffsetImage(np.asarray(image), zoom=zoom, interpolation="antialiased"),
    ]
    width, height = np.array(image.size) * side / max(image.size) + (3, LABEL_HEIGHT)
    return parts, np.array([max(width, LETTER * len(label)), height])


def spread_out(
    places: NDArray[np.float64], sizes: NDArray[np.float64], room: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the centres of boxes, moved as little as possible until no boxes overlap.

    ``places`` and ``sizes`` are n × 2, in the same unit as ``room``, in which the boxes stay. Each
    of up to 300 passes pushes overlapping boxes apart along the axis of the smaller overlap, by
    half of it. If there is not enough room, some boxes still overlap in the end.
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
            # Of two boxes in the same place, the first moves up.
            way = 1.0 if apart[one, other, axis] >= 0 else -1.0
            step = 0.25 * overlap[one, other, axis] * way
            moved[one, axis] += step
            moved[other, axis] -= step
        moved = np.clip(moved, first, last)
    return moved


# ---------------------------------------------------------------- losses


def plot_losses(table: pd.DataFrame, traces: pd.DataFrame, title: str) -> Figure:
    """Plot a pair's content and style losses against the step, a curve per cell.

    ``table`` and ``traces`` have the rows of one pair. Colours show α/β, dashes show the layer
    weighting. With a single α/β, colours show the last setting that varies. With a single layer
    weighting, dashes show the first setting that varies. The losses are those that each cell
    optimised, before weighting.
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
            axes.set_ylabel(spoken(name))
            for (layers, ratio), trace in traces.groupby(["layers", "ratio"], sort=False):
                point = {**labels_of(str(layers)), "ratio": str(ratio)}
                axes.plot(
                    trace["evaluation"],
                    trace[name].where(trace[name] > 0),  # a logarithmic axis has no 0
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
            entries.append((f"not told apart: {', '.join(map(spoken, others))}", NO_LINE))
        _legend(figure, entries, loc="outside lower center")
        return figure


# ---------------------------------------------------------------- effects and votes


def plot_effect(table: pd.DataFrame, axis: str) -> Figure:
    """Plot the effect of α/β, of the layer weighting or of a setting on both distances.

    ``axis`` is ``ratio``, ``layers`` or the name of a setting. Each thin line is a pair at one
    point of all other axes. Its colour shows α/β, or the layer weighting if the axis is α/β. If
    there are many lines, an even subset is drawn; the median uses all. On an ordered axis, the
    median is a thick line per colour, and the labels are evenly spaced whatever their values. On
    other axes, the median is a bar per label.
    """
    points, orders = _axes(table)
    cells = table[["content", "style", *AIMS]].join(points)
    lines_of = [name for name in cells if name not in (axis, *AIMS)]
    names = orders[axis]
    ordered = axis == "ratio" or (axis != "layers" and _are_numbers(names))
    coloured = "layers" if axis == "ratio" else "ratio"
    colours = _in_turn(orders["layers"], INKS) if axis == "ratio" else _shades(orders["ratio"])
    most = max(1, MOST_LINES // len(colours))
    thin: Any = {"lw": 0.5, "alpha": 0.35} if ordered else {"lw": 0.6, "marker": "o", "ms": 2.5}
    with _figure(PAGE, 2.6) as figure:
        for axes, aim in zip(figure.subplots(1, 2), AIMS, strict=True):
            for label, group in cells.groupby(coloured, sort=False):
                values = group.pivot_table(aim, axis, lines_of).reindex(names)
                colour = colours[str(label)]
                lines = values.to_numpy(float)[:, evenly(values.shape[1], most)]
                axes.plot(lines, color=colour, **thin)
                if ordered:
                    median = values.median(axis=1).to_numpy()
                    axes.plot(median, color=colour, lw=2, marker="o", ms=4)
            if not ordered:
                medians = cells.groupby(axis)[aim].median().reindex(names)
                places = np.arange(len(names))
                axes.hlines(medians, places - 0.25, places + 0.25, color="black", lw=2, zorder=3)
            _name_places(axes, names, spoken(axis), aim)
        chosen = _some(orders[coloured])
        if ordered:
            entries = [(_short(one), {"color": colours[one], "lw": 2}) for one in chosen]
        else:
            entries = [("median", {"color": "black", "lw": 2})]
            entries += [
                (f"α/β {one}", {"color": colours[one], "marker": "o", "ms": 2.5}) for one in chosen
            ]
        title = f"{spoken(coloured)}, median" if ordered else None
        _legend(figure, entries, title=title, loc="outside right center", ncols=1)
        return figure


def plot_votes(table: pd.DataFrame, variants: pd.DataFrame, agreed: pd.DataFrame) -> Figure:
    """Plot the voters' preferences of variants and the agreement of measures, with intervals.

    ``variants`` and ``agreed`` are the results of ``prefer_variants`` and ``agreement`` for
    ``table``, a summary. If layer weightings have several α/β, the axis shows α/β, and colours show
    the layer weightings. Otherwise the axis shows the layer weightings or recipes.
    """
    if table.groupby("layers")["ratio"].nunique().max() > 1:
        axis, places = "ratio", _axes(table)[1]["ratio"]
        groups = list(variants.groupby("layers", sort=False))
    else:
        axis, places = "layers", list(table["layers"].unique())
        groups = [("", variants)]
    inks = _in_turn([str(line) for line, _ in groups], INKS)
    with _figure(PAGE, 2.8) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        for number, (line, rows) in enumerate(groups):
            aside = 0.3 * ((number + 0.5) / len(groups) - 0.5)  # keeps intervals from overlapping
            at = [places.index(name) + aside for name in rows[axis]]
            values, around = _intervals(rows, "preference")
            left.errorbar(at, values, yerr=around, color=inks[str(line)], **INTERVAL)
        left.axhline(0.5, color=QUIET, lw=0.6, ls="--")
        left.set_ylim(0, 1)
        _name_places(left, places, "α/β" if axis == "ratio" else "recipe or layers", "preference")
        rows = agreed[agreed["votes"] > 0]
        values, around = _intervals(rows, "tau")
        right.errorbar(values, range(len(rows)), xerr=around, color=INKS[0], **INTERVAL)
        right.axvline(0, color=QUIET, lw=0.6, ls="--")
        right.set_xlim(-1, 1)
        measured = zip(rows["measure"], rows["votes"], strict=True)
        named = [f"{spoken(measure)} ({votes})" for measure, votes in measured]
        right.set_yticks(range(len(rows)), named)
        right.invert_yaxis()
        right.set_xlabel("agreement with the votes (Kendall's τ)")
        right.grid(visible=False, axis="y")
        if len(groups) > 1:
            look = {"marker": "o", "ms": 3, "lw": 1}
            entries = [(_short(one), {"color": inks[one], **look}) for one in _some(list(inks))]
            _legend(figure, entries, loc="outside lower center")
        return figure


def _intervals(rows: pd.DataFrame, name: str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the values of a column, and their distances from both ends of their intervals."""
    values = rows[name].to_numpy(float)
    ends = [values - rows["low"], rows["high"] - values]
    return values, np.clip(np.array(ends, float), 0, None)


def _name_places(axes: Axes, names: Sequence[str], what: str, aim: str) -> None:
    """Set the names as ticks at 0, 1, 2 …, and label both axes."""
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


# ---------------------------------------------------------------- shared look


@contextmanager
def _figure(width: float, height: float) -> Iterator[Figure]:
    """Yield a figure of this size in inches, and apply ``STYLE`` within the block."""
    with mpl.rc_context(STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def _legend(figure: Figure, entries: Sequence[LegendEntry], **options: Any) -> None:
    """Add a legend of names and their lines; a name may be any text."""
    widths = sorted((len(name) + 8 for name, _ in entries), reverse=True)  # characters, with a line
    options.setdefault("ncols", max(1, sum(np.cumsum(widths) <= LINE)))
    lines = [Line2D([], [], **look) for _, look in entries]
    figure.legend(lines, [literal(name) for name, _ in entries], **options)


def _short(name: str) -> str:
    """Shorten a long name."""
    return name if len(name) <= 24 else f"{name[:23]}…"


def _axes(table: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, list[str]]]:
    """Return the cells' labels by axis, and the labels of each axis in order.

    The axes are ``layers``, the settings that vary, and ``ratio``, from most style to most content.
    """
    points = pd.DataFrame([labels_of(name) for name in table["layers"]], index=table.index)
    orders = {str(axis): list(points[axis].drop_duplicates()) for axis in points}
    for axis, labels in orders.items():
        if axis != "layers" and _are_numbers(labels):
            labels.sort(key=float)
    balance = table["alpha"] / (table["alpha"] + table["beta"])
    ratios = table["ratio"][balance.sort_values(kind="stable").index].unique()
    return points.assign(ratio=table["ratio"]), {**orders, "ratio": list(ratios)}


def _told_apart(orders: dict[str, list[str]]) -> list[str]:
    """List the axes with several labels; α/β is never the first."""
    axes = [axis for axis, labels in orders.items() if len(labels) > 1]
    return axes if axes and axes[0] != "ratio" else ["layers", *axes]


def _are_numbers(labels: Sequence[str]) -> bool:
    """Tell whether each of the labels is a number."""
    return bool(pd.to_numeric(pd.Series(labels), errors="coerce").notna().all())


def _named(axis: str, label: str) -> str:
    """Return a label as shown to readers: with its axis, except for layer weightings."""
    return _short(label if axis == "layers" else f"{spoken(axis)} {label}")


def _shades(labels: list[str]) -> dict[str, Any]:
    """Give each label a shade, from dark to light; for α/β, dark is most style."""
    shades = mpl.colormaps["cividis"](np.linspace(0, 0.9, max(len(labels), 2)))
    return dict(zip(labels, shades, strict=False))


def _in_turn(labels: list[str], looks: Sequence[str]) -> dict[str, str]:
    """Give each label a look, such as a colour, and start again after the last look."""
    return dict(zip(labels, cycle(looks), strict=False))


def _some(names: list[str]) -> list[str]:
    """Return an even subset of the names, as many as a legend holds."""
    return [names[place] for place in evenly(len(names), MOST_ENTRIES)]
