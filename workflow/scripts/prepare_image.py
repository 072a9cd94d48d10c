"""Check an image and bring it to upright sRGB."""

from pathlib import Path

from nst.images import load_image, save_png
from nst.job import job

with job(snakemake.log[0]):
    save_png(load_image(Path(snakemake.input[0])), Path(snakemake.output[0]))
