"""Plot the cells of a content's pairs, and their losses during optimisation."""

from pathlib import Path

from nst.commands.job import job
from nst.reports.plots import plot_losses, plot_pair, save_plot
from nst.reports.summary import read_table

with job(snakemake.log[0], snakemake.input):
    params = snakemake.params
    pairs, losses = (map(Path, snakemake.output[name]) for name in ("pairs", "losses"))
    for style, title in zip(params.styles, params.titles, strict=True):
        pair = snakemake.wildcards.content, style
        table = read_table(Path(snakemake.input.table), pair)
        traces = read_table(Path(snakemake.input.traces), pair)
        save_plot(plot_pair(table, title), next(pairs), next(pairs))
        save_plot(plot_losses(table, traces, title), next(losses), next(losses))
