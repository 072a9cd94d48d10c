"""The schema of the configuration: what it says is what is done."""

from __future__ import annotations

from typing import Literal, get_args, get_origin, get_type_hints

import jsonschema
import pytest
from configurations import config, least

from nst.config.catalogue import read_catalogue
from nst.config.octaves import LAYER
from nst.config.run import read_run
from nst.config.schema import load_schema
from nst.config.settings import CHOICES, RANGES, WHOLE, Settings

CATALOGUE = read_catalogue()

pytestmark = pytest.mark.usefixtures("folder")


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


def test_every_key_of_the_schema_does_something():
    """A key that the schema allows but nothing reads would be ignored without a word."""
    keys = set(load_schema()["properties"])
    assert {*config(), "formulations", "vary", "grid", "prints", "votes"} == keys, (
        "the valid configuration has them all"
    )
    plain = read_run(least(), CATALOGUE)
    together: dict[str, dict[str, object]] = {
        "iterations_least": {"iterations_scale": 0.01},
        "parametrisation": {"optimiser": "adam"},
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
