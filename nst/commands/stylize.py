"""The jobs of the GPU rules, from what Snakemake hands them to the files that it asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nst.cells.cell import Cell, write_details
from nst.cells.pair import Pair, stylize_pair
from nst.cells.store import CellStore
from nst.config.composition import Composition
from nst.config.paths import CELL, PRINT, SNAPSHOTS
from nst.config.prints import PrintFile
from nst.config.variants import Variant
from nst.network.precision import Precision, read_precision
from nst.system.device import reserve_device, use_threads

STORE = Path("results/store")


def stylize(
    snakemake: Any, variants: Sequence[Variant], print_file: PrintFile | None = None
) -> None:
    """Make the ``variants`` of a pair, as prints if ``print_file`` says how, and their details.

    ``snakemake`` is what a script is given. ``input`` has ``content``, ``style``, ``extractor`` and
    perhaps ``start`` and the files of ``precision``; ``output`` has ``details``; ``params`` has the
    ``names`` of the pair and the ``composition`` of its style.

    Raises:
        UserError: as ``stylize_pair``.
    """
    files, params = snakemake.input, snakemake.params
    with reserve_device(snakemake.config.get("device", "auto")) as device:
        use_threads(snakemake.threads)
        precision = [read_precision(Path(path)) for path in files.get("precision", [])]
        wanted = [_wanted(one, params.names, print_file, *precision) for one in variants]
        made_of, start = params.composition, files.get("start")
        pair = Pair(
            content=Path(files.content),
            style=Path(files.style),
            extractor=Path(files.extractor),
            start=Path(start) if start else None,
            composition=Composition.from_dict(made_of).mapped(Path) if made_of else None,
            **params.names,
        )
        store, checkpoints = CellStore(STORE), STORE / "checkpoints"
        cells = stylize_pair(pair, wanted, device, store, checkpoints=checkpoints)
    write_details({cell.path: cell for cell in cells}, Path(snakemake.output.details))


def _wanted(
    variant: Variant,
    names: Mapping[str, str],
    print_file: PrintFile | None,
    precision: Precision | None = None,
) -> Cell:
    """Describe the cell of a variant; ``precision`` takes the place of ``auto``."""
    settings = variant.settings
    if precision and settings.precision == "auto":
        settings = replace(settings, precision=precision)
    place = {
        "content": names["content_name"],
        "style": names["style_name"],
        "layers": variant.layers,
        "ratio": variant.ratio,
    }
    return Cell(
        variant.layers,
        variant.ratio,
        variant.formulation,
        settings,
        Path((PRINT if print_file else CELL).format(**place)),
        snapshots=Path(SNAPSHOTS.format(**place)) if settings.snapshots else None,
        print_file=print_file,
    )
