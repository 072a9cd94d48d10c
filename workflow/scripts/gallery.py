"""Write the page to look through all the cells."""

from pathlib import Path

from nst.cell import read_cell
from nst.gallery import write_gallery
from nst.gallery_entries import gallery_entries, read_table
from nst.job import job

with job(snakemake.log[0]):
    pictures = map(Path, snakemake.input.pictures)
    entries = gallery_entries(
        ((read_cell(picture), picture) for picture in pictures),
        read_table(Path(snakemake.input.summary)),
        Path("results/inputs"),
    )
    write_gallery(
        entries,
        Path(snakemake.output[0]).parent,
        title=snakemake.params.title,
        subtitle=snakemake.params.subtitle,
    )
