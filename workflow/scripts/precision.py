"""Choose the precision that ``auto`` means in this run, and write it to a file."""

from pathlib import Path

from nst.commands.job import job
from nst.network.extractor import choose_precision
from nst.system.device import reserve_device
from nst.system.files import write_atomically

name = snakemake.config.get("device", "auto")
with job(snakemake.log[0]), reserve_device(name) as device:
    precision = choose_precision("auto", device)
    write_atomically(Path(snakemake.output[0]), f"{precision}\n".encode())
