"""Draw the grid of the formulations: recipes by pairs."""

from pathlib import Path

from nst.commands.job import job
from nst.figures.compare import cell_rows
from nst.figures.grids import formulation_grid
from nst.figures.pages import publish_grid

with job(snakemake.log[0], snakemake.input):
    inputs = zip(snakemake.input.contents, snakemake.input.styles, strict=True)
    pairs, variants = snakemake.params.pairs, snakemake.params.variants
    rows = [[(*pair, *variant) for pair in pairs] for variant in variants]
    grid = formulation_grid(
        [(Path(content), Path(style)) for content, style in inputs],
        snakemake.params.formulations,
        cell_rows(snakemake.input.details, rows),
        subtitle=snakemake.params.subtitle,
    )
    publish_grid(grid, *map(Path, snakemake.output))
