from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import jsonschema
import pytest
from configurations import WEIGHTS, config, least, places, replaced, settings_of
from conftest import paint
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nst.config.catalogue import read_catalogue
from nst.config.octaves import LAYER
from nst.config.pictures import IMAGE_SUFFIXES
from nst.config.run import read_file, read_run, read_variants
from nst.config.schema import load_schema
from nst.config.settings import CHOICES, RANGES, WHOLE, Settings
from nst.config.variants import Ratio, variants_digest
from nst.errors import ConfigError

ROOT = Path(__file__).resolve().parents[1]
CATALOGUE = read_catalogue()


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working directory with photographs, as a user has it."""
    for number, name in enumerate(["photos/cat.png", "photos/dog.jpg", "other/cat.png"]):
        paint(tmp_path / name, seed=number)
    for name in ("{name}.png", "<name>.png", "two\nlines.png"):
        paint(tmp_path / "strange" / name)
    (tmp_path / "photos/notes.txt").write_text("not a picture")
    (tmp_path / "photos/album.png").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NST_MIRROR", raising=False)
    return tmp_path


def refusal(mistaken: dict[str, object]) -> str:
    """The one line with which a configuration is refused."""
    with pytest.raises(ConfigError) as caught:
        read_run(mistaken, CATALOGUE)
    message = str(caught.value)
    assert message.splitlines() == [message], "a refusal is one line"
    return message


# ---------------------------------------------------------------- what is valid


def test_every_key_arrives_in_the_run():
    run = read_run(config(), CATALOGUE)
    assert list(run.contents) == ["chelsea", "kitten"]
    assert run.contents["chelsea"].entry == CATALOGUE["chelsea"]
    assert run.contents["chelsea"].title == "Chelsea the cat"
    assert (run.contents["kitten"].path, run.contents["kitten"].title) == (
        "photos/cat.png",
        "A cat",
    )
    assert list(run.styles) == ["dog", "starry_night_study"]
    assert list(run.ratios) == ["1e0", "1e-2", "2.5e-1"]
    given = {name: config()[name] for name in Settings.shared_names()}
    doubled = {"iterations": 40, "coarse_stages": [[64, 20]], "snapshots": [0, 40]}
    weights = {"content_layers": WEIGHTS["content"], "style_layers": WEIGHTS["style"]}
    assert run.settings == Settings.from_mapping(
        {**given, **doubled, **weights, "alpha": 1, "beta": 1}
    )
    assert (run.device, run.mirror) == ("cpu", "https://example.org/nst")
    assert [picture.name for picture in run.kmeans_images] == ["kitten", "rocket"]
    assert run.weights == {"vgg19": "vgg19.pth", "vgg16": "vgg16.pth"}
    assert run.overview == ("fine", "1e-2")


def test_what_is_left_out_has_its_default():
    run = read_run(least(), CATALOGUE)
    weights = {"content_layers": WEIGHTS["content"], "style_layers": WEIGHTS["style"]}
    assert run.settings == settings_of("relative", **weights, beta=1)
    assert (run.device, run.mirror) == ("auto", None)
    assert run.weights == {"vgg19": None, "vgg16": None}
    assert run.overview == ("all", "1e-2"), "the first weighting and the middle ratio"
    names = [picture.name for picture in run.kmeans_images]
    assert names == ["chelsea", "kitten", "dog", "starry_night_study"]


@pytest.mark.parametrize("key", ["kmeans", "vgg19", "vgg16", "overview"])
def test_an_empty_section_is_as_good_as_none(key):
    assert read_run(least(**{key: {}}), CATALOGUE) == read_run(least(), CATALOGUE)


def test_null_stands_for_the_default_where_the_documentation_says_so():
    nulls = {"mirror": None, "kmeans": {"images": None}, "vgg19": {"weights": None}}
    assert read_run(least(**nulls), CATALOGUE) == read_run(least(), CATALOGUE)


def test_a_mirror_in_the_environment_serves_where_the_configuration_names_none(monkeypatch):
    monkeypatch.setenv("NST_MIRROR", "/mnt/mirror")
    assert read_run(least(), CATALOGUE).mirror == "/mnt/mirror"
    assert read_run(config(), CATALOGUE).mirror == "https://example.org/nst"


def test_a_job_reads_the_same_variants_as_the_plan_and_needs_no_image():
    for values in (config(), least(), least(iterations_scale=0.5)):
        plan = read_run(values, CATALOGUE)
        assert read_variants(values | {"contents": ["gone.png"], "styles": []}) == plan.variants


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 7},
        {"iterations_scale": 0.5},
        {"ratios": [0.5]},
        {"ratios": [{"alpha": 3, "beta": 9}]},
        {"layers": {"renamed": {"content": {"relu4_2": 1}, "style": {"relu1_1": 1}}}},
        {"formulation": "udacity"},
    ],
)
def test_whatever_changes_the_variants_changes_their_digest(changes):
    before, after = (read_variants(values) for values in (least(), least(**changes)))
    assert before != after
    assert variants_digest(before) != variants_digest(after)


def test_the_digest_knows_the_order_and_not_the_spelling():
    variants = read_variants(config())
    assert variants_digest(variants) == variants_digest(read_variants(config()))
    assert variants_digest(variants) != variants_digest(reversed(variants))
    spelt = [read_variants(least(ratios=ratios)) for ratios in (["1e-2"], [0.01])]
    assert variants_digest(spelt[0]) == variants_digest(spelt[1])


def test_a_cell_has_its_variant_s_weights_and_the_run_s_settings():
    run = read_run(config(), CATALOGUE)
    cells = {(one.layers, one.ratio): one.settings for one in run.variants}
    cell = cells["fine", "2.5e-1"]
    assert (cell.alpha, cell.beta) == (10, 40)
    assert dict(cell.content_layers) == {"conv3_1": 1}
    assert dict(cell.style_layers) == {"relu1_1": 1}
    assert (cell.image_size, cell.seed) == (128, 3)
    assert (cells["all", "1e-2"].alpha, cells["all", "1e-2"].beta) == (1, 100)


def test_the_run_s_pictures_are_known_by_role_and_name():
    run = read_run(config(), CATALOGUE)
    assert list(run.pictures) == [
        "content/chelsea",
        "content/kitten",
        "style/dog",
        "style/starry_night_study",
    ]


def test_an_image_may_be_a_content_and_a_style():
    run = read_run(least(styles=["chelsea"]), CATALOGUE)
    assert run.contents["chelsea"] == run.styles["chelsea"]


@pytest.mark.parametrize("root", [".", "absolute"])
def test_a_pattern_stands_for_the_image_files_it_matches_in_order(folder, root):
    start = "" if root == "." else f"{folder}/"
    run = read_run(least(contents=[f"{start}photos/*"]), CATALOGUE)
    assert [picture.path for picture in run.contents.values()] == [
        f"{start}photos/cat.png",
        f"{start}photos/dog.jpg",
    ], "the text file and the folder album.png are no images"


def test_a_pattern_can_reach_into_folders_and_match_one_sign(folder):
    paint(folder / "deep/er/bird.png")
    run = read_run(least(contents=["deep/**/*.png", "photos/?at.png"]), CATALOGUE)
    assert list(run.contents) == ["bird", "cat"]


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_a_pattern_finds_every_format_that_can_be_read_in_either_case(folder, suffix):
    (folder / f"one{suffix}").touch()
    (folder / f"two{suffix.upper()}").touch()
    assert list(read_run(least(contents=["*"]), CATALOGUE).contents) == ["one", "two"]


def test_the_catalogue_goes_before_a_file_of_the_same_name(folder):
    (folder / "chelsea").write_bytes(b"")
    assert read_run(least(), CATALOGUE).contents["chelsea"].path is None


def test_a_file_without_an_extension_is_found(folder):
    paint(folder / "photos/cat.png").rename(folder / "cat")
    assert read_run(least(contents=["cat"]), CATALOGUE).contents["cat"].path == "cat"


def test_a_name_is_made_of_the_file_s_own(folder):
    for name in ("a+b (2).png", "Ünïcode 雪.png", "x.y-z_.png"):
        paint(folder / "odd" / name)
    run = read_run(least(contents=["odd/*"]), CATALOGUE)
    assert sorted(run.contents) == ["a-b -2", "x.y-z_", "Ünïcode 雪"]


@pytest.mark.parametrize(
    "pair",
    [("cat", "CAT"), ("straße", "STRASSE"), ("Ångström", "a\u030angstro\u0308m"), ("ﬁn", "fin")],
)
def test_names_that_some_system_takes_for_one_are_refused(pair):
    pictures = [{"name": name, "path": "photos/cat.png"} for name in pair]
    assert "differ only in case; rename one" in refusal(least(contents=pictures))
    layers = dict.fromkeys(pair, WEIGHTS)
    assert "differ only in case; rename one" in refusal(least(layers=layers))


def test_two_spellings_of_an_accent_are_one_name():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    pictures = [{"name": name, "path": "photos/cat.png"} for name in (composed, decomposed)]
    assert "two images are named" in refusal(least(contents=pictures))


@pytest.mark.parametrize("path", sorted(ROOT.glob("config/*.yaml")), ids=lambda path: path.name)
def test_the_configurations_of_the_project_can_be_used(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    run = read_run(read_file(path), CATALOGUE)
    assert run.contents
    assert run.styles


# ---------------------------------------------------------------- what is refused

MISTAKES = {
    "an unknown key": (
        {"hue": "red"},
        ("the configuration", "unknown key 'hue'", "the keys are contents, styles, ratios"),
    ),
    "a misspelt key": (
        {"iteratons": 20},
        ("unknown key 'iteratons'", "did you mean 'iterations'?", "The keys are contents"),
    ),
    "a misspelt key in a section": (
        {"kmeans": {"image": ["chelsea"]}},
        ("kmeans:", "unknown key 'image'", "did you mean 'images'?"),
    ),
    "a misspelt role of a layer weighting": (
        {"layers": {"all": {"contents": {}, "style": {"relu1_1": 1}}}},
        ("layers.all:", "unknown key 'contents'", "did you mean 'content'?"),
    ),
    "a misspelt key of an image": (
        {"contents": [{"pth": "photos/cat.png"}]},
        ("contents.0:", "unknown key 'pth'", "did you mean 'path'?"),
    ),
    "an image without a path": (
        {"contents": [{"name": "cat"}]},
        ("contents.0:", "the key 'path' is missing", "the path of an image file"),
    ),
    "a weighting without style": (
        {"layers": {"all": {"content": {"relu4_2": 1}}}},
        ("layers.all:", "the key 'style' is missing", "relu4_2"),
    ),
    "an image that is a number": (
        {"contents": [5]},
        ("contents.0 must be", "a catalogue name, a file path", "got 5"),
    ),
    "images that are no list": (
        {"contents": "chelsea"},
        ("contents must be", "a list of catalogue names", 'got "chelsea"'),
    ),
    "no images": ({"styles": []}, ("styles must be", "a list of catalogue names", "got []")),
    "a size in words": (
        {"image_size": "large"},
        ("image_size must be", "whole number of pixels from 32 to 8192", 'got "large"'),
    ),
    "a size with a fraction": (
        {"image_size": 64.5},
        ("image_size must be", "whole number", "got 64.5"),
    ),
    "a size that is a whole float": (
        {"image_size": 64.0},
        ("image_size must be", "whole number", "got 64.0"),
    ),
    "a layer that the extractor lacks": (
        {
            "layers": {"deep": {"content": {"relu5_2": 1}, "style": {"relu1_1": 1}}},
            "overview": {},
        },
        ("layers.deep: ", "has no layer 'relu5_2'; it has conv1_1, relu1_1"),
    ),
    "a size too small": ({"image_size": 31}, ("image_size must be", "from 32", "got 31")),
    "no iterations": ({"iterations": 0}, ("iterations must be", "from 1", "got 0")),
    "a scale that is no number": (
        {"style_scale": float("nan")},
        ("style_scale must be", "from 0.1 to 10", "got nan"),
    ),
    "a negative seed": ({"seed": -1}, ("seed must be", "at least 0", "got -1")),
    "yes for a seed": ({"seed": True}, ("seed must be", "whole number", "got true")),
    "an unknown extractor": (
        {"extractor": "resnet"},
        ("extractor must be", "one of kmeans, vgg19, vgg19_16x, vgg16", 'got "resnet"'),
    ),
    "an unknown device": (
        {"device": "gpu"},
        ("device must be", "auto, cpu, cuda, cuda:1 or mps", 'got "gpu"'),
    ),
    "an unknown image": (
        {"contents": ["starry_nigth"]},
        ("contents:", "'starry_nigth'", "did you mean 'starry_night'?", "astronaut", "great_wave"),
    ),
    "an image like no other": (
        {"styles": ["qqqq"]},
        ("styles:", "'qqqq' is neither a file nor in the catalogue", "it has astronaut"),
    ),
    "a path that leads nowhere": (
        {"contents": ["photos/bird.png"]},
        ("contents:", "'photos/bird.png' does not exist", "relative to the working directory"),
    ),
    "a path of an image that leads nowhere": (
        {"contents": [{"path": "bird.png"}]},
        ("contents:", "'bird.png' does not exist"),
    ),
    "a folder": (
        {"contents": ["photos/"]},
        ("contents:", "'photos/' is not a file", "relative to the working directory"),
    ),
    "a folder without a slash": ({"contents": ["photos"]}, ("'photos' is not a file",)),
    "a pattern that matches nothing": (
        {"contents": ["photos/*.webp"]},
        ("contents:", "no image matches 'photos/*.webp'"),
    ),
    "a pattern that matches no images": (
        {"contents": ["photos/*.txt"]},
        ("no image matches 'photos/*.txt'",),
    ),
    "a malformed pattern": ({"contents": ["photos**a"]}, ("no image matches 'photos**a'",)),
    "a path with a NUL": ({"contents": ["a\0.png"]}, ("does not exist",)),
    "a pattern with a NUL": ({"contents": ["\0/*"]}, ("no image matches",)),
    "a path with a line break": ({"contents": ["a\nb.png"]}, (r"'a\nb.png' does not exist",)),
    "a path too long for the system": ({"contents": ["a" * 300 + ".png"]}, ("does not exist",)),
    "two files of one name": (
        {"contents": ["photos/cat.png", "other/cat.png"]},
        ("contents:", "two images are named 'cat'", "{name: other, path: other/cat.png}"),
    ),
    "an image twice": (
        {"styles": ["rocket", "rocket"]},
        ("styles:", "two images are named 'rocket'"),
    ),
    "names that differ only in case": (
        {"contents": ["photos/cat.png", {"name": "CAT", "path": "other/cat.png"}]},
        ("contents:", "'cat' and 'CAT' differ only in case", "rename one"),
    ),
    "weightings that differ only in case": (
        {"layers": {"all": WEIGHTS, "All": WEIGHTS}},
        ("layers:", "'all' and 'All' differ only in case"),
    ),
    "a weighting named by a number": (
        {"layers": {1: WEIGHTS}},
        ("layers:", "a name must be text; got 1", "quotes"),
    ),
    "a negative layer weight": (
        {"layers": {"all": {"content": {"relu4_2": -1}, "style": {"relu1_1": 1}}}},
        ("layers.all.content.relu4_2 must be", "weights of at least 0", "got -1"),
    ),
    "layer weights that are all 0": (
        {"layers": {"fine": WEIGHTS, "none": {"content": {"relu4_2": 0}, "style": {"relu1_1": 1}}}},
        ("layers.none:", "content_layers: all weights are 0", "a positive weight"),
    ),
    "an unknown layer": (
        {"layers": {"all": {"content": {"relu9_2": 1}, "style": {"relu1_1": 1}}}},
        ("layers.all.content must be", "layer names such as relu4_2", 'got "relu9_2"'),
    ),
    "an immense layer weight": (
        {"layers": {"fine": {"content": {"relu4_2": 10**400}, "style": {"relu1_1": 1}}}},
        ("layers.fine.content.relu4_2 must be", "weights of at least 0", "a number of 1329 bits"),
    ),
    "no layers": ({"layers": {}}, ("layers must be", "named layer weightings", "got {}")),
    "a ratio of 0": ({"ratios": [0]}, ("ratios must be", "from 1e-12 to 1e12", "1e-2", "got 0")),
    "a negative ratio": ({"ratios": ["-1e-2"]}, ("ratios must be", "got '-1e-2'")),
    "a ratio in words": ({"ratios": ["much"]}, ("ratios must be", "as 1e-2", "got 'much'")),
    "yes for a ratio": ({"ratios": [True]}, ("ratios.0 must be", "as 1e-2", "got true")),
    "an infinite ratio": (
        {"ratios": [float("inf")]},
        ("ratios.0 must be", "got inf, which is not"),
    ),
    "a ratio of more than a float": ({"ratios": ["1e999"]}, ("ratios must be", "got '1e999'")),
    "a weight beyond the range": (
        {"layers": {"fine": {"content": {"relu4_2": 1e13}, "style": {"relu1_1": 1}}}},
        ("layers.fine:", "the weight of relu4_2 must be a number from 0 to 1e+12"),
    ),
    "a path with a wildcard's sign": (
        {"contents": [{"path": "strange/{name}.png"}]},
        (
            "contents: a path must not contain {, }, < or >",
            "got 'strange/{name}.png'. Rename the file.",
        ),
    ),
    "a start with a wildcard's sign": (
        {"start": "file", "start_file": "strange/{name}.png"},
        ("start_file: a path must not contain {, }, < or >", "Rename the file."),
    ),
    "a path with the sign of a variable of Snakemake's": (
        {"contents": ["strange/<name>.png"]},
        ("contents: a path must not contain", "got 'strange/<name>.png'. Rename the file."),
    ),
    "a file with a line break": (
        {"contents": [{"path": "strange/two\nlines.png", "name": "two"}]},
        ("contents: a path must not contain '\\n'", "Rename the file."),
    ),
    "a title that draws over others": (
        {"contents": [{"path": "photos/cat.png", "title": "a\nb"}]},
        ("contents: a title must not contain '\\n'", "got 'a\\nb'. Reword it."),
    ),
    "a long title": (
        {"contents": [{"path": "photos/cat.png", "title": "a" * 201}]},
        ("contents: a title may have up to 200 characters; got 201", "Shorten it."),
    ),
    "too many variants": (
        {"ratios": [f"1.{number}e0" for number in range(1000, 9000)]},
        ("at most 10000 variants of a pair; got 16000. Split the run.",),
    ),
    "more pictures on the way than the memory holds": (
        {"snapshots": {"every": 1}, "iterations": 50_000},
        ("layers.all: snapshots may have up to 100 megapixels together", "of up to 128x128 px"),
    ),
    "weights that are not there": (
        {"extractor": "vgg19"},
        ("vgg19.weights: 'vgg19.pth' does not exist; paths are relative",),
    ),
    "a mirror that anyone can tamper with": (
        {"mirror": "http://example.org/nst"},
        ("mirror must be a folder or an https:// address", "got 'http://example.org/nst'", "Use"),
    ),
    "a ratio without beta": (
        {"ratios": [{"alpha": 1}]},
        ("ratios:", "both alpha and beta", "got {'alpha': 1}"),
    ),
    "a ratio with a third weight": (
        {"ratios": [{"alpha": 1, "beta": 1, "gamma": 1}]},
        ("ratios.0:", "unknown key 'gamma'", "alpha, beta"),
    ),
    "no content at all": (
        {"ratios": [{"alpha": 0, "beta": 1}]},
        ("ratios: alpha must be", "from 1e-12", "got 0"),
    ),
    "weights too far apart": (
        {"ratios": [{"alpha": 1e12, "beta": 1e-12}]},
        ("ratios: alpha/beta must be", "to 1e12", "got 1e+24"),
    ),
    "an overview outside the grid": (
        {"overview": {"ratio": 5}},
        ("overview.ratio must be one of 1e0, 1e-2, 2.5e-1", "got 5e0"),
    ),
    "an overview of unknown layers": (
        {"overview": {"layers": "coarse"}},
        ("overview.layers must be one of all, fine", "got 'coarse'"),
    ),
    "an unknown image for kmeans": (
        {"kmeans": {"images": ["chelsi"]}},
        ("kmeans.images:", "'chelsi'", "did you mean 'chelsea'?"),
    ),
    "no images for kmeans": ({"kmeans": {"images": []}}, ("kmeans.images must be", "or null")),
    "a section that is none": ({"kmeans": None}, ("kmeans must be", "{images: ", "got null")),
}


@pytest.mark.parametrize(("changes", "parts"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_refused_in_one_line_with_key_rule_value_and_remedy(changes, parts):
    message = refusal(config(**changes))
    for part in parts:
        assert part in message


@pytest.mark.parametrize("key", ["contents", "styles"])
def test_a_missing_key_is_named_with_what_belongs_there(key):
    mistaken = config()
    del mistaken[key]
    message = refusal(mistaken)
    assert f"the configuration: the key {key!r} is missing; it is " in message
    assert load_schema()["properties"][key]["description"] in message


def test_a_misspelt_key_is_told_before_the_one_that_is_missing_for_it():
    mistaken = config(style=["chelsea"])
    del mistaken["styles"]
    assert "unknown key 'style'; did you mean 'styles'?" in refusal(mistaken)
    deeper = config(contents=5, kmeans={"image": []})
    assert "unknown key 'image'; did you mean 'images'?" in refusal(deeper)


@pytest.mark.parametrize(
    "name",
    [
        *("../x", "a/b", "con", "NUL.txt", "com1", "com²", "lpt³.x", "aux .txt", "🎨", "a" * 81),
        *("𠀀" * 51, " cat", "cat.", "-", "-rf", "a\nb", ".", "..", "$(id)", "a;b", "a'b", "{a}"),
    ],
)
def test_a_name_that_some_system_cannot_store_is_refused(name):
    picture = {"name": name, "path": "photos/cat.png"}
    for key in ("contents", "styles"):
        message = refusal(least(**{key: [picture]}))
        assert message.startswith(f"{key}: {name!r} cannot name a file; use up to 80 letters")
    assert refusal(least(layers={name: WEIGHTS})).startswith(f"layers: {name!r} cannot name a file")
    recipes = [{"formulation": "gatys2016", "name": name}]
    message = refusal({"contents": ["chelsea"], "styles": ["rocket"], "formulations": recipes})
    assert message.startswith(f"formulations: {name!r} cannot name a file")


@pytest.mark.parametrize("name", ["a" * 80, "cat.v2", "_", "con2", "雪 2", "Ärger"])
def test_a_name_that_every_system_can_store_is_accepted(name):
    picture = {"name": name, "path": "photos/cat.png"}
    assert list(read_run(least(contents=[picture]), CATALOGUE).contents) == [name]


@pytest.mark.parametrize("stem", ["🎨", "con", "a" * 81, "..."])
def test_a_file_whose_name_cannot_be_used_is_named_in_the_refusal(folder, stem):
    path = paint(folder / "photos/cat.png").rename(folder / f"{stem}.png")
    message = refusal(least(contents=[path.name]))
    assert f"{stem!r} cannot name a file" in message
    assert "{name: cat, path: " in message


@pytest.mark.parametrize("again", [0.01, "0.01", "1e-2", "1.0e-2", "0.0100", "+.1E-1"])
def test_a_ratio_is_the_same_in_every_spelling(again):
    assert Ratio.parse(again) == Ratio.parse("1e-2")
    message = refusal(least(ratios=["1e-2", again]))
    assert message == f"ratios: {again!r} is α/β = 1e-2 again; remove one"


def test_weights_of_the_same_ratio_are_the_same_cell_name_and_so_refused():
    message = refusal(least(ratios=["1e-2", {"alpha": 1, "beta": 100}]))
    assert "is α/β = 1e-2 again" in message


@pytest.mark.parametrize(
    "odd", [{1.5: 5}, {None: 5}, {"a\nb": 5}, {datetime.date(2020, 1, 1): 5}, {"a\u2028b": 5}]
)
def test_keys_that_only_yaml_has_are_refused_in_one_line(odd):
    for key in ("contents", "layers"):
        assert refusal(least(**{key: odd})).startswith(key)


def test_a_key_that_is_no_text_is_as_unknown_as_any():
    assert "unknown key 2020; the keys are contents" in refusal(config() | {2020: "x"})


def test_a_configuration_that_contains_itself_is_refused():
    loop: list[object] = []
    loop.append(loop)
    assert refusal(least(contents=loop)).startswith("contents.0 must be a catalogue name")


# ---------------------------------------------------------------- YAML files


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (b"contents: [chelsea", "is not valid YAML"),
        (b"a: b: c", "is not valid YAML: mapping values are not allowed here in line 1, column 5"),
        (b"a: 1\nb: 2\na: 3", "line 3: the key 'a' is given twice; remove one"),
        (b"a: 0x" + b"f" * 500, "line 1: a number may have 400 digits at most; shorten it"),
        (b"a: \xff", "is not valid YAML"),
        (b"a: 2020-13-45", "is not valid YAML: month must be in 1..12"),
        (b"a: !!python/object/apply:os.getcwd []", "is not valid YAML"),
        (b"- chelsea", "must hold keys and values; see config/README.md"),
        (b"", "must hold keys and values; see config/README.md"),
    ],
)
def test_a_broken_file_is_refused_in_one_line_that_names_it(folder, text, told):
    path = folder / "my.yaml"
    path.write_bytes(text)
    with pytest.raises(ConfigError) as caught:
        read_file(path)
    message = str(caught.value)
    assert re.match(rf"{re.escape(str(path))}:? {re.escape(told)}", message)
    assert message.splitlines() == [message]


def test_a_missing_file_is_refused(folder):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml cannot be read .*; check the path"):
        read_file(folder / "nowhere.yaml")


def test_yaml_s_idea_of_a_number_does_not_matter(folder):
    path = folder / "my.yaml"
    path.write_text("ratios: [1e-2, 1e0, 1.0e-1]")
    values = read_file(path)["ratios"]
    assert [type(value) for value in values] == [str, str, float]
    assert [Ratio.parse(value).label for value in values] == ["1e-2", "1e0", "1e-1"]


# ---------------------------------------------------------------- properties

positive = st.floats(1e-12, 1e12) | st.decimals("1e-12", "1e12").map(str)


@given(positive)
@example(0.9999999)
@example(1e12)
@example(1e-12)
def test_the_label_of_a_ratio_stands_for_itself(value):
    label = Ratio.parse(value).label
    again = Ratio.parse(label)
    assert again.label == label
    assert again.alpha / again.beta == pytest.approx(float(value), rel=1e-5)
    assert re.fullmatch(r"[0-9](\.[0-9]*[1-9])?e-?[0-9]+", label), "nothing unsafe in a path"


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_weights_are_taken_as_they_are_and_labelled_by_their_ratio(alpha, beta):
    ratio = Ratio.parse({"alpha": alpha, "beta": beta})
    assert (ratio.alpha, ratio.beta) == (alpha, beta)
    assert Ratio.parse(ratio.label).label == ratio.label
    assert float(ratio.label) == pytest.approx(alpha / beta, rel=1e-5)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=12)
    | st.sampled_from(["chelsea", "photos/*", "photos/cat.png", "**", "1e-2", "relu4_2", "", "a\n"])
)
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=6) | st.sampled_from(["path", "name", "alpha", "content", "images"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=6,
)


def told_by(read: Callable[..., object], *arguments: object) -> str:
    """What a reader says against its arguments; nothing if it reads them."""
    try:
        read(*arguments)
    except ConfigError as error:
        return str(error)
    return ""


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(places(config())), json_values)
def test_any_configuration_is_either_used_or_refused_as_a_mistake(path, new):
    told_by(read_run, replaced(config(), path, new), CATALOGUE)  # any other error would come out


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode))
def test_any_file_is_either_read_or_refused_as_a_mistake(folder, content):
    path = folder / "any.yaml"
    path.write_bytes(content)
    told_by(read_file, path)  # any other error would come out


# ---------------------------------------------------------------- the schema


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(load_schema())


def test_the_schema_knows_every_shared_setting_and_its_limits():
    properties = load_schema()["properties"]
    assert set(Settings.shared_names()) <= set(properties)
    for name, choices in CHOICES.items():
        assert properties[name]["enum"] == list(choices)
        assert properties[name]["description"] == f"one of {', '.join(choices)}"
    for kind, limits in (("number", RANGES), ("integer", WHOLE)):
        for name in set(limits) & set(Settings.shared_names()):
            whole = properties[name]
            (rule,) = (one for one in whole.get("anyOf", [whole]) if one.get("type") == kind)
            assert (rule["minimum"], rule["maximum"]) == limits[name]
            assert f"{rule['minimum']:g}".replace("e-0", "e-") in whole["description"]


def test_the_choices_are_those_of_the_types():
    hints = get_type_hints(Settings)
    literals = {name: get_args(hint) for name, hint in hints.items() if get_origin(hint) is Literal}
    assert dict(CHOICES) == literals


def test_a_title_that_would_end_the_report_s_script_is_refused():
    contents = [{"path": "photos/cat.png", "title": "A </SCRIPT > cat"}]
    message = refusal(least(contents=contents))
    assert "contents: a title must not contain </script; got 'A </SCRIPT > cat'" in message


def test_every_key_of_the_schema_does_something():
    """A key that the schema allows but nothing reads would be ignored without a word."""
    keys = set(load_schema()["properties"])
    assert {*config(), "formulations", "vary", "grid", "prints"} == keys, (
        "the valid configuration has them all"
    )
    plain = read_run(least(), CATALOGUE)
    together: dict[str, dict[str, object]] = {
        "iterations_least": {"iterations_scale": 0.01},
        "size": {"image_size": 100},
        "coarse_stages": {"image_size": 100},
        "snapshots": {"iterations": 20},
        "content_target": {"formulation": "relative_gram"},
        "blend": {"styles": [{"name": "mix", "blend": {"starry_night": 1, "great_wave": 1}}]},
    }
    given = config(blend=0.5)
    for key in set(given) - set(least()):
        base = together.get(key, {})
        changed = read_run(least(**base, **{key: given[key]}), CATALOGUE)
        assert changed != (read_run(least(**base), CATALOGUE) if base else plain), key


def test_the_schema_and_the_settings_agree_on_layer_names():
    weights = load_schema()["properties"]["layers"]["additionalProperties"]["properties"]
    for role in ("content", "style"):
        pattern = weights[role]["propertyNames"]["pattern"]
        assert pattern == f"^{LAYER.pattern}$"


def keys(rules: dict) -> list[tuple[str, dict]]:
    """List the keys and the keys in keys, as the catalogue of workflows makes a table of them."""
    inner = [keys(rule.get("properties", {})) for rule in rules.values()]
    return [*rules.items(), *(one for group in inner for one in group)]


def defaults(rules: dict) -> dict:
    """Return what the schema says that a key is if it is left out."""
    found = {
        name: rule["default"] if "default" in rule else defaults(rule.get("properties", {}))
        for name, rule in rules.items()
    }
    return {name: value for name, value in found.items() if value != {}}


def test_every_rule_of_the_schema_is_described_for_the_reader():
    for name, rule in keys(load_schema()["properties"]):
        assert rule.get("description"), name


@pytest.mark.parametrize("base", [{}, {"iterations_scale": 0.01}], ids=str)
def test_a_key_that_is_left_out_is_what_the_schema_gives_as_its_default(base, monkeypatch):
    monkeypatch.delenv("NST_MIRROR", raising=False)
    given = {**defaults(load_schema()["properties"]), **least(**base)}
    assert read_run(given, CATALOGUE) == read_run(least(**base), CATALOGUE)


def test_a_key_without_a_default_is_of_the_grid_or_of_what_is_shown():
    schema = load_schema()
    without = set(schema["properties"]) - set(defaults(schema["properties"]))
    axes = {"layers", "ratios", "vary", "formulations"}
    assert without == {*schema["required"], *axes, "grid", "overview", "prints"}


def test_reading_a_configuration_loads_neither_torch_nor_pandas():
    script = (
        "import json, sys; from nst.config.catalogue import read_catalogue;"
        "import nst.config.run as c; c.read_run(json.loads(sys.argv[1]), read_catalogue());"
        "heavy = {'torch', 'torchvision', 'pandas', 'skimage', 'matplotlib'} & set(sys.modules);"
        "sys.exit(' '.join(heavy) or 0)"
    )
    run = subprocess.run(
        [sys.executable, "-c", script, json.dumps(config())],
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
