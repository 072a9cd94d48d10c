"""Styles composed of other styles, in the configuration and in a run."""

from pathlib import Path

import pandas as pd
import pytest
from configurations import refused
from conftest import paint
from PIL import Image
from workflow_runs import FITTED, details, finish, snakemake, write_config

from nst.config.catalogue import read_catalogue
from nst.config.composition import Composition, Part
from nst.config.paths import composition_files
from nst.config.run import Run, read_run
from nst.imaging.inspection import inspect_run

CATALOGUE = read_catalogue()
BLEND = {"name": "mix", "blend": {"starry_night_study": 3, "wave": 1}}
WAVE = {"name": "wave", "path": "wave.png", "mask": "wave_mask.png"}
TWO = {"name": "two", "regions": {"white": "mix", "black": "keep"}}
CAT = {"path": "cat.png", "mask": "cat_mask.png"}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for seed, name in enumerate(("cat", "dog", "wave")):
        paint(tmp_path / f"{name}.png", seed, (64, 48))
    mask = Image.new("RGB", (64, 48), "black")
    mask.paste("white", (0, 0, 30, 48))
    for name in ("cat_mask", "wave_mask"):
        mask.save(tmp_path / f"{name}.png")
    Image.new("RGB", (48, 48), "white").save(tmp_path / "square.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def planned(**changes: object) -> Run:
    config = {"contents": [CAT], "styles": [WAVE, BLEND, TWO]} | changes
    run = read_run(config, CATALOGUE)
    inspect_run(run)
    return run


# ---------------------------------------------------------------- valid styles


def test_a_style_can_be_made_of_listed_ones_of_the_catalogue_s_and_of_files():
    run = planned()
    assert list(run.styles) == ["wave", "mix", "two"]
    inputs = "results/inputs"
    parts = (
        Part("starry_night_study", f"{inputs}/style/starry_night_study.png", 3.0),
        Part("wave", f"{inputs}/style/wave.png", 1.0, f"{inputs}/style_mask/wave.png"),
    )
    expected = Composition({"white": parts, "black": ()}, f"{inputs}/content_mask/cat.png")
    assert composition_files(run, "cat", "two").to_dict() == expected.to_dict()


def test_the_run_s_images_are_those_that_its_styles_are_made_of():
    assert set(planned().pictures) == {
        *("content/cat", "style/wave", "style/starry_night_study"),
        *("content_mask/cat", "style_mask/wave"),
    }
    fitted = {one.name for one in planned().kmeans_images}
    assert fitted == {"cat", "wave", "starry_night_study"}


def test_the_pictures_between_two_styles_are_a_row_of_the_grid():
    path = {"name": "mix", "blend": {"starry_night_study": 1, "wave.png": 1}}
    run = planned(styles=[path], vary={"blend": [0, 0.5, 1]})
    assert [one.settings.blend for one in run.variants] == [0, 0.5, 1]
    (sheet,) = run.sheets
    assert (sheet.column_axis, sheet.columns) == ("blend", ["0", "0.5", "1"])


def test_a_blend_is_found_however_the_accents_of_its_name_are_spelt():
    run = planned(styles=[{"name": "e\u0301toile", "blend": {"great_wave_study": 1}}])
    assert list(run.styles) == ["\u00e9toile"]


def test_a_plain_style_does_not_look_at_the_content_s_mask():
    run = planned(styles=["starry_night_study", WAVE])
    assert composition_files(run, "cat", "starry_night_study") is None
    assert composition_files(run, "cat", "wave").mask is None


def test_regions_may_describe_their_styles_and_an_image_of_the_catalogue_may_have_a_mask():
    content = {"catalogue": "starry_night_study", "name": "night", "mask": "square.png"}
    run = planned(contents=[content], styles=["great_wave_study"])
    assert run.contents["night"].entry == CATALOGUE["starry_night_study"]
    described = {"path": "dog.png", "name": "hound"}
    run = planned(
        styles=[{"name": "two", "regions": {"white": described, "black": {"keep": True}}}]
    )
    assert "style/hound" in run.pictures


# ---------------------------------------------------------------- refusals


def a_style(**keys: object) -> dict[str, object]:
    return {"styles": [{"name": "a", **keys}]}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"contents": ["dog.png"]}, "'two' has regions, so every content needs a mask; 'dog' has"),
        (a_style(blend={"starry_nite": 1}), "styles.a.blend: 'starry_nite' is neither a file nor"),
        (a_style(blend={"great_wave_study": 0}), "styles.a.blend: all weights are 0; give one im"),
        (a_style(blend={"*.png": 1}), "styles.a.blend: '*.png' must be one image; got 6. Name one"),
        (
            a_style(regions={"white": "keep", "black": {"keep": True}}),
            "styles.a.regions: every region keeps the photograph; give one of them a style",
        ),
        (
            a_style(regions={"white": "great_wave_study"}),
            "cat × a: the mask also has the colour #000000, which is none of white; add it",
        ),
        ({"contents": [{**CAT, "mask": "none.png"}]}, "contents.mask: 'none.png' does not exist"),
        ({"styles": [WAVE], "blend": 0.5}, "every style must be a blend, and 'wave' is not: give"),
        (
            {
                "styles": [
                    "great_wave_study",
                    {"name": "a", "blend": {"wave.png": 1}},
                    {"name": "b", "regions": {"white": WAVE, "black": "keep"}},
                ]
            },
            "'b' names an image 'wave', which is also the name of another image or style; give one",
        ),
        (
            {"styles": [{"name": "great_wave_study", "blend": {"great_wave_study": 1}}]},
            "names an image 'great_wave_study', which is also the name of another image or style",
        ),
    ],
)
def test_what_makes_no_sense_is_refused_while_planning(changes, message):
    assert message in refused(planned, **changes)


# ---------------------------------------------------------------- a run


@pytest.mark.slow
def test_a_run_of_blends_and_regions(folder, take_fitted):
    take_fitted(folder)
    config = {
        "contents": [CAT],
        "styles": [BLEND, TWO, WAVE],
        "ratios": [0.1],
        "layers": {"all": {"content": {"relu2_1": 1}, "style": {"relu1_1": 1, "relu2_1": 1}}},
        "image_size": 64,
        "iterations": 2,
        "growth": 0,
        "precision": "float32",
        **FITTED,
    }
    write_config(folder, config)
    targets = ("--", "results/gallery/index.html", "results/grids/overview.png")
    finish(folder, *targets)
    table = pd.read_csv(folder / "results/summary.csv")
    assert list(table["style"]) == ["mix", "two", "wave"]
    assert (table["status"] == "finished").all()
    with Image.open(folder / "results/inputs/style/mix.png") as shown:
        assert shown.size == (640, 507), "a blend has the shape of its first style"
    with (
        Image.open(folder / "results/cells/cat/two/all/1e-1.png") as cell,
        Image.open(folder / "cat.png") as photograph,
    ):
        right = (40, 0, 64, 48)
        assert cell.crop(right).tobytes() == photograph.crop(right).tobytes(), "kept unchanged"
    assert "Nothing to be done" in snakemake(folder, *targets).stdout
    with Image.open(folder / "cat_mask.png") as mask:
        mask.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(folder / "cat_mask.png")
    again = finish(folder, "--", "results/summary.csv")
    reused = {name: cell.reused for name, cell in details(folder).items()}
    assert reused["cat/two/all/1e-1"] is False
    # The other pairs' jobs do not depend on the mask, so they did not run again.
    assert again.count("Redraw cat in the style of") == 1
