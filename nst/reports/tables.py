"""The tables of a run for readers: summaries for a paper, and the pages of the report.

Summaries are LaTeX and Markdown, with means over pairs and intervals. Each page is one
self-contained HTML file. All text that a user could have written is escaped.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from numpy.typing import NDArray

from nst.errors import counted
from nst.figures.lettering import clean
from nst.reports.ranking import DRAWS, ENDS, PAIR, spoken
from nst.reports.ranking import MEASURES as DIRECTIONS
from nst.reports.summary import FACTS, shared_settings
from nst.system.files import write_atomically

AXES: Mapping[str, str] = {"styles": "style", "ratios": "ratio", "layers": "layers"}
"""The column by which each table groups cells."""
MEASURES = ("content_distance", "style_distance", "ssim", "colour_distance", "seconds")
SPECIAL = str.maketrans({sign: f"\\{sign}" for sign in "\\|*_<`"})
"""Characters that are special in Markdown, escaped by a backslash."""
AS_LATEX = {"↓": r"$\downarrow$", "↑": r"$\uparrow$", "α/β": r"$\alpha/\beta$"}
HIDDEN = ("fingerprint", "path")  # for programs, not for people
DIGITS = 4  # significant digits of the numbers on a page
PAGES = Path(__file__).parent / "assets"


def summarise_by(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a row of text for each value of a column of the summary table, in its order.

    Each measure has an arrow in its better direction, and its mean over pairs of a content and a
    style, with a bootstrap interval over pairs (Efron 1979, percentiles) in parentheses. The cells
    of a pair are averaged first. ``pairs`` is the number of pairs; a single pair has no interval.
    Failed cells are left out.
    """
    finished = table[table["status"] == "finished"]
    labels, rows = [], []
    for value, cells in finished.groupby(column, sort=False):
        pairs = cells.groupby(list(PAIR), sort=False)[list(MEASURES)].mean()
        texts = [mean_and_interval(pairs[name].to_numpy(float)) for name in MEASURES]
        labels.append(clean(str(cells["style_title"].iloc[0] if column == "style" else value)))
        rows.append([str(len(pairs)), *texts])
    headings = [f"{spoken(name)} {DIRECTIONS.get(name, '')}".rstrip() for name in MEASURES]
    index = pd.Index(labels, name=spoken(column), dtype=str)
    return pd.DataFrame(rows, index, columns=["pairs", *headings])


def mean_and_interval(values: NDArray[np.float64]) -> str:
    """Return ``mean (low–high)`` with three digits; for a single value, only the value."""
    values = values[np.isfinite(values)]
    if not len(values):
        return "–"
    mean = _digits(values.mean())
    if len(values) == 1:
        return mean
    drawn = np.random.default_rng(0).integers(len(values), size=(DRAWS, len(values)))
    low, high = np.percentile(values[drawn].mean(axis=1), ENDS)
    return f"{mean} ({_digits(low)}–{_digits(high)})"


def as_latex(summary: pd.DataFrame) -> str:
    """Return a summary as a ``tabular`` with the rules of the package booktabs."""
    style = summary.reset_index().style.format(escape="latex").hide(axis="index")
    latex = style.to_latex(hrules=True, column_format="l" + "r" * len(summary.columns))
    for sign, written in AS_LATEX.items():
        latex = latex.replace(sign, written)
    # LaTeX would read a [ or * at the beginning of a row as an option of the line break before it.
    return re.sub(r"^(?=[\[*])", "{}", latex, flags=re.MULTILINE)


def as_markdown(summary: pd.DataFrame) -> str:
    """Return a summary as a table in Markdown."""
    escaped = summary.rename(index=lambda text: str(text).translate(SPECIAL))
    aligned = ("left", *["right"] * len(summary.columns))
    return escaped.to_markdown(colalign=aligned, disable_numparse=True) + "\n"


def write_summaries(table: pd.DataFrame, folder: Path) -> None:
    """Write the summaries by each of ``AXES`` into a folder, as ``.tex`` and ``.md``."""
    for name, column in AXES.items():
        summary = summarise_by(table, column)
        write_atomically(folder / f"{name}.tex", as_latex(summary).encode())
        write_atomically(folder / f"{name}.md", as_markdown(summary).encode())


def _digits(value: float) -> str:
    """Return a number with three significant digits, or as an integer if it is large."""
    return f"{value:.0f}" if abs(value) >= 999.5 else f"{value:.3g}"


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
    settings = list(map(json.loads, table["settings"].unique()))
    shared = shared_settings(settings)
    places = zip(table["device"], map(_listed, table["machine"]), strict=True)
    sections = {
        "Versions": _counts(map(_listed, table["versions"])),
        "Devices": _counts("; ".join(filter(None, place)) for place in places),
        "Settings of all cells": [(name, _value(value)) for name, value in shared.items()],
    }
    varied = [name for name in settings[0] if name not in shared]
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


def _text(value: Any) -> str:
    """Return a value of the summary as text; a missing value is empty."""
    if pd.isna(value):
        return ""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def _write(path: Path, template: str, **shown: object) -> None:
    """Write a page, whole or not at all."""
    pages = Environment(loader=FileSystemLoader(PAGES), autoescape=True, undefined=StrictUndefined)
    pages.filters["text"] = _text
    write_atomically(path, pages.get_template(template).render(shown).encode())
