"""Gather the cells into the summary table, and their traces into another."""

from pathlib import Path

from nst.job import job
from nst.summary import gather_traces, summarise, write_parquet, write_summary

with job(snakemake.log[0]):
    details = [Path(path) for path in snakemake.input]
    table = summarise(details)
    write_summary(table, Path(snakemake.output.summary))
    write_parquet(table, Path(snakemake.output.table))
    write_parquet(gather_traces(details), Path(snakemake.output.traces))
