"""Write the pages of the report that are no pictures."""

from pathlib import Path

from nst.commands.job import job
from nst.reports.report import write_made_with_page, write_table_page

with job(snakemake.log[0], snakemake.input):
    write_table_page(Path(snakemake.input.summary), Path(snakemake.output.table))
    write_made_with_page(map(Path, snakemake.input.details), Path(snakemake.output.made_with))
