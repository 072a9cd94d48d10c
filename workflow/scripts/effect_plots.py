"""Plot the effects of the ratios, of the layer weights and of settings over all pairs."""

from pathlib import Path

from nst.commands.job import job
from nst.reports.plots import plot_ratios, plot_setting, save_plot
from nst.reports.summary import read_table

with job(snakemake.log[0], snakemake.input):
    table = read_table(Path(snakemake.input[0]))
    save_plot(plot_ratios(table), *map(Path, snakemake.output.ratios))
    save_plot(plot_setting(table, "layers"), *map(Path, snakemake.output.layers))
    files = map(Path, snakemake.output.settings)
    for setting in snakemake.params.settings:
        save_plot(plot_setting(table, setting), next(files), next(files))
