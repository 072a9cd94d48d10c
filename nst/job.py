"""What the workflow's scripts have in common: a log, and mistakes told in one line."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nst.errors import UserError

logger = logging.getLogger("nst")


@contextmanager
def job(log: str) -> Iterator[None]:
    """Run a job's body with its messages going to the file ``log`` and to the terminal.

    A ``UserError`` ends the process with its one line; anything else is a defect, and is logged
    with its traceback.
    """
    Path(log).parent.mkdir(parents=True, exist_ok=True)
    to_file = logging.FileHandler(log, mode="w", encoding="utf-8")
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    to_terminal = logging.StreamHandler(sys.stderr)
    to_terminal.setFormatter(logging.Formatter("%(message)s"))
    logging.captureWarnings(capture=True)
    logging.basicConfig(level=logging.INFO, handlers=[to_file, to_terminal], force=True)
    try:
        yield
    except UserError as error:
        logger.error("%s", error)
        sys.exit(1)
    except Exception:
        logger.exception("this is a defect of the program")
        raise


def share_package_with_jobs(folder: str) -> None:
    """Let the processes that Snakemake starts import the package in ``folder``."""
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, inherited]))
