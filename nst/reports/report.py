"""Pages of the run's report that are no pictures: the table, and what the cells were made with.

Each is one HTML file with nothing beside it. Everything that a user could have written is escaped.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path

import numpy as np
import pandas as pd

from nst.config.names import counted
from nst.reports.summary import FACTS
from nst.system.files import write_atomically

HIDDEN = ("fingerprint", "path")  # for programs, not for people
DIGITS = 4  # significant ones, of the numbers on a page

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ font: 14px/1.4 system-ui, sans-serif; color: #1c1c1e; background: #fff; margin: 1.5em; }}
h1 {{ font-size: 1.4em; }}
h2 {{ font-size: 1.1em; margin-top: 1.6em; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .25em .7em; text-align: left; vertical-align: top; }}
th, td {{ border-bottom: 1px solid #ddd; }}
td.number {{ text-align: right; font-variant-numeric: tabular-nums; }}
thead th {{ position: sticky; top: 0; background: #fff; white-space: nowrap; }}
th button {{ font: inherit; font-weight: 600; border: 0; padding: 0; }}
th button {{ background: none; cursor: pointer; }}
th[aria-sort=ascending] button::after {{ content: " ▲"; }}
th[aria-sort=descending] button::after {{ content: " ▼"; }}
thead ~ tbody td {{ white-space: nowrap; }}  /* a sentence in one column would make rows tall */
tbody tr:hover {{ background: #f4f4f6; }}
</style>
<h1>{title}</h1>
{body}
</html>
"""

# A click on a column's title sorts by it, numbers as numbers; another click turns the order round.
SORT = """<script>
for (const head of document.querySelectorAll("thead th")) {
  head.querySelector("button").addEventListener("click", () => {
    const table = head.closest("table"), column = head.cellIndex;
    const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    for (const other of table.querySelectorAll("th")) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", turn === 1 ? "ascending" : "descending");
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const number = (text) => text.trim() === "" ? NaN : Number(text);
    const compare = (a, b) => {
      const [x, y] = [number(key(a)), number(key(b))];
      if (isNaN(x) !== isNaN(y)) return isNaN(x) ? 1 : -1;  // what has no number comes last
      return turn * (isNaN(x) ? key(a).localeCompare(key(b)) : x - y);
    };
    table.tBodies[0].append(...[...table.tBodies[0].rows].sort(compare));
  });
}
</script>"""


def write_table_page(table: pd.DataFrame, path: Path) -> None:
    """Write the table of cells as a page whose columns can be sorted.

    What is the same for all cells stands above the table, once.
    """
    table = table.drop(columns=[*HIDDEN, *FACTS], errors="ignore")
    many = len(table) > 1
    same = [str(name) for name in table if many and table[name].nunique(dropna=False) == 1]
    body = ""
    if same:
        first = table.iloc[0]
        body += "<p>The same for all cells: "
        body += ", ".join(f"{escape(name)} {_text(first[name])}" for name in same) + ".</p>\n"
    _write(path, counted(len(table), "cell"), body + _sortable(table.drop(columns=same)) + SORT)


def write_made_with_page(table: pd.DataFrame, path: Path) -> None:
    """Write what the cells of a table were made with: settings, versions, devices."""
    kinds: defaultdict[str, Counter[str]] = defaultdict(Counter)
    versions, devices = Counter[str](), Counter[str]()
    for text, count in table["versions"].value_counts().items():
        versions[_listed(json.loads(str(text)))] += count
    for text, count in table["settings"].value_counts().items():
        for name, value in json.loads(str(text)).items():
            kinds[name][_value(value)] += count
    where = table["device"] + "\n" + table["machine"]
    for text, count in where.value_counts().items():
        device, machine = str(text).split("\n")
        devices["; ".join(filter(None, (device, _listed(json.loads(machine)))))] += count
    rows = [(name, next(iter(kind))) for name, kind in kinds.items() if len(kind) == 1]
    varied = [name for name, kind in kinds.items() if len(kind) > 1]
    body = "<h2>Versions</h2>" + _facts(_cells_by_value(versions))
    body += "<h2>Devices</h2>" + _facts(_cells_by_value(devices))
    body += "<h2>Settings of all cells</h2>" + _facts(rows)
    if varied:
        body += f"<p>These differ between cells: {escape(', '.join(varied))}.</p>"
    _write(path, "What the cells were made with", body)


def _listed(facts: Mapping[str, str]) -> str:
    """Say facts in one line, such as versions."""
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _cells_by_value(values: Counter[str]) -> list[tuple[str, str]]:
    """Return how many cells have each value, and the value."""
    common = values.most_common()
    return [(counted(count, "cell"), value) for value, count in common]


def _value(value: object) -> str:
    """Return a setting as text."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name}: {_value(one)}" for name, one in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_value, value)) or "none"
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value in (None, "") else str(value)


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    """Return names and values as a table of two columns."""
    lines = (f"<tr><th>{escape(name)}</th><td>{escape(text)}</td></tr>" for name, text in rows)
    return "<table>\n" + "\n".join(lines) + "\n</table>\n"


def _sortable(table: pd.DataFrame) -> str:
    """Return a table whose titles are buttons."""
    heads = (f"<th><button>{escape(str(name))}</button></th>" for name in table)
    rows = ("".join(map(_field, row)) for row in table.itertuples(index=False))
    lines = "\n".join(f"<tr>{row}</tr>" for row in rows)
    return (
        f"<table>\n<thead><tr>{''.join(heads)}</tr></thead>\n<tbody>\n{lines}\n</tbody></table>\n"
    )


def _field(value: object) -> str:
    """Return a field; a number is shown rounded and sorted as it is."""
    if isinstance(value, int | float) and not isinstance(value, bool) and not pd.isna(value):
        return f'<td class="number" data-value="{value!r}">{_text(value)}</td>'
    return f"<td>{_text(value)}</td>"


def _text(value: object) -> str:
    """Return a value of the summary for people, escaped."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "" if pd.isna(value) else f"{value:.{DIGITS}g}"
    return escape(str(value))


def _write(path: Path, title: str, body: str) -> None:
    """Write a page, whole or not at all."""
    write_atomically(path, PAGE.format(title=escape(title), body=body).encode())
