"""Draw the grid of the formulations: recipes by pairs."""

from pathlib import Path

from nst.commands.job import job
from nst.config.paths import cell_path
from nst.figures.grids import formulation_grid
from nst.figures.pages import publish_grid
from nst.figures.tiles import cell_rows

with job(snakemake.log[0], snakemake.input):
    inputs = zip(snakemake.input.contents, snakemake.input.styles, strict=True)
    pairs, variants = snakemake.params.pairs, snakemake.params.variants
    rows = [[cell_path(*pair, *variant) for pair in pairs] for variant in variants]
    grid = formulation_grid(
        [(Path(content), Path(style)) for content, style in inputs],
        snakemake.params.formulations,
        cell_rows(rows),
        subtitle=snakemake.params.subtitle,
    )
    publish_grid(grid, *map(Path, snakemake.output))
