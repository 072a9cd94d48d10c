"""Make all the cells of one pair of images."""

from pathlib import Path

import torch

from nst.device import choose_device
from nst.job import job
from nst.pair import Pair, Wanted, stylize_pair
from nst.settings import Settings
from nst.store import CellStore

with job(snakemake.log[0]):
    torch.set_num_threads(snakemake.threads)
    files = {name: Path(snakemake.input[name]) for name in ("content", "style", "extractor")}
    snapshots = iter(snakemake.output.get("snapshots", []))
    wanted = []
    for names, values, path in zip(
        snakemake.params.variants, snakemake.params.cells, snakemake.output.pictures, strict=True
    ):
        settings = Settings.from_mapping(values)
        frames = Path(next(snapshots)) if settings.snapshots else None
        wanted.append(Wanted(*names, settings, Path(path), frames))
    start = snakemake.input.get("start")
    pair = Pair(**files, **snakemake.params.names, start=Path(start) if start else None)
    store = CellStore(Path("results/store"))
    stylize_pair(pair, wanted, choose_device(snakemake.config.get("device", "auto")), store)
