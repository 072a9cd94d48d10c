"""Plot the effects of α/β, the layer weighting and the settings over all pairs."""

from pathlib import Path

from nst.commands.job import job
from nst.reports.plots import plot_effect, save_plot
from nst.reports.summary import read_table

with job(snakemake.log[0], snakemake.input):
    table = read_table(Path(snakemake.input[0]))
    files = map(Path, snakemake.output)
    for axis in snakemake.params.axes:
        save_plot(plot_effect(table, axis), next(files), next(files))
