"""Fetch a file of the catalogue."""

from pathlib import Path

from nst.commands.job import job
from nst.config.catalogue import fetch, find_mirror, read_catalogue

with job(snakemake.log[0], snakemake.input):
    entries = {entry.file: entry for entry in read_catalogue().values()}
    fetch(
        entries[snakemake.wildcards.file], Path(snakemake.output[0]), find_mirror(snakemake.config)
    )
