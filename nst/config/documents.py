"""Read YAML and JSON files of strangers, and validate a configuration.

Files are read without running code and within bounds. A few hundred bytes of YAML can expand to
gigabytes (aliases of aliases). A repeated key silently replaces its first value. Both are refused.

Mistakes are described in the words of their rules. The schema in workflow/schemas has the keys of a
run, and ``Settings`` declares the keys that are settings.
"""

from __future__ import annotations

import json
import os
import stat
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import yaml
from yaml.constructor import SafeConstructor

from nst.config.layers import LAYER
from nst.config.settings import RULES, Settings, read_setting
from nst.errors import ConfigError, did_you_mean, shown
from nst.system.files import DATA

MOST_BYTES = 2**19  # of a file: 10,000 paths; reading takes 5 s if every byte is a value
MOST_VALUES = 100_000  # values and keys of a file
LONGEST_VALUE = 3000  # characters; Python prints numbers of up to 4300 digits
# PyYAML's errors for a date that is none, and for a value that does not fit its tag.
UNFIT = (yaml.YAMLError, ValueError, TypeError, AttributeError, LookupError, ArithmeticError)
MOST_MISTAKES = 1000  # collected, to report the most telling mistake
CANNOT_VARY = ("extractor", "snapshots")
SCHEMA = DATA / "workflow" / "schemas" / "config.schema.yaml"


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
        document = yaml.compose(text, yaml.SafeLoader)
        if document is None:
            return None
        _check_nodes(document)
        return SafeConstructor().construct_document(document)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except RecursionError as error:
        raise ConfigError(f"{path} is nested too deeply; write it with fewer brackets") from error
    except UNFIT as error:
        raise ConfigError(f"{path} is not valid YAML: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """Describe a parse error, with its line and column if they are known."""
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        line, column = error.problem_mark.line + 1, error.problem_mark.column + 1
        said = ": ".join(filter(None, (error.context, error.problem)))
        return f"{said} in line {line}, column {column}. Correct that line."
    known = isinstance(error, yaml.YAMLError | ValueError)
    return f"{error}. Correct it." if known else "a value does not fit its tag; remove the tag."


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


def _check_nodes(document: yaml.Node) -> None:
    """Refuse repeated keys, overlong values, and too many values; each use of an alias counts."""
    waiting, count = [document], 1
    while waiting and count <= MOST_VALUES:
        node = waiting.pop()
        if isinstance(node, yaml.SequenceNode):
            waiting += node.value
            count += len(node.value)
        elif isinstance(node, yaml.MappingNode):
            keys = set()
            for key, value in node.value:
                if isinstance(key, yaml.ScalarNode):
                    if key.value in keys:
                        _refuse(key, f"the key {key.value!r} is given twice; remove one")
                    keys.add(key.value)
                waiting += (key, value)
            count += 2 * len(node.value)
        elif len(node.value) > LONGEST_VALUE:
            _refuse(node, f"a value may have {LONGEST_VALUE} characters at most; shorten it")
    if count > MOST_VALUES:
        raise ConfigError(
            f"a file may hold at most {MOST_VALUES} values, and each use of an alias counts; it "
            "has more. Name many images by a pattern, as photos/*.jpg, or split the run."
        )


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

    draft = jsonschema.Draft202012Validator
    finite = draft.TYPE_CHECKER.redefine_many(
        {
            "number": lambda _, value: _is_finite(value),
            "integer": lambda _, value: _is_finite(value) and draft({}).is_type(value, "integer"),
        }
    )
    extended = jsonschema.validators.extend(draft, type_checker=finite)  # type: ignore[no-untyped-call]
    validator = extended(load_schema())
    # A misspelt key explains a missing key, so it comes first.
    first = min(
        islice(validator.iter_errors(dict(config)), MOST_MISTAKES),
        key=lambda error: (
            error.validator != "additionalProperties",
            [str(step) for step in error.absolute_path],
        ),
        default=None,
    )
    if first:
        raise ConfigError(_explain(first))
    for name in Settings.shared_names():
        if name in config:
            read_setting(name, config[name])


def _is_finite(value: Any) -> bool:
    """Tell whether a value is a number, and not so large as to be no float, infinite or nan."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and abs(value) <= sys.float_info.max


def _explain(error: Any) -> str:
    """Describe a validation error with the description of the schema that found it."""
    key = ".".join(map(str, error.absolute_path)) or "the configuration"
    schema, value = error.schema, error.instance
    if error.validator == "additionalProperties":
        known = list(schema["properties"])
        unknown = next(one for one in value if one not in known)
        hint = did_you_mean(unknown, known, f"the keys are {', '.join(known)}.")
        return f"{key}: unknown key {unknown!r}; {hint}"
    if error.validator == "required":
        missing = next(one for one in error.validator_value if one not in value)
        rule = schema["properties"][missing]["description"]
        return f"{key}: the key {missing!r} is missing; it is {rule}."
    return f"{key} must be {schema['description']}; got {shown(value)}."
