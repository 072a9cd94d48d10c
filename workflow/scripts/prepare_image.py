"""Check an image and convert it to upright sRGB."""

from pathlib import Path

from nst.commands.job import job
from nst.config.variants import read_variants
from nst.imaging.images import load_image, save_png
from nst.imaging.inspection import check_sizes

with job(snakemake.log[0], snakemake.input):
    role, name = snakemake.wildcards.role, snakemake.wildcards.name
    picture = load_image(Path(snakemake.input[0]), keep_alpha=role == "content")
    if role in ("content", "style"):
        check_sizes(read_variants(snakemake.config), **{f"{role}s": {name: picture.size}})
    save_png(picture, Path(snakemake.output[0]))
