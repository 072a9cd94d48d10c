"""Cells for the tests, built without rendering."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from nst.cells.cell import Cell, Source, write_details
from nst.config.settings import Settings
from nst.reports.summary import summarise


def make_cell(**changes: object) -> Cell:
    """A finished cell; by default it is small and every field is filled."""
    values: dict[str, object] = {
        "content": Source("cat", "Chelsea die Kätzin 猫", "c" * 64),
        "style": Source("night", "The Starry Night", "5" * 64),
        "layers": "all",
        "ratio": "1e-2",
        "formulation": "relative",
        "settings": Settings.from_mapping({"beta": 100, "image_size": 64}),
        "extractor_digest": "e" * 64,
        "start_digest": "",
        "width": 64,
        "height": 48,
        "losses": {"content": 0.25, "style": 0.125, "total": 12.75},
        "device": "cpu: x86_64, 1 threads",
        "versions": {"nst": "0.1.0", "torch": "2.6.0"},
        "machine": {"processor": "EPYC", "threads": "1"},
        "trace": {"total": [3.0, 2.0, 1.5], "style": [1.0, 0.5, 0.25]},
        "seconds": 1.5,
        "attempts": 1,
    }
    return Cell(**(values | changes))


def make_table(cells: Mapping[Path, Cell], folder: Path) -> tuple[pd.DataFrame, Path]:
    """The table of the cells and the file of their traces. Keys are the paths of the pictures."""
    write_details(cells, folder / "details.json")
    traces = folder / "traces.parquet"
    return summarise([folder / "details.json"], traces), traces


def make_image(width: int = 64, height: int = 48, seed: int = 0) -> Image.Image:
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)
