"""Write the index of config/README.md, and the line under each key, from the declarations.

The command is `make reference`. The index follows the order of the page's headings.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nst.config.documents import load_schema
from nst.config.settings import MEANINGS, RULES, Settings
from nst.config.variants import read_presets

PAGE = Path(__file__).resolve().parents[1] / "config" / "README.md"
MARKS = ("<!-- index: make reference -->\n", "<!-- end of the index -->\n")
YAML = re.compile(r"\{(?:[^{}]|\{[^{}]*\})*\}|\[(?:[^][{}]|\{[^{}]*\})*\]")
HEADING = re.compile(r"^### `([\w.]+)`\n\n(?:Value: .*\n\n)?", re.MULTILINE)


def main() -> None:
    """Update the page."""
    PAGE.write_text(with_reference(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


def with_reference(page: str) -> str:
    """Return the page with its index, and with value and default under each heading.

    Raises:
        ValueError: a key has no heading or several, or a heading names no key.
    """
    described, names = dict(keys()), HEADING.findall(page)
    if sorted(names) != sorted(described):
        odd = sorted(set(names) ^ set(described)) or "a key with two headings"
        raise ValueError(f"{PAGE.name} needs one heading ### for each key; it differs by {odd}")
    rows = [index_row(name, *described[name]) for name in names]
    table = "\n".join(("| key | value | default | effect |", "|---|---|---|---|", *rows))
    before, rest = page.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    page = f"{before}{MARKS[0]}\n{table}\n\n{MARKS[1]}{after}"
    return HEADING.sub(lambda found: heading(found[1], *described[found[1]]), page)


def keys() -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Yield each key with its allowed values, its default and its effect."""
    defaults = Settings.from_mapping(read_presets()["relative"].settings)
    yield from run_keys("", load_schema())
    for name in Settings.shared_names():
        yield name, (coded(RULES[name].text), spelt(getattr(defaults, name)), MEANINGS[name])


def run_keys(prefix: str, schema: dict[str, Any]) -> Iterator[tuple[str, tuple[str, str, str]]]:
    """Yield the keys of a schema that are not settings; nested keys as ``grid.rows``."""
    for name, rule in schema["properties"].items():
        if "properties" in rule:
            yield from run_keys(f"{prefix}{name}.", rule)
        elif prefix or name not in RULES:
            required = name in schema.get("required", ())
            default = "required" if required else spelt(rule.get("default"))
            yield prefix + name, (coded(rule["description"]), default, rule["title"])


def coded(text: str) -> str:
    """Format names in a list of choices, and all lists and mappings, as code."""
    if choices := re.fullmatch(r"one of (\w+(?:, \w+)*)", text):
        return re.sub(r"(\w+)", r"`\1`", choices[1])
    return YAML.sub(r"`\g<0>`", text)


def spelt(default: object) -> str:
    """Return a default in YAML syntax."""
    if default is None or default == ():
        return "none"
    if isinstance(default, float):
        return re.sub(r"^(\d+)e-0?", r"\1.0e-", f"{default:g}")  # YAML reads 1e-8 as text
    return f"`{default}`" if isinstance(default, str) else json.dumps(default)


def index_row(name: str, value: str, default: str, effect: str) -> str:
    """Return a row of the index."""
    return f"| [`{name}`](#{name.replace('.', '')}) | {value} | {default} | {effect} |"


def heading(name: str, value: str, default: str, _: str) -> str:
    """Return a heading with the key's allowed values and default."""
    or_else = "Required." if default == "required" else f"Default: {default}."
    return f"### `{name}`\n\nValue: {value}. {or_else}\n\n"


if __name__ == "__main__":
    main()
