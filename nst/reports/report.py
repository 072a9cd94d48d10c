"""The pages of the run's report: the table of cells, and their settings, versions and devices.

Each page is one self-contained HTML file. All text that a user could have written is escaped.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from nst.config.names import counted
from nst.reports.summary import FACTS
from nst.system.files import write_atomically

HIDDEN = ("fingerprint", "path")  # for programs, not for people
DIGITS = 4  # significant digits of the numbers on a page
PAGES = Path(__file__).parent / "assets"


def write_table_page(table: pd.DataFrame, path: Path) -> None:
    """Write the table of cells as a page whose columns can be sorted.

    Columns with a single value are listed once, above the table.
    """
    table = table.drop(columns=[*HIDDEN, *FACTS], errors="ignore")
    many = len(table) > 1
    same = [name for name in table if many and table[name].nunique(dropna=False) == 1]
    facts = [(name, table[name].iloc[0]) for name in same]
    title = counted(len(table), "cell")
    _write(path, "table.html", title=title, same=facts, table=table.drop(columns=same))


def write_made_with_page(table: pd.DataFrame, path: Path) -> None:
    """Write the page of the cells' settings, versions and devices."""
    settings: dict[str, set[str]] = {}
    for text in table["settings"].unique():
        for name, value in json.loads(text).items():
            settings.setdefault(name, set()).add(_value(value))
    places = zip(table["device"], map(_listed, table["machine"]), strict=True)
    sections = {
        "Versions": _counts(map(_listed, table["versions"])),
        "Devices": _counts("; ".join(filter(None, place)) for place in places),
        "Settings of all cells": [(name, *one) for name, one in settings.items() if len(one) == 1],
    }
    varied = [name for name, values in settings.items() if len(values) > 1]
    title = "What the cells were made with"
    _write(path, "made_with.html", title=title, sections=sections.items(), varied=varied)


def _listed(facts: str) -> str:
    """Return facts in JSON, such as versions, as one line of text."""
    return ", ".join(f"{name} {value}" for name, value in json.loads(facts).items())


def _counts(texts: Iterable[str]) -> list[tuple[str, str]]:
    """Return the number of cells with each text, and the text; the most frequent first."""
    return [(counted(count, "cell"), text) for text, count in Counter(texts).most_common()]


def _value(value: object) -> str:
    """Return a setting as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_value(one)}" for name, one in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_value, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value in (None, "") else str(value)


def _is_number(value: object) -> bool:
    """Tell whether a field is a number, which is shown rounded and sorted unrounded."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not pd.isna(value)


def _text(value: object) -> str:
    """Return a value of the summary as text."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.{DIGITS}g}"
    return str(value)


def _write(path: Path, template: str, **shown: object) -> None:
    """Write a page, whole or not at all."""
    pages = Environment(loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined)
    pages.filters["text"] = _text
    pages.tests["a_number"] = _is_number
    write_atomically(path, pages.get_template(template).render(shown).encode())
