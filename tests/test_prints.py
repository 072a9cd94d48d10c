"""Prints: chosen cells, rendered at a larger size, look like the cells."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import numpy as np
import pandas as pd
import pytest
import torch
from configurations import refused
from conftest import paint, random_image
from deep_files import deep_levels, eight_bits
from PIL import Image
from workflow_runs import FITTED, ROOT, finish, write_config

from nst.cells.metrics import measure_patches, patch_distance, structural_similarity
from nst.cells.sources import Given
from nst.cells.verify import verify
from nst.config.catalogue import fetch, read_catalogue
from nst.config.composition import Composition
from nst.config.documents import load_schema
from nst.config.prints import Format, PrintFile, print_settings, with_octaves
from nst.config.run import read_run
from nst.config.settings import Settings
from nst.config.variants import read_presets
from nst.errors import ConfigError
from nst.imaging.images import fit_long_side, load_image
from nst.imaging.inspection import inspect_run
from nst.method.resilience import group_cells, make_cells
from nst.method.stages import Images, prepare_stages
from nst.network.kmeans import fit_kmeans
from nst.network.tensors import to_image, to_tensor

CATALOGUE = read_catalogue()
CPU = torch.device("cpu")
CELL = {"content": "cat", "style": "great_wave_study", "layers": "relative", "ratio": "1e0"}
STYLE = to_image(random_image(2, 96, 128))
CONTENT = to_image(random_image(1, 96, 128))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    paint(tmp_path / "cat.png", 1, (96, 72))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(
    stars: object, size: object = 128, /, form: dict[str, object] | None = None, **changes: object
):
    Path("stars.json").write_text(json.dumps(stars))
    config = {
        "contents": ["cat.png"],
        "styles": ["great_wave_study"],
        "ratios": [1],
        "image_size": 64,
        "prints": {"stars": "stars.json", "size": size, **(form or {})},
    }
    return read_run(config | changes, CATALOGUE)


# ---------------------------------------------------------------- selection and settings


def test_the_starred_cells_are_printed_each_once(folder):
    ((content, style, found),) = planned([CELL, {**CELL, "ssim": 0.5}]).prints
    assert (content, style, found.layers, found.ratio) == tuple(CELL.values())
    assert (found.settings.image_size, found.settings.start) == (128, "file")
    assert planned([CELL], "128").prints == [(content, style, found)], "--config passes text"
    run = {"contents": ["cat.png"], "styles": ["great_wave_study"]}
    assert read_run(run, CATALOGUE).prints == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (([{**CELL, "ratio": "1e1"}],), "is not in this run, cat / great_wave_study / rel"),
        (([{**CELL, "content": "dog"}],), "cell that is not in this run, dog / "),
        (([3],), "cell that is not in this run"),
        (({},), "stars.json must be a list of cells, as the gallery saves it"),
        (([],), "stars.json must be a list of cells"),
        (([CELL], 64), "prints.size must be larger than image_size, 64 px; got 64"),
        (([CELL], 9000), "prints.size may be up to 8192 px; got 9000"),
        (([CELL], "large"), "prints.size must be a whole number of pixels"),
        (([CELL], 128, {"format": 16}), "prints.format must be one of png, png16, tiff16; got 16"),
        *(
            (([CELL], 128, {"dpi": dpi}), f"must be a whole number from 30 to 2400; got {said}")
            for dpi, said in ((29, 29), ("2401", '"2401"'), ("fine", '"fine"'), (300.5, 300.5))
        ),
        (([CELL], 128, {"depth": 16}), "prints: unknown key 'depth'"),
    ],
)
def test_what_cannot_be_printed_is_refused_in_one_line(folder, asked, message):
    assert message in refused(planned, *asked, kind=ConfigError)


def test_a_print_must_be_larger_than_its_cell_whichever_side_was_given(folder):
    """A content of 3:2 whose shorter side is 64 px has a cell of 96 px."""
    paint(folder / "cat.png", 1, (150, 100))
    for size in (80, 96):
        run = planned([CELL], size, size="short_side")
        message = rf"larger than the cell cat / .*, 96 px; got {size}\."
        with pytest.raises(ConfigError, match=message):
            inspect_run(run)
    inspect_run(planned([CELL], 97, size="short_side"))


def test_the_schema_knows_every_format():
    rules = load_schema()["properties"]["prints"]["properties"]
    assert tuple(rules["format"]["enum"]) == get_args(Format)
    least, most = (rules["dpi"][end] for end in ("minimum", "maximum"))
    texts = [number for number in range(30_000) if re.search(rules["dpi"]["pattern"], str(number))]
    assert texts == list(range(least, most + 1)), "Snakemake's --config may make a text of a number"


def test_what_a_print_is_written_as_decides_nothing_of_its_pixels(folder):
    plain = planned([CELL]).prints
    assert planned([CELL], form={"format": "tiff16", "dpi": 72}).prints == plain
    assert PrintFile.read({}) == PrintFile("png", 300)
    assert PrintFile.read({"format": "png16", "dpi": "72"}) == PrintFile("png16", 72)
    names = [PrintFile(kind).deep(Path("a/1.5e-2.png")) for kind in ("png", "png16", "tiff16")]
    assert names == [None, Path("a/1.5e-2-16bit.png"), Path("a/1.5e-2.tif")]


def test_a_print_has_the_shape_of_its_cell():
    exact = Settings(image_size=(80, 100), size="exact", growth=7)
    found = print_settings(exact, 400)
    assert (found.image_size, found.size) == ((320, 400), "exact")
    short = print_settings(Settings(image_size=100, size="short_side"), 400)
    assert (short.image_size, short.size) == (400, "long_side")


def test_a_print_has_an_octave_more_for_each_doubling_of_its_cell_s_longer_side():
    assert with_octaves(Settings(octaves=2), 400, 100).octaves == 4
    assert with_octaves(Settings(octaves=1), 2048, 768).octaves == 2
    assert with_octaves(Settings(octaves="auto"), 400, 100).octaves == "auto"


def test_a_picture_from_a_file_grows_from_the_file_s_size(small):
    start = to_image(random_image(3, 48, 64))
    images = replace(Images(CONTENT, Composition.plain(STYLE)), start=start)
    cell = small(image_size=256, start="file", growth=3, iterations=5)
    found = list(prepare_stages(images, cell, CPU))
    sizes = [(max(one.content.shape), one.settings.iterations) for one in found]
    assert sizes == [(128, 3), (256, 5)]
    assert [one.start.shape != one.content.shape for one in found] == [True, True]
    other = list(prepare_stages(images, replace(cell, start="content"), CPU))
    assert [max(one.content.shape) for one in other] == [64, 128, 256]
    assert len(group_cells([cell, replace(cell, start="content")])) == 2, "they share no batch"


def test_what_is_enlarged_keeps_its_colours_and_gets_detail(tiny, small):
    start = Image.new("RGB", (32, 24), "#3060c0")
    images = replace(Images(CONTENT, Composition.plain(STYLE)), start=start)
    cell = small(image_size=128, start="file", growth=1, iterations=1, beta=1e-6, alpha=1e-6)
    (made,) = make_cells(tiny, images, [cell])
    picture = made.image
    assert picture is not None
    mean = picture.mean((0, 2, 3)) * 255
    assert torch.allclose(mean, torch.tensor([48.0, 96.0, 192.0]), atol=12)
    assert picture.std((2, 3)).min() > 0.01, "the start has no detail"


# ---------------------------------------------------------------- appearance


@pytest.mark.slow
def test_a_print_scaled_down_looks_like_its_cell(tmp_path):
    """Measured for three pairs: SSIM 0.88 to 0.94, style distances 0.94 to 0.97 of the cells'."""
    pictures = []
    for name in ("rocket", "starry_night_study"):
        path = tmp_path / CATALOGUE[name].file
        fetch(CATALOGUE[name], path)
        pictures.append(load_image(path))
    fitted = [to_tensor(fit_long_side(one, 128)) for one in pictures]
    network, images = fit_kmeans(fitted, 0, patches=4000), Images.of(*pictures)
    recipe = read_presets()["relative"].settings
    changes = {"image_size": 128, "beta": 5, "precision": "float32", "iterations": 30}
    cell = Settings.from_mapping({**recipe, **changes})
    (made,) = make_cells(network, images, [cell])
    small = to_image(made.image)
    (made,) = make_cells(network, replace(images, start=small), [print_settings(cell, 256)])
    large = to_image(made.image)
    assert max(large.size) == 256
    reduced = large.resize(small.size, Image.Resampling.LANCZOS)
    assert structural_similarity(reduced, small) > 0.8
    patches = measure_patches(fitted[1])
    before, after = (patch_distance(to_tensor(one), patches) for one in (small, reduced))
    assert 0.85 < after / before < 1.15


# ---------------------------------------------------------------- through Snakemake


@pytest.mark.slow
def test_starred_cells_are_printed_into_a_folder_and_a_gallery_of_their_own(folder, take_fitted):
    take_fitted(folder)
    layers = {"all": {"content": {"relu2_1": 1}, "style": {"relu1_1": 1, "relu2_1": 1}}}
    config = FITTED | {"contents": ["cat.png"], "styles": ["great_wave_study"], "layers": layers}
    config |= {"ratios": [1, 0.1], "image_size": 64, "iterations": 2, "growth": 0}
    write_config(folder, config)
    finish(folder, "--", "results/summary.csv")
    (folder / "stars.json").write_text(json.dumps([{**CELL, "layers": "all"}]))

    def printed(form: str = "") -> str:
        prints = f"prints={{stars: stars.json, size: 128{form}}}"
        return finish(folder, "--config", prints, "--", "prints")

    assert "Redraw" not in printed(), "the grid is not rendered again"
    prints = folder / "results/prints"
    (path,) = (prints / "cat").rglob("*.png")
    with Image.open(path) as picture:
        assert picture.size == (128, 96)
        plain = np.asarray(picture)
    found = verify(path, Given(results=folder / "results"))
    assert found.verdict == "identical", found.message
    assert list(pd.read_csv(prints / "summary.csv")["width"]) == [128]
    assert "Prints" in (prints / "gallery/index.html").read_text()
    assert "Nothing to be done" in printed()
    run = printed(", format: tiff16, dpi: 240")
    assert "1 of 1 cells were finished before" in run, "only the file is written"
    assert np.array_equal(eight_bits(deep_levels(path.with_name("1e0.tif"))), plain)
    for name in ("1e0.png", "1e0.tif"):
        with Image.open(path.with_name(name)) as picture:
            assert picture.info["dpi"] == pytest.approx((240, 240), abs=0.02)


def test_the_makefile_prints_what_the_gallery_saved():
    text = (ROOT / "Makefile").read_text()
    assert "prints --cores" in text
    assert "{stars: $(STARS), size: $(SIZE), format: $(FORMAT), dpi: $(DPI)}" in text
