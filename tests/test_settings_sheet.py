"""The sheet of what each setting does: its configuration, its page, and how it is drawn."""

import re
from itertools import groupby
from pathlib import Path

import pytest
from conftest import paint
from PIL import Image
from settings_sheet import TITLES, draw_sheet, read_sheet
from workflow_runs import ROOT

from nst.cells.cell import TEXT_KEY
from nst.config.octaves import split_octave
from nst.config.paths import cell_path, prepared
from nst.config.variants import Variant
from nst.imaging.images import save_png

RUN, ROWS, DEFAULTS = read_sheet()
PAGE = (ROOT / "docs" / "settings.md").read_text("utf-8")
CHANGED = {"ratio": {"beta"}, "layers": {"style_layers"}, "start": {"start", "start_noise"}}


def changes(one: Variant) -> dict[str, object]:
    """Return what a cell has that the defaults have not."""
    defaults, values = DEFAULTS.to_dict(), one.settings.to_dict()
    return {name: value for name, value in values.items() if value != defaults[name]}


@pytest.mark.parametrize("row", ROWS)
def test_the_cells_of_a_row_differ_in_its_setting_alone(row: str):
    found = [changes(one) for one in ROWS[row]]
    assert all(found.count(one) == 1 for one in found)
    if row == "iterations":
        assert {one.pop("growth") for one in found} == {0}
    assert found.count({}) == 1, "the default, once"
    assert all(len(one) <= 1 for one in found)
    assert {name for one in found for name in one} == CHANGED.get(row, {row})


@pytest.mark.parametrize("row", ROWS)
def test_a_cell_is_labelled_with_what_it_has(row: str):
    for one in ROWS[row]:
        label = one.layers.removeprefix(f"{row} ")
        if row == "ratio":
            assert float(label) == pytest.approx(1 / one.settings.beta)
        elif row == "layers":
            of_network = one.settings.style_layers.keys() - {"rgb"}
            layers = sorted(split_octave(name)[0] for name in of_network)
            assert label == (layers[0] if len(layers) == 1 else f"{layers[0]} to {layers[-1]}")
        elif label.startswith("start_noise "):
            assert float(label.removeprefix("start_noise ")) == one.settings.start_noise
        else:
            value = getattr(one.settings, row)
            assert label == (f"{value:g}" if isinstance(value, float) else str(value))


def test_the_page_speaks_of_every_row_in_their_order():
    headings = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert [name for name in headings if name != "Make it yourself"] == [
        TITLES.get(row, row) for row in ROWS
    ]


def test_the_sheet_has_a_row_for_each_setting(tmp_path: Path):
    (content,), (style,) = RUN.contents, RUN.styles
    for role, name in (("content", content), ("style", style)):
        paint(tmp_path / prepared(role, name), 1, (64, 64))
    for one in RUN.variants:
        path = tmp_path / cell_path(content, style, one.layers, one.ratio)
        path.parent.mkdir(parents=True)
        save_png(Image.new("RGB", (64, 64), "#3060c0"), path, {TEXT_KEY: '{"status": "finished"}'})
    sheet = draw_sheet(tmp_path)
    column = [sheet.getpixel((sheet.width // 3, y)) for y in range(sheet.height)]
    assert [colour for colour, _ in groupby(column)].count((0x30, 0x60, 0xC0)) == len(ROWS)
