"""Gather the cells into the summary table, and their traces into another."""

from pathlib import Path

from nst.commands.job import job
from nst.reports.summary import summarise, write_parquet, write_summary, write_traces

with job(snakemake.log[0], snakemake.input):
    details = [Path(path) for path in snakemake.input]
    table = summarise(details)
    write_summary(table, Path(snakemake.output.summary))
    write_parquet(table, Path(snakemake.output.table))
    write_traces(details, Path(snakemake.output.traces))
