"""The gallery: one page to look through, filter and compare all the cells of a run.

``index.html`` holds its own style, script and data, and asks nothing of the network; the small
copies of the pictures are in ``pictures/`` beside it. The folder can be read wherever it is copied;
the full pictures, which it links to by relative paths, are shown where they are at hand.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from nst import __version__
from nst.config.names import counted
from nst.config.paths import GALLERY_SO_FAR
from nst.errors import UserError
from nst.gallery.entries import METRICS, Entry, Metric, Subject
from nst.gallery.previews import PREVIEW, Previews
from nst.system.files import write_atomically

logger = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "assets"
SO_FAR = Path(GALLERY_SO_FAR).name
SCRIPTS = (
    "dom",
    "data",
    "state",
    "viewer",
    "cards",
    "charts",
    "views",
    "compare",
    "vote",
    "full",
    "main",
)
CURVE_POINTS = 48  # of a loss curve, which is drawn 300 px wide
LEAST_CURVE_POINTS = 12
ALL_CURVE_POINTS = 200_000  # of all the curves: half the page of thousands of cells is curves
CURVES = ("total", "content", "style")  # those that are drawn
LISTED = 500  # cells listed for readers without JavaScript
LARGEST_BEFORE = 2048  # px: of a content to lay over its cells


def write_gallery(
    entries: Iterable[Entry], folder: Path, *, title: str, subtitle: str = "", so_far: str = ""
) -> Path:
    """Write the gallery of ``entries`` into ``folder``, and return its page.

    Small copies of the pictures are made where a picture is new or has changed, and those that are
    no longer needed are removed. A gallery that is not complete says ``so_far`` how far it is; its
    page is ``so_far.html``, beside that of a complete one, which replaces it; they share the small
    copies. Entries are taken one by one, with one picture open at a time, so that a generator of
    thousands needs little memory.

    Raises:
        UserError: there are no entries, or two of them have the same names.
        ImageError: a picture cannot be read.
    """
    page = _Page(folder, Previews(folder / "pictures"))
    for entry in entries:
        page.add(entry)
    if not page.cells:
        raise UserError("A gallery needs at least one cell; got none. Run the grid first.")
    path = folder / (SO_FAR if so_far else "index.html")
    write_atomically(path, render(page.data(title, subtitle), so_far).encode())
    removed = 0
    if not so_far:
        removed = page.previews.remove_others()
        (folder / SO_FAR).unlink(missing_ok=True)
    shown, old = counted(len(page.cells), "cell"), counted(removed, "old picture")
    logger.info("%s shows %s; %s removed", path, shown, old)
    return path


def render(data: Mapping[str, Any], so_far: str = "") -> str:
    """Return the page that shows ``data``, with its style, script and data inside.

    The policy in its head allows exactly this style and script, and pictures from the same folder.
    """
    style = _source("page.css")
    script = "".join(_source(f"{name}.js") for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{script}}})();\n'
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined
    )
    # tojson escapes <, >, & and '; what is not ASCII, among it U+2028 and U+2029, is escaped too.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.get_template("page.html").render(
        data={**data, "cells": pack(data["cells"])},
        listed=data["cells"][:LISTED],
        so_far=so_far,
        style=Markup(style),  # noqa: S704 - this project's own file
        script=Markup(script),  # noqa: S704 - as above
        style_hash=_hash(style),
        script_hash=_hash(script),
        version=__version__,
    )


def pack(cells: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Write cells by columns: thousands of them take a third of the space, and are read as fast.

    ``columns`` have a ``path``, such as ["metrics", "ssim"], and either ``each`` value, or the
    different ``values`` and each cell's ``indices`` among them. The page's script unpacks them; a
    null in ``metrics`` or ``trace`` is not there.
    """
    flat = [dict(_paths(cell)) for cell in cells]
    paths = dict.fromkeys(path for one in flat for path in one)
    columns = [{"path": path, **_column([one.get(path) for one in flat])} for path in paths]
    return {"count": len(cells), "columns": columns}


def _paths(cell: Mapping[str, Any]) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield a cell's values by their paths; only these two have values of their own for each."""
    for name, value in cell.items():
        if name in ("metrics", "trace"):
            yield from (((name, part), one) for part, one in value.items())
        else:
            yield (name,), value


def _column(values: Sequence[Any]) -> dict[str, Any]:
    """Write a column, equal values once if there are enough of them."""
    texts = [json.dumps(value) for value in values]
    numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
    if 4 * len(numbers) > len(values):
        return {"each": values}
    different = dict(zip(texts, values, strict=True))
    return {
        "values": [different[text] for text in numbers],
        "indices": [numbers[text] for text in texts],
    }


@dataclass
class _Page:
    """The page's data, gathered entry by entry."""

    folder: Path
    previews: Previews
    cells: dict[tuple[str, ...], dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, dict[str, Any]] = field(default_factory=dict)
    styles: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, entry: Entry) -> None:
        """Add a cell, and its content and style if they are new."""
        key = (entry.content.name, entry.style.name, entry.layers, entry.ratio)
        if key in self.cells:
            raise UserError(f"Two cells are named {'/'.join(key)}; give each its own names.")
        for subjects, subject in ((self.contents, entry.content), (self.styles, entry.style)):
            if subject.name not in subjects:
                size = min(LARGEST_BEFORE, max(PREVIEW, entry.width, entry.height))
                subjects[subject.name] = self._subject(subject, size)
        self.cells[key] = self._cell(entry)

    def data(self, title: str, subtitle: str) -> dict[str, Any]:
        """Return everything that the page's script reads."""
        cells = list(self.cells.values())
        points = max(LEAST_CURVE_POINTS, ALL_CURVE_POINTS // len(cells))
        if points < CURVE_POINTS:
            for cell in cells:
                cell["trace"] = curve(cell["trace"], points)
        present = dict.fromkeys(name for cell in cells for name in cell["metrics"])
        return {
            "title": title,
            "subtitle": subtitle,
            "metrics": [_metric(one) for one in _metrics(present)],
            "contents": list(self.contents.values()),
            "styles": list(self.styles.values()),
            "settings": _take_shared(
                [cell["settings"] for cell in cells if cell["status"] != "waiting"]
            ),
            "cells": cells,
        }

    def _subject(self, subject: Subject, size: int) -> dict[str, Any]:
        return {
            "name": subject.name,
            "title": subject.title,
            **self._picture(subject.picture, size),
        }

    def _cell(self, entry: Entry) -> dict[str, Any]:
        return {
            "content": entry.content.name,
            "style": entry.style.name,
            "layers": entry.layers,
            "ratio": entry.ratio,
            "formulation": entry.formulation,
            "status": entry.status,
            "reason": entry.reason,
            **self._picture(entry.picture if entry.status == "finished" else None, PREVIEW),
            "width": entry.width,
            "height": entry.height,
            "settings": dict(entry.settings),
            "metrics": {
                name: _rounded(value, 6)
                for name, value in entry.metrics.items()
                if math.isfinite(value)
            },
            "rank": entry.rank,
            "pareto": entry.pareto,
            "suggested": entry.suggested,
            "suggestion": entry.suggestion,
            "trace": curve(entry.trace),
            "seconds": entry.seconds,
            "device": entry.device,
            "fingerprint": entry.fingerprint,
        }

    def _picture(self, picture: Path | None, size: int) -> dict[str, Any]:
        """Return the links to a picture and its copies, relative to the page."""
        if picture is None:
            return dict.fromkeys(("thumbnail", "preview", "full"))
        copies = self.previews.of(picture, size=size)
        return {
            "thumbnail": f"pictures/{copies.thumbnail}",
            "preview": f"pictures/{copies.preview}",
            "full": _link(picture, self.folder),
        }


def curve(
    trace: Mapping[str, Sequence[int | float | None]], most: int = CURVE_POINTS
) -> dict[str, list[int | float | None]]:
    """Thin ``CURVES`` to ``most`` evenly spaced points, first and last among them, of four digits.

    A value that is not a finite number becomes None, a gap in the curve. A trace without
    ``evaluation`` counts from 1.
    """
    trace = {name: trace[name] for name in ("evaluation", *CURVES) if name in trace}
    length = min((len(values) for values in trace.values()), default=0)
    points = min(length, most)
    kept = [round(i * (length - 1) / max(points - 1, 1)) for i in range(points)]
    numbered = {"evaluation": range(1, length + 1), **trace}
    return {
        name: [_rounded(values[index], 4) for index in kept] for name, values in numbered.items()
    }


def _rounded(value: int | float | None, digits: int) -> int | float | None:
    """Round to significant digits, for a smaller page; None if it is not a finite number."""
    if value is None or isinstance(value, int):
        return value
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def _take_shared(settings: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Take out of every mapping what is the same in all of them, and return it."""
    first = dict(settings[0]) if settings else {}
    shared = {
        name: value
        for name, value in first.items()
        if all(name in one and one[name] == value for one in settings)
    }
    for one in settings:
        for name in shared:
            del one[name]
    return shared


def _metrics(present: Iterable[str]) -> list[Metric]:
    """Describe the metrics that cells have: the known ones first, then the others by name."""
    names = set(present)
    known = [one for one in METRICS if one.name in names]
    others = sorted(names - {one.name for one in known})
    return known + [Metric(name, name.replace("_", " ").capitalize(), "", "") for name in others]


def _metric(metric: Metric) -> dict[str, str]:
    return {
        "name": metric.name,
        "label": metric.label,
        "better": metric.better,
        "meaning": metric.meaning,
    }


def _link(picture: Path, folder: Path) -> str | None:
    """Return a relative link from the page to a picture; None across Windows drives."""
    try:
        relative = os.path.relpath(picture, folder)
    except ValueError:
        return None
    return quote(Path(relative).as_posix())


def _source(name: str) -> str:
    """Read a part of the page; line ends must be those that the browser hashes."""
    return (PAGE / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _hash(text: str) -> str:
    """Return the name by which a content security policy allows an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
