"""End the run, with an error if a cell failed; by now everything else has been made."""

from pathlib import Path

from nst.commands.job import job
from nst.reports.summary import report_outcome

with job(snakemake.log[0]):
    report_outcome(Path(snakemake.input.summary))
