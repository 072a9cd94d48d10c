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
from nst.cells.cell import PIXELS, Cell, draw_failure, read_record, write_details
from nst.cells.pair import Pair, stylize_pair
from nst.cells.store import CellStore
from nst.config.prints import PrintFile
from nst.errors import ConfigError
from nst.figures.grids import draw_strip, save_animation
from nst.imaging.images import load_image, save_png
from nst.imaging.srgb import pixel_digest
from nst.method import transfer as transfer_module
from nst.network.extractor import file_digest
from nst.reports.summary import summarise
from nst.system.device import describe_device, describe_machine

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
    assert [cell.settings.beta for cell in cells] == [1.0, 10.0]
    for cell, one in zip(cells, wanted(1.0, 10.0), strict=True):
        assert cell.status == "finished"
        assert pixels(one.path).shape == (24, 32, 3), "the content's shape, scaled to 32 px"
        record = read_record(one.path)
        levels = b"32x24:" + pixels(one.path).tobytes()
        assert record.pop(PIXELS) == hashlib.sha256(levels).hexdigest()
        assert record == json.loads(json.dumps(cell.record()))
        assert record["machine"] == describe_machine(CPU)


def test_a_cell_knows_its_inputs_by_their_pixels_its_network_by_its_file_and_its_losses(
    pair, wanted
):
    (cell,) = stylize_pair(pair, wanted(1.0), CPU)
    assert (cell.content.name, cell.content.title) == ("cat", "Chelsea the cat")
    assert (cell.style.name, cell.style.title) == ("night", "The Starry Night")
    assert cell.content.digest == pixel_digest(load_image(pair.content))
    assert cell.style.digest == pixel_digest(load_image(pair.style))
    assert cell.extractor_digest == file_digest(pair.extractor)
    assert (cell.layers, cell.ratio) == ("all", "1e+00")
    assert (cell.device, cell.attempts) == (describe_device(CPU), 1)
    assert {"content", "style", "tv", "total", "content relu2_1"} <= set(cell.losses)
    assert all(np.isfinite(loss) for loss in cell.losses.values())
    assert len(cell.trace["total"]) == cell.settings.iterations
    assert cell.seconds > 0


def test_a_panorama_is_made_and_made_again_from_its_narrow_cell(pair, wanted):
    layers = {"content_layers": {"relu1_1": 1}, "style_layers": {"relu1_1": 1}}
    paint(pair.content, seed=1, size=(512, 32))
    (small,) = chosen = wanted(1.0, **layers)
    assert stylize_pair(pair, chosen, CPU)[0].height == 2
    larger = wanted(1.0, folder="print", **layers, image_size=64, start="file")
    (cell,) = stylize_pair(dataclasses.replace(pair, start=small.path), larger, CPU)
    assert (cell.width, cell.height, cell.status) == (64, 4, "finished")


def test_the_style_scale_sets_the_size_at_which_the_style_is_looked_at(pair, wanted, monkeypatch):
    sizes = []
    real = transfer_module.measure_targets

    def measured(extractor, content, regions, *rest, **options):
        ((style,),) = ([part.image for part in one.parts] for one in regions)
        sizes.append((max(content.shape[-2:]), max(style.shape[-2:])))
        return real(extractor, content, regions, *rest, **options)

    monkeypatch.setattr(transfer_module, "measure_targets", measured)
    for scale in (0.5, 1, 2.5):
        stylize_pair(pair, wanted(1.0, style_scale=scale), CPU)
    assert sizes == [(32, 16), (32, 32), (32, 80)]


def test_the_same_pixels_give_the_same_bytes_whatever_the_format(pair, wanted):
    load_image(pair.style).save(pair.style.with_suffix(".bmp"))
    again = dataclasses.replace(pair, style=pair.style.with_suffix(".bmp"))
    for one, folder in ((pair, "first"), (pair, "second"), (again, "third")):
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


def on_paper(pair: Pair) -> Pair:
    """The same pair with its content composited on white, in a separate file."""
    path = pair.content.with_name("white.png")
    save_png(load_image(pair.content), path)
    return dataclasses.replace(pair, content=path)


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
    (opaque,) = stylize_pair(on_paper(cutting), wanted(1.0, folder="white"), CPU)
    assert cell.losses == opaque.losses
    with Image.open(wanted(1.0, folder="cut")[0].path) as made:
        redrawn = pixels(wanted(1.0, folder="white")[0].path)
        assert np.array_equal(np.asarray(made)[..., :3], redrawn)


def test_the_alpha_of_a_style_counts_for_nothing(pair, wanted):
    style = cut(paint(pair.style.with_name("cut.png"), seed=2))
    with_alpha = dataclasses.replace(pair, style=style)
    save_png(load_image(style), pair.style.with_name("white.png"))
    opaque = dataclasses.replace(pair, style=pair.style.with_name("white.png"))
    for one, folder in ((with_alpha, "first"), (opaque, "second")):
        stylize_pair(one, wanted(1.0, folder=folder), CPU)
    first, second = (wanted(1.0, folder=folder)[0].path for folder in ("first", "second"))
    assert first.read_bytes() == second.read_bytes()


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
    pair, wanted, computed, tmp_path
):
    store = CellStore(tmp_path / "store")
    stylize_pair(pair, wanted(1.0), CPU, store)
    stylize_pair(pair, as_print(wanted(1.0), "png"), CPU, store)
    assert computed == [1.0]
    for _ in range(2):
        stylize_pair(pair, as_print(wanted(1.0)), CPU, store)
    assert computed == [1.0, 1.0]
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


def test_an_interrupted_job_keeps_what_it_had_finished(pair, wanted, computed, tmp_path):
    store = CellStore(tmp_path / "store")

    def interrupt(places, _evaluation, _of, _losses) -> None:
        if 1 in places:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stylize_pair(pair, wanted(1.0, 10.0), CPU, store, on_evaluation=interrupt)
    assert wanted(1.0)[0].path.exists()
    stylize_pair(pair, wanted(1.0, 10.0), CPU, store)
    assert computed == [1.0, 10.0, 10.0]


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
    assert "starting it again with 0.1 times the step size" in caplog.text
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
