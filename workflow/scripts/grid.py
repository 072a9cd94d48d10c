"""Draw a comparison grid with the builder and the arguments that its rule names."""

from pathlib import Path

from nst.commands.job import job
from nst.config.run import pair_sheets
from nst.config.variants import read_variants
from nst.figures import grids
from nst.figures.pages import publish_grid

with job(snakemake.log[0], snakemake.input):
    arguments = dict(snakemake.params.items())
    arguments |= arguments.pop("titles")
    build = getattr(grids, arguments.pop("builder"))
    if build is grids.pair_grid:  # a sheet is long; its rule has only a digest
        variants, chosen = read_variants(snakemake.config), snakemake.config.get("grid", {})
        sheets = {one.suffix: one for one in pair_sheets(variants, chosen)}
        arguments["variants"] = sheets[snakemake.wildcards.sheet]
    publish_grid(build(**arguments).changed(grids.checked), *map(Path, snakemake.output))
