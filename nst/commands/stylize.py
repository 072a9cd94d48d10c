"""The jobs of the GPU rules, from what Snakemake hands them to the files that it asks for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nst.cells.cell import write_details
from nst.cells.pair import Pair, stylize_pair, want_cells
from nst.cells.store import CellStore
from nst.config.composition import Composition
from nst.config.prints import PrintFile
from nst.config.variants import Variant
from nst.network.precision import read_precision
from nst.system.device import reserve_device, use_threads

STORE = Path("results/store")


def stylize(
    snakemake: Any, variants: Sequence[Variant], print_file: PrintFile | None = None
) -> None:
    """Make the ``variants`` of a pair, as prints if ``print_file`` says how, and their details.

    ``snakemake`` is what a script is given. ``input`` has ``content``, ``style``, ``extractor`` and
    perhaps ``start`` and the files of ``precision``; ``output`` has ``pictures``, ``details`` and
    perhaps ``snapshots``; ``params`` has the ``names`` of the pair and the ``composition`` of its
    style.

    Raises:
        UserError: as ``stylize_pair``.
    """
    files, output, params = snakemake.input, snakemake.output, snakemake.params
    with reserve_device(snakemake.config.get("device", "auto")) as device:
        use_threads(snakemake.threads)
        pictures, snapshots = (output.get(name, []) for name in ("pictures", "snapshots"))
        precision = [read_precision(Path(path)) for path in files.get("precision", [])]
        wanted = want_cells(variants, pictures, snapshots, *precision, print_file=print_file)
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
    by_picture = dict(zip((one.path for one in wanted), cells, strict=True))
    write_details(by_picture, Path(output.details))
