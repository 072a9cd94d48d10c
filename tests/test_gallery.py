"""The gallery's files: written, left alone and escaped."""

import base64
import hashlib
import html
import json
import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pandas as pd
import pytest
from conftest import paint
from gallery_samples import FAILED, HOSTILE, TITLES, make_grid, make_sample, write_cells
from PIL import Image
from workflow_runs import ROOT

from nst.errors import ImageError, UserError
from nst.gallery.data import CURVE_POINTS, METRICS, NAMES, PREVIEW, THUMBNAIL, link_picture
from nst.gallery.page import PAGE, SCRIPTS, write_gallery


def page_text(folder: Path) -> str:
    return (folder / "index.html").read_text(encoding="utf-8")


def page_data(folder: Path, name: str = "index.html") -> dict:
    text = (folder / name).read_text(encoding="utf-8")
    (found,) = re.findall(
        r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL
    )
    data = json.loads(found)
    return {**data, "cells": unpacked(**data["cells"])}


def unpacked(count: int, columns: list[dict]) -> list[dict]:
    """Read the cells back as the page's script does."""
    cells: list[dict] = [{"metrics": {}, "trace": {}} for _ in range(count)]
    for column in columns:
        path = column["path"]
        values = column.get("each") or [column["values"][index] for index in column["indices"]]
        for cell, value in zip(cells, values, strict=True):
            if len(path) == 1:
                cell[path[0]] = value
            elif value is not None:
                cell[path[0]][path[1]] = value
    return cells


def copies(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in (folder / "pictures").iterdir()}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "gallery"


# ---------------------------------------------------------------- the page


def test_every_cell_is_in_the_page_with_links_that_lead_somewhere(tmp_path, folder):
    cells = make_grid(tmp_path)
    assert write_cells(cells, tmp_path) == folder / "index.html"
    data = page_data(folder)
    assert [[cell[name] for name in NAMES] for cell in data["cells"]] == [
        [cell.content.name, cell.style.name, cell.layers, cell.ratio] for cell in cells
    ]
    pictures = [*data["contents"], *data["styles"], *data["cells"]]
    finished = [one for one in pictures if one.get("status") != "failed"]
    assert len(finished) == len(pictures) - 1
    for one in finished:
        for link in ("thumbnail", "preview", "full"):
            assert (folder / unquote(one[link])).is_file()


def test_names_and_titles_cannot_become_markup(tmp_path, folder):
    write_cells(make_grid(tmp_path), tmp_path, title=HOSTILE, subtitle="a & b < c")
    text = page_text(folder)
    assert HOSTILE not in text
    assert "onerror=" not in re.sub(r'id="data">.*?</script>', "", text, flags=re.DOTALL)
    assert f"<title>{html.escape(HOSTILE)}</title>" in text
    assert "a &amp; b &lt; c" in text
    (embedded,) = re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert not set(embedded) & set("<>&'\u2028\u2029")
    assert [one["title"] for one in page_data(folder)["contents"]] == [
        TITLES["cat"],
        TITLES[HOSTILE],
    ]


def test_the_policy_allows_exactly_the_style_and_script_that_are_there(tmp_path, folder):
    write_cells([make_sample(tmp_path, 0)], tmp_path)
    text = page_text(folder)
    policy = html.unescape(re.findall(r'Content-Security-Policy" content="(.*?)">', text)[0])
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (body,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(body.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'; img-src 'self' file:;")
    assert "unsafe" not in policy


def test_the_page_names_no_address_of_the_network():
    text = "".join(path.read_text(encoding="utf-8") for path in PAGE.iterdir())
    addresses = set(re.findall(r"https?://[^\s\"']+|(?<=[\"'(])//[\w.]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}, "a namespace, which no browser fetches"
    assert "innerHTML" not in text
    assert "insertAdjacentHTML" not in text


def test_every_part_of_the_page_is_used_and_installed():
    assert {path.name for path in PAGE.iterdir()} == {
        "page.html",
        "page.css",
        *(f"{name}.js" for name in SCRIPTS),
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    patterns = project["tool"]["setuptools"]["package-data"]["nst"]
    for path in (ROOT / "nst").glob("*/assets/*"):
        assert any(path.relative_to(ROOT / "nst").match(pattern) for pattern in patterns), path


def test_settings_that_all_cells_share_are_written_once(tmp_path, folder):
    write_cells([make_sample(tmp_path, place, ratio=str(place)) for place in (0, 1)], tmp_path)
    data = page_data(folder)
    assert (data["settings"]["iterations"], data["settings"]["style_layers"]) == (
        25,
        {"relu1_1": 1},
    )
    assert [one["settings"] for one in data["cells"]] == [{"beta": 10}, {"beta": 20}]


def test_a_number_that_is_not_finite_is_left_out(tmp_path):
    infinite = float("inf")
    losses = {"ssim": float("nan"), "content_distance": infinite, "tv": 1.23456789}
    _, cell = shown(tmp_path, losses=losses, trace={"total": [infinite, 1.0]})
    assert cell["metrics"] == {"tv_loss": 1.23457}
    assert cell["trace"]["total"] == [None, 1]


@pytest.mark.parametrize("length", [0, 1, 2, CURVE_POINTS, CURVE_POINTS + 1, 3000])
def test_a_curve_keeps_its_ends_and_few_points(tmp_path, length):
    _, cell = shown(tmp_path, trace={"total": [float(step) for step in range(1, length + 1)]})
    thinned = cell["trace"].get("evaluation", [])
    assert len(thinned) == min(length, CURVE_POINTS)
    assert thinned[:1] + thinned[-1:] == [1, length] * (length > 0)
    assert cell["trace"].get("total", []) == thinned


def test_a_gallery_of_nothing_is_refused_in_one_line(tmp_path, folder):
    with pytest.raises(UserError, match="A gallery needs at least one cell; got none"):
        write_gallery(pd.DataFrame(), tmp_path / "traces.parquet", tmp_path, folder, title="x")
    assert not folder.exists()


def test_a_lost_picture_is_named_and_the_old_page_stays(tmp_path, folder):
    cell = make_sample(tmp_path, 0)
    write_cells([cell], tmp_path)
    before = page_text(folder)
    cell.path.unlink()
    with pytest.raises(ImageError, match=r"a #0 %.png.*no such file"):
        write_cells([cell], tmp_path)
    assert page_text(folder) == before


# ---------------------------------------------------------------- small copies


def test_only_a_new_or_changed_picture_is_copied_again(tmp_path, folder):
    cells = [make_sample(tmp_path, place, ratio=str(place)) for place in range(3)]
    write_cells(cells, tmp_path)
    before = copies(folder)
    paint(cells[1].path, 77)
    write_cells(cells, tmp_path)
    after = copies(folder)
    assert len(after) == 3
    kept = set(before) & set(after)
    assert len(kept) == 2, "the old copy of the changed picture must be gone"
    assert all(before[name] == after[name] for name in kept)


def test_only_copies_are_removed(tmp_path, folder):
    other = paint(folder / "pictures" / "mine.webp")
    write_cells([make_sample(tmp_path, 0)], tmp_path)
    assert other.is_file()


def copies_of(picture: Path) -> list[Image.Image]:
    """Return the two small copies of a picture, as written."""
    links = link_picture(picture, picture.parent)
    made = []
    for name in ("thumbnail", "preview"):
        with Image.open(picture.parent / links[name]) as copy:
            assert copy.format == "WEBP"
            made.append(copy.copy())
    return made


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1000, 500), [(THUMBNAIL, 200), (PREVIEW, 400)]),
        ((40, 60), [(40, 60)] * 2),
        ((256, 4), [(256, 4)] * 2),
    ],
    ids=["large", "small", "narrow"],
)
def test_copies_are_no_larger_than_asked_for_or_than_the_picture(tmp_path, size, expected):
    made = copies_of(paint(tmp_path / "picture.png", 1, size))
    assert [one.size for one in made] == expected
    assert len(copies(tmp_path)) == len(set(expected)), "a small picture needs only one copy"


def test_a_copy_of_a_cut_out_is_on_white(tmp_path):
    Image.new("RGBA", (64, 48), (200, 0, 0, 0)).save(tmp_path / "cut.png")
    shown, _ = copies_of(tmp_path / "cut.png")
    assert shown.mode == "RGB"
    assert shown.getextrema() == ((255, 255),) * 3


# ---------------------------------------------------------------- from cells to the page


def shown(folder: Path, **changes: object) -> tuple[dict, dict]:
    """Return the data of a gallery page with one cell, and the cell's data."""
    write_cells([make_sample(folder, 0, **changes)], folder)
    data = page_data(folder / "gallery")
    (cell,) = data["cells"]
    return data, cell


def standing(cell: dict) -> tuple[object, ...]:
    return cell["rank"], cell["pareto"], cell["suggested"], bool(cell["suggestion"])


def test_a_cell_of_the_page_says_what_its_row_its_trace_and_its_images_do(tmp_path):
    paint(tmp_path / "inputs" / "content" / "cat.png")
    losses = {"content": 0.25, "style relu1_1": 0.5, "relative_style": 0.75, "tv": float("nan")}
    aims = {"content_distance": 0.5, "style_distance": 0.25}
    data, cell = shown(tmp_path, losses={**losses, **aims})
    (content,), (style,) = data["contents"], data["styles"]
    assert (content["name"], content["title"]) == ("cat", TITLES["cat"])
    assert content["full"] == "../inputs/content/cat.png"
    assert style["full"] is None
    assert cell["metrics"] == {"content_loss": 0.25, "relative_style": 0.75, **aims}
    assert standing(cell) == (1, True, True, True)
    assert data["settings"]["beta"] == 10
    assert cell["trace"]["evaluation"] == [1, 2, 3]
    assert cell["trace"]["total"] == [9, 3, 1.5]
    assert cell["fingerprint"] == make_sample(tmp_path, 0).fingerprint


def test_a_failed_cell_has_its_reason_and_neither_picture_nor_rank(tmp_path):
    _, cell = shown(tmp_path, **FAILED)
    assert standing(cell) == (None, False, False, False)
    assert cell["thumbnail"] is cell["preview"] is cell["full"] is None
    assert (cell["reason"], cell["trace"], cell["metrics"]) == ("no finite loss", {}, {})


def test_names_that_look_like_numbers_or_gaps_stay_names(tmp_path):
    data, cell = shown(tmp_path, content="001", style="NA", layers="null", ratio="1e0")
    (content,), (style,) = data["contents"], data["styles"]
    assert (content["name"], content["title"]) == ("001", "001")
    assert (style["name"], style["title"]) == ("NA", "NA")
    assert [cell[name] for name in NAMES] == ["001", "NA", "null", "1e0"]


def test_every_metric_is_described():
    script = (PAGE / "data.js").read_text("utf-8")
    described = re.findall(
        r'^ +\["(\w+)", "[^"]+", "(?:higher|lower|)", "[^"]+\."\],$', script, re.M
    )
    assert sorted(described) == sorted(METRICS)
