"""Compute all cells of one pair of images, or render one cell at a larger size."""

from nst.cells.pair import stylize_by_rule
from nst.commands.job import job
from nst.config.prints import PrintFile, printed
from nst.config.variants import find_variant, read_variants

with job(snakemake.log[0], snakemake.input):
    variants, print_file = read_variants(snakemake.config), None
    if layers := snakemake.wildcards.get("layers"):  # of the rule print
        prints = snakemake.config["prints"]
        cell = find_variant(variants, layers, snakemake.wildcards.ratio)
        variants, print_file = [printed(cell, int(prints["size"]))], PrintFile.read(prints)
    stylize_by_rule(snakemake, variants, print_file)
