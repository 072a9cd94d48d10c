"""Make all the cells of one pair of images."""

from pathlib import Path

import torch

from nst.cells.cell import write_details
from nst.cells.pair import Pair, stylize_pair, want_cells
from nst.cells.store import CellStore
from nst.commands.job import job
from nst.config.run import read_variants
from nst.system.device import reserve_device

with (
    job(snakemake.log[0], snakemake.input),
    reserve_device(snakemake.config.get("device", "auto")) as device,
):
    torch.set_num_threads(snakemake.threads)
    files = {name: Path(snakemake.input[name]) for name in ("content", "style", "extractor")}
    snapshots = snakemake.output.get("snapshots", [])
    wanted = want_cells(read_variants(snakemake.config), snakemake.output.pictures, snapshots)
    start = snakemake.input.get("start")
    pair = Pair(**files, **snakemake.params.names, start=Path(start) if start else None)
    store = CellStore(Path("results/store"))
    kept = Path("results/store/checkpoints")
    cells = stylize_pair(pair, wanted, device, store, checkpoints=kept)
    by_picture = dict(zip((one.path for one in wanted), cells, strict=True))
    write_details(by_picture, Path(snakemake.output.details))
