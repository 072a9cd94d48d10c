"""Put the images that a style is made of side by side, as wide as their weights."""

from pathlib import Path

from nst.commands.job import job
from nst.imaging.images import load_image, save_png, side_by_side

with job(snakemake.log[0], snakemake.input):
    pictures = [load_image(Path(path)) for path in snakemake.input]
    save_png(side_by_side(pictures, snakemake.params.weights), Path(snakemake.output[0]))
