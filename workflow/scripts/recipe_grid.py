"""Draw the recipes of a pair, each with its year and its time."""

from pathlib import Path

from nst.cells.cell import read_details
from nst.commands.job import job
from nst.config.paths import cell_path
from nst.figures.grids import recipe_grid
from nst.figures.pages import publish_grid
from nst.figures.tiles import input_tile, timed_tile

with job(snakemake.log[0], snakemake.input):
    params, wildcards = snakemake.params, snakemake.wildcards
    cells = read_details(Path(snakemake.input.details))
    paths = [cell_path(wildcards.content, wildcards.style, *one) for one in params.variants]
    named = zip(paths, params.recipes, strict=True)
    grid = recipe_grid(
        input_tile(snakemake.input.content, params.titles["content"]),
        input_tile(snakemake.input.style, params.titles["style"]),
        [timed_tile(path, title, cells[path].seconds) for path, title in named],
        subtitle=params.subtitle,
    )
    publish_grid(grid, *map(Path, snakemake.output))
