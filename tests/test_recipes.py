"""Reading presets from their files, and recipes in a configuration."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from configurations import refused as refused_in_one_line
from configurations import settings_of

from nst.config.catalogue import read_catalogue
from nst.config.documents import load_schema
from nst.config.run import read_run
from nst.config.settings import OF_SAMPLES, RULES, Settings
from nst.config.variants import FOLDER, read_presets
from nst.errors import ConfigError

PRESETS = read_presets()
CATALOGUE = read_catalogue()

# ---------------------------------------------------------------- reading presets


def preset_file(folder: Path, **changes: Any) -> Path:
    fields = {"title": "Mine", "source": "me", "settings": {"alpha": 2}} | changes
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump(fields), encoding="utf-8")
    return path


refusal_of = partial(refused_in_one_line, read_presets, kind=ConfigError)


def test_a_preset_is_read_from_its_file(tmp_path):
    preset_file(tmp_path)
    (preset,) = read_presets(tmp_path).values()
    assert (preset.name, preset.title, preset.source) == ("mine", "Mine", "me")
    assert dict(preset.settings) == {"alpha": 2}


def test_an_unknown_setting_of_a_preset_is_refused_with_the_known_ones(tmp_path):
    path = preset_file(tmp_path, settings={"alfa": 1})
    message = refusal_of(tmp_path)
    assert str(path) in message
    assert "unknown setting 'alfa'; the settings are alpha, beta, colours" in message


def test_an_unknown_field_of_a_preset_is_refused_with_the_known_ones(tmp_path):
    path = preset_file(tmp_path, author="me")
    message = refusal_of(tmp_path)
    assert f"{path} is not a preset, with title, source and settings" in message
    assert "'author'" in message


def test_a_setting_out_of_range_is_refused_when_the_preset_is_read(tmp_path):
    preset_file(tmp_path, settings={"iterations": 0})
    assert "iterations must be a whole number from 1 to 100000; got 0" in refusal_of(tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"title: [",
        b"- a\n- list\n",
        b"only a title",
        b"title: a\nsource: b\n",
        b"title: a\nsource: b\nsettings:\n",
        b"title: a\nsource: b\nsettings: [alpha]\n",
        b"title: a\nsource: 2026-13-01\nsettings: {alpha: 1}\n",
        "title: Zürich\nsource: b\nsettings: {alpha: 1}\n".encode("latin-1"),
    ],
)
def test_a_broken_preset_is_named(tmp_path, damage):
    path = tmp_path / "mine.yaml"
    path.write_bytes(damage)
    assert f"{path} is not a preset" in refusal_of(tmp_path)


def test_the_files_are_the_presets():
    assert set(PRESETS) == {path.stem for path in FOLDER.iterdir()}
    assert all(preset.title and preset.source for preset in PRESETS.values())
    assert len({preset.title for preset in PRESETS.values()}) == len(PRESETS)


def test_a_recipe_is_dated_where_its_year_is_known_and_not_in_its_title(tmp_path):
    preset_file(tmp_path, year=2020)
    assert read_presets(tmp_path)["mine"].dated == "Mine, 2020"
    assert PRESETS["gatys2016"].dated == "Gatys et al. 2016"
    assert PRESETS["envision"].dated == "Envision"


def test_the_settings_that_cannot_vary_are_those_that_the_message_names():
    names = load_schema()["properties"]["vary"]["propertyNames"]
    left_out = {"extractor", "snapshots"}
    assert set(names["enum"]) == set(Settings.shared_names()) - left_out
    others = ("alpha", "beta", "layers", "ratios", "start_file")
    assert all(name in names["description"] for name in (*left_out, *others))


def test_every_choice_of_a_setting_can_vary():
    for name in load_schema()["properties"]["vary"]["propertyNames"]["enum"]:
        for value in RULES[name].choices:
            others = {"optimiser": "adam"} if name == "parametrisation" else {}
            if (name, value) in OF_SAMPLES.items():
                layers = {"content": {"relu1_1": 1}, "style": {"relu1_1": 1}}
                layers[name.removesuffix("_loss")] = {"sampled_hypercolumn": 1}
                others |= {"layers": {"sampled": layers}, "optimiser": "adam"}
            if value in ("exact", "file"):
                continue  # these need another key
            (variant,) = read(vary={name: [value]}, ratios=[1], **others).variants
            assert getattr(variant.settings, name) == value


# ---------------------------------------------------------------- recipes in a configuration


def read(**keys: Any):
    return read_run({"contents": ["chelsea"], "styles": ["starry_night_study"], **keys}, CATALOGUE)


refused = partial(refused_in_one_line, read, kind=ConfigError)


def test_a_formulation_brings_its_layers_its_balance_and_its_settings():
    (variant,) = read(formulation="udacity").variants
    assert (variant.layers, variant.ratio, variant.formulation) == ("udacity", "1e-6", "udacity")
    assert variant.settings == settings_of("udacity")


def test_a_setting_that_the_configuration_gives_wins_over_the_preset_s():
    (variant,) = read(formulation="udacity", iterations=7, learning_rate=0.5).variants
    assert variant.settings == settings_of("udacity", iterations=7, learning_rate=0.5)


def test_layers_and_ratios_of_the_configuration_win_over_the_preset_s():
    layers = {"few": {"content": {"relu3_1": 1}, "style": {"relu1_1": 2}}}
    variants = read(formulation="udacity", layers=layers, ratios=["1e-3", "1e-4"]).variants
    assert [(one.layers, one.ratio) for one in variants] == [("few", "1e-3"), ("few", "1e-4")]
    assert [one.settings.beta for one in variants] == pytest.approx([1e3, 1e4])
    few = {"content_layers": {"relu3_1": 1}, "style_layers": {"relu1_1": 2}, "beta": 1e3}
    assert variants[0].settings == settings_of("udacity", **few)


def test_another_size_replaces_how_the_recipe_measures_it():
    for name in ("envision", "udacity", "gatys_pytorch"):
        (variant,) = read(formulation=name, image_size=96).variants
        cell = variant.settings
        assert (cell.size, cell.image_size, cell.coarse_stages) == ("long_side", 96, ())
    (variant,) = read(formulation="udacity", image_size=[96, 64]).variants
    assert (variant.settings.size, variant.settings.image_size) == ("exact", (96, 64))


MANY = ["gatys2016", "envision", {"formulation": "tensorflow", "content_layers": {"relu5_1": 1}}]


def test_each_of_the_formulations_is_one_variant():
    run = read(formulations=[*MANY, {"formulation": "udacity", "name": "bold", "beta": 1e7}])
    assert [one.layers for one in run.variants] == ["gatys2016", "envision", "tensorflow", "bold"]
    assert [one.formulation for one in run.variants] == [
        "gatys2016",
        "envision",
        "tensorflow",
        "udacity",
    ]
    assert [one.ratio for one in run.variants] == ["1e-3", "1e2", "1e6", "1e-7"]
    expected = [
        settings_of("gatys2016"),
        settings_of("envision"),
        settings_of("tensorflow", content_layers={"relu5_1": 1}),
        settings_of("udacity", beta=1e7),
    ]
    assert [one.settings for one in run.variants] == expected
    assert run.recipes[-1].title == "Udacity"


def test_all_the_presets_can_stand_side_by_side():
    names = [name for name in PRESETS if name != "tensorflow"]
    run = read(formulations=[*names, MANY[-1]])
    assert {one.layers for one in run.variants} == set(PRESETS)
    assert run.recipes == [PRESETS[one.layers] for one in run.variants]


def test_one_recipe_twice_needs_two_names():
    message = refused(formulations=["udacity", {"formulation": "udacity", "beta": 1e5}])
    assert "'udacity' and 'udacity' must differ in more than case; give one" in message
    message = refused(formulations=["udacity", {"formulation": "envision", "name": "Udacity"}])
    assert "'udacity' and 'Udacity' must differ in more than case" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("layers", {"all": {"content": {"relu4_2": 1}, "style": {"relu1_1": 1}}}),
        ("formulation", "udacity"),
    ],
)
def test_formulations_leave_no_room_for_what_each_brings_itself(key, value):
    message = refused(formulations=MANY, **{key: value})
    assert f"{key}: leave it out; each of formulations brings its own" in message


@pytest.mark.parametrize("keys", [{"formulation": "udacty"}, {"formulations": ["udacty"]}])
def test_an_unknown_preset_is_refused_with_a_suggestion_and_the_known_ones(keys):
    message = refused(**keys)
    assert "unknown recipe 'udacty'; did you mean 'udacity'?" in message
    assert all(name in message for name in PRESETS)


@pytest.mark.parametrize(
    ("own", "parts"),
    [
        (
            {"iterations": "many"},
            ("formulations.udacity: iterations must be a whole number", '"many"'),
        ),
        (
            {"snapshots": {"every": 0}},
            ("formulations.udacity: snapshots must be a list of step numbers",),
        ),
        ({"snapshots": [*range(0, 800, 10), -1]}, ("snapshots must be", "got -1.")),
        ({"snapshots": [8], "iterations": 7}, ("snapshots must not lie beyond iterations, 7",)),
        (
            {"image_size": [64]},
            ("formulations.udacity: image_size must be a whole number of pixels",),
        ),
    ],
)
def test_a_mistaken_setting_of_a_formulation_is_refused_in_one_line(own, parts):
    message = refused(formulations=[{"formulation": "udacity", **own}])
    assert all(part in message for part in parts), message


def test_a_layer_that_the_extractor_lacks_is_refused_before_any_job():
    message = refused(formulation="tensorflow", extractor="vgg19_16x")
    assert "vgg19_16x has no layer 'relu5_2'" in message
    (variant,) = read(formulation="tensorflow", extractor="vgg19").variants
    assert variant.settings == settings_of("tensorflow", extractor="vgg19")


def test_the_scale_of_iterations_reaches_every_stage():
    (variant,) = read(formulation="gatys_pytorch", iterations_scale=0.1).variants
    assert variant.settings == settings_of(
        "gatys_pytorch", iterations=20, coarse_stages=[[512, 50]]
    )


def test_the_scale_of_iterations_reaches_the_snapshots():
    keys = {"formulation": "envision", "snapshots": {"every": 1000}}
    (whole,) = read(**keys).variants
    assert whole.settings.snapshots == (0, 1000, 2000, 3000, 4000, 5000, 6000, 6001)
    (tenth,) = read(**keys, iterations_scale=0.1).variants
    assert tenth.settings.iterations == 600
    assert tenth.settings.snapshots == (0, 100, 200, 300, 400, 500, 600)
    (least,) = read(**keys, iterations_scale=1e-6).variants
    assert (least.settings.iterations, least.settings.snapshots) == (1, (0, 1))


def test_a_formulation_s_own_settings_mean_what_they_mean_for_the_whole_run():
    own = {"image_size": 96, "iterations": 50, "optimiser": "adam"}
    for name in ("gatys_pytorch", "envision", "udacity"):
        (alone,) = read(formulation=name, **own, snapshots={"every": 20}).variants
        (listed,) = read(
            formulations=[{"formulation": name, **own}], snapshots={"every": 20}
        ).variants
        assert listed.settings == alone.settings
        assert listed.settings.snapshots == (0, 20, 40, 50)
        every = {"formulation": name, **own, "snapshots": {"every": 25}}
        (other,) = read(formulations=[every], snapshots={"every": 20}).variants
        assert other.settings.snapshots == (0, 25, 50)


def test_recipes_of_one_run_see_with_one_network():
    """A job loads one network for all its cells; other records would name the wrong network."""
    one = {"formulation": "gatys2016", "extractor": "vgg16", "name": "v16"}
    other = {"formulation": "gatys2016", "extractor": "vgg19", "name": "v19"}
    message = refused(formulations=[one, other])
    assert "extractor must be the same for all" in message
    assert "got vgg16, vgg19" in message
    assert "split it" in message
    assert read(formulations=[one, {**other, "extractor": "vgg16"}]).settings.extractor == "vgg16"


SHARES = ((100, 1000), (141, 500), (200, 500), (283, 500), (400, 500))


@pytest.mark.parametrize(
    ("keys", "stages"),
    [
        ({"image_size": 400}, SHARES),
        ({"image_size": 400, "size": "short_side"}, SHARES),
        ({"image_size": 100}, ((35, 500), (50, 500), (71, 500), (100, 500))),
        ({"image_size": [400, 300]}, (((400, 300), 3000),)),
    ],
)
def test_the_stages_of_a_recipe_fit_another_size(keys, stages):
    """Stages in px are dropped; shares stay if they are large enough and the size is one side."""
    in_px, shares = (
        read(formulation=name, **keys).variants[0].settings
        for name in ("gatys_pytorch", "crowsonkb")
    )
    assert in_px.stages == ((in_px.image_size, 700),)
    assert shares.stages == stages


def test_a_shortened_average_reaches_as_far_back_as_a_whole_one():
    (variant,) = read(formulation="crowsonkb", iterations_scale=0.1).variants
    assert variant.settings.averaging == pytest.approx(0.99**10)
