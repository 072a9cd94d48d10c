"""Validate the configuration, and describe mistakes in the words of its rules.

The schema in workflow/schemas has the keys of a run. ``Settings`` declares the keys that are
settings.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from typing import Any

import yaml

from nst.config.documents import LONGEST_NUMBER
from nst.config.octaves import LAYER
from nst.config.settings import RULES, Settings, read_setting
from nst.config.share import SHARE
from nst.errors import ConfigError, did_you_mean, shown

MOST_VALUES = 100_000  # values and keys of a configuration
MOST_DEEP = 8  # levels of lists and keys; the schema has four
LONGEST_TEXT = 4096  # characters: the longest path of Linux
MOST_MISTAKES = 1000  # collected, to report the most telling mistake
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
    """Validate the configuration against the schema, and its settings against their rules.

    Raises:
        ConfigError: one line about the most telling mistake.
    """
    import jsonschema  # noqa: PLC0415 - half of this module's import time

    schema = load_schema()
    _check_values(dict.fromkeys(config), schema)  # the keys alone
    if any(key not in schema["properties"] for key in config):
        raise ConfigError(_unknown("the configuration", config, list(schema["properties"])))
    _check_values(dict(config), schema)
    validator = jsonschema.Draft202012Validator(schema)
    # A misspelt key explains a missing key, so it comes first.
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
            read_setting(name, config[name])


def _check_values(config: Mapping[Any, Any], schema: Mapping[str, Any]) -> None:
    """Refuse more values than can be searched, and types that only YAML has.

    Snakemake's YAML loader also creates tuples, complex numbers and functions. A configuration that
    passes this check is a tree whose numbers can be compared and printed. Each use of an alias
    counts.
    """
    for number, (path, value) in enumerate(_walk(config, ())):
        if number > MOST_VALUES:
            raise ConfigError(
                f"{path[0] if path else 'the configuration'} may hold at most {MOST_VALUES} "
                "values; got more. Name many images by a pattern, as photos/*.jpg, or split the "
                "run."
            )
        oddity = _oddity(value)
        if len(path) > MOST_DEEP:
            oddity = f"something nested more than {MOST_DEEP} deep"
        if oddity:
            key = ".".join(path[:MOST_DEEP]) or "the configuration"
            raise ConfigError(f"{key} must be {_rule(schema, path)}; got {oddity}.")


def _walk(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield a value and all keys and values in it, each with its path."""
    yield path, value
    if isinstance(value, dict):
        yield from ((path, key) for key in value)
    if isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _walk(inner, (*path, str(step)))


def _oddity(value: object) -> str:
    """Describe why a value or key is unusable; return an empty text if it is usable."""
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return f"a text of {len(value)} characters, which is too long"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value}, which is not finite"
    if isinstance(value, int) and value.bit_length() > LONGEST_NUMBER * math.log2(10):
        return f"a number of {value.bit_length()} bits, which is too large"
    if not isinstance(value, str | float | int | dict | list | None):
        return f"a {type(value).__name__}, as YAML reads it: put it in quotes"
    return ""


def _explain(error: Any, schema: Mapping[str, Any]) -> str:
    """Describe a validation error with the descriptions of the schema."""
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
    """Return the message for an unknown key, with the known key that it resembles."""
    unknown = next(key for key in mapping if key not in known)
    hint = did_you_mean(unknown, known, f"the keys are {', '.join(known)}.")
    return f"{key}: unknown key {unknown!r}; {hint}"


def _rule(schema: Mapping[str, Any], path: Sequence[str]) -> str:
    """Return the description of a key, or of the nearest key above it that has a description."""
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
