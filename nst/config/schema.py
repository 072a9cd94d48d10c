"""The configuration held to its rules, and what is wrong with it said in the words of these.

The schema in workflow/schemas has the keys of a run; ``Settings`` declares those that are settings.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from typing import Any, NoReturn

import yaml

from nst.config.documents import LONGEST_NUMBER
from nst.config.octaves import LAYER
from nst.config.settings import RULES, Settings, check_setting
from nst.config.share import SHARE
from nst.errors import ConfigError, did_you_mean, shown

MOST_VALUES = 100_000  # of a configuration, every alias counted as often as it is used
MOST_DEEP = 8  # levels of lists and keys; the schema has four
LONGEST_TEXT = 4096  # characters: the longest path of Linux
MOST_MISTAKES = 1000  # looked at for the most telling one
CANNOT_VARY = ("extractor", "snapshots")
SCHEMA = SHARE / "workflow" / "schemas" / "config.schema.yaml"


@cache
def load_schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration, with the names of settings and layers."""
    schema: dict[str, Any] = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    properties, names = schema["properties"], Settings.shared_names()
    properties |= {name: {"description": RULES[name].text} for name in names}
    properties["vary"]["propertyNames"]["enum"] = [
        name for name in names if name not in CANNOT_VARY
    ]
    for weights in properties["layers"]["additionalProperties"]["properties"].values():
        weights["propertyNames"]["pattern"] = f"^{LAYER.pattern}$"
    return schema


def validate(config: Mapping[Any, Any]) -> None:
    """Hold the configuration to the schema and its settings to their rules.

    Raises:
        ConfigError: one line about the most telling mistake.
    """
    import jsonschema  # noqa: PLC0415 - half of this module's import time

    schema = load_schema()
    census = _Census(schema)
    census.check_keys(config, ())
    if any(key not in schema["properties"] for key in config):
        raise ConfigError(_unknown("the configuration", config, list(schema["properties"])))
    census.count(dict(config), ())
    validator = jsonschema.Draft202012Validator(schema)
    # A misspelt key explains the missing one, so it goes first.
    errors = sorted(
        islice(validator.iter_errors(dict(config)), MOST_MISTAKES),
        key=lambda error: (
            error.validator != "additionalProperties",
            [str(step) for step in error.absolute_path],
        ),
    )
    if errors:
        raise ConfigError(_explain(errors[0], schema))
    for name in Settings.shared_names():
        if name in config:
            check_setting(name, config[name])


@dataclass
class _Census:
    """Counts the values of a configuration, and refuses what only YAML has.

    Snakemake reads YAML in a way that makes tuples, complex numbers and functions, too. Whatever
    has passed here is a tree of a size that can be searched, with numbers that can be compared
    and printed.
    """

    schema: Mapping[str, Any]
    sizes: dict[int, int] = field(default_factory=dict)
    """The size of each list and mapping by its ``id``; 0 while it is being counted."""

    def count(self, value: Any, path: tuple[str, ...]) -> int:
        """Return how many values there are in ``value``, which stands at ``path``."""
        if not isinstance(value, dict | list):
            self._check(value, path)
            return 1
        if self.sizes.get(id(value)) == 0:
            self._refuse(path, "something that contains itself")
        if len(path) > MOST_DEEP:
            self._refuse(path[:MOST_DEEP], f"something nested more than {MOST_DEEP} deep")
        if id(value) not in self.sizes:
            self.sizes[id(value)] = 0
            self.sizes[id(value)] = self._count_inner(value, path)
        return self.sizes[id(value)]

    def check_keys(self, value: Mapping[Any, Any], path: tuple[str, ...]) -> None:
        """Refuse a key that cannot even be printed."""
        for key in value:
            self._check(key, path)

    def _count_inner(self, value: dict[Any, Any] | list[Any], path: tuple[str, ...]) -> int:
        if isinstance(value, dict):
            self.check_keys(value, path)
        size = 1
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for step, inner in items if len(value) < MOST_VALUES else ():
            size += self.count(inner, (*path, str(step)))
        if max(size, len(value)) >= MOST_VALUES:
            key = ".".join(path) or "the configuration"
            raise ConfigError(
                f"{key} may hold at most {MOST_VALUES} values; got more. Name many images by a "
                "pattern, as photos/*.jpg, or split the run."
            )
        return size

    def _check(self, value: object, path: tuple[str, ...]) -> None:
        """Refuse a text, a number or a key that nothing can be done with."""
        if isinstance(value, str):
            if len(value) > LONGEST_TEXT:
                self._refuse(path, f"a text of {len(value)} characters, which is too long")
        elif isinstance(value, float):
            if not math.isfinite(value):
                self._refuse(path, f"{value}, which is not finite")
        elif isinstance(value, int):
            if value.bit_length() > LONGEST_NUMBER * math.log2(10):
                self._refuse(path, f"a number of {value.bit_length()} bits, which is too large")
        elif value is not None:
            self._refuse(path, f"a {type(value).__name__}, as YAML reads it: put it in quotes")

    def _refuse(self, path: Sequence[str], got: str) -> NoReturn:
        key = ".".join(path) or "the configuration"
        raise ConfigError(f"{key} must be {_rule(self.schema, path)}; got {got}.")


def _explain(error: Any, schema: Mapping[str, Any]) -> str:
    """Say what is wrong in the words of the schema's own descriptions."""
    path = [str(step) for step in error.absolute_path]
    key = ".".join(path) or "the configuration"
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        return _unknown(key, error.instance, list(error.schema["properties"]))
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        rule = error.schema["properties"][missing].get("description", "required")
        return f"{key}: the key {missing!r} is missing; it is {rule}."
    rule = error.schema.get("description") or _rule(schema, path)
    return f"{key} must be {rule}; got {shown(error.instance)}."


def _unknown(key: str, mapping: Mapping[Any, Any], known: Sequence[str]) -> str:
    """Say that a key is unknown, and which it may have been meant to be."""
    unknown = next(key for key in mapping if key not in known)
    hint = did_you_mean(unknown, known, f"the keys are {', '.join(known)}.")
    return f"{key}: unknown key {unknown!r}; {hint}"


def _rule(schema: Mapping[str, Any], path: Sequence[str]) -> str:
    """Find the description nearest to a key in the configuration."""
    found = ""
    for step in (None, *path):
        if step is not None:
            properties = schema.get("properties", {})
            schema = (
                properties.get(step)
                or schema.get("additionalProperties")
                or schema.get("items")
                or {}
            )
        found = schema.get("description", found)
    return found
