"""Make all the cells of one pair of images."""

from pathlib import Path

import torch

from nst.cell import write_details
from nst.config import read_variants
from nst.device import reserve_device
from nst.job import job
from nst.pair import Pair, Wanted, stylize_pair
from nst.store import CellStore

with (
    job(snakemake.log[0], snakemake.input),
    reserve_device(snakemake.config.get("device", "auto")) as device,
):
    torch.set_num_threads(snakemake.threads)
    files = {name: Path(snakemake.input[name]) for name in ("content", "style", "extractor")}
    snapshots = iter(snakemake.output.get("snapshots", []))
    wanted = []
    variants = read_variants(snakemake.config)
    for one, path in zip(variants, snakemake.output.pictures, strict=True):
        frames = Path(next(snapshots)) if one.settings.snapshots else None
        names = (one.layers, one.ratio, one.formulation)
        wanted.append(Wanted(*names, one.settings, Path(path), frames))
    start = snakemake.input.get("start")
    pair = Pair(**files, **snakemake.params.names, start=Path(start) if start else None)
    store = CellStore(Path("results/store"))
    kept = Path("results/store/checkpoints")
    cells = stylize_pair(pair, wanted, device, store, checkpoints=kept)
    by_picture = dict(zip((one.path for one in wanted), cells, strict=True))
    write_details(by_picture, Path(snakemake.output.details))
