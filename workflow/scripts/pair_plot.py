"""Plot the cells of a pair, and the losses on the way to them."""

from pathlib import Path

from nst.job import job
from nst.plots import plot_losses, plot_pair, read_pair, save_plot

with job(snakemake.log[0]):
    pair = snakemake.wildcards.content, snakemake.wildcards.style
    table = read_pair(Path(snakemake.input.summary), *pair)
    traces = read_pair(Path(snakemake.input.traces), *pair)
    titles = snakemake.params.titles
    title = f"{titles['content']} × {titles['style']}"
    save_plot(plot_pair(table, title), *map(Path, snakemake.output.pair))
    save_plot(plot_losses(table, traces, title), *map(Path, snakemake.output.losses))
