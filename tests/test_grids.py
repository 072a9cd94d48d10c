"""Comparison grids: layout, painted pixels, and lettering of titles."""

import re
import weakref
from dataclasses import replace
from itertools import combinations, pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from made_cells import make_cell
from matplotlib.ft2font import FT2Font
from PIL import Image

from nst.cells.cell import write_details
from nst.config.paths import DETAILS, cell_path, prepared
from nst.config.run import Sheet
from nst.errors import CellError, ImageError
from nst.figures import layout, lettering, painting
from nst.figures.grids import (
    checked,
    content_grid,
    overview_grid,
    pair_grid,
    ratio_title,
    recipe_grid,
    setting_axis,
    wrap_panels,
)
from nst.figures.layout import Axis, Box, Card, Grid, Layout, Page, Panel, PictureBox, Text, arrange
from nst.figures.lettering import Hand, extent, face, fit, font_file, wrap
from nst.figures.painting import draw_grid

LONG = (
    "Der Wanderer über dem Nebelmeer, after Caspar David Friedrich, oil on canvas, 1818, "
    "Hamburger Kunsthalle"
)
UNBROKEN = "Donaudampfschifffahrtsgesellschaftskapitänsmützenabzeichen" * 3
FOREIGN = "富嶽三十六景 神奈川沖浪裏 🌊\ufe0f الفن \ud800 \x00 a\u0301\u0301\u0301 Ầ ∫ ﷽"

titles = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="aijlmWQ._-/ ", max_size=300),
    st.sampled_from(["", "equal", LONG, UNBROKEN, FOREIGN, LONG * 5]),
)

SMALL = Page(dpi=100)


@st.composite
def a_grid(draw):
    """Draw the parts of any grid, and shapes for its pictures, which do not exist."""
    rows, columns = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    shapes = {}

    def panel():
        path = Path(f"picture {len(shapes)}")
        shapes[path] = draw(st.tuples(st.integers(1, 4000), st.integers(1, 4000)))
        note = draw(st.sampled_from(["", "", "", "failed", LONG]))
        caption = draw(st.sampled_from(["", "", "0.12", LONG, UNBROKEN]))
        label = draw(st.sampled_from(["", "content", LONG]))
        return Panel(None if note else path, caption, note, label)

    def row(length):
        return [panel() for _ in range(length)]

    def axis(length, *ends):
        heads = row(length) if draw(st.booleans()) else ()
        return [draw(titles) for _ in range(length)], draw(titles), *(ends or ("", "")), heads

    ends = draw(st.sampled_from([(), ("more style", "more content"), (draw(titles), LONG)]))
    panels = [row(columns) for _ in range(rows)]
    inputs = row(draw(st.integers(0, 3)))
    parts = (draw(titles), panels, axis(rows), axis(columns, *ends), draw(titles), inputs)
    return parts, shapes


def built(title, panels, rows, columns, *others) -> Grid:
    """Build a grid within a test: beartype draws random numbers, which Hypothesis forbids."""
    return Grid(title, panels, Axis(*rows), Axis(*columns), *others)


def assert_tidy(page_layout: Layout, page: Page) -> None:
    """Check that no mark touches the margin or another mark."""
    margin = page.mm(layout.MARGIN)
    inner = Box(margin, margin, page_layout.width - 2 * margin, page_layout.height - 2 * margin)
    for mark in page_layout.marks:
        assert mark.box.width > 0
        assert mark.box.height > 0
        assert mark.box.within(inner) == mark.box, mark
    edges = [(m.box.left, m.box.top, m.box.right, m.box.bottom) for m in page_layout.marks]
    for (one, a), (other, b) in combinations(zip(page_layout.marks, edges, strict=True), 2):
        apart = a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
        assert apart, (one, other)


def untitled(panels) -> Grid:
    """Return a grid of panels without titles."""
    return Grid("", panels, Axis([""] * len(panels)), Axis([""] * len(panels[0])))


def plain(rows: int, columns: int, shape: tuple[int, int] = (400, 300)):
    """Return a grid of pictures without titles, and their shapes; the pictures do not exist."""
    paths = [[Path(f"{row} {column}") for column in range(columns)] for row in range(rows)]
    shapes = {path: shape for row in paths for path in row}
    return untitled([[Panel(path) for path in row] for row in paths]), shapes


def pictures(page_layout: Layout) -> list[PictureBox]:
    return [mark for mark in page_layout.marks if isinstance(mark, PictureBox)]


def texts(page_layout: Layout) -> list[Text]:
    return [mark for mark in page_layout.marks if isinstance(mark, Text)]


def paint(folder: Path, name: str, colour, size=(80, 60)) -> Path:
    """Write a picture of one colour."""
    path = folder / f"{name}.png"
    Image.new("RGB", size, colour).save(path)
    return path


# Layout


@given(a_grid(), st.sampled_from([SMALL, Page(dpi=72, width_mm=90.0), Page(dpi=60, width_mm=30.0)]))
@settings(max_examples=30, deadline=None)
def test_nothing_overlaps_or_leaves_the_page(case, page):
    parts, shapes = case
    assert_tidy(arrange(built(*parts), page, shapes), page)


@given(a_grid())
@settings(max_examples=15, deadline=None)
def test_pictures_keep_their_proportions_and_every_panel_is_drawn_once(case):
    grid, shapes = built(*case[0]), case[1]
    drawn = arrange(grid, SMALL, shapes)
    cards = [mark for mark in drawn.marks if isinstance(mark, Card)]
    shown = [panel.picture for panel in grid.every_panel]
    assert sorted(mark.path for mark in pictures(drawn)) == sorted(path for path in shown if path)
    assert len(cards) == shown.count(None)
    for mark in pictures(drawn):
        across, down = shapes[mark.path]
        sides = ((mark.box.width, across), (mark.box.height, down))
        least = max((side - 0.5 if side > 1 else 0) / whole for side, whole in sides)
        most = min((side + 0.5) / whole for side, whole in sides)
        assert least <= most  # one scale explains both sides, each rounded and at least 1 px


@pytest.mark.parametrize("count", [(1, 1), (2, 3), (10, 12), (3, 40)])
@pytest.mark.parametrize("shape", [(400, 300), (300, 900), (900, 100)])
def test_gutters_are_even_and_panels_are_aligned(count, shape):
    rows, columns = count
    grid, shapes = plain(rows, columns, shape)
    boxes = [mark.box for mark in arrange(grid, Page(), shapes).marks]
    assert len(boxes) == rows * columns
    lefts, tops = sorted({box.left for box in boxes}), sorted({box.top for box in boxes})
    assert (len(lefts), len(tops)) == (columns, rows)
    assert len({box.width for box in boxes}) == len({box.height for box in boxes}) == 1
    gutter = Page().mm(layout.GUTTER)
    assert {b - a for a, b in pairwise(tops)} <= {boxes[0].height + gutter}
    assert len({b - a for a, b in pairwise(lefts)}) <= 1


def test_panels_stay_between_96_and_420_px_and_only_for_that_is_a_page_wider_than_asked():
    most, pages = Page().mm(Page().width_mm), {}
    for columns in (1, 2, 3, 6, 12, 17, 27):
        grid, shapes = plain(2, columns)
        drawn = arrange(grid, Page(), shapes)
        (width,) = {mark.box.width for mark in drawn.marks}
        pages[width] = drawn.width
        assert width == 420 or drawn.width > most - columns - 1
        assert width == 96 or drawn.width <= most
    assert (min(pages), max(pages)) == (96, 420)
    assert pages[96] > most


def test_a_row_is_as_high_as_its_tallest_panel_and_the_others_are_centred_in_it():
    grid, shapes = plain(2, 3)
    shapes[Path("0 1")] = (300, 330)
    first, tall, third, *below = (mark.box for mark in arrange(grid, Page(), shapes).marks)
    assert first.top - tall.top == pytest.approx(tall.bottom - first.bottom, abs=1)
    assert first.top == third.top
    assert {box.top for box in below} == {tall.bottom + Page().mm(layout.GUTTER)}


def test_a_portrait_among_landscapes_becomes_narrower_and_not_a_tower():
    grid, shapes = plain(1, 3)
    shapes[Path("0 1")] = (100, 1000)
    boxes = [mark.box for mark in arrange(grid, Page(), shapes).marks]
    assert boxes[1].height == pytest.approx(1.25 * boxes[0].width, abs=1)
    assert boxes[1].left - boxes[0].right > Page().mm(layout.GUTTER)


def test_resolution_changes_nothing_but_resolution():
    grid, shapes = plain(3, 4)
    grid = replace(grid, title=LONG, rows=Axis(["equal", "deep", LONG]))
    coarse, fine = (arrange(grid, Page(dpi=dpi), shapes) for dpi in (100, 400))
    assert fine.width / coarse.width == pytest.approx(4, rel=0.02)
    assert fine.height / coarse.height == pytest.approx(4, rel=0.02)
    assert len(fine.marks) == len(coarse.marks)


def test_nothing_is_lettered_smaller_than_seven_points():
    grid, shapes = plain(4, 14)
    rows, columns = Axis([LONG] * 4, LONG), Axis([LONG] * 14, LONG, LONG, LONG)
    grid = replace(grid, title=LONG * 4, subtitle=LONG * 4, rows=rows, columns=columns)
    sizes = [text.lettering.size for text in texts(arrange(grid, Page(), shapes))]
    assert min(sizes) >= 7 * 200 / 72


def test_titles_of_one_kind_share_a_size():
    grid, shapes = plain(3, 8)
    grid = replace(grid, columns=Axis(["x", *[LONG] * 7]))
    sizes = [text.lettering.size for text in texts(arrange(grid, Page(), shapes))]
    assert sizes == [sizes[0]] * 8


# Ratios and builders


@pytest.mark.parametrize(
    ("label", "title"),
    [
        ("1e-2", "10⁻²"),
        ("2.5e-4", "2.5·10⁻⁴"),
        ("1e3", "10³"),
        ("5e0", "5"),
        ("2.5e1", "25"),
        ("0.5", "0.5"),
    ],
)
def test_a_ratio_is_written_as_in_print(label, title):
    assert ratio_title(label) == title


@pytest.mark.parametrize(
    ("setting", "labels", "named"),
    [
        ("ratio", ["1e-3", "1e-2"], ("α/β", "more style", "more content")),
        ("ratio", ["10", "1e0", "1e-2"], ("α/β", "more content", "more style")),
        ("ratio", ["1", "3", "2"], ("α/β", "", "")),
        ("ratio", ["1"], ("", "", "")),
        ("layers", ["equal", "deep"], ("layer weighting", "", "")),
        ("style_scale", ["0.5", "1"], ("style scale", "", "")),
    ],
)
def test_an_axis_is_named_and_that_of_the_ratios_points_the_way_they_go(setting, labels, named):
    axis = setting_axis(setting, labels)
    assert (axis.name, axis.start, axis.end) == named
    assert setting == "ratio" or axis.titles == labels


def test_a_pair_s_grid_has_weightings_down_and_ratios_across():
    ratios = ["1e-2", "5e-2", "1e-1"]
    cells = [[(layers, ratio) for ratio in ratios] for layers in ("equal", "deep")]
    sheet = Sheet("seed=0", "layers", "ratio", ["equal", "deep"], ratios, cells)
    grid = pair_grid({"c": "Coffee"}, {"s": "Waves"}, sheet, subtitle="kmeans")
    assert (grid.title, grid.subtitle) == ("Coffee × Waves", "seed=0, kmeans")
    assert (grid.rows.titles, grid.rows.name) == (["equal", "deep"], "layer weighting")
    across = [f"α/β\N{NO-BREAK SPACE}= {n}" for n in ("10⁻²", "5·10⁻²", "10⁻¹")]
    assert (grid.columns.titles, grid.columns.name) == (across, "α/β")
    assert [(panel.caption, panel.label) for panel in grid.inputs] == [
        ("Coffee", "content"),
        ("Waves", "style"),
    ]
    assert grid.panels[1][1].picture == cell_path("c", "s", "deep", "5e-2")


def test_a_content_s_grid_heads_each_row_with_its_style():
    styles, variants = {"s": "Waves", "t": "Dots"}, [("equal", "1"), ("equal", "2")]
    grid = content_grid({"c": "Coffee"}, styles, variants, subtitle="equal")
    assert (grid.title, grid.rows.titles) == ("Coffee", ["Waves", "Dots"])
    shapes = {panel.picture: (400, 300) for panel in grid.every_panel}
    shapes[Path(prepared("style", "s"))] = (300, 900)
    boxes = {mark.path: mark.box for mark in pictures(arrange(grid, Page(), shapes))}
    for style in styles:
        head = boxes[Path(prepared("style", style))]
        panel = boxes[cell_path("c", style, "equal", "1")]
        assert head.right < panel.left
        assert head.height <= panel.height
        assert abs((head.top + head.bottom) - (panel.top + panel.bottom)) <= 2
    content = boxes[Path(prepared("content", "c"))]
    assert content.top == boxes[cell_path("c", "s", "equal", "1")].top


def test_an_overview_heads_rows_with_contents_and_columns_with_styles():
    contents, styles = {"c": "C", "d": "D"}, {"s": "S", "t": "T", "u": "U"}
    grid = overview_grid(contents, styles, [("all", "1")], subtitle="")
    shapes = {panel.picture: (400, 300) for panel in grid.every_panel}
    boxes = {mark.path: mark.box for mark in pictures(arrange(grid, Page(), shapes))}
    for style in styles:
        head = boxes[Path(prepared("style", style))]
        first = boxes[cell_path("c", style, "all", "1")]
        assert (head.bottom < first.top, head.left) == (True, first.left)
    for content in contents:
        first = boxes[cell_path(content, "s", "all", "1")]
        assert boxes[Path(prepared("content", content))].top == first.top


def test_an_image_that_is_missing_is_named_with_the_remedy():
    grid = overview_grid({"e": "E"}, {"s": "S"}, [("all", "1")], subtitle="")
    with pytest.raises(CellError, match=r"content/e\.png is missing; run snakemake without"):
        grid.changed(checked)


# Painting


def test_every_panel_is_painted_exactly_where_the_layout_says(tmp_path):
    sizes, shapes, colours = [(80, 60), (60, 80), (200, 20), (64, 64)], {}, {}
    for row, column in product(range(3), range(4)):
        colour = (40 + 50 * row, 200 - 40 * column, 90)
        path = paint(tmp_path, f"{row}{column}", colour, sizes[column])
        shapes[path], colours[path] = sizes[column], colour
    grid = wrap_panels(LONG, [Panel(path) for path in shapes], 4, LONG)
    pixels = np.asarray(draw_grid(grid, SMALL))
    for mark in pictures(arrange(grid, SMALL, shapes)):
        box, colour = mark.box, colours.pop(mark.path)
        crop = pixels[box.top : box.bottom, box.left : box.right]
        assert (crop == colour).all()
        assert (pixels == colour).all(axis=-1).sum() == box.width * box.height
        frame = pixels[box.top - 1 : box.bottom + 1, box.left - 1]
        assert (frame == 255).all()
    assert not colours


def test_a_place_without_a_picture_has_its_note_on_a_card_or_stays_white(tmp_path):
    red = paint(tmp_path, "red", (255, 0, 0))
    grid = untitled([[Panel(red), Panel(note="failed: out of memory"), Panel()]])
    shown, failed = arrange(grid, SMALL, {red: (80, 60)}).marks
    assert " ".join(failed.note.lines) == "failed: out of memory"
    assert failed.box.height == shown.box.height
    box, pixels = failed.box, np.asarray(draw_grid(grid, SMALL))
    crop = pixels[box.top : box.bottom, box.left : box.right].reshape(-1, 3)
    assert len(np.unique(crop, axis=0)) > 4  # paper, hatching, outline, lettering
    assert crop.mean() > 225  # mostly light
    assert pixels.shape[1] > box.right + box.width
    assert (pixels[:, box.right :] == 255).all()


@given(st.text(min_size=1, max_size=200), st.integers(1, 900))
@settings(max_examples=30, deadline=None)
def test_a_note_stays_on_its_card(note, height):
    path = Path("p")
    panels = [[Panel(path), Panel(None, note=note)]]
    drawn = arrange(untitled(panels), SMALL, {path: (300, height)})
    card = next(mark for mark in drawn.marks if isinstance(mark, Card))
    assert card.note.width <= card.box.width
    assert card.note.height <= card.box.height


def test_a_cut_out_is_painted_on_white_whatever_is_hidden(tmp_path):
    hidden = Image.new("RGBA", (64, 64), (200, 0, 0, 0))
    hidden.paste((0, 0, 0, 255), (32, 0, 64, 64))
    hidden.save(tmp_path / "cut.png")
    shown = painting.open_reduced(tmp_path / "cut.png", (32, 32))
    assert (shown.getpixel((4, 16)), shown.getpixel((28, 16))) == ((255,) * 3, (0,) * 3)


@pytest.mark.parametrize("name", ["absent.png", "text.png", "cut.png"])
def test_a_file_that_is_no_picture_is_named_with_a_remedy(tmp_path, name):
    (tmp_path / "text.png").write_text("hello")
    whole = paint(tmp_path, "whole", (1, 2, 3), (300, 300)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    grid = untitled([[Panel(tmp_path / name)]])
    with pytest.raises(ImageError, match=re.escape(name)):
        draw_grid(grid, SMALL)


def test_three_hundred_panels_are_opened_one_at_a_time(tmp_path, monkeypatch):
    path = paint(tmp_path, "panel", (10, 20, 30), (320, 240))
    pictures, most = [], []
    real = painting.open_reduced

    def counted(*arguments):
        picture = real(*arguments)
        pictures.append(weakref.ref(picture))
        most.append(sum(reference() is not None for reference in pictures))
        return picture

    monkeypatch.setattr(painting, "open_reduced", counted)
    draw_grid(untitled([[Panel(path)] * 20] * 15), SMALL)
    assert len(most) == 300
    assert max(most) <= 2


@pytest.mark.parametrize("limit", [5_000_000, 300_000])
def test_a_grid_too_large_has_smaller_panels_first_and_smaller_lettering_last(tmp_path, limit):
    path = paint(tmp_path, "one", (10, 80, 40), (256, 170))
    axis = Axis([f"number {at}" for at in range(30)])
    grid = Grid("A title", [[Panel(path)] * 30] * 30, axis, axis)
    free = draw_grid(grid, Page(most_pixels=10**9))
    assert free.width * free.height > limit
    bounded = draw_grid(grid, Page(most_pixels=limit))
    assert 0.5 * limit < bounded.width * bounded.height <= limit
    assert bounded.info["dpi"] == (200, 200) if limit > 10**6 else bounded.info["dpi"] < (200, 200)


def test_a_title_over_a_narrow_panel_keeps_its_words():
    grid, shapes = plain(1, 30)
    grid = replace(grid, columns=Axis([f"Study after The Starry Night {at}" for at in range(30)]))
    written = texts(arrange(grid, Page(), shapes))
    assert {" ".join(text.lettering.lines) for text in written} == set(grid.columns.titles)


# ---------------------------------------------------------------- the recipes of a pair


@pytest.mark.parametrize(("count", "shape"), [(13, (3, 5)), (14, (4, 4)), (1, (1, 3)), (6, (2, 4))])
def test_recipes_follow_content_and_style_in_rows_that_are_almost_full(
    tmp_path, monkeypatch, count, shape
):
    monkeypatch.chdir(tmp_path)
    recipes = [f"recipe {number}" for number in range(count)]
    times = dict(zip(recipes, [5.4, 99.4, 100, 3600] * 4, strict=False))
    cells = {
        cell_path("c", "s", one, "1"): make_cell(layers=one, seconds=float(seconds))
        for one, seconds in times.items()
    }
    write_details(cells, Path(DETAILS.format(content="c", style="s")))
    variants = [(one, "1") for one in recipes]
    grid = recipe_grid({"c": "A cat"}, {"s": "The sea"}, variants, subtitle="", recipes=recipes)
    assert (len(grid.panels), len(grid.panels[0])) == shape
    flat = [panel for row in grid.panels for panel in row]
    captions = ["A cat", "The sea", "recipe 0: 5 s", "recipe 1: 99 s", "recipe 2: 2 min"]
    assert [panel.caption for panel in flat][: min(count, 3) + 2] == captions[: min(count, 3) + 2]
    assert [panel.picture for panel in flat[2 : count + 2]] == list(cells)
    assert all(panel == Panel() for panel in flat[count + 2 :])
    assert grid.title == "A cat × The sea"


# ---------------------------------------------------------------- lettering


@given(titles, st.integers(60, 500), st.integers(1, 4), st.booleans())
@settings(max_examples=80, deadline=None)
def test_ink_stays_within_the_measured_box_and_the_box_within_its_width(text, width, lines, bold):
    hand = Hand(22, 14, lines, bold)
    assume(all(extent(character, face(14, bold)) <= width for character in text))
    fitted = fit(text, width, hand)
    assert fitted.width <= width
    assert len(fitted.lines) <= lines
    written = Text(100, 100, fitted)
    image = painting.paint(Layout(fitted.width + 200, fitted.height + 200, (written,)))
    ink = Image.eval(image, lambda value: 255 - value).getbbox()
    if ink:
        left, top, right, bottom = ink
        box = Box(left, top, right - left, bottom - top)
        assert box.within(written.box) == box


def test_a_long_title_is_wrapped_then_shrunk_then_cut():
    room = extent(LONG, face(22))
    wrapped = fit(LONG, room // 2, Hand(22, 14, 3))
    shrunk = fit(LONG, room // 4, Hand(22, 14, 3))
    cut = fit(LONG, room // 10, Hand(22, 14, 3))
    assert (wrapped.size, " ".join(wrapped.lines)) == (22, LONG)
    assert 14 <= shrunk.size < 22
    assert " ".join(shrunk.lines) == LONG
    assert (cut.size, len(cut.lines)) == (14, 3)
    assert cut.lines[-1].endswith("…")
    assert LONG.startswith(" ".join(cut.lines)[:-1])


def test_lines_are_about_equally_long():
    width = extent("The Great Wave off", face(22))
    assert wrap("The Great Wave off Kanagawa", face(22), width)[1] == "Kanagawa"
    fitted = fit("The Great Wave off Kanagawa", width, Hand(22, 22, 3))
    assert fitted.lines == ("The Great Wave", "off Kanagawa")


@pytest.mark.parametrize(
    ("word", "end"), [("multi_layer_weighting_with_underscores", "_"), (UNBROKEN, "")]
)
def test_a_word_wider_than_its_line_is_broken_after_an_underscore_or_anywhere(word, end):
    fitted = fit(word, 200, Hand(14, 14, 20))
    assert "".join(fitted.lines) == word
    assert len(fitted.lines) > 1
    assert all(line.endswith(end) for line in fitted.lines[:-1])


def test_text_outside_the_font_is_still_drawn():
    fitted = fit(FOREIGN, 800, Hand(20, 14, 3))
    assert fitted.width > 100
    assert lettering.clean("a\tb\n\x00c\ufe0f\ud800 ") == "a b c�"


def test_the_font_has_every_character_the_grids_use():
    for bold in (False, True):
        known = FT2Font(str(font_file(bold))).get_charmap()
        assert set(map(ord, "αβ·×⁻⁰¹²³⁴⁵⁶⁷⁸⁹–…éüñßøŁЖя")) <= set(known)
