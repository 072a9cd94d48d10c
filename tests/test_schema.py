"""The schema of the configuration: what it says is what is done."""

import jsonschema
import pytest
from configurations import config, least

from nst.config.catalogue import read_catalogue
from nst.config.run import read_run
from nst.config.schema import load_schema

CATALOGUE = read_catalogue()

pytestmark = pytest.mark.usefixtures("folder")


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(load_schema())


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
        "blend": {"styles": [{"name": "mix", "blend": {"starry_night": 1, "great_wave": 1}}]},
    }
    given = config(blend=0.5)
    for key in set(given) - set(least()):
        base = together.get(key, {})
        changed = read_run(least(**base, **{key: given[key]}), CATALOGUE)
        assert changed != (read_run(least(**base), CATALOGUE) if base else plain), key


def keys(rules: dict) -> list[tuple[str, dict]]:
    """List the keys and the keys in keys."""
    inner = [keys(rule.get("properties", {})) for rule in rules.values()]
    return [*rules.items(), *(one for group in inner for one in group)]


def test_every_rule_of_the_schema_is_described_for_the_reader():
    for name, rule in keys(load_schema()["properties"]):
        assert rule.get("description"), name
