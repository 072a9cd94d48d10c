"""Draw the grid of a content: styles by ratios."""

from pathlib import Path

from nst.commands.job import job
from nst.config.paths import cell_path
from nst.figures.grids import content_grid
from nst.figures.pages import publish_grid
from nst.figures.tiles import cell_rows, input_tile

with job(snakemake.log[0], snakemake.input):
    content, layers = snakemake.wildcards.content, snakemake.wildcards.layers
    ratios, styles = snakemake.params.ratios, snakemake.params.styles
    rows = [[cell_path(content, style, layers, ratio) for ratio in ratios] for style in styles]
    grid = content_grid(
        input_tile(snakemake.input.content, snakemake.params.title),
        list(map(input_tile, snakemake.input.styles, snakemake.params.style_titles)),
        ratios,
        cell_rows(rows),
        subtitle=snakemake.params.subtitle,
    )
    publish_grid(grid, *map(Path, snakemake.output))
