"""Write the HTML pages of the report, and the tables for a paper."""

from pathlib import Path

from nst.commands.job import job
from nst.reports.summary import read_table
from nst.reports.tables import write_made_with_page, write_summaries, write_table_page

with job(snakemake.log[0], snakemake.input):
    table = read_table(Path(snakemake.input[0]))
    write_table_page(table, Path(snakemake.output.table))
    write_made_with_page(table, Path(snakemake.output.made_with))
    write_summaries(table, Path(snakemake.output.summaries[0]).parent)
