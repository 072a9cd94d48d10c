"""Report the outcome of the run as its last job, with an error if a cell failed."""

from pathlib import Path

from nst.commands.job import job
from nst.reports.summary import read_table, report_outcome

with job(snakemake.log[0]):
    report_outcome(read_table(Path(snakemake.input.table)))
