"""What the workflow's scripts have in common: a log, and mistakes told in one line."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
    except OSError as error:
        logger.error("%s; check the folder's permissions and free space", error)
        sys.exit(1)
    except KeyboardInterrupt:
        logger.error("interrupted; the finished cells are kept")
        sys.exit(130)
    except Exception:
        logger.exception("this is a defect of the program")
        raise


def find_mirror(config: Mapping[str, Any]) -> str | None:
    """Return where to look instead of the internet, as the configuration or environment says.

    Asked for by the jobs themselves: were it one of their parameters, another mirror would be a
    reason to make everything again, though it cannot change a byte.
    """
    return config.get("mirror") or os.environ.get("NST_MIRROR") or None


def share_package_with_jobs(folder: str) -> None:
    """Let the processes that Snakemake starts import the package in ``folder``."""
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, inherited]))
