"""The gallery as files: what is written, what is left alone, what is escaped."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import tomllib
from pathlib import Path
from urllib.parse import unquote

import pytest
from conftest import paint
from gallery_samples import HOSTILE, TITLES, make_entry, make_grid
from made_cells import make_cell, make_table
from PIL import Image

from nst.cells.cell import Source
from nst.errors import ImageError, UserError
from nst.gallery.entries import METRICS, Entry, Subject, gallery_entries
from nst.gallery.page import CURVE_POINTS, PAGE, SCRIPTS, curve, write_gallery
from nst.gallery.previews import PREVIEW, THUMBNAIL, Previews

ROOT = Path(__file__).resolve().parents[1]


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


def test_every_cell_is_in_the_page_with_links_that_lead_somewhere(tmp_path: Path, folder: Path):
    entries = make_grid(tmp_path)
    assert write_gallery(entries, folder, title="A run") == folder / "index.html"
    data = page_data(folder)
    assert [
        (one["content"], one["style"], one["layers"], one["ratio"]) for one in data["cells"]
    ] == [(one.content.name, one.style.name, one.layers, one.ratio) for one in entries]
    pictures = [*data["contents"], *data["styles"], *data["cells"]]
    finished = [one for one in pictures if one.get("status") != "failed"]
    assert len(finished) == len(pictures) - 1
    for one in finished:
        for link in ("thumbnail", "preview", "full"):
            assert (folder / unquote(one[link])).is_file()


def test_a_failed_cell_has_its_reason_and_no_picture(tmp_path: Path, folder: Path):
    write_gallery(make_grid(tmp_path), folder, title="A run")
    (failed,) = (one for one in page_data(folder)["cells"] if one["status"] == "failed")
    assert failed["reason"] == "no finite loss"
    assert failed["thumbnail"] is failed["preview"] is failed["full"] is None


def test_names_and_titles_cannot_become_markup(tmp_path: Path, folder: Path):
    write_gallery(make_grid(tmp_path), folder, title=HOSTILE, subtitle="a & b < c")
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


def test_the_policy_allows_exactly_the_style_and_script_that_are_there(
    tmp_path: Path, folder: Path
):
    write_gallery([make_entry(tmp_path, 0)], folder, title="A run")
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
    assert addresses == {"http://www.w3.org/2000/svg"}, "a namespace, which nothing fetches"
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
    for path in PAGE.iterdir():
        assert any(path.relative_to(ROOT / "nst").match(pattern) for pattern in patterns), path


def test_settings_that_all_cells_share_are_written_once(tmp_path: Path, folder: Path):
    write_gallery([make_entry(tmp_path, 0), make_entry(tmp_path, 1, ratio="1")], folder, title="T")
    data = page_data(folder)
    assert data["settings"] == {"iterations": 25, "style_layers": {"relu1_1": 1}}
    assert [one["settings"] for one in data["cells"]] == [{"beta": 10}, {"beta": 20}]


def test_known_metrics_come_first_and_unknown_ones_are_shown_too(tmp_path: Path, folder: Path):
    write_gallery([make_entry(tmp_path, 0)], folder, title="T")
    described = page_data(folder)["metrics"]
    assert [one["name"] for one in described] == ["content_distance", "ssim", "sharpness"]
    assert described[1]["better"] == "higher"
    assert described[2] == {"name": "sharpness", "label": "Sharpness", "better": "", "meaning": ""}


def test_a_number_that_is_not_finite_is_left_out(tmp_path: Path, folder: Path):
    entry = make_entry(
        tmp_path,
        0,
        metrics={"ssim": float("nan"), "total_loss": 1.23456789},
        trace={"evaluation": [1, 2], "total": [float("inf"), 1.0]},
    )
    write_gallery([entry], folder, title="T")
    (cell,) = page_data(folder)["cells"]
    assert cell["metrics"] == {"total_loss": 1.23457}
    assert cell["trace"]["total"] == [None, 1]


@pytest.mark.parametrize("length", [0, 1, 2, CURVE_POINTS, CURVE_POINTS + 1, 3000])
def test_a_curve_keeps_its_ends_and_few_points(length: int):
    thinned = curve({"total": [float(i) for i in range(length)]})
    assert len(thinned["total"]) == len(thinned["evaluation"]) == min(length, CURVE_POINTS)
    if length:
        assert (thinned["evaluation"][0], thinned["evaluation"][-1]) == (1, length)
        assert thinned["total"][-1] == length - 1


def test_a_gallery_of_nothing_is_refused(folder: Path):
    with pytest.raises(UserError, match="needs at least one cell; got none"):
        write_gallery([], folder, title="T")


def test_two_cells_of_one_name_are_refused(tmp_path: Path, folder: Path):
    with pytest.raises(UserError, match="Two cells are named cat/wave/all/1e-1"):
        write_gallery([make_entry(tmp_path, 0), make_entry(tmp_path, 1)], folder, title="T")


def test_a_lost_picture_is_named_and_the_old_page_stays(tmp_path: Path, folder: Path):
    entry = make_entry(tmp_path, 0)
    write_gallery([entry], folder, title="T")
    before = page_text(folder)
    assert entry.picture is not None
    entry.picture.unlink()
    with pytest.raises(ImageError, match=r"a #0 %.png.*no such file"):
        write_gallery([entry], folder, title="T")
    assert page_text(folder) == before


def test_entries_are_taken_one_by_one(tmp_path: Path, folder: Path):
    """Each entry's copies exist before the next is asked for, so none waits in memory."""

    def entries():
        for place in range(3):
            assert len(list((folder / "pictures").glob("*.webp"))) == place
            yield make_entry(tmp_path, place, ratio=str(place))

    write_gallery(entries(), folder, title="T")


# ---------------------------------------------------------------- small copies


def test_only_a_new_or_changed_picture_is_copied_again(tmp_path: Path, folder: Path):
    entries = [make_entry(tmp_path, place, ratio=str(place)) for place in range(3)]
    write_gallery(entries, folder, title="T")
    before = copies(folder)
    assert entries[1].picture is not None
    paint(entries[1].picture, 77, (64, 48))
    write_gallery(entries, folder, title="T")
    after = copies(folder)
    assert len(after) == 3
    kept = set(before) & set(after)
    assert len(kept) == 2, "the old copy of the changed one is gone"
    assert all(before[name] == after[name] for name in kept)


def test_only_copies_are_removed(tmp_path: Path, folder: Path):
    other = paint(folder / "pictures" / "mine.webp")
    write_gallery([make_entry(tmp_path, 0)], folder, title="T")
    assert other.is_file()


def test_copies_are_no_larger_than_asked_for_or_than_the_picture(tmp_path: Path):
    large, small = paint(tmp_path / "l.png", 1, (1000, 500)), paint(tmp_path / "s.png", 2, (40, 60))
    previews = Previews(tmp_path / "copies")
    sizes = []
    for picture in (large, small):
        names = previews.of(picture)
        for name in (names.thumbnail, names.preview):
            with Image.open(previews.folder / name) as copy:
                assert copy.format == "WEBP"
                sizes.append(copy.size)
    assert sizes == [(THUMBNAIL, 200), (PREVIEW, 400), (40, 60), (40, 60)]
    assert len(list(previews.folder.iterdir())) == 3, "a small picture needs one copy"


def test_a_narrow_picture_is_copied_too(tmp_path: Path):
    Image.new("RGB", (256, 4), "navy").save(tmp_path / "panorama.png")
    names = Previews(tmp_path / "copies").of(tmp_path / "panorama.png")
    with Image.open(tmp_path / "copies" / names.thumbnail) as copy:
        assert copy.size == (256, 4)


def test_a_copy_of_a_cut_out_is_on_white(tmp_path: Path):
    Image.new("RGBA", (64, 48), (200, 0, 0, 0)).save(tmp_path / "cut.png")
    copy = Previews(tmp_path / "copies").of(tmp_path / "cut.png").thumbnail
    with Image.open(tmp_path / "copies" / copy) as shown:
        assert shown.mode == "RGB"
        assert shown.getextrema() == ((255, 255),) * 3


def test_a_damaged_picture_is_reported_in_one_line(tmp_path: Path):
    damaged = tmp_path / "cell.png"
    damaged.write_bytes(b"not a picture")
    with pytest.raises(ImageError, match=r"cell\.png"):
        Previews(tmp_path / "copies").of(damaged)


# ---------------------------------------------------------------- entries from cells


def entry_of(folder: Path, **changes: object) -> Entry:
    table, traces = make_table({Path("cell.png"): make_cell(**changes)}, folder)
    (entry,) = gallery_entries(table, traces, folder)
    return entry


def test_an_entry_says_what_its_row_its_trace_and_its_images_do(tmp_path: Path):
    content = paint(tmp_path / "content" / "cat.png")
    losses = {"content": 0.25, "style relu1_1": 0.5, "relative_style": 0.75, "tv": float("nan")}
    aims = {"content_distance": 0.5, "style_distance": 0.25}
    entry = entry_of(tmp_path, losses={**losses, **aims})
    assert entry.content == Subject("cat", "Chelsea die Kätzin 猫", content)
    assert entry.style.picture is None
    assert entry.metrics == {"content_loss": 0.25, "relative_style": 0.75, **aims}
    assert (entry.rank, entry.pareto, entry.suggested) == (1, True, True)
    assert entry.suggestion
    assert entry.settings["beta"] == 100
    assert entry.trace["evaluation"] == [1, 2, 3]
    assert entry.trace["total"] == [3.0, 2.0, 1.5]
    assert entry.fingerprint == make_cell().fingerprint


def test_a_cell_that_was_not_measured_has_no_rank(tmp_path: Path):
    entry = entry_of(tmp_path)
    assert (entry.rank, entry.pareto, entry.suggested, entry.suggestion) == (None, False, False, "")


def test_a_failed_cell_has_no_picture_and_no_rank(tmp_path: Path):
    entry = entry_of(tmp_path, status="failed", reason="no finite loss", losses={}, trace={})
    assert (entry.picture, entry.rank, entry.pareto, entry.metrics) == (None, None, False, {})
    assert (entry.reason, entry.trace) == ("no finite loss", {})


def test_names_that_look_like_numbers_or_gaps_stay_names(tmp_path: Path):
    entry = entry_of(tmp_path, content=Source("001", "NA", "c" * 64), layers="null", ratio="1e0")
    assert (entry.content.name, entry.content.title) == ("001", "NA")
    assert (entry.layers, entry.ratio) == ("null", "1e0")


def test_the_metrics_are_described():
    assert len({one.name for one in METRICS}) == len(METRICS)
    for one in METRICS:
        assert one.meaning.endswith("."), one.name
