"""The gallery: one page to browse, filter and compare all cells of a run.

``index.html`` contains its style, script and data, and sends no network requests. The small copies
of the pictures are in ``pictures/`` beside it. A copy of the folder works anywhere. The page links
to the full pictures by relative paths, and shows them where these paths exist.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from nst import __version__
from nst.config.paths import GALLERY_SO_FAR
from nst.errors import UserError, counted
from nst.gallery.data import gallery_data, remove_old_copies
from nst.system.files import write_atomically

logger = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "assets"
SO_FAR = Path(GALLERY_SO_FAR).name
SCRIPTS = (
    *("dom", "data", "state", "viewer", "cards", "charts"),
    *("views", "compare", "vote", "full", "main"),
)
LISTED = 500  # cells listed for readers without JavaScript


def write_gallery(
    table: pd.DataFrame,
    traces: Path,
    inputs: Path,
    folder: Path,
    *,
    title: str,
    subtitle: str = "",
    so_far: str = "",
) -> Path:
    """Write the gallery of the cells of ``table`` into ``folder``, and return the page's path.

    ``table``, ``traces`` and ``inputs`` are those of ``gallery_data``. Small copies are written of
    new and changed pictures, and copies that are no longer needed are removed. One picture is open
    at a time.

    ``so_far`` is the text about the progress of an incomplete run. With it, the page is
    ``so_far.html``, which shares the small copies with ``index.html``. The complete gallery
    replaces it.

    Raises:
        ImageError: a picture cannot be read.
        UserError: the table has no cells.
    """
    if not len(table):
        raise UserError(
            "A gallery needs at least one cell; got none. For prints, name their cells, as "
            "--config prints='{stars: starred.json, size: 2048}'."
        )
    data = gallery_data(table, traces, inputs, folder)
    path = folder / (SO_FAR if so_far else "index.html")
    page = render({"title": title, "subtitle": subtitle, **data}, so_far)
    write_atomically(path, page.encode())
    removed = 0
    if not so_far:
        removed = remove_old_copies(folder, page)
        (folder / SO_FAR).unlink(missing_ok=True)
    shown, old = counted(len(table), "cell"), counted(removed, "old picture")
    logger.info("%s shows %s; %s removed", path, shown, old)
    return path


def render(data: Mapping[str, Any], so_far: str = "") -> str:
    """Return the HTML page of ``data``, including its style, script and data.

    The page's content security policy allows only this style and script, and pictures from the same
    folder.
    """
    # Read as text, so that the line ends are those that the browser hashes.
    style = (PAGE / "page.css").read_text(encoding="utf-8")
    script = "".join((PAGE / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)
    script = f'(() => {{\n"use strict";\n{script}}})();\n'
    environment = Environment(
        loader=FileSystemLoader(PAGE), autoescape=True, undefined=StrictUndefined
    )
    # tojson escapes <, >, & and ', and all non-ASCII characters, including U+2028 and U+2029.
    environment.policies["json.dumps_kwargs"] = {"separators": (",", ":"), "allow_nan": False}
    return environment.get_template("page.html").render(
        data={**data, "cells": pack(data["cells"])},
        listed=data["cells"].head(LISTED).to_dict("records"),
        so_far=so_far,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        version=__version__,
    )


def pack(cells: pd.DataFrame) -> dict[str, Any]:
    """Encode cells by column: thousands of cells take a third of the space, and load as fast.

    Each of ``columns`` has a ``path``, such as ["metrics", "ssim"], and either ``each`` value, or
    the distinct ``values`` and each cell's ``indices`` into them. The page's script unpacks the
    columns, and leaves out a null in ``metrics`` or ``trace``.
    """
    columns = [{"path": str(name).split("."), **_column(list(cells[name]))} for name in cells]
    return {"count": len(cells), "columns": columns}


def _column(values: Sequence[Any]) -> dict[str, Any]:
    """Encode a column, with each distinct value once if many values are equal."""
    texts = np.array([json.dumps(value) for value in values], object)
    indices, different = pd.factorize(texts)
    if 4 * len(different) > len(values):
        return {"each": values}
    return {"values": [json.loads(text) for text in different], "indices": indices.tolist()}


def _hash(text: str) -> str:
    """Return the hash with which a content security policy allows an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
