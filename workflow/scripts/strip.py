"""Draw a cell's snapshots as a strip and as an animation."""

from pathlib import Path

from nst.commands.job import job
from nst.figures.grids import draw_strip, save_animation
from nst.figures.painting import save_grid

with job(snakemake.log[0], snakemake.input):
    params = snakemake.params
    snapshots, steps = Path(snakemake.input[0]), params.steps
    title = " × ".join(title for named in params.titles.values() for title in named.values())
    strip = draw_strip(snapshots, steps, title=title, subtitle=params.variant)
    save_grid(strip, Path(snakemake.output.strip))
    save_animation(snapshots, steps, Path(snakemake.output.animation))
