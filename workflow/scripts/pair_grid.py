"""Draw a grid of a pair: by default layer weightings by ratios."""

from pathlib import Path

from nst.commands.job import job
from nst.config.paths import cell_path, sheet_suffix
from nst.config.run import read_sheets
from nst.figures.grids import pair_grid
from nst.figures.pages import publish_grid
from nst.figures.tiles import cell_rows, input_tile

with job(snakemake.log[0], snakemake.input):
    titles, wildcards = snakemake.params.titles, snakemake.wildcards
    sheets = {sheet_suffix(one): one for one in read_sheets(snakemake.config)}
    sheet = sheets[wildcards.sheet]
    pair = (wildcards.content, wildcards.style)
    rows = [[one and cell_path(*pair, one.layers, one.ratio) for one in row] for row in sheet.cells]
    grid = pair_grid(
        input_tile(snakemake.input.content, titles["content"]),
        input_tile(snakemake.input.style, titles["style"]),
        sheet,
        cell_rows(rows),
        subtitle=", ".join(filter(None, [sheet.name, snakemake.params.subtitle])),
    )
    publish_grid(grid, *map(Path, snakemake.output))
