"""Read YAML and JSON files of strangers, and validate a configuration.

Files are read without running code and within bounds. A few hundred bytes of YAML can expand to
gigabytes (aliases of aliases). A repeated key silently replaces its first value. Both are refused.

Mistakes are described in the words of their rules. The schema in workflow/schemas has the keys of a
run, and ``Settings`` declares the keys that are settings.
"""

from __future__ import annotations

import json
import math
import os
import stat
import sysconfig
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import yaml

from nst.config.layers import LAYER
from nst.config.settings import RULES, Settings, read_setting
from nst.errors import ConfigError, did_you_mean, shown

CHECKOUT = Path(__file__).resolve().parents[2]
INSTALLED = Path(sysconfig.get_path("data")) / "share" / "nst"  # see data-files in pyproject.toml
SHARE = CHECKOUT if (CHECKOUT / "config" / "presets").is_dir() else INSTALLED


MOST_BYTES = 2**19  # of a file: 10,000 paths; reading takes 5 s if every byte is a value
LONGEST_NUMBER = 400  # digits; a float needs at most about 310
MOST_MERGED = 10_000  # keys that all `<<` of a file merge
MOST_AT_ONCE = 10  # mappings that one `<<` merges


def read_document(path: Path) -> Any:
    """Return the contents of a JSON file, if it begins with ``{``, or else of a YAML file.

    Raises:
        ConfigError: the file is missing, not a regular file, too large, malformed or nested too
            deep, or gives a key twice.
    """
    text = _text_of(path)
    try:
        if text.lstrip().startswith("{"):
            try:
                return json.loads(text, object_pairs_hook=_once_each)
            except json.JSONDecodeError:  # a YAML file may also begin with {
                pass
        return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path} is nested too deeply; write it with fewer brackets") from error
    # PyYAML does not wrap the ValueError of a date or a number.
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is not valid YAML: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Describe a parse error, with its line and column if they are known."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line, column = error.problem_mark.line + 1, error.problem_mark.column + 1
        said = ": ".join(filter(None, (error.context, error.problem)))
        return f"{said} in line {line}, column {column}. Correct that line."
    return f"{error}. Correct it."


def _text_of(path: Path) -> str:
    """Read the text of a regular file of at most ``MOST_BYTES``; a pipe might never end."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ConfigError(f"{path} must be a regular file; save it to one and name that")
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); check the path") from error
    if len(content) > MOST_BYTES:
        raise ConfigError(
            f"{path} may have at most {MOST_BYTES} bytes; it has more. Name many images by a "
            "pattern, as photos/*.jpg, or split the run."
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(
            f"{path} is not valid YAML: line {line} is not in UTF-8. Save it as UTF-8."
        ) from error


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader that also refuses repeated keys, huge merges and overlong numbers."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._flat: set[int] = set()
        self._merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge the mappings of ``<<`` once; a second pass would find the merged keys repeated."""
        if id(node) in self._flat:
            return
        self._flat.add(id(node))
        merges = [value for key, value in node.value if key.tag == "tag:yaml.org,2002:merge"]
        keys = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in keys:
                    _refuse(key, f"the key {key.value!r} is given twice; remove one")
                keys.add(key.value)
        for one in merges:
            if isinstance(one, yaml.SequenceNode) and len(one.value) > MOST_AT_ONCE:
                _refuse(one, f"<< may merge {MOST_AT_ONCE} mappings at most; write the keys out")
        super().flatten_mapping(node)
        self._merged += len(node.value) if merges else 0
        if self._merged > MOST_MERGED:
            _refuse(node, f"<< may bring in {MOST_MERGED} keys at most; write them out")

    def construct_number(self, node: yaml.ScalarNode) -> int | float:
        """Read a number of limited length; the time to parse it grows with the length squared."""
        if len(node.value) > LONGEST_NUMBER:
            _refuse(node, f"a number may have {LONGEST_NUMBER} digits at most; shorten it")
        is_whole = node.tag == "tag:yaml.org,2002:int"
        number: int | float
        number = self.construct_yaml_int(node) if is_whole else self.construct_yaml_float(node)
        return number

    def construct_date(self, node: yaml.ScalarNode) -> object:
        """Read a value tagged as a date; PyYAML raises AttributeError if it is not a date."""
        if not self.timestamp_regexp.match(str(node.value)):
            _refuse(node, f"{node.value[:40]!r} is not a date, as 2026-12-31; remove the tag")
        return self.construct_yaml_timestamp(node)


_Loader.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_date)
for kind in ("int", "float"):
    _Loader.add_constructor(f"tag:yaml.org,2002:{kind}", _Loader.construct_number)


def _refuse(node: yaml.Node, reason: str) -> NoReturn:
    """Raise a ``ConfigError`` that names the node's line."""
    raise ConfigError(f"line {node.start_mark.line + 1}: {reason}")


def _once_each(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Build a mapping from the pairs of a JSON object, and refuse repeated keys."""
    mapping = dict(pairs)
    if len(mapping) < len(pairs):
        ((key, _),) = Counter(key for key, _ in pairs).most_common(1)
        raise ConfigError(f"the key {key!r} is given twice; remove one")
    return mapping


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
