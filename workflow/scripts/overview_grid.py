"""Draw the grid of the run: contents by styles, one picture for each pair."""

from pathlib import Path

from nst.commands.job import job
from nst.config.paths import cell_path
from nst.figures.grids import overview_grid
from nst.figures.pages import publish_grid
from nst.figures.tiles import cell_rows, input_tile

with job(snakemake.log[0], snakemake.input):
    contents, styles = snakemake.params.contents, snakemake.params.styles
    rows = [
        [cell_path(content, style, *snakemake.params.variant) for style in styles]
        for content in contents
    ]
    grid = overview_grid(
        list(map(input_tile, snakemake.input.contents, snakemake.params.content_titles)),
        list(map(input_tile, snakemake.input.styles, snakemake.params.style_titles)),
        cell_rows(rows),
        subtitle=snakemake.params.subtitle,
    )
    publish_grid(grid, *map(Path, snakemake.output))
