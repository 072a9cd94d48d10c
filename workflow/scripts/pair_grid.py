"""Draw the grid of a pair: layer weightings by ratios."""

from pathlib import Path

from nst.commands.job import job
from nst.figures.compare import cell_rows, input_tile
from nst.figures.grids import pair_grid
from nst.figures.pages import publish_grid

with job(snakemake.log[0], snakemake.input):
    titles, ratios = snakemake.params.titles, snakemake.params.ratios
    pair = (snakemake.wildcards.content, snakemake.wildcards.style)
    rows = [[(*pair, layers, ratio) for ratio in ratios] for layers in snakemake.params.layers]
    grid = pair_grid(
        input_tile(snakemake.input.content, titles["content"]),
        input_tile(snakemake.input.style, titles["style"]),
        snakemake.params.layers,
        ratios,
        cell_rows([snakemake.input.details], rows),
        subtitle=snakemake.params.subtitle,
    )
    publish_grid(grid, *map(Path, snakemake.output))
