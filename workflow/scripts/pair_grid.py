"""Draw the grid of a pair: layer weightings by ratios."""

from pathlib import Path

from nst.commands.job import job
from nst.config.paths import cell_path
from nst.figures.grids import pair_grid
from nst.figures.pages import publish_grid
from nst.figures.tiles import cell_rows, input_tile

with job(snakemake.log[0], snakemake.input):
    titles, ratios = snakemake.params.titles, snakemake.params.ratios
    pair = (snakemake.wildcards.content, snakemake.wildcards.style)
    rows = [
        [cell_path(*pair, layers, ratio) for ratio in ratios] for layers in snakemake.params.layers
    ]
    grid = pair_grid(
        input_tile(snakemake.input.content, titles["content"]),
        input_tile(snakemake.input.style, titles["style"]),
        snakemake.params.layers,
        ratios,
        cell_rows(rows),
        subtitle=snakemake.params.subtitle,
    )
    publish_grid(grid, *map(Path, snakemake.output))
