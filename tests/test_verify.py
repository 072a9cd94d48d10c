"""Verifying recomputes a picture from its record and reports every difference."""

import json
import re
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import TINY, cut, paint, random_network, small_settings
from PIL import Image, ImageOps, PngImagePlugin

from nst.cells.cell import TEXT_KEY, Cell, read_record
from nst.cells.pair import Pair, stylize_pair
from nst.cells.sources import Given
from nst.cells.verify import COARSE, choose_pictures, compare, exit_status, verify
from nst.config.prints import PrintFile
from nst.config.settings import ALGORITHM_VERSION, Settings
from nst.errors import CellError
from nst.imaging.images import load_image, save_png
from nst.imaging.srgb import pixel_digest
from nst.network.extractor import Extractor, save_extractor
from nst.network.kmeans import fit_kmeans
from nst.system.device import choose_device

# Large enough to be accepted as an input picture.
settings = partial(small_settings, image_size=48, iterations=6, extractor="kmeans")


def make(
    results: Path,
    path: str,
    settings: Settings,
    name: str = "cat",
    start: Path | None = None,
    **options: Any,
) -> Path:
    """Render a cell on this machine and return the path of its picture."""
    content, style = results / f"inputs/content/{name}.png", results / "inputs/style/night.png"
    extractor = results / "extractors/kmeans.safetensors"
    pair = Pair(content, name, "Chelsea 猫", style, "night", "Night", extractor, start)
    wanted = Cell("all", "1e-1", "relative", settings, results / path, **options)
    stylize_pair(pair, [wanted], choose_device("cpu"))
    return wanted.path


ONE, OTHER = (f"cells/cat/night/all/1e-{number}.png" for number in (1, 2))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder with two cells, the inputs of their pair, one more input, and an extractor."""
    folder = tmp_path_factory.mktemp("made")
    paint(folder / "inputs/content/other.png", 3)
    paint(folder / "inputs/content/cat.png", 1)
    paint(folder / "inputs/style/night.png", 2, (56, 64))
    save_extractor(random_network(TINY), folder / "extractors/kmeans.safetensors")
    make(folder, ONE, settings(beta=10.0))
    make(folder, OTHER, settings(beta=100.0))
    return folder


@pytest.fixture
def results(made: Path, tmp_path: Path) -> Path:
    """A copy of that folder, which a test may change."""
    return Path(shutil.copytree(made, tmp_path / "results"))


@pytest.fixture
def cell(results: Path) -> Path:
    return results / ONE


def rewrite(path: Path, image: Image.Image | None = None, **changes: object) -> None:
    """Change a cell's picture or text and save it as another program would, keeping the text."""
    record = read_record(path)
    if image is None:
        with Image.open(path) as before:
            image = before.convert("RGB")
    text = PngImagePlugin.PngInfo()
    text.add_itxt(TEXT_KEY, json.dumps(record | changes))
    image.save(path, pnginfo=text, compress_level=1)


# ---------------------------------------------------------------- identical results


def test_a_cell_comes_out_identical_on_the_machine_that_made_it(cell):
    before = {path: path.stat().st_mtime_ns for path in cell.parents[4].rglob("*")}
    found = verify(cell, Given())
    assert (found.verdict, found.changed) == ("identical", {})
    assert found.difference.largest == 0
    assert max(found.difference.losses.values()) == 0
    assert {path: path.stat().st_mtime_ns for path in cell.parents[4].rglob("*")} == before


def test_it_is_made_with_as_many_threads_as_then(cell, monkeypatch):
    record = read_record(cell)
    assert record["machine"]["threads"] == str(torch.get_num_threads())
    used: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", used.append)
    monkeypatch.setattr(torch, "get_num_threads", lambda: used[-1])
    rewrite(cell, machine=record["machine"] | {"threads": "2"})
    assert verify(cell, Given()).changed == {}
    found = verify(cell, Given(), threads=3)
    assert used == [2, 3]
    assert found.changed == {"threads": {"then": "2", "now": "3"}}


def test_the_inputs_are_found_by_what_they_are_and_not_by_their_names(cell, results):
    (results / "inputs/content/cat.png").rename(results / "inputs/content/zebra.png")
    paint(results / "inputs/content/cat.png", 9)
    (results / "extractors/kmeans.safetensors").rename(results / "extractors/old.safetensors")
    (results / "extractors/kmeans.safetensors").write_bytes(b"another")
    (results / "inputs/style/broken.png").write_bytes(b"no picture")
    assert verify(cell, Given()).verdict == "identical"


def test_a_picture_that_was_moved_is_verified_with_files_named_by_the_user(cell, results, tmp_path):
    moved = cell.rename(tmp_path / "best.png")
    # This file has the same pixels in another format.
    with Image.open(results / "inputs/content/cat.png") as image:
        image.save(tmp_path / "cat.tiff")
    given = Given(
        content=tmp_path / "cat.tiff",
        style=(results / "inputs/style/night.png",),
        extractor=results / "extractors/kmeans.safetensors",
    )
    assert verify(moved, given).verdict == "identical"
    assert verify(moved, Given(results=results)).verdict == "identical"


@pytest.mark.parametrize("alter", [lambda path: path, cut], ids=["whole", "cut out"])
def test_a_cell_that_starts_from_a_file_needs_that_file(results, tmp_path, alter):
    start = alter(paint(tmp_path / "start.png", 7))
    path = make(results, "cells/started.png", settings(start="file"), start=start)
    missing = verify(path, Given())
    assert missing.verdict == "unchecked"
    assert "name its file with --start" in missing.message
    assert verify(path, Given(start=start)).verdict == "identical"


# ---------------------------------------------------------------- another machine


def test_what_another_machine_rounds_otherwise_is_within_the_tolerance_and_explained(cell):
    """Changing some pixels by one level and the machine's name imitates different rounding."""
    record = read_record(cell)
    values = np.asarray(load_image(cell)).astype(np.int16)
    values[::3, ::2] += 1
    image = Image.fromarray(values.clip(0, 255).astype(np.uint8))
    rewrite(
        cell,
        image,
        pixels=pixel_digest(image),
        losses={name: value * 1.001 for name, value in record["losses"].items()},
        versions=record["versions"] | {"torch": "2.6.0"},
        machine=record["machine"] | {"processor": "Loom", "instructions": "SSE4.1"},
    )
    found = verify(cell, Given())
    assert (found.verdict, found.difference.largest) == ("close", 1)
    assert found.difference.losses["total"] == pytest.approx(0.001, rel=0.01)
    assert found.changed["processor"]["then"] == "Loom"
    assert set(found.changed) == {"torch", "processor", "instructions"}
    text = str(found)
    assert "within the tolerance" in text
    assert "torch: 2.6.0 then, " in text
    assert re.search(r"levels of 255: mean 0\.1\d, largest 1, PSNR 5\d", text)
    assert (exit_status([found]), exit_status([found], exact=True)) == (0, 1)


@pytest.mark.parametrize("change", [{"seed": 1}, {"beta": 20.0}])
def test_another_cell_s_picture_is_not_within_the_tolerance(cell, results, change):
    """The record claims to be this cell, and even its sha256 of the pixels is right."""
    other = make(results, "other.png", settings(**change))
    made = load_image(other)
    rewrite(cell, made, pixels=pixel_digest(made), losses=read_record(other)["losses"])
    found = verify(cell, Given())
    assert found.verdict == "different"
    assert "DIFFERENT" in str(found)
    assert exit_status([found]) == 1


OTHER_LOSSES = "its pixels are identical, but the losses in its record differ"


@pytest.mark.parametrize(
    ("name", "change", "verdict", "message"),
    [
        ("ssim", lambda value: value + 0.1, "different", OTHER_LOSSES),
        ("total", lambda value: value * 1.01, "close", OTHER_LOSSES),
        ("style", None, "close", "its record does not have style"),
    ],
)
def test_losses_that_are_not_those_of_the_picture_are_noticed(cell, name, change, verdict, message):
    losses = read_record(cell)["losses"]
    value = losses.pop(name)
    rewrite(cell, losses=losses if change is None else losses | {name: change(value)})
    found = verify(cell, Given())
    assert (found.verdict, found.message) == (verdict, message)
    assert change is None or f"furthest off is {name}" in str(found)
    assert exit_status([found], exact=True) == 1


def test_the_precision_is_the_recorded_one_whatever_is_fast_here(results):
    path = make(results, "cells/half.png", settings(precision="bfloat16", iterations=2))
    assert verify(path, Given()).verdict == "identical"


# ---------------------------------------------------------------- changed pictures


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda cell: {"image": ImageOps.invert(load_image(cell))}, "its pixels were changed"),
        (lambda cell: {"image": load_image(cell).resize((40, 40))}, "and is 40x40"),
        (
            lambda cell: {"settings": read_record(cell)["settings"] | {"beta": 11.0}},
            "its record was changed",
        ),
    ],
)
def test_what_was_changed_later_is_distinguished_from_another_machine_s(cell, change, message):
    rewrite(cell, **change(cell))
    found = verify(cell, Given())
    assert (found.verdict, found.difference) == ("edited", None)
    assert message in found.message
    assert exit_status([found]) == 1


# ---------------------------------------------------------------- contents with transparency


@pytest.fixture
def cut_cell(results: Path) -> Path:
    """A cell whose content has an alpha channel; the run also has that content on white."""
    content = cut(paint(results / "inputs/content/cut.png", 4))
    save_png(load_image(content), results / "inputs/content/a.png")
    return make(results, "cells/cut/night/all/1e-1.png", settings(), "cut")


def test_a_cut_out_is_made_again_with_its_alpha(cut_cell, results, tmp_path):
    assert load_image(cut_cell, keep_alpha=True).mode == "RGBA"
    assert verify(cut_cell, Given()).verdict == "identical"
    content = load_image(results / "inputs/content/cut.png", keep_alpha=True)
    content.save(tmp_path / "cut.webp", lossless=True)
    assert verify(cut_cell, Given(content=tmp_path / "cut.webp")).verdict == "identical"
    found = verify(cut_cell, Given(content=results / "inputs/content/a.png"))
    assert found.verdict == "unchecked", "the content on white has no alpha"


def test_another_alpha_is_an_edit_and_with_its_digest_another_picture(cut_cell):
    image = load_image(cut_cell, keep_alpha=True)
    image.putalpha(image.getchannel("A").point(lambda level: level * 3 // 4))
    rewrite(cut_cell, image)
    assert verify(cut_cell, Given()).verdict == "edited"
    rewrite(cut_cell, image, pixels=pixel_digest(image))
    found = verify(cut_cell, Given())
    assert found.verdict == "different"
    assert found.difference.coarse > COARSE


def test_a_picture_saved_anew_with_an_alpha_that_says_nothing_is_no_edit(cell):
    rewrite(cell, load_image(cell).convert("RGBA"))
    assert verify(cell, Given()).verdict == "identical"


def test_where_only_the_alpha_differs_that_is_the_difference():
    """White on white looks the same at any transparency."""
    white = Image.new("RGBA", (64, 64), (255, 255, 255, 255))
    clear = Image.new("RGBA", (64, 64), (255, 255, 255, 155))
    apart = compare(white, clear, {}, {})
    assert (apart.largest, apart.mean, apart.ssim) == (100, 25.0, pytest.approx(1))
    assert compare(white.convert("RGB"), clear, {}, {}) == apart


# ---------------------------------------------------------------- pictures that cannot be checked


def unchecked(path: Path, given: Given = Given()) -> str:  # noqa: B008  (it is frozen)
    found = verify(path, given)
    assert found.verdict == "unchecked"
    assert found.difference is None
    assert exit_status([found]) == 2
    assert "NOT CHECKED" in str(found)
    return found.message


NO_RECORD = "has a record that cannot be read"
RECORDS = [
    ({"status": "failed", "reason": "No number."}, "is a failed cell, crossed out: No number."),
    (
        {"algorithm": ALGORITHM_VERSION + 1, "versions": {"nst": "9.1"}},
        f"this nst has {ALGORITHM_VERSION}. Install nst 9.1",
    ),
    ({"settings": {"beta": "much"}}, "beta must be a number"),
    ({"settings": {"style_loss": "mine"}}, 'got "mine". If a package adds them, install it.'),
    ({"settings": {"colour": 1}}, "unknown setting 'colour'"),
    ({"content": "cat"}, NO_RECORD),
    *(({"machine": {"threads": number}}, NO_RECORD) for number in ("many", "-1", "9999999")),
]


@pytest.mark.parametrize(
    ("kept", "message"), [(-400, "image file is truncated"), (4, "or damaged"), (0, "0 bytes")]
)
def test_a_picture_cut_short_is_refused(cell, kept, message):
    cell.write_bytes(cell.read_bytes()[:kept])
    refused = unchecked(cell)
    assert message in refused
    assert refused.endswith(". Restore it, or delete it and run again.")


def lose_the_style(cell: Path) -> None:
    (cell.parents[4] / "inputs/style/night.png").unlink()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (paint, "has no record of nst"),
        (Path.unlink, "there is no such file"),
        (lose_the_style, "the style night (pixels' sha256"),
        *((partial(rewrite, **changes), message) for changes, message in RECORDS),
    ],
)
def test_a_picture_that_cannot_be_checked_says_why(
    cell: Path, change: Callable[[Path], object], message: str
):
    change(cell)
    assert message in unchecked(cell)


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="it fails when it is read")
def test_a_network_that_cannot_be_read_is_passed_over(cell, results):
    unreadable = results / "extractors/a.safetensors"
    unreadable.symlink_to("/proc/self/mem")
    (results / "extractors/kmeans.safetensors").rename(results / "extractors/mine.safetensors")
    assert verify(cell, Given()).verdict == "identical"
    assert "a.safetensors cannot be read" in unchecked(cell, Given(extractor=unreadable))


def test_a_file_named_by_the_user_must_be_the_one(cell, results):
    other = results / "inputs/content/other.png"
    message = unchecked(cell, Given(content=other))
    assert f"--content {other} is another file" in message
    assert pixel_digest(load_image(other))[:12] in message
    other = results / "extractors/other.safetensors"
    assert "there is no such file" in unchecked(cell, Given(extractor=other))
    other.write_bytes(b"another")
    assert "is another file" in unchecked(cell, Given(extractor=other))
    assert "there is no such file" in unchecked(cell, Given(content=results / "nowhere.png"))


def test_an_extractor_that_is_gone_is_asked_for(cell, results, monkeypatch):
    monkeypatch.setattr(
        "nst.network.provision.provide_extractor", lambda name, **_: Extractor(TINY).eval()
    )
    (results / "extractors/kmeans.safetensors").unlink()
    message = unchecked(cell)
    assert "the extractor kmeans that made it" in message
    assert "Name its file with --extractor" in message


def test_another_machine_s_kind_of_device_is_replaced_by_what_is_here(cell):
    rewrite(cell, device="cuda: Imaginary 9000")
    found = verify(cell, Given(), "recorded")
    if not torch.cuda.is_available():
        assert found.verdict == "identical", "the pixels were computed on this machine"
        assert found.changed["device"] == {"then": "cuda: Imaginary 9000", "now": "cpu: x86_64"}


# ---------------------------------------------------------------- folders and the command


@pytest.mark.parametrize("kind", ["png16", "tiff16"])
def test_of_a_print_the_picture_of_eight_bits_is_verified(results, kind):
    form = PrintFile(kind)
    path = make(results, "prints/1e0.png", settings(), print_file=form)
    assert verify(path, Given(results=results)).verdict == "identical"
    found = verify(form.deep(path), Given(results=results))
    assert found.verdict == "unchecked"
    assert "has 16 bits, and cells are compared in 8. Verify the PNG" in found.message
    assert choose_pictures([path.parent], None) == [path]


def test_of_a_folder_some_cells_are_drawn_and_nothing_else(results, cell):
    save_png(load_image(cell), results / "grids/overview.png")
    with Image.open(cell) as image:
        image.save(results / "cells/plain.png")
    store = results / "store/ab/cd/cell.png"
    store.parent.mkdir(parents=True)
    store.write_bytes(cell.read_bytes())
    both = [cell, results / OTHER]
    assert choose_pictures([results], None) == both
    assert choose_pictures([cell.parent], None) == both
    (one,) = choose_pictures([results], 1)
    assert one in both
    assert choose_pictures([results], 9) == both
    assert choose_pictures([cell, results], None) == [cell, *both]
    cell.write_bytes(bytes(99))  # as after a power cut
    assert choose_pictures([results], None) == both, "a damaged cell is reported, not left out"
    with pytest.raises(CellError, match="has no pictures made by nst"):
        choose_pictures([results / "inputs"], None)


def test_the_command_tells_what_came_of_every_picture_and_leaves_with_the_worst(nst, results, cell):
    other = results / OTHER
    assert nst("verify", results, "--all") == (0, f"{cell}: identical\n{other}: identical\n", "")
    image = load_image(other)
    image.putpixel((0, 0), (1, 2, 3))
    rewrite(other, image)
    status, out, _ = nst("verify", cell, other)
    assert status == 1
    assert out.splitlines()[1].startswith(f"{other}: EDITED: its pixels were changed")
    status, out, _ = nst("verify", "--json", other, cell, results / "nowhere.png")
    assert status == 2
    verdicts = json.loads(out)
    assert [one["verdict"] for one in verdicts] == ["edited", "identical", "unchecked"]
    assert verdicts[1]["difference"]["largest"] == 0
    assert verdicts[1]["changed"] == {}


@pytest.mark.parametrize(
    ("picture", "options", "message"),
    [
        (ONE, ["--device", "toaster"], "nst: device must be auto"),
        ("inputs", [], "has no pictures made by nst"),
        (ONE, ["--mirror", "http://example.org"], "mirror must be a folder or an https:// addr"),
    ],
)
def test_a_mistake_in_the_command_is_one_line_and_exit_status_2(
    nst, results, picture, options, message
):
    status, out, err = nst("verify", results / picture, *options)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_a_picture_made_by_hand_is_verified_with_its_images_alone(nst, tmp_path, monkeypatch):
    """``nst stylize`` saves no network; verifying fits it to the two images again."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("nst.network.provision.fit_kmeans", partial(fit_kmeans, patches=1500))
    photo, painting = paint(tmp_path / "photo.png", 1), paint(tmp_path / "painting.jpg", 2)
    assert nst("stylize", photo, painting, "-s", 48, "-n", 2, "-o", "out.png")[0] == 0
    named = ("--content", photo, "--style", painting)
    assert nst("verify", "out.png", *named) == (0, "out.png: identical\n", "")
    status, out, _ = nst("verify", "out.png", "--content", photo)
    assert status == 2
    assert "name its file with --style" in out
    other, mask = paint(tmp_path / "other.png", 3), tmp_path / "mask.png"
    halves = Image.new("L", load_image(photo).size)
    halves.paste(255, (0, 0, 30, halves.height))
    halves.save(mask)
    mixed = ("--blend", other, "--mask", mask, "-s", 48, "-n", 2, "-o", "mixed.png")
    assert nst("stylize", photo, painting, *mixed)[0] == 0
    assert "name its file with --style" in nst("verify", "mixed.png", *named)[1]
    named += ("--style", mask, "--style", other)
    assert nst("verify", "mixed.png", *named) == (0, "mixed.png: identical\n", "")


# ---------------------------------------------------------------- the measures


def test_the_difference_of_two_pictures_is_worked_out_by_hand():
    one = Image.new("RGB", (48, 48), (100, 100, 100))
    other = one.copy()
    other.paste((130, 100, 100), (0, 0, 48, 24))  # one of three channels in half of the pixels
    found = compare(one, other, {"total": 2.0, "old": 1.0}, {"total": 1.0, "new": 1.0})
    assert found.largest == 30
    assert found.mean == found.coarse == pytest.approx(30 / 6)
    assert found.psnr == pytest.approx(10 * np.log10(255**2 / (900 / 6)))
    assert found.losses == {"total": 0.5}
    assert found.verdict == "different"
    same = compare(one, one, {"total": 1.0}, {"total": 1.0})
    assert (same.largest, same.psnr, same.ssim) == (0, None, 1.0)
    assert same.verdict == "identical"


def test_what_shifts_by_a_pixel_is_near_from_afar():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::4] = 255
    one, other = Image.fromarray(stripes), Image.fromarray(np.roll(stripes, 1, axis=1))
    found = compare(one, other, {}, {})
    assert found.largest == 255
    assert (found.coarse, found.ssim) == (0, 1)
    assert found.verdict == "close"
