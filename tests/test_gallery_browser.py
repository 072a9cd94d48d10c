"""The gallery in a real browser, opened from disk: everything a reader can do with it."""

import io
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pandas as pd
import pytest
from gallery_samples import HOSTILE, TITLES, make_grid, make_sample, make_sweep, write_cells
from made_cells import make_table
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright
from test_gallery import page_data
from workflow_runs import ROOT, unavailable

from nst.cells.cell import Cell
from nst.config.votes import read_ballots
from nst.gallery.data import NAMES
from nst.gallery.page import write_gallery

pytestmark = pytest.mark.slow

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FIRST = "cat/wave/all/1e0"
SECOND = "cat/wave/all/1e-1"
FAILED = "cat/wave/fine/1e0"


def make_thousand(folder: Path) -> list[Cell]:
    """Return a thousand cells that are not ranked, which would take seconds."""
    look = {"losses": {"ssim": 0.5}, "width": 40, "height": 32}
    return [
        make_sample(folder, i, layers=f"w{i // 40}", ratio=f"{i % 40 + 1}e-2", **look)
        for i in range(1000)
    ]


def write_going_on(folder: Path) -> Path:
    """Write a gallery with no cells of the first pair and four of the second, without traces."""
    cells = {cell.path: replace(cell, trace={}) for cell in make_grid(folder)}
    table, traces = make_table(cells, folder)
    names = table[[*NAMES, "content_title", "style_title", "formulation"]]
    waiting = names.drop(range(6, 10)).assign(status="waiting")
    table = pd.concat([table[6:10], waiting]).sort_index()
    so_far = "At 12:00: 4 of 24 cells, about 5 min left"
    folders = folder / "inputs", folder / "gallery"
    return write_gallery(table, traces, *folders, title="T", so_far=so_far)


CELLS = {"grid": make_grid, "sweep": make_sweep, "thousand": make_thousand}
Show = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        unavailable(f"needs one of the browsers {', '.join(BROWSERS)}; apt-get install chromium")
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path)
        yield started
        started.close()


@pytest.fixture(scope="module")
def axe() -> str:
    path = Path(os.environ.get("AXE", ROOT / "node_modules" / "axe-core" / "axe.min.js"))
    if not path.is_file():
        unavailable(f"needs axe-core at {path}; npm install axe-core, or name the file in AXE")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Write a gallery by its name, once, in a folder whose name must be escaped in addresses."""

    @cache
    def write(name: str) -> Path:
        folder = tmp_path_factory.mktemp("run") / "mes résultats #1 100%"
        if name == "going on":
            return write_going_on(folder)
        return write_cells(CELLS[name](folder), folder)

    return write


@pytest.fixture
def show(browser: Browser, written: Callable[[str], Path], tmp_path: Path) -> Iterator[Show]:
    """Open a gallery from disk: that of a name, or one of the cells that the test gives.

    Fail if the page logs, throws, or requests anything from the network.
    """
    mistakes: list[str] = []

    def start(
        state: str = "", of: str | list[Cell] = "grid", script: str = "", **options: object
    ) -> Page:
        path = written(of) if isinstance(of, str) else write_cells(of, tmp_path)
        context = browser.new_context(**({"viewport": {"width": 1280, "height": 900}} | options))
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = context.new_page()
        page.on("console", lambda one: mistakes.append(f"{one.type}: {one.text}"))
        page.on("pageerror", lambda error: mistakes.append(str(error)))
        page.on("dialog", lambda one: mistakes.append(f"dialog: {one.message}"))
        page.on("request", lambda one: mistakes.extend(outside(one.url)))
        page.add_init_script(script)
        page.goto(path.as_uri() + state)
        return page

    def outside(url: str) -> list[str]:
        return [] if url.startswith(("file:", "blob:")) else [f"request: {url}"]

    yield start
    for context in browser.contexts:
        context.close()
    assert mistakes == []


def cell(key: str) -> str:
    return f"cell={quote(key)}"


def keys(page: Page) -> list[str]:
    return page.eval_on_selector_all("main .plate", "all => all.map(one => one.dataset.key)")


def plate(page: Page, key: str):
    return page.locator(f"main [data-key={json.dumps(key)}]")


def button(page: Page, key: str, name: str):
    """Return a button on a cell's card."""
    return plate(page, key).get_by_role("button", name=re.compile(f"^{name}"))


def saved(page: Page, name: str, folder: Path) -> Path:
    """Click a button, and save the file that it offers."""
    with page.expect_download() as download:
        page.get_by_role("button", name=name).click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def address(page: Page) -> str:
    return page.evaluate("decodeURIComponent(location.hash)")


# ---------------------------------------------------------------- matrix


def test_the_matrix_shows_a_pair_by_layers_and_ratios_and_marks_cells_in_words(show):
    page = show()
    expect(page.get_by_role("heading", level=1)).to_have_text("2 pictures in 2 styles")
    expect(page.get_by_role("heading", level=2).first).to_contain_text("Chelsea the cat")
    assert keys(page) == [
        f"cat/wave/{la}/{r}" for la in ("all", "fine") for r in ("1e0", "1e-1", "1e-2")
    ]
    assert page.locator("th[scope=row]").all_inner_texts() == ["all", "fine"]
    expect(plate(page, SECOND)).to_contain_text("Suggested")
    expect(plate(page, SECOND)).to_contain_text("Pareto front")
    expect(plate(page, FIRST)).not_to_contain_text("Suggested")
    picture = plate(page, SECOND).locator("img")
    expect(picture).to_have_attribute(
        "alt", "Chelsea the cat redrawn in the style of Great Wave, layers all, alpha/beta 1e-1"
    )
    for image in page.locator(".matrix img").all():
        expect(image).to_have_js_property("complete", True)
        assert image.evaluate("one => one.naturalWidth")


def test_a_failed_cell_is_shown_as_failed(show):
    page = show()
    expect(plate(page, FAILED).get_by_role("img")).to_have_accessible_name(re.compile("^Failed: "))
    expect(plate(page, FAILED)).to_contain_text("no finite loss")
    plate(page, FAILED).get_by_role("link").click()
    expect(page.get_by_role("dialog")).to_contain_text("no finite loss")


def test_another_pair_is_picked_by_mouse_and_by_keyboard(show):
    page = show()
    page.locator("input[name=style][value=night]").click()
    assert {key.split("/")[1] for key in keys(page)} == {"night"}
    page.keyboard.press("ArrowLeft")
    assert {key.split("/")[1] for key in keys(page)} == {"wave"}
    assert page.evaluate("document.activeElement.name") == "style"
    page.get_by_role("navigation", name="Other pairs").get_by_role("link").last.click()
    assert {key.split("/")[1] for key in keys(page)} == {"night"}


def test_a_run_that_goes_on_has_places_for_what_is_to_come(show):
    page = show(of="going on")
    expect(page.locator(".so-far")).to_contain_text(
        "4 of 24 cells, about 5 min left. While the run"
    )
    assert len(keys(page)) == 6, "the first pair that has a picture"
    assert page.locator("th[scope=row]").all_inner_texts() == ["all", "fine"]
    expect(page.locator(".matrix .waiting")).to_have_count(2)
    label = "Still to come: Chelsea the cat in the style of =HYPERLINK() ليلة النجوم \u2028 🌌, "
    expect(page.get_by_label(f"{label}layers fine, alpha/beta 1e-1")).to_have_text("still to come")
    expect(page.get_by_text("of 4", exact=False).first).to_be_visible()
    page.locator(".matrix a.picture").first.click()
    for _ in range(4):  # all the way round, past the missing cells
        expect(page.locator("#full-stage img").first).to_be_visible()
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Escape")
    page.locator(".pair-walk a").first.click()
    expect(page.locator(".matrix .waiting")).to_have_count(6)
    page.locator('[data-tab="all"]').click()
    expect(page.locator("#count")).to_have_text("4 cells")
    assert len(keys(page)) == 4


def test_recipes_with_a_balance_each_are_shown_as_a_list(show, tmp_path):
    cells = [
        make_sample(tmp_path, i, layers=name, ratio=f"{i + 1}e-3", formulation=name)
        for i, name in enumerate(("gatys2016", "udacity", "tensorflow"))
    ]
    page = show(of=cells)
    expect(page.locator(".matrix")).to_have_count(0)
    assert len(keys(page)) == 3


# ---------------------------------------------------------------- all cells


def test_words_filter_without_case_or_accents(show):
    page = show("#view=all")
    expect(page.locator("#count")).to_have_text("24 cells")
    page.get_by_label("Find").fill("CHELSEA Gréat 1e-1")
    expect(page.locator("#count")).to_have_text("2 of 24 cells")
    assert keys(page) == ["cat/wave/all/1e-1", "cat/wave/fine/1e-1"]
    expect(page.locator("#live")).to_have_text("2 of 24 cells")
    assert "q=CHELSEA Gréat 1e-1" in address(page)
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator("#count")).to_have_text("24 cells")


def test_ranges_and_marks_filter(show):
    page = show("#view=all")
    page.get_by_text("Filters", exact=True).click()
    page.get_by_label("Structure kept (SSIM), at least").fill("0.7")
    expect(page.locator("#count")).to_have_text("20 of 24 cells")
    page.get_by_label("Content distance, at most").fill("0.5")
    expect(page.locator("#count")).to_have_text("5 of 24 cells")
    page.get_by_role("combobox", name="Show", exact=True).select_option("suggested")
    assert keys(page) == [SECOND]
    page.get_by_role("combobox", name="Show", exact=True).select_option("failed")
    expect(page.get_by_text("No cell matches all filters.")).to_be_visible()
    page.get_by_role("button", name="Clear all").click()
    page.get_by_role("combobox", name="Show", exact=True).select_option("failed")
    assert keys(page) == [FAILED]


def test_a_limit_that_is_no_number_is_marked_and_ignored(show):
    page = show("#view=all&min.ssim=abc")
    expect(page.locator("#count")).to_have_text("24 cells")
    field = page.get_by_label("Structure kept (SSIM), at least")
    field.fill("0,7")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#count")).to_have_text("24 cells")


@pytest.mark.parametrize(
    ("metric", "first", "last"),
    [("ssim", 0, 23), ("content_distance", 0, 23), ("tv_loss", 0, 23), ("rank", 1, 11)],
)
def test_sorting_puts_the_best_first_and_what_has_no_number_last(show, metric, first, last):
    page = show("#view=all")
    order = keys(page)
    page.get_by_label("Sort by").select_option(metric)
    sorted_ = keys(page)
    assert sorted_[0] == order[first]
    assert sorted_[-1] == FAILED
    page.get_by_label("reversed").check()
    assert keys(page)[-1] == FAILED
    assert keys(page)[0] == order[last]


# ---------------------------------------------------------------- settings that vary


ONE = "cat/wave/all_of/style_scale=0.5/style_loss=mean_gram/1e-1"
OTHER = "cat/wave/all_of/style_scale=10/style_loss=mean_gram/1e-1"


def test_each_setting_that_varies_is_a_filter(show):
    page = show("#view=all", of="sweep")
    page.get_by_text("Filters", exact=True).click()
    scale = page.get_by_role("combobox", name="Style scale", exact=True)
    loss = page.get_by_role("combobox", name="Style loss", exact=True)
    layers = page.get_by_role("combobox", name="Layers", exact=True)
    assert scale.locator("option").all_inner_texts() == ["all", "0.5", "2", "10"]
    assert loss.locator("option").all_inner_texts() == ["all", "mean_gram", "covariance"]
    assert layers.locator("option").all_inner_texts() == ["all", "all_of"]
    layers.select_option("all_of")
    expect(page.locator("#count")).to_have_text("12 cells")
    scale.select_option("0.5")
    expect(page.locator("#count")).to_have_text("4 of 12 cells")
    loss.focus()
    page.keyboard.type("mean")
    expect(page.locator("#count")).to_have_text("2 of 12 cells")
    assert keys(page) == [ONE.replace("1e-1", "1e0"), ONE]
    assert "only.style_scale=0.5&only.style_loss=mean_gram" in address(page)
    page.reload()
    expect(page.locator("#count")).to_have_text("2 of 12 cells")
    expect(scale).to_have_value("0.5")
    page.get_by_role("button", name="Clear all").click()
    expect(page.locator("#count")).to_have_text("12 cells")
    expect(scale).to_have_value("")


def test_settings_that_vary_are_said_in_words(show):
    said = "all_of · style scale 0.5 · style loss mean_gram · α/β 10⁻¹"
    page = show("#view=all", of="sweep")
    expect(plate(page, ONE).locator(".variant")).to_contain_text(said)
    expect(plate(page, ONE).locator("img")).to_have_attribute(
        "alt", re.compile("layers all_of, style scale 0.5, style loss mean_gram, alpha/beta 1e-1$")
    )
    page = show(f"#view=compare&with={quote(ONE)}&with={quote(OTHER)}", of="sweep")
    expect(page.get_by_role("columnheader").first).to_contain_text(said)
    expect(page.locator(".side")).to_have_count(2)


def test_the_matrix_of_a_sweep_has_settings_as_rows(show):
    page = show(of="sweep")
    assert page.locator(".corner").inner_text() == "settings"
    rows = page.locator("th[scope=row]").all_inner_texts()
    losses = ("mean_gram", "covariance")
    assert rows[:2] == [f"style scale 2, style loss {loss}" for loss in losses]
    assert keys(page)[:2] == [
        f"cat/wave/all_of/style_scale=2/style_loss=mean_gram/{ratio}" for ratio in ("1e0", "1e-1")
    ]


# ---------------------------------------------------------------- the full view


def test_the_full_view_opens_walks_and_returns_focus(show):
    page = show()
    plate(page, FIRST).get_by_role("link").focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    assert FIRST in address(page)
    expect(dialog.get_by_role("heading", level=2)).to_be_focused()
    page.keyboard.press("ArrowRight")
    assert SECOND in address(page)
    expect(page.locator("#full-live")).to_have_text(re.compile("alpha/beta 1e-1"))
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert "fine/1e-2" in address(page), "it wraps around from the first to the last"
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(plate(page, "cat/wave/fine/1e-2").get_by_role("link")).to_be_focused()


def test_back_closes_the_full_view_and_forward_opens_it(show):
    page = show()
    page.get_by_role("link", name="All cells").click()
    plate(page, SECOND).get_by_role("link").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_be_visible()
    page.go_back()
    expect(dialog).to_be_hidden()
    assert "view=all" in address(page)
    page.go_forward()
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    page.go_back()
    expect(page.locator(".matrix")).to_be_visible()


def test_an_address_brings_everything_back(show):
    filters = "sort=ssim&reverse=1&only.style=wave&max.rank=3"
    page = show(f"#view=all&{filters}&{cell(SECOND)}&with={quote(FIRST)}")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("10⁻¹")
    expect(dialog.locator(".place")).to_have_text("5 / 6")
    page.keyboard.press("Escape")
    expect(page.get_by_label("Sort by")).to_have_value("ssim")
    expect(page.get_by_label("reversed")).to_be_checked()
    expect(page.get_by_label("Rank in its pair, at most")).to_have_value("3")
    expect(page.locator("#tray")).to_be_visible()


def test_an_address_of_what_is_not_there_is_said(show):
    page = show("#view=nowhere&content=nobody&cell=no/such/cell/here&with=none&__proto__=x")
    expect(page.locator("#notice")).to_have_text(
        "This gallery has no cell named no/such/cell/here."
    )
    expect(page.locator(".matrix")).to_be_visible()


def test_the_slider_lays_the_content_over_the_result(show):
    page = show(f"#{cell(FIRST)}")
    slider = page.get_by_role("slider")
    before = page.locator(".before")
    expect(before).to_have_css(
        "clip-path", re.compile(r"inset\(0px 100% 0px 0px\)|calc\(100% - 0%\)")
    )
    slider.focus()
    page.keyboard.press("End")
    expect(slider).to_have_attribute("aria-valuetext", "100 % content")
    assert FIRST in address(page), "arrows move the slider and must not change the cell"
    page.keyboard.press("ArrowLeft")
    expect(slider).to_have_attribute("aria-valuetext", "99 % content")
    canvas = page.locator(".canvas")
    quarter = {"x": canvas.bounding_box()["width"] / 4, "y": 50}
    canvas.drag_to(canvas, source_position={"x": 5, "y": 50}, target_position=quarter)
    assert abs(int(slider.input_value()) - 25) <= 1
    page.keyboard.press("Tab")
    page.keyboard.press("b")
    expect(slider).to_have_value("100")


def test_the_picture_zooms_pans_and_fits(show):
    page = show(f"#{cell(FIRST)}")
    stage, canvas = page.locator("#full-stage"), page.locator("#full-stage .canvas")
    fitted = canvas.bounding_box()
    page.get_by_role("button", name="Zoom in").click()
    for _ in range(4):
        page.keyboard.press("+")
    closer = canvas.bounding_box()
    assert closer["width"] == pytest.approx(fitted["width"] * 4, rel=0.01), "the zoom ends here"
    start, end = {"x": 200, "y": 200}, {"x": 240, "y": 210}
    stage.drag_to(stage, source_position=start, target_position=end)
    moved = canvas.bounding_box()
    assert moved["x"] == pytest.approx(closer["x"] + 40, abs=1)
    page.keyboard.press("Shift+ArrowRight")
    assert canvas.bounding_box()["x"] == pytest.approx(moved["x"] - 60, abs=1)
    page.keyboard.press("0")
    assert canvas.bounding_box() == fitted
    page.mouse.wheel(0, -300)
    assert canvas.bounding_box()["width"] > fitted["width"] * 1.5
    stage.dblclick()
    assert canvas.bounding_box() == fitted


def test_the_full_view_tells_settings_measures_and_losses(show):
    page = show(f"#{cell(SECOND)}")
    label = page.get_by_role("region", name="About this picture")
    expect(label).to_contain_text("this one is nearest to the best of both.")
    expect(label.get_by_role("row", name="Structure kept (SSIM)")).to_contain_text("0.890")
    curve = label.get_by_role(
        "img", name=re.compile("^Losses over 3 evaluations: total from 9 to 2.50")
    )
    assert curve.locator("path.line").count() == 3
    label.get_by_text("All settings").click()
    expect(label).to_contain_text("relu1_1: 1")
    expect(label).to_contain_text("iterations")


def test_the_picture_itself_is_shown_where_it_is_and_a_copy_where_not(
    show, browser, written, tmp_path
):
    page = show(f"#{cell(FIRST)}")
    picture = page.locator("#full-stage img:not(.before)")
    expect(picture).to_have_attribute("data-source", "full")
    assert "/cells/" in picture.evaluate("one => one.src")
    alone = shutil.copytree(written("grid").parent, tmp_path / "alone")
    page = browser.new_page()  # it logs that the picture is missing
    page.goto((alone / "index.html").as_uri() + f"#{cell(FIRST)}")
    picture = page.locator("#full-stage img:not(.before)")
    expect(picture).to_have_attribute("data-source", "preview")
    assert picture.evaluate("one => one.complete && one.naturalWidth > 0")
    expect(page.get_by_text("the full picture is not next to this folder")).to_be_visible()
    page.close()


# ---------------------------------------------------------------- stars


def test_a_cut_out_is_shown_on_white_in_the_dark_too(show, tmp_path):
    one = make_sample(tmp_path, 0)
    Image.new("RGBA", (64, 48), (200, 0, 0, 0)).save(one.path)
    page = show(f"#{cell(SECOND)}", of=[one], color_scheme="dark")
    picture = page.locator("#full-stage img")
    expect(picture).to_have_attribute("data-source", "full")
    with Image.open(io.BytesIO(picture.screenshot())) as shown:
        middle = (shown.width // 2, shown.height // 2)
        assert shown.convert("RGB").getpixel(middle) == (255, 255, 255)


def test_stars_stay_and_are_listed(show):
    page = show()
    star = button(page, FIRST, "Star")
    star.click()
    expect(star).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#live")).to_have_text(re.compile("^Starred: Chelsea"))
    button(page, SECOND, "Star").press("Enter")
    page.reload()
    expect(star).to_have_attribute("aria-pressed", "true")
    page.get_by_role("link", name="Starred 2").click()
    assert keys(page) == [FIRST, SECOND]
    button(page, FIRST, "Star").click()
    assert keys(page) == [SECOND]


def test_starred_cells_are_saved_and_copied(show, written, tmp_path):
    hostile = f"{HOSTILE}/night/all/1e0"
    page = show("#view=all")
    for key in (SECOND, hostile):
        button(page, key, "Star").click()
    page.get_by_role("link", name="Starred").click()
    rows = json.loads(saved(page, "Save as JSON", tmp_path).read_text("utf-8"))
    assert [(row["content"], row["style"], row["ratio"]) for row in rows] == [
        ("cat", "wave", "1e-1"),
        (HOSTILE, "night", "1e0"),
    ]
    assert rows[0]["ssim"] == 0.89
    assert (written("grid").parent.parent / rows[0]["path"]).is_file()
    table = pd.read_csv(saved(page, "Save as CSV", tmp_path))
    assert list(table["path"]) == [row["path"] for row in rows]
    assert {path.stem for path in tmp_path.iterdir()} == {"starred"}
    page.get_by_role("button", name="Copy the paths").click()
    expect(page.locator("#live")).to_have_text("Paths copied")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.split("\n") == [row["path"] for row in rows]


def test_a_text_that_a_spreadsheet_would_run_is_saved_as_text(show, tmp_path):
    page = show(of=[make_sample(tmp_path, 0, layers='=1+"1"')])
    page.get_by_role("button", name=re.compile("^Star")).click()
    page.get_by_role("link", name="Starred").click()
    table = pd.read_csv(saved(page, "Save as CSV", tmp_path))
    assert list(table["layers"]) == ['\'=1+"1"']


def test_without_storage_stars_work_and_that_is_shown(show):
    refuse = "Storage.prototype.setItem = () => { throw new DOMException('full'); };"
    page = show(script=refuse)
    star = button(page, FIRST, "Star")
    star.click()
    expect(star).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#notice")).to_contain_text("stars last until the page is closed")


# ---------------------------------------------------------------- compare


def test_up_to_four_cells_stand_side_by_side(show):
    page = show()
    chosen = keys(page)[:3] + keys(page)[4:6]
    for key in chosen:
        button(page, key, "Compare").click()
    expect(page.locator("#live")).to_have_text(re.compile("Four cells can be compared at once"))
    page.get_by_role("link", name="Compare 4").last.click()
    sides = page.locator(".side")
    expect(sides).to_have_count(4)
    page.get_by_role("button", name="Zoom in").click()
    scales = page.locator(".side .canvas").evaluate_all(
        "all => all.map(one => one.style.transform.match(/scale\\((.*)\\)/)[1])"
    )
    assert set(scales) == {"1.5"}
    row = page.get_by_role("row", name="Structure kept (SSIM)")
    expect(row.locator(".best")).to_have_count(1)
    expect(row.locator(".best")).to_contain_text("0.900")
    expect(page.get_by_role("row", name="beta")).to_contain_text("50")
    page.get_by_role("button", name=re.compile("^Remove")).first.click()
    expect(sides).to_have_count(3)
    page.reload()
    expect(sides).to_have_count(3)


# ---------------------------------------------------------------- hostile names


def test_hostile_names_are_text(show):
    page = show(f"#content={quote(HOSTILE)}&style=night")
    heading = page.locator("#pair-title")
    expect(heading).to_contain_text(TITLES[HOSTILE])
    expect(heading).to_contain_text("ليلة النجوم")
    assert page.locator("main script, img[onerror]").count() == 0
    plate(page, f"{HOSTILE}/night/fine/1e-1").get_by_role("link").click()
    page.reload()
    title = page.get_by_role("dialog").get_by_role("heading", level=2)
    expect(title).to_contain_text(TITLES[HOSTILE])


# ---------------------------------------------------------------- appearance and print


def test_dark_follows_the_system_and_the_button(show):
    page = show(color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Change to light colours").click()
    light = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == light
    page = show()
    assert page.evaluate(ground) == light
    page.get_by_role("button", name="Change to dark colours").click()
    assert page.evaluate(ground) == dark


def test_paper_has_the_matrix_with_captions_and_no_controls(show):
    page = show(color_scheme="dark")
    page.emulate_media(media="print")
    for hidden in ("#tabs", "#theme", ".actions", ".options", ".pair-walk", ".colophon"):
        assert not page.locator(hidden).first.is_visible(), hidden
    expect(plate(page, SECOND).locator("figcaption")).to_contain_text("all · α/β 10⁻¹")
    assert plate(page, SECOND).locator(".only-print").is_visible()
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    pdf = page.pdf(format="A4", prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1


# ---------------------------------------------------------------- a thousand cells


def test_a_thousand_cells_are_drawn_and_loaded_as_they_are_looked_at(show):
    page = show("#view=all", of="thousand")
    expect(page.locator("#count")).to_have_text("1,000 cells")
    page.wait_for_function(
        """() => [...document.querySelectorAll("main img")]
        .filter((one) => one.getBoundingClientRect().top < innerHeight)
        .every((one) => one.naturalWidth)"""
    )
    assert len(keys(page)) < 200
    assert page.evaluate("document.querySelectorAll('*').length") < 4000
    images = page.locator("main img")
    loaded = images.evaluate_all("all => all.filter(one => one.naturalWidth).length")
    assert 0 < loaded < 100
    page.get_by_label("Find").fill("w24")
    expect(page.locator("#count")).to_have_text("40 of 1,000 cells")
    page.get_by_label("Find").fill("")
    before = len(keys(page))
    page.locator(".plate").last.scroll_into_view_if_needed()
    expect(page.locator("main .plate").nth(before)).to_be_attached()
    plate(page, keys(page)[0]).get_by_role("link").click()
    page.keyboard.press("ArrowLeft")
    expect(page.get_by_role("dialog")).to_contain_text("1,000 / 1,000")


# ---------------------------------------------------------------- votes


SEEDED = "let seed = 7; Math.random = () => (seed = (16807 * seed) % 2147483647) / 2147483647;"


def asked(page: Page, gallery: Path) -> list[dict]:
    """Return the data of the two cells that the page compares; the page does not show it."""
    cells = {Path(one["preview"] or "").name: one for one in page_data(gallery)["cells"]}
    sources = page.eval_on_selector_all(".candidate img", "all => all.map(one => one.src)")
    return [cells[Path(source).name] for source in sources]


def saved_votes(page: Page, voter: str, folder: Path) -> Path:
    page.get_by_label("Your name").fill(voter)
    return saved(page, "Save the votes as JSON", folder)


def test_votes_are_cast_by_click_and_key_taken_back_and_saved(show, tmp_path):
    page = show()
    page.get_by_role("link", name="Vote").click()
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#votes-given")).to_have_text("1 vote")
    page.keyboard.press("n")
    page.get_by_role("button", name="Vote for the right picture").click()
    expect(page.locator("#votes-given")).to_have_text("3 votes")
    page.get_by_role("button", name="Neither").click()
    expect(page.locator("#votes-given")).to_have_text("4 votes")
    page.keyboard.press("Backspace")
    expect(page.locator("#votes-given")).to_have_text("3 votes")
    page.reload()
    expect(page.locator("#votes-given")).to_have_text("3 votes")
    page.get_by_role("button", name="Save the votes as JSON").click()
    expect(page.locator("#notice")).to_contain_text("Enter a name first")
    path = saved_votes(page, "Zoë & Co", tmp_path)
    assert path.name == "votes-zoe-co.json"
    votes = read_ballots([path])
    assert [one.score for one in votes] == [1.0, 0.5, 0.0]
    assert {one.voter for one in votes} == {"Zoë & Co"}


def test_the_two_cells_are_of_one_pair_finished_and_without_names(show, written):
    page = show("#view=vote")
    for _ in range(12):
        one, other = asked(page, written("grid").parent)
        assert (one["content"], one["style"]) == (other["content"], other["style"])
        assert one != other
        assert one["status"] == other["status"] == "finished"
        ballot = page.locator("#ballot").inner_text()
        assert not any(ratio in ballot for ratio in ("1e0", "1e-1", "1e-2"))
        assert TITLES[one["content"]] in ballot
        page.keyboard.press("n")


def test_a_key_that_types_scrolls_or_repeats_is_no_vote(show):
    page = show("#view=vote")
    page.get_by_label("Your name").click()
    page.keyboard.type("Ann")
    for key in ("ArrowLeft", "ArrowRight", "n", "Backspace"):
        page.keyboard.press(key)
    expect(page.locator("#votes-given")).to_have_text("0 votes")
    page.get_by_label("Your name").blur()
    for key in ("ArrowDown", "ArrowUp", " "):
        page.keyboard.press(key)
    for _ in range(4):  # the key is held down
        page.keyboard.down("ArrowLeft")
    page.keyboard.up("ArrowLeft")
    expect(page.locator("#votes-given")).to_have_text("1 vote")


def test_the_next_voter_starts_again_once_the_votes_are_saved(show, tmp_path):
    page = show("#view=vote")
    page.get_by_label("Your name").fill("Ann")
    page.get_by_role("button", name="Save the votes as JSON").click()
    expect(page.locator("#notice")).to_contain_text("no votes to save")
    page.get_by_role("button", name="Neither").click()
    page.get_by_role("button", name="Start again").click()
    expect(page.locator("#notice")).to_contain_text("Save your votes first")
    saved_votes(page, "Ann", tmp_path)
    page.get_by_role("button", name="Start again").click()
    expect(page.locator("#votes-given")).to_have_text("0 votes")
    expect(page.get_by_label("Your name")).to_have_value("")


def test_votes_of_two_tabs_add_up(show):
    page = show("#view=vote")
    other = page.context.new_page()
    other.goto(page.url)
    other.get_by_role("button", name="Neither").click()
    page.get_by_role("button", name="Neither").click()
    expect(page.locator("#votes-given")).to_have_text("2 votes")


def test_a_cell_is_shown_in_full_above_the_ballot(show):
    expect(show(f"#view=vote&{cell(SECOND)}").get_by_role("dialog")).to_be_visible()


def test_close_cells_are_compared_more_often_than_clearly_different_ones(show, tmp_path):
    # The best first.
    page = show("#view=vote", [make_sample(tmp_path, i, ratio=f"1e-{i}") for i in range(5)], SEEDED)
    random, pairs, places = np.random.default_rng(4), [], []
    for number in range(1, 61):
        left, right = asked(page, tmp_path / "gallery")
        places += [int(one["ratio"][3:]) for one in (left, right)]
        preferred = random.random() < 1 / (1 + np.exp(places[-2] - places[-1]))
        page.keyboard.press("ArrowLeft" if preferred else "ArrowRight")
        expect(page.locator("#votes-given")).to_have_text(re.compile(f"^{number} "))
        pairs.append((left["fingerprint"], right["fingerprint"]))
    first, *between, last = np.bincount(places)
    assert min(between) > max(first, last)
    votes = read_ballots([saved_votes(page, "Ann", tmp_path)])
    assert [(one.left, one.right) for one in votes] == pairs


# ---------------------------------------------------------------- accessibility

STATES = {
    "matrix": ("", "grid"),
    "all": ("#view=all&min.ssim=0.1", "grid"),
    "nothing found": ("#view=all&q=nothing", "grid"),
    "full view": (f"#{cell(SECOND)}", "grid"),
    "failed": (f"#{cell(FAILED)}", "grid"),
    "starred": ("#view=starred", "grid"),
    "vote": ("#view=vote", "grid"),
    "compare": (f"#view=compare&with={FIRST}&with={SECOND}&with={FAILED}", "grid"),
    "tray": (f"#with={FIRST}&with={SECOND}", "grid"),
    "hostile": (f"#content={quote(HOSTILE)}&style=night", "grid"),
    "a run that goes on": ("", "going on"),
    "matrix of a sweep": ("", "sweep"),
    "filters of a sweep": ("#view=all&only.style_scale=2", "sweep"),
    "full view of a sweep": (f"#{cell(ONE)}", "sweep"),
}


@pytest.mark.parametrize(("colours", "width"), [("light", 1280), ("dark", 360)])
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing_serious(show, axe, state, colours, width):
    look = {"color_scheme": colours, "viewport": {"width": width, "height": 800}}
    page = show(*STATES[state], **look)
    page.evaluate("document.querySelectorAll('details').forEach(one => { one.open = true; })")
    page.evaluate(axe)
    result = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    assert result["passes"], "axe must have checked something"
    found = {
        f"{one['id']}: {node['html'][:160]}: {node['failureSummary'][:200]}"
        for one in result["violations"]
        for node in one["nodes"]
        if one["impact"] in ("serious", "critical")
    }
    assert found == set()


@pytest.mark.parametrize("state", ["matrix", "all", "full view", "compare"])
def test_a_phone_needs_no_sideways_scrolling(show, state):
    phone = {"viewport": {"width": 360, "height": 740}, "has_touch": True, "is_mobile": True}
    page = show(*STATES[state], **phone)
    expect(page.locator("main h2").first).to_be_attached()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    small = page.evaluate(
        """[...document.querySelectorAll('button, a[href]:not(.skip, .subject, #full-original)')]
        .filter(one => one.checkVisibility())
        .map(one => [one.getBoundingClientRect(), one.outerHTML.slice(0, 120)])
        .filter(([box]) => box.width && (box.width < 24 || box.height < 24))
        .map(([, text]) => text)"""
    )
    assert small == []
