"""Reading presets from their files, and recipes in a configuration."""

import re
from typing import Any

import pytest
from configurations import WEIGHTS, settings_of
from configurations import refused as refused_in_one_line

from nst.config.catalogue import read_catalogue
from nst.config.documents import CANNOT_VARY, load_schema
from nst.config.run import read_run
from nst.config.settings import Settings
from nst.config.variants import read_presets
from nst.errors import ConfigError

PRESETS = read_presets()

# ---------------------------------------------------------------- reading presets


def test_a_preset_is_read_from_its_file_and_dated_where_its_year_is_known(tmp_path):
    text = "title: Mine\nsource: me\nyear: 2020\nsettings: {alpha: 2}\n"
    (tmp_path / "mine.yaml").write_text(text)
    (preset,) = read_presets(tmp_path).values()
    assert (preset.name, preset.title, preset.source) == ("mine", "Mine", "me")
    assert dict(preset.settings) == {"alpha": 2}
    assert preset.dated == "Mine, 2020"
    assert PRESETS["gatys2016"].dated == "Gatys et al. 2016", "the title has the year already"
    assert PRESETS["envision"].dated == "Envision"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", " is not a preset, with title, source and settings"),
        ("title: [", " is not a preset"),
        ("- a\n- list\n", " is not a preset"),
        ("title: a\nsource: b\n", " is not a preset"),
        ("title: a\nsource: b\nsettings: [alpha]\n", " is not a preset"),
        ("title: a\nsource: 2026-13-01\nsettings: {alpha: 1}\n", " is not a preset"),
        ("title: Zürich\nsource: b\nsettings: {alpha: 1}\n", " is not a preset"),
        ("title: a\nsource: b\nauthor: me\nsettings: {alpha: 1}\n", "'author'"),
        (
            "title: a\nsource: b\nsettings: {alfa: 1}\n",
            ": unknown setting 'alfa'; the settings are alpha, beta, colours",
        ),
        (
            "title: a\nsource: b\nsettings: {iterations: 0}\n",
            ": iterations must be a whole number from 1 to 100000; got 0",
        ),
    ],
)
def test_a_mistaken_preset_is_refused_with_its_file(tmp_path, text, told):
    path = tmp_path / "mine.yaml"
    path.write_bytes(text.encode("latin-1"))
    message = refused_in_one_line(read_presets, tmp_path, kind=ConfigError)
    assert str(path) in message
    assert told in message


def test_no_two_presets_have_the_same_title():
    assert len({preset.title for preset in PRESETS.values()}) == len(PRESETS)


def test_the_message_names_the_settings_that_cannot_vary():
    told = load_schema()["properties"]["vary"]["propertyNames"]["description"]
    others = ("alpha", "beta", "layers", "ratios", "start_file")
    assert all(name in told for name in (*CANNOT_VARY, *others))


# ---------------------------------------------------------------- recipes in a configuration


def read(**keys: Any):
    pair = {"contents": ["chelsea"], "styles": ["starry_night_study"]}
    return read_run(pair | keys, read_catalogue())


def settings(**keys: Any) -> Settings:
    """Return the settings of a configuration with one variant."""
    (variant,) = read(**keys).variants
    return variant.settings


@pytest.mark.parametrize("own", [{}, {"iterations": 7, "learning_rate": 0.5}])
def test_a_formulation_brings_its_layers_its_balance_and_what_is_not_given(own):
    (variant,) = read(formulation="udacity", **own).variants
    assert (variant.layers, variant.ratio, variant.formulation) == ("udacity", "1e-6", "udacity")
    assert variant.settings == settings_of("udacity", **own)


def test_layers_and_ratios_of_the_configuration_win_over_the_preset_s():
    layers = {"few": {"content": {"relu3_1": 1}, "style": {"relu1_1": 2}}}
    variants = read(formulation="udacity", layers=layers, ratios=["1e-3", "1e-4"]).variants
    assert [(one.layers, one.ratio) for one in variants] == [("few", "1e-3"), ("few", "1e-4")]
    assert [one.settings.beta for one in variants] == pytest.approx([1e3, 1e4])
    few = {"content_layers": {"relu3_1": 1}, "style_layers": {"relu1_1": 2}, "beta": 1e3}
    assert variants[0].settings == settings_of("udacity", **few)


@pytest.mark.parametrize("name", ["envision", "udacity", "gatys_pytorch"])
def test_another_size_replaces_how_the_recipe_measures_it(name):
    cell = settings(formulation=name, image_size=96)
    assert (cell.size, cell.image_size, cell.coarse_stages) == ("long_side", 96, ())
    cell = settings(formulation=name, image_size=[96, 64])
    assert (cell.size, cell.image_size) == ("exact", (96, 64))


DEEP = {"relu5_1": 1}
MANY = ["gatys2016", "envision", {"formulation": "tensorflow", "content_layers": DEEP}]


def test_each_of_the_formulations_is_one_variant():
    run = read(formulations=[*MANY, {"formulation": "udacity", "name": "bold", "beta": 1e7}])
    assert [(one.layers, one.formulation, one.ratio, one.settings) for one in run.variants] == [
        ("gatys2016", "gatys2016", "1e-3", settings_of("gatys2016")),
        ("envision", "envision", "1e2", settings_of("envision")),
        ("tensorflow", "tensorflow", "1e6", settings_of("tensorflow", content_layers=DEEP)),
        ("bold", "udacity", "1e-7", settings_of("udacity", beta=1e7)),
    ]
    assert run.recipes[-1].title == "Udacity"


UNKNOWN = f"unknown recipe 'udacty'; did you mean 'udacity'? … {' … '.join(PRESETS)}"
V16, V19 = (
    {"formulation": "gatys2016", "extractor": f"vgg{depth}", "name": f"v{depth}"}
    for depth in (16, 19)
)


def own(**settings: Any) -> dict[str, Any]:
    return {"formulations": [{"formulation": "udacity", **settings}]}


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        (
            {"formulations": ["udacity", {"formulation": "udacity", "beta": 1e5}]},
            "must differ in more than case; got 'udacity' and 'udacity' … as {name: other, …}",
        ),
        (
            {"formulations": ["udacity", {"formulation": "envision", "name": "Udacity"}]},
            "must differ in more than case; got 'udacity' and 'Udacity'",
        ),
        (
            {"formulations": MANY, "layers": {"all": WEIGHTS}},
            "layers: leave it out; each of formulations brings its own",
        ),
        (
            {"formulations": MANY, "formulation": "udacity"},
            "formulation: leave it out; each of formulations brings its own",
        ),
        ({"formulation": "udacty"}, UNKNOWN),
        ({"formulations": ["udacty"]}, UNKNOWN),
        (
            {"formulation": "tensorflow", "extractor": "vgg19_16x"},
            "vgg19_16x has no layer 'relu5_2'",
        ),
        (
            {"formulations": [V16, V19]},
            "extractor must be the same for all … got vgg16, vgg19 … split it",
        ),
        (own(iterations="many"), 'udacity: iterations must be a whole number … "many"'),
        (own(snapshots=[8], iterations=7), "snapshots must not lie beyond iterations, 7"),
    ],
)
def test_a_mistaken_recipe_is_refused_in_one_line(keys, told):
    message = refused_in_one_line(read, kind=ConfigError, **keys)
    assert re.search(".*".join(map(re.escape, told.split(" … "))), message), message


def test_a_recipe_may_have_another_extractor():
    keys = {"formulation": "tensorflow", "extractor": "vgg19"}
    assert settings(**keys) == settings_of(keys["formulation"], extractor="vgg19")
    assert read(formulations=[V16, {**V19, "extractor": "vgg16"}]).settings.extractor == "vgg16"


def test_the_scale_of_iterations_reaches_the_stages_and_the_average():
    tenth = settings(formulation="gatys_pytorch", iterations_scale=0.1)
    assert tenth == settings_of("gatys_pytorch", iterations=20, coarse_stages=[[512, 50]])
    tenth = settings(formulation="crowsonkb", iterations_scale=0.1)
    assert tenth.averaging == pytest.approx(0.99**10), "as far back in proportion"


@pytest.mark.parametrize(
    ("scale", "snapshots"),
    [
        (1, (0, 1000, 2000, 3000, 4000, 5000, 6000, 6001)),
        (0.1, (0, 100, 200, 300, 400, 500, 600)),
        (1e-6, (0, 1)),
    ],
)
def test_the_scale_of_iterations_reaches_the_snapshots(scale, snapshots):
    keys = {"formulation": "envision", "snapshots": {"every": 1000}}
    found = settings(**keys, iterations_scale=scale)
    assert (found.iterations, found.snapshots) == (snapshots[-1], snapshots)


@pytest.mark.parametrize("name", ["gatys_pytorch", "envision", "udacity"])
def test_a_formulation_s_own_settings_mean_what_they_mean_for_the_whole_run(name):
    own = {"formulation": name, "image_size": 96, "iterations": 50, "optimiser": "adam"}
    whole = {"snapshots": {"every": 20}}
    assert settings(formulations=[own], **whole) == settings(**own, **whole)
    listed = {**own, "snapshots": {"every": 25}}
    assert settings(formulations=[listed], **whole).snapshots == (0, 25, 50)


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
    in_px = settings(formulation="gatys_pytorch", **keys)
    assert in_px.stages == ((in_px.image_size, 700),)
    assert settings(formulation="crowsonkb", **keys).stages == stages
