"""Fit the run's network, and write the file that the jobs load."""

from pathlib import Path

from nst.commands.job import job
from nst.network.extractor import save_extractor
from nst.network.provision import provide_extractor
from nst.system.device import use_threads

with job(snakemake.log[0], snakemake.input):
    use_threads(snakemake.threads)
    images = [Path(path) for path in snakemake.input]
    extractor = provide_extractor("kmeans", images=images, seed=snakemake.params.seed)
    save_extractor(extractor, Path(snakemake.output[0]))
