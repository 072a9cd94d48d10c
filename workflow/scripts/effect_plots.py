"""Plot the effects of the ratios and of the layer weights over all pairs."""

from pathlib import Path

from nst.commands.job import job
from nst.reports.plots import plot_layers, plot_ratios, save_plot
from nst.reports.summary import read_table

with job(snakemake.log[0], snakemake.input):
    table = read_table(Path(snakemake.input[0]))
    save_plot(plot_ratios(table), *map(Path, snakemake.output.ratios))
    save_plot(plot_layers(table), *map(Path, snakemake.output.layers))
