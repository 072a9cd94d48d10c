"""Check an image and convert it to upright sRGB, or show the images that a style is made of."""

from pathlib import Path

from nst.commands.job import job
from nst.config.variants import read_variants
from nst.imaging.images import load_image, save_png, side_by_side
from nst.imaging.inspection import check_sizes

with job(snakemake.log[0], snakemake.input):
    role, name = snakemake.wildcards.role, snakemake.wildcards.name
    pictures = [load_image(Path(one), keep_alpha=role == "content") for one in snakemake.input]
    picture = pictures[0]
    if weights := snakemake.params.weights:  # strips, as wide as the weights of the images
        picture = side_by_side(pictures, weights)
    elif role in ("content", "style"):
        check_sizes(read_variants(snakemake.config), **{f"{role}s": {name: picture.size}})
    save_png(picture, Path(snakemake.output[0]))
