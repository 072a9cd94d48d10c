"""The jobs of the GPU rules, from Snakemake's inputs to the output files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from nst.cells.cell import Cell, write_details
from nst.cells.pair import Pair, stylize_pair
from nst.cells.store import CellStore
from nst.config.composition import Composition
from nst.config.paths import STORE
from nst.config.prints import PrintFile
from nst.config.variants import Variant
from nst.network.precision import Precision, read_precision
from nst.system.device import reserve_device, use_threads


def stylize(
    snakemake: Any, variants: Sequence[Variant], print_file: PrintFile | None = None
) -> None:
    """Compute the ``variants`` of a pair, as prints if ``print_file`` is given; write the details.

    ``snakemake`` is the object that Snakemake passes to a script. Its ``input`` has ``content``,
    ``style``, ``extractor`` and optionally ``start`` and the files of ``precision``. ``output`` has
    ``pictures``, ``details`` and optionally ``snapshots``. ``params`` has the ``names`` of the pair
    and the ``composition`` of its style.

    Raises:
        UserError: as ``stylize_pair``.
    """
    files, params = snakemake.input, snakemake.params
    with reserve_device(snakemake.config.get("device", "auto")) as device:
        use_threads(snakemake.threads)
        precision = [read_precision(Path(path)) for path in files.get("precision", [])]
        wanted = list(_wanted(variants, snakemake.output, print_file, *precision))
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
    variants: Iterable[Variant],
    output: Any,
    print_file: PrintFile | None,
    precision: Precision | None = None,
) -> Iterator[Cell]:
    """Yield the wanted cell of each variant; ``precision`` replaces ``auto``.

    The paths are Snakemake's, in the order of the variants. With a storage plugin, they differ from
    the rule's patterns.
    """
    snapshots = map(Path, output.get("snapshots", []))
    for variant, picture in zip(variants, output.pictures, strict=True):
        settings = variant.settings
        if precision and settings.precision == "auto":
            settings = replace(settings, precision=precision)
        yield Cell(
            variant.layers,
            variant.ratio,
            variant.formulation,
            settings,
            Path(picture),
            snapshots=next(snapshots, None) if settings.snapshots else None,
            print_file=print_file,
        )
