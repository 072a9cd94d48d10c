"""Make one cell again, large, from its small picture."""

from nst.commands.job import job
from nst.commands.stylize import stylize
from nst.config.prints import PrintFile, print_variants
from nst.config.run import read_variants

with job(snakemake.log[0], snakemake.input):
    names, variants = snakemake.wildcards, read_variants(snakemake.config)
    prints = snakemake.config["prints"]
    variants = print_variants(variants, names.layers, names.ratio, int(prints["size"]))
    stylize(snakemake, variants, PrintFile.read(prints))
