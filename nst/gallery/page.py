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
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from nst import __version__
from nst.config.names import counted
from nst.config.paths import GALLERY_SO_FAR
from nst.errors import UserError
from nst.gallery.data import gallery_data
from nst.gallery.previews import Previews
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
    """Write the gallery of the cells of ``table`` into ``folder``, and return its page.

    ``table``, ``traces`` and ``inputs`` are those of ``gallery_data``. Small copies of the pictures
    are made where a picture is new or has changed, and those that are no longer needed are removed.
    A gallery that is not complete says ``so_far`` how far it is; its page is ``so_far.html``,
    beside that of a complete one, which replaces it; they share the small copies. One picture is
    open at a time.

    Raises:
        ImageError: a picture cannot be read.
        UserError: there is no cell.
    """
    if not len(table):
        raise UserError(
            "A gallery needs at least one cell; got none. For prints, name their cells, as "
            "--config prints='{stars: starred.json, size: 2048}'."
        )
    previews = Previews(folder)
    data = gallery_data(table, traces, inputs, previews)
    path = folder / (SO_FAR if so_far else "index.html")
    page = render({"title": title, "subtitle": subtitle, **data}, so_far)
    write_atomically(path, page.encode())
    removed = 0
    if not so_far:
        removed = previews.remove_others()
        (folder / SO_FAR).unlink(missing_ok=True)
    shown, old = counted(len(table), "cell"), counted(removed, "old picture")
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
        listed=data["cells"].head(LISTED).to_dict("records"),
        so_far=so_far,
        style=Markup(style),  # noqa: S704 - this project's own file
        script=Markup(script),  # noqa: S704 - as above
        style_hash=_hash(style),
        script_hash=_hash(script),
        version=__version__,
    )


def pack(cells: pd.DataFrame) -> dict[str, Any]:
    """Write cells by columns: thousands of them take a third of the space, and are read as fast.

    ``columns`` have a ``path``, such as ["metrics", "ssim"], and either ``each`` value, or the
    different ``values`` and each cell's ``indices`` among them. The page's script unpacks them; a
    null in ``metrics`` or ``trace`` is not there.
    """
    columns = [{"path": str(name).split("."), **_column(list(cells[name]))} for name in cells]
    return {"count": len(cells), "columns": columns}


def _column(values: Sequence[Any]) -> dict[str, Any]:
    """Write a column, equal values once if there are enough of them."""
    texts = np.array([json.dumps(value) for value in values], object)
    indices, different = pd.factorize(texts)
    if 4 * len(different) > len(values):
        return {"each": values}
    return {"values": [json.loads(text) for text in different], "indices": indices.tolist()}


def _source(name: str) -> str:
    """Read a part of the page; line ends must be those that the browser hashes."""
    return (PAGE / name).read_text(encoding="utf-8").replace("\r\n", "\n")


def _hash(text: str) -> str:
    """Return the name by which a content security policy allows an inline style or script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
