import dataclasses
import hashlib
import json
import logging
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from conftest import POISON, cut, paint
from deep_files import deep_levels, eight_bits
from PIL import Image

from nst.cells import pair as pair_module
from nst.cells.cell import PIXELS, Cell, Source, draw_failure, read_record, write_details
from nst.cells.pair import Pair, stylize_pair
from nst.cells.store import CellStore
from nst.config.prints import PrintFile
from nst.errors import ConfigError
from nst.figures.grids import draw_strip, save_animation
from nst.imaging.images import load_image, save_png
from nst.imaging.srgb import pixel_digest
from nst.reports.summary import MEASURES, summarise
from nst.system.device import describe_device, describe_machine
from nst.system.files import file_digest

CPU = torch.device("cpu")


@pytest.fixture
def computed(monkeypatch) -> list[float]:
    """Record the beta of every cell that is computed, not restored."""
    betas: list[float] = []
    real = pair_module.make_cells

    def counted(extractor, images, cells, **options):
        betas.extend(cell.beta for cell in cells)
        return real(extractor, images, cells, **options)

    monkeypatch.setattr(pair_module, "make_cells", counted)
    return betas


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert (image.format, image.mode) == ("PNG", "RGB")
        return np.asarray(image)


# ---------------------------------------------------------------- written files


def test_every_cell_is_written_with_all_that_made_it(pair, wanted):
    cells = stylize_pair(pair, wanted(1.0, 10.0), CPU)
    for cell, one in zip(cells, wanted(1.0, 10.0), strict=True):
        assert (cell.settings.beta, cell.status) == (one.settings.beta, "finished")
        assert pixels(one.path).shape == (24, 32, 3), "the content's shape, scaled to 32 px"
        record = read_record(one.path)
        levels = b"32x24:" + pixels(one.path).tobytes()
        assert record.pop(PIXELS) == hashlib.sha256(levels).hexdigest()
        assert record == json.loads(json.dumps(cell.record()))
    first = cells[0]
    of_content, of_style = (pixel_digest(load_image(one)) for one in (pair.content, pair.style))
    assert first.content == Source("cat", "Chelsea the cat", of_content)
    assert first.style == Source("night", "The Starry Night", of_style)
    assert first.extractor_digest == file_digest(pair.extractor)
    assert (first.layers, first.ratio, first.attempts) == ("all", "1e+00", 1)
    assert (first.device, first.machine) == (describe_device(CPU), describe_machine(CPU))
    assert {"content", "style", "tv", "total", "content relu2_1", *MEASURES} <= set(first.losses)
    assert all(np.isfinite(loss) for loss in first.losses.values())
    assert len(first.trace["total"]) == first.settings.iterations
    assert first.seconds > 0


def test_a_panorama_is_made_and_made_again_from_its_narrow_cell(pair, wanted):
    layers = {"content_layers": {"relu1_1": 1}, "style_layers": {"relu1_1": 1}}
    paint(pair.content, seed=1, size=(512, 32))
    (small,) = chosen = wanted(1.0, **layers)
    assert stylize_pair(pair, chosen, CPU)[0].height == 2
    larger = wanted(1.0, folder="print", **layers, image_size=64, start="file")
    (cell,) = stylize_pair(dataclasses.replace(pair, start=small.path), larger, CPU)
    assert (cell.width, cell.height, cell.status) == (64, 4, "finished")


def test_the_same_pixels_on_white_give_the_same_bytes_whatever_the_format(pair, wanted):
    soft = dataclasses.replace(pair, style=cut(paint(pair.style.with_name("cut.png"), seed=2)))
    opaque = dataclasses.replace(pair, style=pair.style.with_suffix(".bmp"))
    load_image(soft.style).save(opaque.style)
    for one, folder in ((soft, "first"), (soft, "second"), (opaque, "third")):
        stylize_pair(one, wanted(1.0, 10.0, folder=folder), CPU)
    made = [
        [one.path.read_bytes() for one in wanted(1.0, 10.0, folder=folder)]
        for folder in ("first", "second", "third")
    ]
    assert made[0] == made[1] == made[2]
    assert made[0][0] != made[0][1]


# ---------------------------------------------------------------- contents with transparency


@pytest.fixture
def cutting(pair) -> Pair:
    """The pair with a content whose left part is transparent."""
    cut(pair.content)
    return pair


def test_a_cell_is_as_transparent_as_its_content(cutting, wanted):
    (cell,) = stylize_pair(cutting, wanted(1.0), CPU)
    with Image.open(cutting.content) as content, Image.open(wanted(1.0)[0].path) as made:
        assert (made.mode, made.size) == ("RGBA", (32, 24))
        expected = content.getchannel("A").resize(made.size, Image.Resampling.LANCZOS)
        assert np.array_equal(made.getchannel("A"), expected)
        assert read_record(wanted(1.0)[0].path)[PIXELS] == pixel_digest(made)
    assert cell.content.digest == pixel_digest(load_image(cutting.content, keep_alpha=True))


def test_a_cut_out_is_redrawn_and_judged_as_it_looks_on_white(cutting, wanted):
    (cell,) = stylize_pair(cutting, wanted(1.0, folder="cut"), CPU)
    save_png(load_image(cutting.content), cutting.content.with_name("white.png"))
    on_paper = dataclasses.replace(cutting, content=cutting.content.with_name("white.png"))
    (opaque,) = stylize_pair(on_paper, wanted(1.0, folder="white"), CPU)
    assert cell.losses == opaque.losses
    with Image.open(wanted(1.0, folder="cut")[0].path) as made:
        redrawn = pixels(wanted(1.0, folder="white")[0].path)
        assert np.array_equal(np.asarray(made)[..., :3], redrawn)


def test_the_pictures_on_the_way_are_cut_out_too_and_shown_on_white(cutting, wanted, tmp_path):
    way = tmp_path / "snapshots.png"
    (one,) = wanted(1.0, snapshots=[0, 4])
    stylize_pair(cutting, [dataclasses.replace(one, snapshots=way)], CPU)
    with Image.open(way) as stacked, Image.open(one.path) as made:
        assert stacked.size == (32, 48)
        assert np.array_equal(stacked.crop((0, 24, 32, 48)).getchannel("A"), made.getchannel("A"))
    strip = draw_strip(way, [0, 4])
    assert strip.mode == "RGB"
    save_animation(way, [0, 4], tmp_path / "way.webp")
    with Image.open(tmp_path / "way.webp") as animation:
        assert animation.n_frames == 2
        assert animation.convert("RGBA").getchannel("A").getextrema()[0] == 0


# ---------------------------------------------------------------- prints


def as_print(wanted: list[Cell], kind: str = "tiff16", dpi: int = 300) -> list[Cell]:
    return [dataclasses.replace(one, print_file=PrintFile(kind, dpi)) for one in wanted]


@pytest.mark.parametrize(("kind", "name"), [("png16", "1-16bit.png"), ("tiff16", "1.tif")])
def test_a_print_holds_the_optimiser_s_pixels_and_rounded_they_are_its_cell_s(
    cutting, wanted, kind, name
):
    stylize_pair(cutting, wanted(1.0, folder="cell"), CPU)
    (one,) = as_print(wanted(1.0), kind)
    stylize_pair(cutting, [one], CPU)
    levels = deep_levels(one.path.with_name(name))
    assert levels.shape == (24, 32, 4)
    assert len(np.unique(levels[..., :3])) > 256
    for path in (one.path, wanted(1.0, folder="cell")[0].path):
        with Image.open(path) as image:
            assert np.array_equal(eight_bits(levels), image)


def test_a_cell_of_eight_bits_in_the_store_is_computed_again_for_sixteen(
    pair, wanted, computed, tmp_path, caplog
):
    caplog.set_level(logging.INFO)
    store = CellStore(tmp_path / "store")
    stylize_pair(pair, wanted(1.0), CPU, store)
    stylize_pair(pair, as_print(wanted(1.0), "png"), CPU, store)
    assert computed == [1.0]
    for _ in range(2):
        stylize_pair(pair, as_print(wanted(1.0)), CPU, store)
    assert computed == [1.0, 1.0]
    assert "has 8 bits; recomputing it in 16" in caplog.text
    stylize_pair(pair, wanted(1.0, folder="cell"), CPU, store)
    assert computed == [1.0, 1.0], "the print's entry also serves the cell"
    with Image.open(tmp_path / "cell" / "1.png") as image:
        assert "dpi" not in image.info


def test_a_print_of_a_cut_out_that_fails_is_crossed_out_in_every_file(cutting, wanted, poisoned):
    (one,) = as_print(wanted(POISON))
    (cell,) = stylize_pair(cutting, [one], CPU)
    assert cell.status == "failed"
    assert np.array_equal(pixels(one.path), draw_failure(32, 24))
    levels = deep_levels(one.path.with_suffix(".tif"))
    assert np.array_equal(eight_bits(levels), draw_failure(32, 24))


# ---------------------------------------------------------------- reuse


def test_a_new_variant_is_all_that_is_computed(pair, wanted, computed, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    store = CellStore(tmp_path / "store")
    stylize_pair(pair, wanted(1.0, 10.0), CPU, store)
    cells = stylize_pair(pair, wanted(1.0, 5.0, 10.0), CPU, store)
    assert computed == [1.0, 10.0, 5.0]
    assert [cell.settings.beta for cell in cells] == [1, 5, 10], "in the order of the request"
    assert [cell.reused for cell in cells] == [True, False, True]
    assert "cat × night: 2 of 3 cells were finished before" in caplog.text
    assert "cat × night: 1 cell made in" in caplog.text
    assert all(one.path.exists() for one in wanted(1.0, 5.0, 10.0))


def test_cells_of_another_version_are_taken_and_that_is_said(
    pair, wanted, tmp_path, caplog, monkeypatch
):
    caplog.set_level(logging.INFO)
    store = CellStore(tmp_path / "store")
    stylize_pair(pair, wanted(1.0), CPU, store)
    stylize_pair(pair, wanted(1.0), CPU, store)
    assert "computed under other conditions" not in caplog.text
    monkeypatch.setattr(pair_module, "current_versions", lambda: {"torch": "99"})
    (cell,) = stylize_pair(pair, wanted(1.0), CPU, store)
    assert cell.reused
    assert "1 of them were computed under other conditions: " in caplog.text
    assert f"torch {cell.versions['torch']} then, 99 now" in caplog.text


def test_an_entry_that_another_job_replaces_meanwhile_is_made_again(
    pair, wanted, computed, tmp_path, monkeypatch
):
    store = CellStore(tmp_path / "store")
    stylize_pair(pair, wanted(1.0), CPU, store)
    real = CellStore.find

    def find(self, fingerprint, **options):
        found = real(self, fingerprint, **options)
        shutil.rmtree(self._entry(fingerprint))
        return found

    monkeypatch.setattr(CellStore, "find", find)
    (cell,) = stylize_pair(pair, wanted(1.0, folder="again"), CPU, store)
    assert computed == [1.0, 1.0]
    assert not cell.reused


def test_a_print_no_larger_than_its_cell_is_refused(pair, wanted):
    (small,) = wanted(1.0)
    stylize_pair(pair, [small], CPU)
    (large,) = wanted(1.0, folder="print", start="file")
    large = dataclasses.replace(large, print_file=PrintFile())
    with pytest.raises(ConfigError, match=r"larger than its cell, 32 px; got 32\."):
        stylize_pair(dataclasses.replace(pair, start=small.path), [large], CPU)


def test_equal_cells_are_made_once_and_written_under_each_name(pair, wanted, computed, tmp_path):
    store = CellStore(tmp_path / "store")
    first, other = wanted(1.0, 10.0, snapshots=(0, 4))
    twin = dataclasses.replace(first, layers="few", path=tmp_path / "out" / "twin.png")
    stacked = [
        dataclasses.replace(one, snapshots=one.path.with_suffix(".all.png"))
        for one in (first, other, twin)
    ]
    cells = stylize_pair(pair, stacked, CPU, store)
    assert computed == [1.0, 10.0]
    assert [cell.reused for cell in cells] == [False, False, True]
    assert [read_record(one.path)["layers"] for one in stacked] == ["all", "all", "few"]
    assert np.array_equal(pixels(first.path), pixels(twin.path))
    assert stacked[0].snapshots.read_bytes() == stacked[2].snapshots.read_bytes()
    assert len(list((tmp_path / "store").rglob("cell.png"))) == 2
    again = stylize_pair(pair, stacked, CPU, store)
    assert all(cell.reused for cell in again)


# ---------------------------------------------------------------- failures


@pytest.mark.usefixtures("poisoned")
def test_a_failing_cell_leaves_the_others_intact(pair, wanted, computed, tmp_path, caplog):
    store = CellStore(tmp_path / "store")
    all_wanted = wanted(1.0, POISON, 10.0)
    cells = stylize_pair(pair, all_wanted, CPU, store)
    by_beta = {cell.settings.beta: cell for cell in cells}
    assert by_beta[POISON].status == "failed"
    assert by_beta[POISON].attempts == 2
    assert "stopped being a finite number, twice. Try other weights" in by_beta[POISON].reason
    assert "cell 2 stopped being a finite number; starting it again with 0.1 times" in caplog.text
    named = f"cat × night, all, {1 / POISON:.0e}"
    assert f"{named}: {by_beta[POISON].reason}" in caplog.text
    failed = all_wanted[1].path
    assert np.array_equal(pixels(failed), np.asarray(draw_failure(32, 24)))
    assert read_record(failed)["status"] == "failed"
    for one in (all_wanted[0], all_wanted[2]):
        assert read_record(one.path)["status"] == "finished"
    assert len(list((tmp_path / "store").rglob("cell.png"))) == 2, "failed cells are not stored"
    stylize_pair(pair, all_wanted, CPU, store)
    assert computed == [1.0, POISON, 10.0, POISON], "only the failed cell is retried"


# ---------------------------------------------------------------- progress


def test_the_progress_counts_no_size_that_is_skipped(pair, wanted):
    paint(pair.content, seed=1, size=(512, 128))
    seen = []
    grown = {"image_size": 256, "growth": 5}  # at 64 px it is only 16 px wide, which is too narrow
    chosen = wanted(1.0, **grown)
    cells = stylize_pair(pair, chosen, CPU, on_evaluation=lambda _, *of: seen.append(of[:2]))
    assert seen[-1] == (5 + 4, 5 + 4)
    details = chosen[0].path.with_suffix(".json")
    write_details({chosen[0].path: cells[0]}, details)
    assert list(summarise([details])["iterations"]) == [5 + 4]


@pytest.mark.parametrize(
    ("steps", "share", "left"),
    [([*range(1, 101), *range(1, 51)], 50, 50), ([*range(61, 91)], 90, 10)],
    ids=["a second attempt", "after a kill"],
)
def test_the_pace_is_that_of_all_steps_of_this_process(caplog, monkeypatch, steps, share, left):
    caplog.set_level(logging.INFO)
    now = [0.0]
    monkeypatch.setattr(pair_module, "time", SimpleNamespace(monotonic=lambda: now[0]))
    report = pair_module._reporter("cat × night", 1, 100)
    for taken in steps:
        now[0] += 1.0
        report((0,), taken, 100, torch.zeros(4, 1))
    assert caplog.messages[-1].startswith(f"cat × night: {share} % of 1 cells, ")
    assert caplog.messages[-1].endswith(f" {left} s left"), "a step takes a second"


def test_every_evaluation_of_every_cell_counts_as_progress_and_is_logged(
    pair, wanted, caplog, monkeypatch
):
    monkeypatch.setattr(pair_module, "SECONDS_BETWEEN_REPORTS", 0)
    caplog.set_level(logging.INFO)
    stylize_pair(pair, wanted(1.0, 10.0), CPU)
    reports = [line for line in caplog.messages if "% of 2 cells" in line]
    shares = [int(line.split()[3]) for line in reports]
    assert shares == [12, 25, 38, 50, 62, 75, 88, 100]
    assert all("content 0." in line or "content 1." in line for line in reports)
