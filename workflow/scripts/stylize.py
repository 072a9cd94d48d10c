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
    wanted = [
        Wanted(layers, ratio, Settings.from_mapping(settings), Path(path))
        for (layers, ratio), settings, path in zip(
            snakemake.params.variants,
            snakemake.params.cells,
            snakemake.output.pictures,
            strict=True,
        )
    ]
    pair = Pair(**files, **snakemake.params.names)
    store = CellStore(Path("results/store"))
    stylize_pair(pair, wanted, choose_device(snakemake.params.device), store)
