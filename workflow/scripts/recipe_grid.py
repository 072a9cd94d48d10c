"""Draw the recipes of a pair, each with its year and its time."""

from dataclasses import replace
from pathlib import Path

from nst.cells.cell import read_details
from nst.commands.job import job
from nst.config.paths import cell_path
from nst.figures.grids import recipe_grid
from nst.figures.pages import publish_grid
from nst.figures.tiles import cell_tile, input_tile, time_text

with job(snakemake.log[0], snakemake.input):
    params, wildcards = snakemake.params, snakemake.wildcards
    cells = read_details(Path(snakemake.input.details))
    tiles = []
    for title, variant in zip(params.recipes, params.variants, strict=True):
        path = cell_path(wildcards.content, wildcards.style, *variant)
        caption = f"{title}: {time_text(cells[path].seconds)}"
        tiles.append(replace(cell_tile(path), caption=caption))
    grid = recipe_grid(
        input_tile(snakemake.input.content, params.titles["content"]),
        input_tile(snakemake.input.style, params.titles["style"]),
        tiles,
        subtitle=params.subtitle,
    )
    publish_grid(grid, *map(Path, snakemake.output))
