"""The run that the configuration describes, and the names that several rules use."""

import re
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

# Use the package beside these rules, even if another version is installed. If another workflow
# includes these rules from a Git host as a module, use the installed package.
BESIDE = Path(str(workflow.current_basedir)).resolve().parents[1]
if (BESIDE / "nst").is_dir():
    sys.path.insert(0, str(BESIDE))

from nst.commands.job import share_package_with_jobs
from nst.commands.watch import start_watcher, stop_watcher
from nst.config import paths
from nst.config.geometry import allocate_fit, allocate_pair
from nst.config.catalogue import read_catalogue
from nst.config.prints import PrintFile, printed
from nst.config.run import read_file, read_run
from nst.config.settings import ALGORITHM_VERSION
from nst.config.variants import digest, find_variant
from nst.errors import UserError
from nst.imaging.inspection import inspect_run
from nst.system.files import file_digest
from nst.system.locks import begin_run, end_run

if (BESIDE / "nst").is_dir():
    share_package_with_jobs(str(BESIDE))

try:
    if workflow.modifier.path_modifier.replace_prefix("results/") != "results/":
        raise UserError(
            "prefix and replace_prefix cannot be used with this module: its jobs look for each "
            "other's files in results/. Remove it, and choose a folder with --directory."
        )
    if workflow.is_main_process:  # and not in every job's process
        # Stricter than Snakemake's reader, which accepts repeated keys.
        for path in workflow.configfiles:
            read_file(Path(path))
    run = read_run(config, read_catalogue())
    if workflow.is_main_process:
        inspect_run(run)
except UserError as error:
    # Snakemake would show an exception with lines of this file, which are not the cause.
    logger.error(f"The configuration cannot be used. {error}")
    sys.exit(1)


def start_run():
    """Take the run's lock, or fail with a message of one line; start the progress watcher."""
    try:
        begin_run(logger.info)
    except UserError as error:
        raise WorkflowError(str(error)) from None
    cells = {
        *paths.of_cells(paths.CELL, run.cells),
        *paths.of_cells(paths.PRINT, run.prints),
    }
    pictures = {
        path: bool(workflow.dag.needrun(job))
        for job in workflow.dag.jobs
        for path in cells.intersection(map(str, job.output))
    }
    start_watcher(config, pictures, logger.info)


wildcard_constraints:
    role="(?:content|style)(?:_mask)?",
    name="[^/]+",
    content="|".join(map(re.escape, run.contents)),
    style="|".join(map(re.escape, run.styles)),
    layers="|".join(map(re.escape, run.layers)),
    ratio="|".join(map(re.escape, run.ratios)),
    sheet=f"(?:{'|'.join(re.escape(one.suffix) for one in run.sheets)})",
    fetched="(?!kmeans[.])[^/]+",


EXTRACTOR = f"results/extractors/{run.settings.extractor}.safetensors"
PRECISION = ["results/precision.txt"] if run.asks_for_precision else []
