"""How configurations are read, and how mistakes in them are refused: in one line, with a remedy."""

import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
import yaml
from configurations import WEIGHTS, config, least, refusal, refused, settings_of
from conftest import paint
from hypothesis import example, given
from hypothesis import strategies as st
from workflow_runs import ROOT

from nst.config.catalogue import find_mirror, read_catalogue
from nst.config.documents import load_schema
from nst.config.pictures import IMAGE_SUFFIXES, survives_a_shell
from nst.config.run import read_file, read_run
from nst.config.settings import Settings
from nst.config.variants import digest, read_ratio, read_variants
from nst.errors import ConfigError

CATALOGUE = read_catalogue()

pytestmark = pytest.mark.usefixtures("folder")


# ---------------------------------------------------------------- valid configurations


def test_every_key_arrives_in_the_run():
    run = read_run(config(), CATALOGUE)
    assert list(run.contents) == ["chelsea", "kitten"]
    assert run.contents["chelsea"].entry == CATALOGUE["chelsea"]
    assert run.contents["chelsea"].title == "Chelsea the cat"
    kitten = run.contents["kitten"]
    assert (kitten.path, kitten.title) == ("photos/cat.png", "A cat")
    assert list(run.styles) == ["dog", "starry_night_study"]
    assert list(run.ratios) == ["1e0", "1e-2", "2.5e-1"]
    given = {name: config()[name] for name in Settings.shared_names()}
    doubled = {"iterations": 50, "coarse_stages": [[64, 20]], "snapshots": [0, 40], "finish": 8}
    doubled |= {"averaging": 0.5**0.5}  # the average covers the same share of the run
    weights = {"content_layers": WEIGHTS["content"], "style_layers": WEIGHTS["style"]}
    fine = {"content_layers": {"conv3_1": 1}, "style_layers": {"relu1_1": 1}}
    cells = {(one.layers, one.ratio): one.settings for one in run.variants}
    for cell, own in (
        (run.settings, {**weights, "alpha": 1, "beta": 1}),
        (cells["all", "1e-2"], {**weights, "alpha": 1, "beta": 100}),
        (cells["fine", "2.5e-1"], {**fine, "alpha": 10, "beta": 40}),
    ):
        assert cell == Settings.from_mapping({**given, **doubled, **own})
    assert (run.device, find_mirror(config())) == ("cpu", "https://example.org/nst")
    assert [picture.name for picture in run.kmeans_images] == ["kitten", "rocket"]
    assert run.weights == {"vgg19": "vgg19.pth", "vgg16": "vgg16.pth"}
    assert run.overview == ("fine", "1e-2")


def test_what_is_left_out_has_its_default():
    run = read_run(least(), CATALOGUE)
    weights = {"content_layers": WEIGHTS["content"], "style_layers": WEIGHTS["style"]}
    assert run.settings == settings_of("relative", **weights, beta=1)
    assert (run.device, find_mirror(least())) == ("auto", None)
    assert run.weights == {"vgg19": None, "vgg16": None}
    assert run.overview == ("all", "1e-2"), "the first weighting and the middle ratio"
    names = [picture.name for picture in run.kmeans_images]
    assert names == ["chelsea", "kitten", "dog", "starry_night_study"]


NULLS = {"mirror": None, "kmeans": {"images": None}, "vgg19": {"weights": None}}


@pytest.mark.parametrize("empty", [NULLS, {"kmeans": {}, "vgg19": {}, "vgg16": {}, "overview": {}}])
def test_null_or_an_empty_section_stands_for_the_default(empty):
    assert read_run(least(**empty), CATALOGUE) == read_run(least(), CATALOGUE)


def test_a_mirror_in_the_environment_serves_where_the_configuration_names_none(monkeypatch):
    monkeypatch.setenv("NST_MIRROR", "/mnt/mirror")
    assert find_mirror(least()) == "/mnt/mirror"
    assert find_mirror(config()) == "https://example.org/nst"


def test_a_mirror_may_be_in_the_user_s_home(monkeypatch):
    monkeypatch.setenv("HOME", "/home/zoe")
    assert find_mirror(least(mirror="~/mirror")) == "/home/zoe/mirror"
    with pytest.raises(ConfigError, match=r"mirror must be a folder or an https:// address; got"):
        find_mirror(least(mirror="~\0/mirror"))


def test_a_job_reads_the_same_variants_as_the_plan_and_needs_no_image():
    for values in (config(), least(), least(iterations_scale=0.5)):
        plan = read_run(values, CATALOGUE)
        assert read_variants(values | {"contents": ["gone.png"], "styles": []}) == plan.variants


def test_the_digest_of_variants_knows_all_of_them_and_no_spelling():
    values = [least(), least(seed=7), least(ratios=[0.5]), least(layers={"renamed": WEIGHTS})]
    variants = [read_variants(one) for one in values]
    digests = {digest(one) for one in (*variants, reversed(variants[0]))}
    assert len(digests) == len(values) + 1
    one, same = (read_variants(least(ratios=ratios)) for ratios in (["1e-2"], [0.01]))
    assert digest(one) == digest(same)


@pytest.mark.parametrize("suffix", IMAGE_SUFFIXES)
def test_a_pattern_finds_every_format_that_can_be_read_in_either_case(folder, suffix):
    (folder / f"one{suffix}").touch()
    (folder / f"two{suffix.upper()}").touch()
    assert list(read_run(least(contents=["*"]), CATALOGUE).contents) == ["one", "two"]


@pytest.mark.parametrize("ending", ["photos/*", "photos", "photos/"])
@pytest.mark.parametrize("start", ["", "./", "{here}/"])
def test_a_folder_or_a_pattern_stands_for_its_images_in_order(folder, start, ending):
    """The text file and the folder album.png are no images."""
    name = f"{start}{ending}".format(here=folder)
    run = read_run(least(contents=[name], styles=["photos"]), CATALOGUE)
    assert list(run.contents) == list(run.styles) == ["cat", "dog"]
    path = f"{start}photos/dog.jpg".format(here=folder)
    assert run.contents["dog"].path.removeprefix("./") == path.removeprefix("./")


def test_a_folder_may_be_the_user_s_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder / "photos"))
    assert list(read_run(least(contents=["~"]), CATALOGUE).contents) == ["cat", "dog"]


def test_the_catalogue_goes_before_a_file_of_the_same_name(folder):
    (folder / "chelsea").write_bytes(b"")
    assert read_run(least(), CATALOGUE).contents["chelsea"].entry


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
    assert "names must differ in more than case; got " in refusal(least(contents=pictures))
    layers = dict.fromkeys(pair, WEIGHTS)
    assert "names must differ in more than case; got " in refusal(least(layers=layers))


@pytest.mark.parametrize("path", sorted(ROOT.glob("config/*.yaml")), ids=lambda path: path.name)
def test_the_configurations_of_the_project_can_be_used(path, monkeypatch):
    monkeypatch.chdir(ROOT)
    run = read_run(read_file(path), CATALOGUE)
    assert run.contents
    assert run.styles


# ---------------------------------------------------------------- YAML files


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"a: b: c", "is not valid YAML: mapping values are not allowed here in line 1, column 5"),
        (b"a: 1\nb: 2\na: 3", "line 3: the key 'a' is given twice; remove one"),
        (b'{"seed": 1, "seed": 2}', "the key 'seed' is given twice; remove one"),
        (b"a: 0x" + b"f" * 3000, "line 1: a value may have 3000 characters at most; shorten it"),
        (b"a: \xff", "is not valid YAML"),
        (b"a: 2020-13-45", "is not valid YAML: month must be in 1..12"),
        (b"a: !!timestamp soon", "is not valid YAML: a value does not fit its tag; remove the tag"),
        (b"a: !!bool soon", "is not valid YAML: a value does not fit its tag; remove the tag"),
        (b"a: 1" + b":1" * 400 + b".0", "is not valid YAML: a value does not fit its tag"),
        (b"a: !!python/object/apply:os.getcwd []", "is not valid YAML"),
        (b"- chelsea", "must hold keys and values; see config/README.md"),
        (b"", "must hold keys and values; see config/README.md"),
    ],
)
def test_a_broken_file_is_refused_in_one_line_that_names_it(folder, text, reason):
    path = folder / "my.yaml"
    path.write_bytes(text)
    message = refused(read_file, path, kind=ConfigError)
    assert re.match(rf"{re.escape(str(path))}:? {re.escape(reason)}", message)


def test_a_missing_file_is_refused(folder):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml cannot be read .*; check the path"):
        read_file(folder / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("ratios: [1e-2, 1e0, 1.0e-1]", {"ratios": ["1e-2", "1e0", 0.1]}),  # as YAML 1.1 has it
        ('{\n\t"seed": 1e-3\n}', {"seed": 0.001}),  # JSON may have tabs
        ("a: &a {x: 1, y: 1}\nb: {<<: *a, x: 2}", {"a": {"x": 1, "y": 1}, "b": {"x": 2, "y": 1}}),
    ],
)
def test_a_file_is_read_as_snakemake_reads_it(folder, text, values):
    (folder / "my.yaml").write_text(text)
    assert read_file(folder / "my.yaml") == values


# ---------------------------------------------------------------- mistakes

MISTAKES = [
    ("iteratons: 20", "the configuration: … unknown key 'iteratons' … 'iterations'? … keys are"),
    ("ratios: [{alpha: 1, beta: 1, gamma: 1}]", "ratios.0: … unknown key 'gamma' … alpha, beta"),
    ("contents: [{name: cat}]", "contents.0: … the key 'path' is missing … the path of an image"),
    (
        "layers: {all: {content: {relu4_2: 1}}}",
        "layers.all: … the key 'style' is missing … relu4_2",
    ),
    ("contents: [5]", "contents.0 must be … a catalogue name, a file path … got 5"),
    ("contents: chelsea", 'contents must be … a list of catalogue names … got "chelsea"'),
    ("styles: []", "styles must be … a list of catalogue names … got []"),
    ("layers: {}", "layers must be … named layer weightings … got {}"),
    ("kmeans: {images: []}", "kmeans.images must be … or null"),
    ("device: gpu", 'device must be … auto, cpu, cuda, cuda:1 or mps … got "gpu"'),
    ("extractor: resnet", 'extractor must be … one of kmeans, vgg19, … vgg16_hed … got "resnet"'),
    ("style_scale: .nan", "style_scale must be … from 0.1 to 10 … got NaN"),
    ("iterations_scale: 100\niterations: 2000", "iterations must be … to 100000; got 200000"),
    ("adam_epsilon: 1e-08", 'got "1e-08". YAML reads this as text; write 1.0e-08.'),
    ("iterations_scale: .nan", "iterations_scale must be a number above 0 … got NaN"),
    # pictures
    ("contents: [starry_nigth]", "'starry_nigth' … did you mean 'starry_night'? … astronaut"),
    (
        "styles: [qqqq]",
        "styles: … 'qqqq' is neither a file nor in the catalogue … it has astronaut",
    ),
    ("kmeans: {images: [chelsi]}", "kmeans.images: … 'chelsi' … did you mean 'chelsea'?"),
    (
        "contents: [photos/bird.png]",
        "contents: … 'photos/bird.png' does not exist … relative to the",
    ),
    (
        "contents: [{path: photos/}]",
        "contents: … 'photos/' is not a file … relative to the working",
    ),
    ("contents: [photos/*.webp]", "contents: … no file matches 'photos/*.webp'"),
    ("contents: [photos/album.png]", "contents: no file matches 'photos/album.png/*' in"),
    (r'contents: ["a\nb.png"]', r"'a\nb.png' does not exist"),
    ("contents: [{path: 'strange/{name}.png'}]", "contents: a path must not contain {, … Rename"),
    (
        r'contents: [{path: "strange/two\nlines.png", name: two}]',
        r"contents: a path must not … cannot be printed … got 'strange/two\nlines.png'. Rename",
    ),
    (
        r'contents: [{path: photos/cat.png, title: "a\nb"}]',
        r"contents: a title … must not contain line breaks … got 3 characters, 'a\nb'. Reword it.",
    ),
    (
        "contents: [{path: photos/cat.png, title: A </SCRIPT > cat}]",
        "a title … must not contain … or </script … 'A </SCRIPT > cat'. Reword it.",
    ),
    (
        "contents: [{catalogue: chelsea, path: photos/cat.png}]",
        'contents.0.path must be left out, because catalogue names … got "photos/cat.png"',
    ),
    (
        "contents: [photos/cat.png, other/cat.png]",
        "contents: names must differ in more than case; got 'cat' and 'cat' … as {name: other, …}",
    ),
    (
        "contents: [2020-01-01]",
        'contents.0 must be … got "2020-01-01, which YAML reads as a date; put it in quotes"',
    ),
    ("styles: [{name: a, blend: {2020: 1}}]", "blend must be … in quotes; got 2020"),
    ("extractor: vgg19", "vgg19.weights: 'vgg19.pth' does not exist; paths are relative"),
    ("mirror: http://a.org/b", "a folder or an https:// address … got 'http://a.org/b' … Use"),
    # weights, ratios and axes
    ("layers: {1: {content: {relu4_2: 1}, style: {relu1_1: 1}}}", "a name must be text; got 1"),
    (
        "layers: {all: {content: {relu4_2: -1}, style: {relu1_1: 1}}}",
        "layers.all.content.relu4_2 must be a number of at least 0; got -1",
    ),
    (
        "layers: {none: {content: {relu4_2: 0}, style: {relu1_1: 1}}}",
        "layers.none: … content_layers must be layer names … at least one of them above 0; got {",
    ),
    (
        "layers: {all: {content: {relu9_2: 1}, style: {relu1_1: 1}}}",
        'layers.all.content must be … layer names such as relu4_2 … got "relu9_2"',
    ),
    (
        "layers: {deep: {content: {relu5_2: 1}, style: {relu1_1: 1}}}",
        "layers.deep: … has no layer 'relu5_2'; it has conv1_1, relu1_1",
    ),
    ("ratios: [0]", "ratios must be … from 1e-12 to 1e12 … 1e-2 … got 0"),
    ("ratios: [1e-2, {alpha: 1, beta: 100}]", "ratios: … is α/β = 1e-2 again"),
    ("ratios: [much]", "ratios must be … as 1e-2 … got 'much'"),
    ("ratios: [true]", "ratios.0 must be … as 1e-2 … got true"),
    ("ratios: [.inf]", "ratios.0 must be … got Infinity"),
    ("ratios: [1e999]", "ratios must be … got '1e999'"),
    ("ratios: [{alpha: 1}]", "ratios.0: the key 'beta' is missing"),
    ("ratios: [{alpha: 0, beta: 1}]", "ratios: alpha must be … from 1e-12 … got 0"),
    ("ratios: [{alpha: 1e+12, beta: 1e-12}]", "ratios: alpha/beta must be … to 1e12 … got 1e+24"),
    ("vary: {seed: [0, 1]}", "seed: give it once, by itself or in vary"),
    ("grid: {rows: sead}", "grid.rows must be one of layers, ratio; got 'sead'"),
    ("grid: {rows: ratio, columns: ratio}", "rows and columns must be two axes; got 'ratio' for"),
    ("overview: {ratio: 5}", "overview.ratio must be one of 1e0, 1e-2, 2.5e-1 … got 5e0"),
    ("overview: {layers: coarse}", "overview.layers must be one of all, fine … got 'coarse'"),
    (
        "{snapshots: {every: 1}, iterations: 50000}",
        "layers.all: snapshots may have up to 100 megapixels together … of up to 128x128 px",
    ),
]


@pytest.mark.parametrize(("text", "told"), MISTAKES)
def test_a_mistake_is_refused_in_one_line_with_key_rule_value_and_remedy(text, told):
    pattern = ".*".join(map(re.escape, told.split(" … ")))
    assert re.search(pattern, refusal(config(**yaml.safe_load(text))))


def test_a_title_and_the_number_of_variants_are_bounded():
    title = refusal(config(contents=[{"path": "photos/cat.png", "title": "a" * 201}]))
    assert "a title may have up to 200 characters" in title
    assert "got 201 characters" in title
    variants = refusal(config(ratios=[f"1.{number}e0" for number in range(1000, 9000)]))
    assert "at most 10000 variants of a pair; got 16000. Split the run." in variants


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


def test_the_weights_of_a_recipe_are_refused_under_its_own_key():
    recipes = {"formulations": [{"formulation": "gatys2016", "alpha": 0}]}
    message = refusal({"contents": ["chelsea"], "styles": ["rocket"], **recipes})
    assert message == "formulations: alpha must be a number from 1e-12 to 1e12, as 1e-2; got 0"


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
    picture, section = [{"path": path, "name": "a"}], key.partition(".")[0]
    changes = {"contents": picture, "styles": picture, "vgg19": {"weights": path}}
    message = refusal(least(extractor="vgg19", **{section: changes.get(section, path)}))
    assert message.startswith(f"{key}: a path must not contain ")
    assert "nor ' together with $, ` or \"" in message
    assert message.endswith(f"got {path!r}. Rename the file.")


@given(st.text(st.sampled_from("'\"$`\\ ab!;&|()*?~#éß{}"), min_size=1, max_size=8))
def test_a_shell_agrees(path):
    """A real shell keeps every path that ``survives_a_shell`` accepts."""
    if survives_a_shell(path):
        said = subprocess.run(["sh", "-c", f"printf %s {path!r}"], capture_output=True, check=True)
        assert said.stdout.decode() == path


# ---------------------------------------------------------------- properties

positive = st.floats(1e-12, 1e12) | st.decimals("1e-12", "1e12").map(str)


@given(positive)
@example(0.9999999)
@example(1e12)
@example(1e-12)
def test_the_label_of_a_ratio_stands_for_itself(value):
    label, _ = read_ratio(value)
    again, weights = read_ratio(label)
    assert again == label
    assert weights["alpha"] / weights["beta"] == pytest.approx(float(value), rel=1e-5)
    assert re.fullmatch(r"[0-9](\.[0-9]*[1-9])?e-?[0-9]+", label), "nothing unsafe in a path"


@given(st.floats(1e-6, 1e6), st.floats(1e-6, 1e6))
def test_weights_are_taken_as_they_are_and_labelled_by_their_ratio(alpha, beta):
    label, weights = read_ratio({"alpha": alpha, "beta": beta})
    assert weights == {"alpha": alpha, "beta": beta}
    assert read_ratio(label)[0] == label
    assert float(label) == pytest.approx(alpha / beta, rel=1e-5)


# ---------------------------------------------------------------- the schema


def test_the_schema_is_a_schema():
    draft = jsonschema.Draft202012Validator
    draft.check_schema(load_schema())
    keywords = {*draft.VALIDATORS, "$schema", "title", "description", "default", "then", "else"}
    for part in parts(load_schema()):  # a comma in an unquoted text within {} begins another key
        assert set(part) <= keywords


def test_every_key_of_the_schema_does_something():
    """A key that the schema allows but nothing reads would be silently ignored."""
    keys = set(load_schema()["properties"])
    assert {*config(), "formulations", "vary", "grid", "prints", "votes"} == keys, (
        "the valid configuration must have every key"
    )
    together: dict[str, dict[str, object]] = {
        "iterations_least": {"iterations_scale": 0.01},
        "parametrisation": {"optimiser": "adam"},
        "size": {"image_size": 100},
        "coarse_stages": {"image_size": 100},
        "snapshots": {"iterations": 20},
        "blend": {"styles": [{"name": "mix", "blend": {"starry_night": 1, "great_wave": 1}}]},
    }
    given = config(blend=0.5)
    assert find_mirror(given) != find_mirror(least()), "the jobs read the mirror"
    for key in set(given) - set(least()) - {"mirror"}:
        before = least(**together.get(key, {}))
        after = before | {key: given[key]}
        assert read_run(before, CATALOGUE) != read_run(after, CATALOGUE), key


def parts(schema: dict) -> list[dict]:
    """List a schema and all schemas in it."""
    inner = [schema[one] for one in ("items", "propertyNames", "then", "else") if one in schema]
    inner += schema.get("properties", {}).values()
    inner += [schema["additionalProperties"]] if schema.get("additionalProperties") else []
    return [schema, *(one for part in inner for one in parts(part))]


def test_every_part_of_the_schema_that_restricts_a_value_is_described_for_the_reader():
    without = {"if", "then", "else", "properties", "additionalProperties", "required"}
    for part in parts(load_schema()):
        assert part.get("description") or set(part) <= without, part
