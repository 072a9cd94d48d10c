"""Plot the cells of a content's pairs, and their losses during optimisation."""

from pathlib import Path

from nst.commands.job import job
from nst.reports.plots import plot_losses, plot_pair, save_plot
from nst.reports.summary import read_table

with job(snakemake.log[0], snakemake.input):
    titles = snakemake.params.titles
    ((content, title_of_content),) = titles["contents"].items()
    pairs, losses = (map(Path, snakemake.output[name]) for name in ("pairs", "losses"))
    for style, title_of_style in titles["styles"].items():
        title = f"{title_of_content} × {title_of_style}"
        table = read_table(Path(snakemake.input.table), (content, style))
        traces = read_table(Path(snakemake.input.traces), (content, style))
        save_plot(plot_pair(table, title), next(pairs), next(pairs))
        save_plot(plot_losses(table, traces, title), next(losses), next(losses))
