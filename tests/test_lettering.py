"""Lettering: it fits, or is wrapped, shrunk and cut, and every character is drawn."""

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from PIL import Image
from titles import FOREIGN, LONG, UNBROKEN, titles

from nst.figures import lettering
from nst.figures.lettering import Hand, extent, face, fit, fit_alike, wrap
from nst.figures.painting import Raster
from nst.figures.sheet import Box, Text


@given(titles, st.integers(60, 500), st.integers(1, 4), st.booleans())
@settings(max_examples=80, deadline=None)
def test_ink_stays_within_the_measured_box_and_the_box_within_its_width(text, width, lines, bold):
    hand = Hand(22, 14, lines, bold)
    assume(all(extent(character, face(14, bold)) <= width for character in text))
    fitted = fit(text, width, hand)
    assert fitted.width <= width
    assert len(fitted.lines) <= lines
    raster = Raster(fitted.width + 200, fitted.height + 200, stroke=1)
    written = Text(100, 100, fitted)
    raster.text(written)
    ink = Image.eval(raster.image, lambda value: 255 - value).getbbox()
    if ink:
        left, top, right, bottom = ink
        box = Box(left, top, right - left, bottom - top)
        assert box.within(written.box) == box


def test_a_short_title_keeps_its_size_and_its_words():
    fitted = fit("The Great Wave", 500, Hand(22, 14, 2))
    assert (fitted.lines, fitted.size) == (("The Great Wave",), 22)


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


def test_a_word_wider_than_its_line_is_broken_after_an_underscore():
    fitted = fit("multi_layer_weighting_with_underscores", 200, Hand(14, 14, 4))
    assert "".join(fitted.lines) == "multi_layer_weighting_with_underscores"
    assert all(line.endswith("_") for line in fitted.lines[:-1])


def test_an_unbroken_word_is_broken_rather_than_clipped():
    fitted = fit(UNBROKEN, 300, Hand(14, 14, 20))
    assert "".join(fitted.lines) == UNBROKEN
    assert len(fitted.lines) > 1


def test_text_outside_the_font_is_still_drawn():
    fitted = fit(FOREIGN, 800, Hand(20, 14, 3))
    assert fitted.width > 100
    assert lettering.clean("a\tb\n\x00c\ufe0f\ud800 ") == "a b c�"


def test_the_font_has_every_character_the_grids_use():
    missing = face(20).getmask("\U000f0000").getbbox(), bytes(face(20).getmask("\U000f0000"))
    for character in "αβ·×⁻⁰¹²³⁴⁵⁶⁷⁸⁹–…éüñßøŁЖя":
        for bold in (False, True):
            mask = face(20, bold).getmask(character)
            assert (mask.getbbox(), bytes(mask)) != missing, character


def test_fitting_alike_uses_the_smallest_size_needed():
    fitted = fit_alike(["x", LONG, ""], 200, Hand(22, 14, 3))
    assert {each.size for each in fitted} == {14}
    assert fitted[2].height == 0
