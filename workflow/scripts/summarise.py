"""Gather the cells into the summary table."""

from pathlib import Path

from nst.job import job
from nst.summary import summarise, write_summary

with job(snakemake.log[0]):
    write_summary(summarise(map(Path, snakemake.input)), Path(snakemake.output[0]))
