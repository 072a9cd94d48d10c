"""Fetch the run's network, or read the user's weights, and write the file that the jobs load."""

from pathlib import Path

from nst.commands.job import job
from nst.config.catalogue import find_mirror
from nst.network.provision import deliver_extractor

with job(snakemake.log[0], snakemake.input):
    deliver_extractor(
        snakemake.wildcards.fetched,
        Path(snakemake.output[0]),
        weights=Path(snakemake.input[0]) if snakemake.input else None,
        mirror=find_mirror(snakemake.config),
    )
