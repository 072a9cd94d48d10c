"""Compute all cells of one pair of images."""

from nst.cells.pair import stylize
from nst.commands.job import job
from nst.config.variants import read_variants

with job(snakemake.log[0], snakemake.input):
    stylize(snakemake, read_variants(snakemake.config))
