"""Render one cell at a larger size, starting from its small picture."""

from nst.cells.pair import stylize
from nst.commands.job import job
from nst.config.prints import PrintFile, printed
from nst.config.variants import find_variant, read_variants

with job(snakemake.log[0], snakemake.input):
    names, prints = snakemake.wildcards, snakemake.config["prints"]
    variant = find_variant(read_variants(snakemake.config), names.layers, names.ratio)
    stylize(snakemake, [printed(variant, int(prints["size"]))], PrintFile.read(prints))
