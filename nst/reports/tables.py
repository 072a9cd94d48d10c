"""Summary tables for a paper, as LaTeX and Markdown: means over pairs, with intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from nst.figures.lettering import clean
from nst.reports.ranking import PAIR
from nst.system.files import write_atomically

AXES: Mapping[str, str] = {"styles": "style", "ratios": "ratio", "layers": "layers"}
"""The column by which each table groups cells."""
MEASURES: Mapping[str, str] = {
    "content_distance": "content distance ↓",
    "style_distance": "style distance ↓",
    "ssim": "SSIM ↑",
    "colour_distance": "colour distance ↓",
    "seconds": "seconds",
}
"""The measures, and their headings with an arrow in the better direction."""
SPECIAL = str.maketrans({sign: f"\\{sign}" for sign in "\\|*_<`"})
"""Characters that are special in Markdown, escaped by a backslash."""
AS_LATEX: Mapping[str, str] = {
    "↓": r"$\downarrow$",
    "↑": r"$\uparrow$",
    "α/β": r"$\alpha/\beta$",
}
DRAWS = 2000  # of the bootstrap
LEVEL = 95  # %: the share of the draws' means within an interval


def summarise_by(table: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return a row of text for each value of a column of the summary table, in its order.

    Each measure has its mean over pairs of a content and a style, with a bootstrap interval over
    pairs (Efron 1979, percentiles) in parentheses. The cells of a pair are averaged first.
    ``pairs`` is the number of pairs; a single pair has no interval. Failed cells are left out.
    """
    finished = table[table["status"] == "finished"]
    labels, rows = [], []
    for value, cells in finished.groupby(column, sort=False):
        pairs = cells.groupby(list(PAIR), sort=False)[list(MEASURES)].mean()
        texts = [mean_and_interval(pairs[name].to_numpy(float)) for name in MEASURES]
        labels.append(clean(str(cells["style_title"].iloc[0] if column == "style" else value)))
        rows.append([str(len(pairs)), *texts])
    heading = "α/β" if column == "ratio" else column
    index = pd.Index(labels, name=heading, dtype=str)
    return pd.DataFrame(rows, index, columns=["pairs", *MEASURES.values()])


def mean_and_interval(values: NDArray[np.float64]) -> str:
    """Return ``mean (low–high)`` with three digits; for a single value, only the value."""
    values = values[np.isfinite(values)]
    if not len(values):
        return "–"
    mean = _digits(values.mean())
    if len(values) == 1:
        return mean
    drawn = np.random.default_rng(0).integers(len(values), size=(DRAWS, len(values)))
    outside = (100 - LEVEL) / 2
    low, high = np.percentile(values[drawn].mean(axis=1), [outside, 100 - outside])
    return f"{mean} ({_digits(low)}–{_digits(high)})"


def as_latex(summary: pd.DataFrame) -> str:
    """Return a summary as a ``tabular`` with the rules of the package booktabs."""
    flat = summary.reset_index().rename(columns=_latex_heading)
    style = flat.style.format(escape="latex").hide(axis="index")
    latex = style.to_latex(hrules=True, column_format="l" + "r" * len(summary.columns))
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


def _latex_heading(heading: str) -> str:
    """Replace the symbols of a heading by LaTeX."""
    for sign, latex in AS_LATEX.items():
        heading = heading.replace(sign, latex)
    return heading
