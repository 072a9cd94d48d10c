"""Make one cell again, large, from its small picture."""

from dataclasses import replace

from nst.commands.job import job
from nst.commands.stylize import stylize
from nst.config.prints import print_settings
from nst.config.run import read_variants

with job(snakemake.log[0], snakemake.input):
    names, size = snakemake.wildcards, int(snakemake.config["prints"]["size"])
    chosen = [
        replace(one, settings=print_settings(one.settings, size))
        for one in read_variants(snakemake.config)
        if (one.layers, one.ratio) == (names.layers, names.ratio)
    ]
    stylize(snakemake, chosen)
