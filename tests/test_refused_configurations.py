"""Mistakes in a configuration: each is refused in one line that says how to fix it."""

import datetime
import re
import subprocess
from pathlib import Path

import pytest
from configurations import WEIGHTS, config, least, refusal
from conftest import paint
from hypothesis import given
from hypothesis import strategies as st

from nst.config.catalogue import read_catalogue
from nst.config.documents import load_schema
from nst.config.pictures import survives_a_shell
from nst.config.run import read_run
from nst.config.variants import read_ratio

CATALOGUE = read_catalogue()

pytestmark = pytest.mark.usefixtures("folder")


MISTAKES = [
    (
        {"iteratons": 20},
        "the configuration: … unknown key 'iteratons' … 'iterations'? … The keys are contents",
    ),
    ({"kmeans": {"image": ["chelsea"]}}, "kmeans: … unknown key 'image' … did you mean 'images'?"),
    (
        {"contents": [{"name": "cat"}]},
        "contents.0: … the key 'path' is missing … the path of an image file",
    ),
    (
        {"layers": {"all": {"content": {"relu4_2": 1}}}},
        "layers.all: … the key 'style' is missing … relu4_2",
    ),
    ({"contents": [5]}, "contents.0 must be … a catalogue name, a file path … got 5"),
    ({"contents": "chelsea"}, 'contents must be … a list of catalogue names … got "chelsea"'),
    ({"styles": []}, "styles must be … a list of catalogue names … got []"),
    (
        {"layers": {"deep": {"content": {"relu5_2": 1}, "style": {"relu1_1": 1}}}, "overview": {}},
        "layers.deep: … has no layer 'relu5_2'; it has conv1_1, relu1_1",
    ),
    ({"style_scale": float("nan")}, "style_scale must be … from 0.1 to 10 … got NaN"),
    (
        {"extractor": "resnet"},
        'extractor must be … one of kmeans, vgg19, vgg19_16x, vgg16, vgg16_hed … got "resnet"',
    ),
    ({"device": "gpu"}, 'device must be … auto, cpu, cuda, cuda:1 or mps … got "gpu"'),
    (
        {"contents": [{"catalogue": "chelsea", "path": "photos/cat.png"}]},
        'contents.0.path must be left out, because catalogue names … got "photos/cat.png"',
    ),
    (
        {"contents": ["starry_nigth"]},
        "contents: … 'starry_nigth' … did you mean 'starry_night'? … astronaut … great_wave",
    ),
    (
        {"styles": ["qqqq"]},
        "styles: … 'qqqq' is neither a file nor in the catalogue … it has astronaut",
    ),
    (
        {"contents": ["photos/bird.png"]},
        "contents: … 'photos/bird.png' does not exist … relative to the working directory",
    ),
    (
        {"contents": [{"path": "photos/"}]},
        "contents: … 'photos/' is not a file … relative to the working directory",
    ),
    ({"contents": ["photos/*.webp"]}, "contents: … no file matches 'photos/*.webp'"),
    ({"contents": ["a\nb.png"]}, "'a\\nb.png' does not exist"),
    (
        {"contents": ["photos/cat.png", "other/cat.png"]},
        "contents: names must differ in more than case; got 'cat' and 'cat' … as {name: other, …}",
    ),
    ({"layers": {1: WEIGHTS}}, "layers: … a name must be text; got 1 … quotes"),
    (
        {"layers": {"all": {"content": {"relu4_2": -1}, "style": {"relu1_1": 1}}}},
        "layers.all.content.relu4_2 must be a number of at least 0; got -1",
    ),
    (
        {"layers": {"fine": WEIGHTS, "none": {"content": {"relu4_2": 0}, "style": {"relu1_1": 1}}}},
        "layers.none: … content_layers must be layer names … at least one of them above 0; got {",
    ),
    (
        {"layers": {"all": {"content": {"relu9_2": 1}, "style": {"relu1_1": 1}}}},
        'layers.all.content must be … layer names such as relu4_2 … got "relu9_2"',
    ),
    ({"layers": {}}, "layers must be … named layer weightings … got {}"),
    ({"ratios": [0]}, "ratios must be … from 1e-12 to 1e12 … 1e-2 … got 0"),
    ({"ratios": ["1e-2", {"alpha": 1, "beta": 100}]}, "ratios: … is α/β = 1e-2 again"),
    ({"ratios": ["much"]}, "ratios must be … as 1e-2 … got 'much'"),
    ({"ratios": [True]}, "ratios.0 must be … as 1e-2 … got true"),
    ({"ratios": [float("inf")]}, "ratios.0 must be … got Infinity"),
    ({"iterations_scale": float("nan")}, "iterations_scale must be a number above 0 … got NaN"),
    (
        {"contents": [datetime.date(2020, 1, 1)]},
        'contents.0 must be … got "2020-01-01, which YAML reads as a date; put it in quotes"',
    ),
    ({"styles": [{"name": "a", "blend": {2020: 1}}]}, "blend must be … in quotes; got 2020"),
    ({"ratios": ["1e999"]}, "ratios must be … got '1e999'"),
    (
        {"contents": [{"path": "strange/{name}.png"}]},
        "contents: a path must not contain {, }, <, > … 'strange/{name}.png'. Rename the file.",
    ),
    (
        {"contents": [{"path": "strange/two\nlines.png", "name": "two"}]},
        "contents: a path must not … cannot be printed … got 'strange/two\\nlines.png'. Rename",
    ),
    (
        {"contents": [{"path": "photos/cat.png", "title": "a\nb"}]},
        "contents: a title … must not contain line breaks … got 3 characters, 'a\\nb'. Reword it.",
    ),
    (
        {"contents": [{"path": "photos/cat.png", "title": "a" * 201}]},
        "contents: a title may have up to 200 characters … got 201 characters … Reword it.",
    ),
    (
        {"ratios": [f"1.{number}e0" for number in range(1000, 9000)]},
        "at most 10000 variants of a pair; got 16000. Split the run.",
    ),
    (
        {"snapshots": {"every": 1}, "iterations": 50_000},
        "layers.all: snapshots may have up to 100 megapixels together … of up to 128x128 px",
    ),
    ({"extractor": "vgg19"}, "vgg19.weights: 'vgg19.pth' does not exist; paths are relative"),
    (
        {"mirror": "http://example.org/nst"},
        "mirror must be a folder or an https:// address … got 'http://example.org/nst' … Use",
    ),
    ({"ratios": [{"alpha": 1}]}, "ratios.0: the key 'beta' is missing"),
    (
        {"ratios": [{"alpha": 1, "beta": 1, "gamma": 1}]},
        "ratios.0: … unknown key 'gamma' … alpha, beta",
    ),
    ({"ratios": [{"alpha": 0, "beta": 1}]}, "ratios: alpha must be … from 1e-12 … got 0"),
    (
        {"ratios": [{"alpha": 1e12, "beta": 1e-12}]},
        "ratios: alpha/beta must be … to 1e12 … got 1e+24",
    ),
    ({"overview": {"ratio": 5}}, "overview.ratio must be one of 1e0, 1e-2, 2.5e-1 … got 5e0"),
    ({"overview": {"layers": "coarse"}}, "overview.layers must be one of all, fine … got 'coarse'"),
    ({"kmeans": {"images": ["chelsi"]}}, "kmeans.images: … 'chelsi' … did you mean 'chelsea'?"),
    ({"kmeans": {"images": []}}, "kmeans.images must be … or null"),
]


@pytest.mark.parametrize(("changes", "told"), MISTAKES, ids=[told for _, told in MISTAKES])
def test_a_mistake_is_refused_in_one_line_with_key_rule_value_and_remedy(changes, told):
    pattern = ".*".join(map(re.escape, told.split(" … ")))
    assert re.search(pattern, refusal(config(**changes)))


@pytest.mark.parametrize("key", ["contents", "styles"])
def test_a_missing_key_is_named_with_what_belongs_there(key):
    mistaken = config()
    del mistaken[key]
    message = refusal(mistaken)
    assert f"the configuration: the key {key!r} is missing; it is " in message
    assert load_schema()["properties"][key]["description"] in message


def test_a_misspelt_key_is_named_before_the_one_that_is_missing_for_it():
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
    assert read_ratio(again) == read_ratio("1e-2")
    message = refusal(least(ratios=["1e-2", again]))
    assert message == f"ratios: {again!r} is α/β = 1e-2 again; remove one"


def test_a_key_that_is_no_text_is_as_unknown_as_any():
    assert "unknown key 2020; the keys are contents" in refusal(config() | {2020: "x"})


def test_a_configuration_that_contains_itself_is_refused():
    loop: list[object] = []
    loop.append(loop)
    message = refusal(least(contents=loop))
    assert message.startswith("contents.0 must be a catalogue name")
    assert message.endswith("got [[...]].")


# ---------------------------------------------------------------- paths for the jobs of a cluster


@pytest.mark.parametrize(
    "name", ["Monet's garden", "$(touch pwned)", "a;b & c `d`", 'a "b"', "ü 猫"]
)
def test_a_path_that_a_cluster_can_be_given_is_taken(name):
    paint(Path(f"{name}.png"))
    run = read_run(least(contents=[{"path": f"{name}.png", "name": "a"}]), CATALOGUE)
    assert run.contents["a"].path == f"{name}.png"


@pytest.mark.parametrize("name", ["a $(touch pwned) 'b'", "`it`'s", '"it"\'s', "back\\slash"])
@pytest.mark.parametrize("key", ["contents", "styles", "start_file", "vgg19.weights"])
def test_a_path_that_a_shell_would_read_otherwise_is_refused(name, key):
    path = f"{name}.png"
    paint(Path(path))
    changes = {
        "contents": [{"path": path, "name": "a"}],
        "styles": [{"path": path, "name": "a"}],
        "start_file": path,
        "vgg19.weights": {"weights": path},
    }
    message = refusal(least(extractor="vgg19", **{key.removesuffix(".weights"): changes[key]}))
    assert message.startswith(f"{key}: a path must not contain ")
    assert "nor ' together with $, ` or \"" in message
    assert message.endswith(f"got {path!r}. Rename the file.")


@given(st.text(st.sampled_from("'\"$`\\ ab!;&|()*?~#éß{}"), min_size=1, max_size=8))
def test_a_shell_agrees(path):
    """A real shell keeps every path that ``survives_a_shell`` accepts."""
    if survives_a_shell(path):
        said = subprocess.run(["sh", "-c", f"printf %s {path!r}"], capture_output=True, check=True)
        assert said.stdout.decode() == path
