"""Write the gallery of all cells."""

from pathlib import Path

from nst.commands.job import job
from nst.gallery.page import write_gallery
from nst.reports.summary import read_table

with job(snakemake.log[0], snakemake.input):
    write_gallery(
        read_table(Path(snakemake.input.table)),
        Path(snakemake.input.traces),
        Path("results/inputs"),
        Path(snakemake.output[0]).parent,
        title=snakemake.params.title,
        subtitle=snakemake.params.subtitle,
    )
