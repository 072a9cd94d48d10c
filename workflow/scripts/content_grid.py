"""Draw the grid of a content: styles by ratios."""

from pathlib import Path

from nst.compare import cell_rows, input_tile
from nst.grids import content_grid, draw_grid, save_grid
from nst.job import job

with job(snakemake.log[0]):
    content, layers = snakemake.wildcards.content, snakemake.wildcards.layers
    ratios, styles = snakemake.params.ratios, snakemake.params.styles
    rows = [[(content, style, layers, ratio) for ratio in ratios] for style in styles]
    grid = content_grid(
        input_tile(snakemake.input.content, snakemake.params.title),
        list(map(input_tile, snakemake.input.styles, snakemake.params.style_titles)),
        ratios,
        cell_rows(snakemake.input.details, rows),
        subtitle=snakemake.params.subtitle,
    )
    save_grid(draw_grid(grid), Path(snakemake.output[0]))
