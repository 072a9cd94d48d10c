"""Grids as PDF: page splits, embedded pictures, and selectable text."""

from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from made_cells import make_image
from PIL import Image
from pypdf import PdfReader
from test_grids import FOREIGN, UNBROKEN, paint, pictures, plain, texts, untitled

from nst.figures.grids import setting_axis
from nst.figures.layout import Axis, Grid, Panel
from nst.figures.pages import (
    DPI,
    LANDSCAPE,
    PORTRAIT,
    SMALLEST_PANEL,
    paginate,
    publish_grid,
    save_pages,
    split_grid,
)
from nst.figures.painting import read_shapes


def named(rows: int, columns: int, shape: tuple[int, int] = (400, 300)) -> tuple[Grid, dict]:
    """A grid with a title for each row and column, and the shapes of its pictures."""
    grid, shapes = plain(rows, columns, shape)
    down, across = [f"row {at}" for at in range(rows)], [f"column {at}" for at in range(columns)]
    return Grid("A title", grid.panels, Axis(down), Axis(across), "a subtitle"), shapes


def words(layout) -> list[str]:
    """All texts on a page, one for each mark."""
    return [" ".join(mark.lettering.lines) for mark in texts(layout)]


def starts(page) -> list[tuple[float, float]]:
    """The start of each piece of a page's text, in points."""
    found: list[tuple[float, float]] = []

    def note(text, matrix, place, *_):
        if text.strip():
            across = place[4] * matrix[0] + matrix[4]
            found.append((across, place[5] * matrix[3] + matrix[5]))

    page.extract_text(visitor_text=note)
    return found


# Splitting


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([(400, 300), (300, 400), (9, 1)]))
@settings(max_examples=4, deadline=None)
def test_every_panel_is_on_one_page_readable_and_within_the_paper(rows, columns, shape):
    grid, shapes = named(rows, columns, shape)
    page, layouts = paginate(grid, shapes)
    marks = [mark for layout in layouts for mark in pictures(layout)]
    assert sorted(mark.path for mark in marks) == sorted(shapes)
    assert all(page.holds(layout) for layout in layouts)
    smallest = SMALLEST_PANEL * DPI / 25.4
    allowed = (
        2.0 * smallest
    )  # px in height; a portrait may be narrower than its panel but not lower
    for mark in marks:
        assert mark.box.width >= int(smallest) or mark.box.height >= int(0.9 * allowed)


def test_a_page_has_the_titles_of_its_own_rows_and_columns():
    grid, shapes = named(14, 8)
    _, layouts = paginate(grid, shapes)
    assert len(layouts) > 1
    for number, layout in enumerate(layouts, start=1):
        places = {tuple(map(int, mark.path.name.split())) for mark in pictures(layout)}
        rows, columns = {row for row, _ in places}, {column for _, column in places}
        assert len(places) == len(rows) * len(columns)
        assert set(words(layout)) == {
            "A title",
            f"a subtitle, page {number} of {len(layouts)}",
            *(f"row {row}" for row in rows),
            *(f"column {column}" for column in columns),
        }


def test_a_grid_that_fits_one_page_is_not_split_and_not_numbered():
    grid, shapes = named(3, 4)
    _, (layout,) = paginate(grid, shapes)
    assert "a subtitle" in words(layout)


def test_the_paper_lies_the_way_the_grid_does():
    wide, tall = paginate(*named(2, 9))[0], paginate(*named(9, 2))[0]
    assert (wide.width_mm, tall.width_mm) == (LANDSCAPE.width_mm, PORTRAIT.width_mm)


def test_parts_are_about_equally_large():
    parts = split_grid(named(10, 7)[0], rows=4, columns=6)
    sizes = [(len(part.panels), len(part.columns.titles)) for part in parts]
    assert sizes == [(4, 4), (4, 3), (4, 4), (4, 3), (2, 4), (2, 3)]


def test_the_heads_of_rows_and_columns_go_with_them():
    panels = plain(5, 4)[0].panels
    contents, styles = ([Panel(Path(f"{role} {at}")) for at in range(5)] for role in ("c", "s"))
    rows, columns = Axis(list("abcde"), heads=contents), Axis(list("stuv"), heads=styles[:4])
    last = split_grid(Grid("", panels, rows, columns), rows=3, columns=2)[-1]
    assert last.rows == Axis(["d", "e"], heads=contents[3:])
    assert last.columns == Axis(["u", "v"], heads=styles[2:4])
    assert last.panels == [row[2:] for row in panels[3:]]


def test_head_rows_are_on_every_page():
    panels = plain(32, 3)[0].panels
    recipes = [f"recipe {row}" for row in range(30)]
    rows, columns = Axis(["content", "style", *recipes]), Axis([""] * 3)
    parts = split_grid(Grid("", panels, rows, columns, head_rows=2), rows=8, columns=9)
    assert len(parts) == 4
    for part in parts:
        assert part.rows.titles[:2] == ["content", "style"]
        assert part.panels[:2] == panels[:2]
    assert [title for part in parts for title in part.rows.titles[2:]] == recipes


def test_the_inputs_stand_on_every_page(tmp_path):
    red = paint(tmp_path, "red", (255, 0, 0))
    grid, shapes = plain(16, 3)
    ratios = setting_axis("ratio", ["1e0", "1e-1", "1e-2"])
    grid = replace(grid, columns=ratios, inputs=[Panel(red, "A"), Panel(red, "B")])
    _, layouts = paginate(grid, shapes | {red: (80, 60)})
    assert len(layouts) > 1
    for layout in layouts:
        assert [mark.path for mark in pictures(layout)].count(red) == 2
        assert {"more content", "more style", "A", "B"} <= set(words(layout))


# Writing


@pytest.fixture
def small_grid(tmp_path) -> Grid:
    red = paint(tmp_path, "red", (255, 0, 0))
    blue = paint(tmp_path, "blue", (0, 0, 255), (1600, 1200))
    panels = [[Panel(red), Panel(blue)], [Panel(None, note="failed: no finite loss"), Panel(red)]]
    title = 'Über <b>&"x"</b> (富)'
    columns = Axis(["10⁻¹", "10⁻²"], "α/β", "more content", "more style")
    return Grid(title, panels, Axis(["all", "fine"]), columns)


def test_text_is_text_in_embedded_fonts(small_grid, tmp_path):
    save_pages(small_grid, tmp_path / "a.pdf")
    reader = PdfReader(tmp_path / "a.pdf")
    text = reader.pages[0].extract_text()
    for wanted in ('Über <b>&"x"</b>', "10⁻²", "α/β", "more style", "failed: no", "fine"):
        assert wanted in text
    fonts = reader.pages[0]["/Resources"]["/Font"].get_object().values()
    used = [font.get_object() for font in fonts]
    assert {font["/BaseFont"].split("+")[1] for font in used} == {"DejaVuSans", "DejaVuSans-Bold"}
    assert all("/FontFile2" in font["/FontDescriptor"] for font in used)


def test_pictures_are_jpeg_at_300_dpi_or_as_large_as_they_are(small_grid, tmp_path):
    save_pages(small_grid, tmp_path / "a.pdf")
    images = list(PdfReader(tmp_path / "a.pdf").pages[0].images)
    filters = [image.indirect_reference.get_object()["/Filter"] for image in images]
    assert all(one in ("/DCTDecode", ["/DCTDecode"]) for one in filters)
    _, (layout,) = paginate(small_grid, read_shapes(small_grid))
    blue = next(mark.box for mark in pictures(layout) if mark.path.stem == "blue")
    sizes = sorted(image.image.size for image in images)
    assert sizes == [(80, 60), (blue.width, blue.height)], "a picture shown twice is embedded once"
    red = next(image.image for image in images if image.image.size == (80, 60))
    assert red.getpixel((5, 5))[0] > 250


def test_the_page_is_a4_and_knows_its_title(small_grid, tmp_path):
    save_pages(small_grid, tmp_path / "a.pdf")
    reader = PdfReader(tmp_path / "a.pdf")
    sides = sorted(float(side) / 72 * 25.4 for side in reader.pages[0].mediabox[2:])
    assert sides == pytest.approx([210, 297], abs=0.01)
    assert reader.metadata.title == small_grid.title


@pytest.mark.parametrize("text", [UNBROKEN * 2, FOREIGN, ""])
def test_any_text_is_written_within_the_page(text, tmp_path):
    red = paint(tmp_path, "red", (255, 0, 0), (300, 2000))
    grid = Grid(
        text,
        [[Panel(red, caption=text), Panel(None, note=text)]],
        Axis([text], text),
        Axis([text, text], text, text, text),
        subtitle=text,
        inputs=[Panel(red, text, label=text)] * 3,
    )
    save_pages(grid, tmp_path / "a.pdf")
    for page in PdfReader(tmp_path / "a.pdf").pages:
        width, height = (float(side) for side in page.mediabox[2:])
        for left, base in starts(page):
            assert 0 <= left <= width
            assert 0 <= base <= height


def test_a_picture_of_noise_which_no_encoder_makes_smaller_is_embedded(tmp_path):
    make_image(600, 400).save(tmp_path / "noise.png")
    paths = [tmp_path / f"grid.{form}" for form in ("png", "pdf", "jpg")]
    publish_grid(untitled([[Panel(tmp_path / "noise.png")]]), *paths)
    (page,) = PdfReader(paths[1]).pages
    (embedded,) = page.images
    assert embedded.image.size == (600, 400)


def test_a_grid_is_published_in_three_forms_and_the_same_grid_as_the_same_bytes(
    small_grid, tmp_path
):
    forms = ("png", "pdf", "jpg")
    both = [[tmp_path / folder / f"grid.{form}" for form in forms] for folder in ("a", "b")]
    for paths in both:
        publish_grid(small_grid, *paths)
    png, pdf, jpg = (path.read_bytes() for path in both[0])
    assert [png, pdf, jpg] == [path.read_bytes() for path in both[1]]
    assert pdf.startswith(b"%PDF")
    with Image.open(BytesIO(png)) as full, Image.open(BytesIO(jpg)) as preview:
        assert (full.format, full.mode, preview.format) == ("PNG", "RGB", "JPEG")
        assert full.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert preview.width <= min(1400, full.width)
        assert preview.width / preview.height == pytest.approx(full.width / full.height, rel=0.01)
