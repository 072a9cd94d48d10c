"""Make all the cells of one pair of images."""

from pathlib import Path

from nst.cells.cell import write_details
from nst.cells.pair import Pair, stylize_pair, want_cells
from nst.cells.store import CellStore
from nst.commands.job import job
from nst.config.composition import Composition
from nst.config.run import read_variants
from nst.network.precision import read_precision
from nst.system.device import reserve_device, use_threads

with (
    job(snakemake.log[0], snakemake.input),
    reserve_device(snakemake.config.get("device", "auto")) as device,
):
    use_threads(snakemake.threads)
    pictures, snapshots = (snakemake.output.get(name, []) for name in ("pictures", "snapshots"))
    precision = [read_precision(Path(path)) for path in snakemake.input.get("precision", [])]
    wanted = want_cells(read_variants(snakemake.config), pictures, snapshots, *precision)
    named = ("content", "style", "extractor", "start")
    files = {name: Path(snakemake.input[name]) for name in named if snakemake.input.get(name)}
    made_of = snakemake.params.composition
    composition = Composition.from_dict(made_of).mapped(Path) if made_of else None
    pair = Pair(**files, **snakemake.params.names, composition=composition)
    store, checkpoints = Path("results/store"), Path("results/store/checkpoints")
    cells = stylize_pair(pair, wanted, device, CellStore(store), checkpoints=checkpoints)
    by_picture = dict(zip((one.path for one in wanted), cells, strict=True))
    write_details(by_picture, Path(snakemake.output.details))
