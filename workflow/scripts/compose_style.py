"""Draw the images of a composed style side by side, with widths proportional to their weights."""

from pathlib import Path

from nst.commands.job import job
from nst.imaging.images import load_image, save_png, side_by_side

with job(snakemake.log[0], snakemake.input):
    pictures = [load_image(Path(path)) for path in snakemake.input]
    save_png(side_by_side(pictures, snakemake.params.weights), Path(snakemake.output[0]))
