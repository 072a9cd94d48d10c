import re

import jsonschema
import pytest
from configurations import WEIGHTS, config, least, refusal, refused, settings_of
from conftest import paint
from hypothesis import example, given
from hypothesis import strategies as st
from workflow_runs import ROOT

from nst.config.catalogue import find_mirror, read_catalogue
from nst.config.documents import load_schema
from nst.config.pictures import IMAGE_SUFFIXES
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
    assert run.settings == Settings.from_mapping(
        {**given, **doubled, **weights, "alpha": 1, "beta": 1}
    )
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


def test_a_cell_has_its_variant_s_weights_and_the_run_s_settings():
    run = read_run(config(), CATALOGUE)
    cells = {(one.layers, one.ratio): one.settings for one in run.variants}
    cell = cells["fine", "2.5e-1"]
    assert (cell.alpha, cell.beta) == (10, 40)
    assert dict(cell.content_layers) == {"conv3_1": 1}
    assert dict(cell.style_layers) == {"relu1_1": 1}
    assert (cell.image_size, cell.seed) == (128, config()["seed"])
    assert (cells["all", "1e-2"].alpha, cells["all", "1e-2"].beta) == (1, 100)


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


def test_a_folder_without_images_is_refused(folder):
    (folder / "empty").mkdir()
    message = refusal(least(contents=["empty"]))
    assert "contents: no file matches 'empty/*' in" in message


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


def test_two_spellings_of_an_accent_are_one_name():
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    pictures = [{"name": name, "path": "photos/cat.png"} for name in (composed, decomposed)]
    assert "names must differ in more than case; got " in refusal(least(contents=pictures))


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


def test_yaml_s_idea_of_a_number_does_not_matter(folder):
    path = folder / "my.yaml"
    path.write_text("ratios: [1e-2, 1e0, 1.0e-1]")
    values = read_file(path)["ratios"]
    assert [type(value) for value in values] == [str, str, float]
    assert [read_ratio(value)[0] for value in values] == ["1e-2", "1e0", "1e-1"]


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


def test_a_title_that_would_end_the_report_s_script_is_refused():
    contents = [{"path": "photos/cat.png", "title": "A </SCRIPT > cat"}]
    message = refusal(least(contents=contents))
    assert "must not contain line breaks, control characters or </script" in message
    assert "'A </SCRIPT > cat'. Reword it." in message


# ---------------------------------------------------------------- the schema


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(load_schema())


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
