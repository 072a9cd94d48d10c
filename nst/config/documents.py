"""Read YAML and JSON files of strangers, without running code and within bounds.

A few hundred bytes of YAML can expand to gigabytes (aliases of aliases). A repeated key silently
replaces its first value. Both are refused here.
"""

from __future__ import annotations

import json
import os
import stat
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import yaml

from nst.errors import ConfigError

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
