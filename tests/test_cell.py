import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from configurations import other_values
from hypothesis import example, given
from hypothesis import strategies as st
from made_cells import make_cell, make_image

from nst.cells import cell as cell_module
from nst.cells.cell import (
    PIXELS,
    TRACE_POINTS,
    Cell,
    Source,
    current_versions,
    draw_failure,
    read_details,
    read_record,
    write_cell,
    write_details,
)
from nst.config.settings import Settings
from nst.errors import CellError
from nst.imaging.images import load_image, save_png
from nst.imaging.srgb import pixel_digest


def test_the_picture_carries_the_record_that_makes_it_again(tmp_path):
    written = tmp_path / "deep" / "cell.png"
    write_cell(make_cell(), make_image(), written)
    record = read_record(written)
    assert record == {**make_cell().record(), PIXELS: pixel_digest(make_image())}
    assert Settings.from_mapping(record["settings"]) == make_cell().settings
    assert np.array_equal(load_image(written), make_image())
    assert list(written.parent.iterdir()) == [written], "no other file may be left"


PAIR = {"1e-2.png": make_cell(), "1e-1.png": make_cell(ratio="1e-1", losses={"total": 0.5})}


@pytest.fixture
def details(tmp_path) -> Path:
    """Write the details of two cells, not in alphabetical order."""
    folder = tmp_path / "results"
    path = folder / "details" / "cat" / "night.json"
    cells = folder / "cells" / "cat" / "night" / "all"
    write_details({cells / name: cell for name, cell in PAIR.items()}, path)
    return path


def test_the_cells_of_a_pair_are_read_back_from_its_details(details):
    again = read_details(details)
    assert [path.name for path in again] == list(PAIR), "the order must be kept"
    for cell, before in zip(again.values(), PAIR.values(), strict=True):
        assert cell.details() == before.details()
        assert (cell.settings, cell.content) == (before.settings, before.content)
        assert cell.fingerprint == before.fingerprint


def test_results_can_be_moved_and_read_from_anywhere(details, tmp_path, monkeypatch):
    (tmp_path / "results").rename(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    again = read_details(Path("elsewhere/details/cat/night.json"))
    assert list(again) == [Path(f"elsewhere/cells/cat/night/all/1e-{n}.png") for n in (2, 1)]


def test_a_failed_cell_is_read_back_with_its_reason(tmp_path):
    failed = make_cell(status="failed", reason="no finite loss", losses={}, trace={})
    write_cell(failed, draw_failure(64, 48), tmp_path / "cell.png")
    write_details({tmp_path / "cell.png": failed}, tmp_path / "pair.json")
    (again,) = read_details(tmp_path / "pair.json").values()
    assert (again.status, again.reason, again.losses) == ("failed", "no finite loss", {})
    assert read_record(tmp_path / "cell.png")["status"] == "failed"


def test_the_same_cell_is_the_same_picture_file_however_long_it_took(tmp_path):
    paths = [tmp_path / name for name in ("one.png", "two.png")]
    slow = make_cell(seconds=1000.0, trace={"total": [1.0]}, reused=True)
    for cell, path in zip((make_cell(), slow), paths, strict=True):
        write_cell(cell, make_image(), path)
    assert paths[0].read_bytes() == paths[1].read_bytes()
    assert make_cell().details() != slow.details()


# ---------------------------------------------------------------- files that are no cells


@pytest.mark.parametrize("text", [None, "", "[]", "{"])
def test_a_picture_without_a_text_of_nst_has_no_record(tmp_path, text):
    save_png(make_image(), tmp_path / "photo.png", {} if text is None else {"nst": text})
    with pytest.raises(CellError, match=r"photo\.png has no record of nst"):
        read_record(tmp_path / "photo.png")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "[]",
        lambda text: "[5]",
        lambda text: "{}",
        lambda text: text.replace('"picture"', '"image"'),
        lambda text: text.replace('"image_size": 64', '"image_size": 6'),
        lambda text: text.replace('"attempts": 1,', ""),
    ],
)
def test_damaged_details_are_refused_with_the_remedy(details, damage):
    text = details.read_text(encoding="utf-8")
    assert damage(text) != text
    details.write_text(damage(text), encoding="utf-8")
    with pytest.raises(CellError, match=r"^.*night\.json cannot be read .* Delete it; .*store\.$"):
        read_details(details)


def test_missing_details_are_refused_with_the_remedy(details):
    details.unlink()
    with pytest.raises(CellError, match=r"night\.json is missing; run snakemake without a target"):
        read_details(details)


# ---------------------------------------------------------------- the fingerprint

OTHER_VALUES = other_values(make_cell().settings)


def test_every_setting_changes_the_fingerprint():
    assert set(OTHER_VALUES) == {one.name for one in dataclasses.fields(Settings)}
    settings = make_cell().settings
    changed = [dataclasses.replace(settings, **{name: to}) for name, to in OTHER_VALUES.items()]
    cells = [make_cell(settings=one) for one in (settings, *changed)]
    assert len({cell.fingerprint for cell in cells}) == len(cells), "the fingerprints must differ"


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"content": Source("cat", "Chelsea die Kätzin 猫", "d" * 64)}, False),
        ({"style": Source("night", "The Starry Night", "d" * 64)}, False),
        ({"content": make_cell().style, "style": make_cell().content}, False),
        ({"extractor_digest": "d" * 64}, False),
        ({"start_digest": "d" * 64}, False),
        ({"content": Source("tom", "Another title", "c" * 64)}, True),
        ({"style": Source("stars", "Another title", "5" * 64)}, True),
        ({"layers": "balanced", "ratio": "1.0e-2", "formulation": "other"}, True),
        ({"seconds": 99.0, "attempts": 2, "reused": True}, True),
        ({"device": "cuda: H200", "versions": {}, "losses": {}, "trace": {}}, True),
    ],
)
def test_pixels_and_weights_decide_the_fingerprint_and_names_do_not(change, same):
    assert (make_cell(**change).fingerprint == make_cell().fingerprint) == same


def test_the_fingerprint_is_the_same_in_every_process(monkeypatch):
    """The values are pinned: a change would recompute every finished cell of every user."""
    monkeypatch.setattr(cell_module, "ALGORITHM_VERSION", 1)
    settings = dataclasses.replace(make_cell().settings, **OTHER_VALUES)
    pinned = "0e8c0a9426fd96e6b02261976040d83b46b5ae49f8cb9f0932326e719e2b932b"
    assert make_cell(settings=settings).fingerprint == pinned


# ---------------------------------------------------------------- the trace


@given(st.integers(0, 2000))
@example(1)
@example(TRACE_POINTS)
@example(TRACE_POINTS + 1)
def test_a_trace_is_thinned_to_its_shape(length):
    totals = [float(length - place) for place in range(length)]
    thin = make_cell(trace={"total": totals}).details()["trace"]
    numbers = thin["evaluation"]
    assert len(numbers) == min(length, TRACE_POINTS)
    assert thin["total"] == [totals[number - 1] for number in numbers], "each keeps its number"
    if length:
        assert (numbers[0], numbers[-1]) == (1, length), "the first and the last are kept"
        assert np.ptp(np.diff(numbers)) <= 1 if length > 1 else True, "evenly spaced"


@given(st.integers(0, 1000))
def test_a_cell_that_is_written_anew_keeps_its_trace(length):
    cell = make_cell(trace={"total": [1.0 / (place + 1) for place in range(length)]})
    details = json.loads(json.dumps(cell.details()))
    assert Cell.from_record(details).details() == details


# ---------------------------------------------------------------- other files of a cell


@pytest.mark.parametrize(("width", "height"), [(64, 48), (256, 16), (32, 512)])
def test_a_failed_cell_is_a_grey_field_crossed_out(width, height):
    values = np.asarray(draw_failure(width, height))
    assert values.shape == (height, width, 3)
    grey = values[0, width // 2]
    for turned in (values, values[::-1], values[:, ::-1], values[::-1, ::-1]):
        corner = turned[: height // 4, : width // 4]
        assert (corner < grey).any(), "the cross reaches every corner"
    assert (values == grey).mean() > 0.5, "most of it must be empty"


def test_the_versions_name_what_computes_the_pixels():
    versions = current_versions()
    assert set(versions) == {"nst", "python", "torch", "torchvision", "numpy", "pillow"}
    assert all(version[0].isdigit() for version in versions.values())
