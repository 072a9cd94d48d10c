"""Draw the grid of a pair: layer weightings by ratios."""

from pathlib import Path

from nst.compare import cell_rows, input_tile
from nst.grids import draw_grid, pair_grid, save_grid
from nst.job import job

with job(snakemake.log[0]):
    titles = snakemake.params.titles
    grid = pair_grid(
        input_tile(snakemake.input.content, titles["content"]),
        input_tile(snakemake.input.style, titles["style"]),
        snakemake.params.layers,
        snakemake.params.ratios,
        cell_rows(snakemake.input.pictures, len(snakemake.params.ratios)),
        subtitle=snakemake.params.subtitle,
    )
    save_grid(draw_grid(grid), Path(snakemake.output[0]))
