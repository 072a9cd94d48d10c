"""Draw the pictures on a cell's way as a strip, and as an animation."""

from pathlib import Path

from nst.commands.job import job
from nst.figures.painting import save_grid
from nst.figures.strips import draw_strip, save_animation

with job(snakemake.log[0], snakemake.input):
    titles = snakemake.params.titles
    snapshots, steps = Path(snakemake.input[0]), snakemake.params.steps
    title = f"{titles['content']} × {titles['style']}"
    strip = draw_strip(snapshots, steps, title=title, subtitle=snakemake.params.variant)
    save_grid(strip, Path(snakemake.output.strip))
    save_animation(snapshots, steps, Path(snakemake.output.animation))
