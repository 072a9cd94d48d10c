"""Write the table of cells, which plots, gallery and report read, and the table of traces."""

from pathlib import Path

from nst.commands.job import job
from nst.reports.ranking import read_votes, with_preference
from nst.reports.summary import summarise, write_parquet, write_summary

with job(snakemake.log[0], snakemake.input):
    details = [Path(path) for path in snakemake.input.details]
    table = summarise(details, Path(snakemake.output.traces))
    if votes := snakemake.input.get("votes"):
        table = with_preference(table, read_votes(map(Path, votes)))
    write_parquet(table, Path(snakemake.output.table))
    write_summary(table, Path(snakemake.output.summary))
