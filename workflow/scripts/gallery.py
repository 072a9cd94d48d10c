"""Write the page to look through all the cells."""

from pathlib import Path

from nst.cells.cell import read_details
from nst.commands.job import job
from nst.gallery.entries import gallery_entries, read_table
from nst.gallery.page import write_gallery

with job(snakemake.log[0], snakemake.input):
    details = map(read_details, map(Path, snakemake.input.details))
    entries = gallery_entries(
        ((cell, picture) for pair in details for picture, cell in pair.items()),
        read_table(Path(snakemake.input.summary)),
        Path("results/inputs"),
    )
    write_gallery(
        entries,
        Path(snakemake.output[0]).parent,
        title=snakemake.params.title,
        subtitle=snakemake.params.subtitle,
    )
