"""Fit or read the run's extractor, and write it in the form that the jobs read."""

from pathlib import Path

from nst.commands.job import find_mirror, job
from nst.network.extractor import save_extractor
from nst.network.provision import provide_extractor
from nst.system.device import use_threads

with job(snakemake.log[0], snakemake.input):
    use_threads(snakemake.threads)
    files = [Path(path) for path in snakemake.input]
    name = snakemake.wildcards.extractor
    extractor = provide_extractor(
        name,
        images=files if name == "kmeans" else [],
        seed=snakemake.params.seed,
        weights=files[0] if name != "kmeans" and files else None,
        mirror=find_mirror(snakemake.config),
    )
    save_extractor(extractor, Path(snakemake.output[0]))
