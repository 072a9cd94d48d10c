"""The plots: their contents, and that no name, number or failure breaks them."""

import itertools
import re

import numpy as np
import pandas as pd
import pytest
from conftest import paint
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage, TextArea
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from PIL import Image

from nst.reports.plots import (
    MOST_PICTURES,
    MOST_TICKS,
    literal,
    plot_effect,
    plot_losses,
    plot_pair,
    save_plot,
    spread_out,
    title_of,
)
from nst.reports.ranking import rank_cells

SWEEP = tuple(
    f"{name}/style_scale={scale}/colours={colours}"
    for name in ("all", "fine")
    for scale in ("2", "0.5", "10")
    for colours in ("style", "content")
)
SCALES = {f"style scale {one}" for one in ("0.5", "2", "10")}
MARKUP = "Costs $5, $6: a_b^c <b>&amp; \\frac{1}{2} %s {x}"


@pytest.fixture
def table(tmp_path):
    """Make a summary of pairs with these ratios and layers; some cells failed."""
    picture = paint(tmp_path / "cell.png", size=(64, 48))

    def make(
        ratios: int = 4,
        layers: tuple[str, ...] = ("all", "fine"),
        styles: tuple[str, ...] = ("night",),
        failed: tuple[int, ...] = (),
    ) -> pd.DataFrame:
        names = itertools.product(("cat",), styles, layers, range(ratios))
        cells = pd.DataFrame(names, columns=["content", "style", "layers", "power"])
        power = cells.pop("power")
        noise = np.random.default_rng(0).normal(0, 0.1, (len(cells), 2))
        cells["ratio"] = [f"1e{one}" for one in power]
        cells["alpha"], cells["beta"] = 1.0, 10.0**-power
        cells["content_distance"] = 2 - power / ratios + noise[:, 0]
        cells["style_distance"] = 0.2 + power / ratios + noise[:, 1]
        cells["status"], cells["path"] = "finished", str(picture)
        cells.loc[list(failed), ["content_distance", "style_distance"]] = np.nan
        cells.loc[list(failed), "status"] = "failed"
        return rank_cells(cells)

    return make


def traces_of(table: pd.DataFrame) -> pd.DataFrame:
    """Return five evaluations of each finished cell."""
    names = table.loc[table["status"] == "finished", ["content", "style", "layers", "ratio"]]
    traces = names.reset_index(drop=True).rename_axis("place").reset_index()
    traces = traces.merge(pd.Series(range(1, 6), name="evaluation"), how="cross")
    fall = 1 / traces["evaluation"]
    return traces.assign(content_loss=traces["place"] + fall, style_loss=traces["place"] / 7 + fall)


def drawn(figure: Figure) -> Figure:
    """Draw the figure, since many errors occur only then; warnings are errors."""
    FigureCanvasAgg(figure).draw()
    return figure


def boxes(figure: Figure) -> list[AnnotationBbox]:
    return [one for one in figure.axes[0].artists if isinstance(one, AnnotationBbox)]


def words(figure: Figure) -> list[str]:
    return [one.get_text() for one in figure.findobj(Text)]


def label_of(box: AnnotationBbox) -> str:
    (area,) = box.findobj(TextArea)
    return area.get_text()


# ---------------------------------------------------------------- the cells of a pair


def test_the_front_goes_through_the_cells_that_none_beats(table):
    cells = table()
    lines = drawn(plot_pair(cells, "Cat × Night")).axes[0].lines
    front = next(one for one in lines if one.get_gid() == "front").get_xydata()
    points = cells[["content_distance", "style_distance"]].to_numpy()
    best = [list(one) for one in points if not (points < one).all(axis=1).any()]
    assert 1 < len(best) < len(cells)
    assert front.tolist() == sorted(best)


def test_every_cell_has_its_picture_and_ratio_and_the_suggested_one_stands_out(table):
    cells = table()
    figure = drawn(plot_pair(cells, "Cat × Night"))
    by_place = {box.xy: box for box in boxes(figure)}
    assert len(by_place) == len(cells)
    for row in cells.itertuples():
        box = by_place[row.content_distance, row.style_distance]
        expected = f"{row.ratio} suggested" if row.suggested else row.ratio
        assert label_of(box) == expected
    (suggested,) = [box for box in by_place.values() if box.get_gid() == "suggested"]
    others = [box for box in by_place.values() if box is not suggested]
    assert suggested.patch.get_linewidth() > max(box.patch.get_linewidth() for box in others)
    assert suggested.zorder > max(box.zorder for box in others)
    assert {"Pareto front", "all", "fine", "labels: α/β", "Cat × Night"} <= set(words(figure))


@pytest.mark.parametrize("size", [(6, ("all", "fine")), (2, SWEEP[:6])], ids=["layers", "sweep"])
def test_the_pictures_stay_inside_the_figure_and_hardly_cover_each_other(table, size):
    figure = drawn(plot_pair(table(*size), "Cat × Night"))
    extents = [box.patch.get_window_extent() for box in boxes(figure)]
    whole = figure.bbox
    for one in extents:
        assert whole.x0 <= one.x0 <= one.x1 <= whole.x1
        assert whole.y0 <= one.y0 <= one.y1 <= whole.y1
    both = (Bbox.intersection(*pair) for pair in itertools.combinations(extents, 2))
    covered = sum(one.width * one.height for one in both if one)
    assert covered < 0.1 * sum(one.width * one.height for one in extents)


def test_a_cut_out_is_shown_on_white(table):
    cells = table(ratios=1, layers=("all",))
    Image.new("RGBA", (64, 48), (200, 0, 0, 0)).save(cells["path"][0])
    (box,) = boxes(drawn(plot_pair(cells, "Cat × Night")))
    (shown,) = box.findobj(OffsetImage)
    assert (np.asarray(shown.get_data()) == 255).all()


@pytest.mark.parametrize(
    ("size", "failed", "shown"),
    [({}, (0, 3), 6), ({"ratios": 1, "layers": ("all",)}, (0,), 0)],
    ids=["some", "all"],
)
def test_failed_cells_are_counted_and_not_shown(table, size, failed, shown):
    figure = drawn(plot_pair(table(**size, failed=failed), "Cat"))
    assert len(boxes(figure)) == shown
    assert f"{len(failed)} failed, not shown" in words(figure)


def test_of_sixty_cells_the_first_have_pictures_and_all_have_points(table):
    cells = table(ratios=12, layers=("a", "b", "c", "d", "e"))
    figure = drawn(plot_pair(cells, "Cat"))
    shown = {box.xy for box in boxes(figure)}
    first = cells[cells["rank"] <= MOST_PICTURES]
    assert shown == set(zip(first["content_distance"], first["style_distance"], strict=True))
    (points,) = [one for one in figure.axes[0].collections if one.get_gid() == "cells"]
    assert len(points.get_offsets()) == 60


@given(
    st.lists(
        st.tuples(st.floats(0, 100), st.floats(0, 100), st.floats(1, 12), st.floats(1, 12)),
        min_size=1,
        max_size=8,
    )
)
def test_boxes_are_moved_apart_and_stay_in_the_room(values):
    numbers = np.array(values)
    places, sizes, room = numbers[:, :2], numbers[:, 2:], np.array([100.0, 100.0])
    moved = spread_out(places, sizes, room)
    assert (moved >= sizes / 2).all()
    assert (moved <= room - sizes / 2).all()
    overlap = (sizes[:, None] + sizes[None]) / 2 - np.abs(moved[:, None] - moved[None])
    assert not np.triu((overlap > 1).all(axis=2), 1).any()


def test_boxes_with_room_stay_where_they_are():
    places = np.array([[20.0, 20], [60, 60]])
    assert np.array_equal(spread_out(places, np.full((2, 2), 10.0), np.full(2, 100.0)), places)


def test_labels_wider_than_their_pictures_do_not_cover_each_other(table):
    layers = (f"all/octaves={one}/start=blended_noise" for one in (1, 2))
    others = (f"all/octaves={one}/start=recoloured" for one in (1, 2))
    cells = table(ratios=1, layers=(*layers, *others))
    cells["content_distance"], cells["style_distance"] = [0.0, 1.0, 2.0, 3.0], 0.5
    figure = drawn(plot_pair(rank_cells(cells), "Cat"))
    edges = [box.patch.get_window_extent() for box in boxes(figure)]
    assert len(edges) == 4
    assert not any(one.overlaps(other) for one, other in itertools.combinations(edges, 2))


@pytest.mark.parametrize(
    ("size", "named", "label", "said"),
    [
        ((SWEEP, 2), {"all", "fine"}, "2, style, 1e0", "labels: style scale, colours, α/β"),
        ((SWEEP[:6], 2), SCALES, "style, 1e0", "labels: colours, α/β"),
        ((SWEEP[:6], 1), SCALES, "content", "labels: colours"),
        ((SWEEP[:2], 1), {"colours style", "colours content"}, "1e0", "labels: α/β"),
    ],
    ids=["layers, two settings and α/β", "two settings and α/β", "two settings", "one setting"],
)
def test_of_a_sweep_colours_tell_one_axis_and_labels_the_others(table, size, named, label, said):
    layers, ratios = size
    figure = drawn(plot_pair(table(layers=layers, ratios=ratios), "Cat"))
    shown = words(figure)
    assert named | {said} <= set(shown)
    assert label in {label_of(box).removesuffix(" suggested") for box in boxes(figure)}
    edges = {box.patch.get_edgecolor() for box in boxes(figure)}
    assert len(edges) == len(named), "a colour for each name"
    assert not [one for one in shown if "…" in one or "=" in one]
    (legend,) = figure.legends
    box = legend.get_window_extent()
    assert figure.bbox.x0 <= box.x0 <= box.x1 <= figure.bbox.x1


# ---------------------------------------------------------------- the losses


def test_every_cell_has_a_curve_of_each_loss(table):
    cells = table(failed=(2,))
    traces = traces_of(cells)
    upper, lower = drawn(plot_losses(cells, traces, "Cat × Night")).axes
    for axes, name in ((upper, "content_loss"), (lower, "style_loss")):
        assert len(axes.lines) == 7
        curves = {tuple(one.get_ydata()) for one in axes.lines}
        assert curves == set(traces.groupby(["layers", "ratio"])[name].apply(tuple))
    colours = {tuple(one.get_color()) for one in upper.lines}
    assert len(colours) == 4, "a colour for each ratio"
    assert {one.get_linestyle() for one in upper.lines} == {"-", "--"}


@pytest.mark.parametrize(
    ("size", "colours", "dashes", "said"),
    [
        ((SWEEP[:6], 2), {"α/β 1e0", "α/β 1e1"}, 3, "not told apart: colours"),
        ((SWEEP[:6], 1), {"colours style", "colours content"}, 3, "style scale 10"),
        ((SWEEP[:2], 1), {"colours style", "colours content"}, 1, "colours style"),
        ((SWEEP, 1), {"colours style", "colours content"}, 2, "not told apart: style scale"),
    ],
)
def test_curves_of_a_sweep_differ_in_two_axes_and_the_rest_is_written_out(
    table, size, colours, dashes, said
):
    layers, ratios = size
    cells = table(layers=layers, ratios=ratios)
    figure = drawn(plot_losses(cells, traces_of(cells), "Cat"))
    lines = figure.axes[0].lines
    assert len(lines) == len(cells)
    assert len({tuple(one.get_color()) for one in lines}) == len(colours)
    assert len({one.get_linestyle() for one in lines}) == dashes
    assert colours | {said} <= set(words(figure))


def test_losses_of_zero_and_no_losses_at_all_are_no_mistake(table):
    cells = table(ratios=1)
    traces = traces_of(cells)
    traces["style_loss"] = 0.0
    drawn(plot_losses(cells, traces, "Cat"))
    drawn(plot_losses(cells, traces.iloc[:0], "Cat"))


# ---------------------------------------------------------------- the effects


def ticks(axes) -> list[str]:
    return [tick.get_text() for tick in axes.get_xticklabels()]


def along(cells: pd.DataFrame, axis: str) -> pd.Series:
    """The cells' values on an axis; numbers stay numeric."""
    if axis == "ratio":
        return cells["ratio"].astype(float)
    pattern = "^([^/]+)" if axis == "layers" else f"{axis}=([^/]+)"
    labels = cells["layers"].str.extract(pattern)[0]
    return labels.astype(float) if axis == "style_scale" else labels


RATIOS = ["1e0", "1e1", "1e2", "1e3"]


@pytest.mark.parametrize(
    ("axis", "layers", "names", "lines"),
    [
        ("ratio", ("all", "fine"), RATIOS, 2 * (1 + 3)),
        ("ratio", SWEEP, RATIOS, 2 * (1 + 3 * 3 * 2)),
        ("style_scale", SWEEP, ["0.5", "2", "10"], 4 * (1 + 3 * 2 * 2)),
    ],
)
def test_what_has_an_order_has_a_line_of_medians_for_each_colour(table, axis, layers, names, lines):
    coloured = "layers" if axis == "ratio" else "ratio"
    cells = table(layers=layers, styles=("night", "wave", "nude"))
    shuffled = cells.sample(frac=1, random_state=1).reset_index(drop=True)
    figure = drawn(plot_effect(shuffled, axis))
    for axes, aim in zip(figure.axes, ("content_distance", "style_distance"), strict=True):
        assert ticks(axes) == names
        thick = {tuple(one.get_ydata()) for one in axes.lines if one.get_linewidth() == 2}
        assert thick == {
            tuple(one[aim].groupby(along(one, axis)).median())
            for _, one in cells.groupby(along(cells, coloured))
        }
        assert len(axes.lines) == lines, "the medians, and a line for each pair and other setting"
    shown = words(figure)
    assert {"ratio": "α/β", "style_scale": "style scale"}[axis] in shown
    assert {"all", "fine"} <= set(shown) or coloured == "ratio"


@pytest.mark.parametrize(
    ("axis", "names"), [("colours", ["style", "content"]), ("layers", ["all", "fine"])]
)
def test_what_has_no_order_has_a_bar_for_each_name(table, axis, names):
    cells = table(layers=SWEEP, styles=("night", "wave"), failed=(1,))
    figure = drawn(plot_effect(cells, axis))
    for axes, aim in zip(figure.axes, ("content_distance", "style_distance"), strict=True):
        assert ticks(axes) == names
        (bars,) = axes.collections
        heights = [segment[0, 1] for segment in bars.get_segments()]
        assert heights == list(cells.groupby(along(cells, axis), sort=False)[aim].median())
        assert sum(one.get_xdata().size == 2 for one in axes.lines) == 4 * 2 * 12 / 2


def test_numbers_among_names_are_names(table):
    figure = drawn(plot_effect(table(layers=("all/octaves=auto", "all/octaves=2")), "octaves"))
    assert ticks(figure.axes[0]) == ["auto", "2"]
    assert "median" in words(figure)


@pytest.mark.parametrize("axis", ["ratio", "layers"])
@pytest.mark.parametrize(
    "size",
    [
        {"ratios": 1, "layers": ("all",)},
        {"ratios": 1, "layers": ("all",), "failed": (0,)},
        {"ratios": 40, "layers": tuple(f"weights number {one}" for one in range(20))},
        {"styles": tuple(f"style {one}" for one in range(30))},
    ],
    ids=["one cell", "one failed cell", "800 cells", "30 pairs"],
)
def test_grids_of_any_size_have_plots(table, axis, size):
    figure = drawn(plot_effect(table(**size), axis))
    for axes in figure.axes:
        assert len(axes.get_xticks()) <= MOST_TICKS
        assert axes.bbox.width > 0.2 * figure.bbox.width, "names leave room for the plot"
        assert axes.bbox.height > 0.3 * figure.bbox.height


@pytest.mark.parametrize("axis", ["ratio", "layers"])
def test_of_very_many_pairs_some_lines_are_drawn_and_all_counted(table, axis, monkeypatch):
    cells = table(styles=tuple(f"style {one}" for one in range(30)))
    whole = drawn(plot_effect(cells, axis))
    monkeypatch.setattr("nst.reports.plots.MOST_LINES", 20)
    some = drawn(plot_effect(cells, axis))
    for before, after in zip(whole.axes, some.axes, strict=True):
        thin = [one for one in after.lines if one.get_linewidth() < 1]
        assert 10 <= len(thin) <= 20
        assert len([one for one in before.lines if one.get_linewidth() < 1]) >= 60
        medians = [
            [tuple(one.get_ydata()) for one in axes.lines if one.get_linewidth() == 2]
            + [segment.tolist() for bars in axes.collections for segment in bars.get_segments()]
            for axes in (before, after)
        ]
        assert medians[0] == medians[1] != []


def test_alpha_or_beta_may_be_zero(table):
    cells = table()
    cells.loc[cells["ratio"] == "1e0", "beta"] = 0.0
    figure = drawn(plot_effect(cells, "ratio"))
    assert ticks(figure.axes[0])[-1] == "1e0"


# ---------------------------------------------------------------- names and files


@pytest.mark.parametrize("text", [MARKUP, "_hidden"])
def test_names_and_titles_are_shown_as_they_are(table, text):
    text = text[:24]  # longer names are cut
    cells = table(layers=(text, "_other"))
    for figure in (
        plot_pair(cells, text),
        plot_losses(cells, traces_of(cells), text),
        plot_effect(cells, "ratio"),
        plot_effect(cells, "layers"),
    ):
        shown = words(drawn(figure))
        assert {literal(text), "_other"} <= set(shown)


@pytest.mark.parametrize("text", [MARKUP, "$x$", "_hidden", "$", "\\$", "a $ b $ c $ d"])
def test_what_is_literal_is_no_mathematics(text):
    assert not is_math_text(literal(text))
    assert literal(text).replace(r"\$", "$") == text, "matplotlib removes the backslashes"


def test_signs_that_the_font_lacks_are_replaced_rather_than_warned_about(table):
    figure = drawn(plot_pair(table(layers=("猫",)), "猫 🐈 ≤ é"))
    assert "� � ≤ é" in words(figure)


def test_a_long_title_is_cut_after_two_lines():
    lines = title_of("word " * 60, 30).splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= 30
    assert lines[1].endswith("…")
    assert title_of("", 30) == ""


def test_the_same_table_gives_the_same_bytes_without_a_date(table, tmp_path):
    both = [[tmp_path / name / f"plot.{kind}" for kind in ("png", "svg")] for name in ("a", "b")]
    for paths in both:
        save_plot(plot_pair(table(), "Cat × Night"), *paths)
    first, second = ([path.read_bytes() for path in paths] for paths in both)
    assert first == second
    assert not re.search(rb"<dc:date>|Matplotlib v", first[1])
    with Image.open(both[0][0]) as image:
        assert image.width == round(3.5 * 300)
        assert "Software" not in image.info
