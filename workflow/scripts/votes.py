"""Evaluate the votes: preferences, the agreement of the measures, and a plot."""

from pathlib import Path

from nst.commands.job import job
from nst.reports.plots import plot_votes, save_plot
from nst.reports.ranking import agreement, matched_votes, prefer_cells, prefer_variants, read_votes
from nst.reports.summary import read_table, write_csv

with job(snakemake.log[0], snakemake.input):
    table = read_table(Path(snakemake.input.table))
    votes = matched_votes(table, read_votes(map(Path, snakemake.input.votes)))
    variants, agreed = prefer_variants(table, votes), agreement(table, votes)
    names = table[["content", "style", "layers", "ratio"]]
    write_csv(names.join(prefer_cells(table, votes)), Path(snakemake.output.cells))
    write_csv(variants, Path(snakemake.output.variants))
    write_csv(agreed, Path(snakemake.output.agreement))
    save_plot(plot_votes(table, variants, agreed), *map(Path, snakemake.output.plot))
