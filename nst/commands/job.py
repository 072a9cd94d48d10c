"""The common frame of the workflow's scripts: a log, and user errors reported in one line."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nst.config.catalogue import check_fetched
from nst.errors import ImageError, UserError
from nst.system.files import explain_disk_trouble
from nst.system.locks import job_lock

logger = logging.getLogger("nst")

MADE = Path("results")
FETCHED = MADE / "inputs" / "catalogue"


@contextmanager
def job(log: str, inputs: Iterable[str] = ()) -> Iterator[None]:
    """Run a job's body, and send its messages to the file ``log`` and to the terminal.

    A ``UserError`` or a disk error ends the process with one line. Any other exception is a defect,
    and is logged with its traceback. ``inputs`` are the files that the body reads. A file from the
    catalogue must have its sha256. If a file of the user changes in the meantime, the job fails.
    """
    files = [Path(one) for one in inputs]
    with _log_to(log), _outcome(files), job_lock(log):
        for path in files:
            if path.is_relative_to(FETCHED):
                check_fetched(path)
        own = [path for path in files if not path.is_relative_to(MADE)]
        before = {path: _stamp(path) for path in own}
        yield
        if changed := [path for path in own if _stamp(path) != before[path]]:
            raise ImageError(
                f"{changed[0]} changed while it was read, so the result may mix "
                "both versions; run the same command again"
            )


def _stamp(path: Path) -> tuple[int, ...]:
    """Return a file's modification time, size and inode number; () if it is gone."""
    try:
        facts = path.stat()
    except OSError:
        return ()
    return facts.st_mtime_ns, facts.st_size, facts.st_ino


@contextmanager
def _outcome(inputs: list[Path]) -> Iterator[None]:
    """Log how the body fails, and exit with the matching status."""
    try:
        yield
    except KeyboardInterrupt:
        logger.error("interrupted; the finished cells are kept")
        sys.exit(130)
    except Exception as error:
        is_mistake = isinstance(error, UserError)
        if trouble := explain_disk_trouble(error.__cause__ if is_mistake else error):
            logger.error("%s", trouble)
        elif is_mistake:
            logger.error("%s", error)
            for path in inputs:
                if path.is_relative_to(MADE) and str(path) in str(error):
                    logger.error("delete %s, then run the same command again", path)
        else:
            logger.exception("this is a bug in nst, or in a package that adds to it")
            raise
        sys.exit(1)


class _LogFile(logging.FileHandler):
    """A log file that drops its last lines on a full disk.

    The error that ends a job must not be hidden by an error of its log.
    """

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802 - logging's name
        """Report an error of a message's format, but not an error of the disk."""
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


@contextmanager
def _log_to(log: str) -> Iterator[None]:
    """Send messages and warnings to the terminal and to the file ``log``."""
    logging.captureWarnings(capture=True)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    try:
        Path(log).parent.mkdir(parents=True, exist_ok=True)
        to_file = _LogFile(log, mode="w", encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        error.filename = log  # instead of the absolute path
        if trouble := explain_disk_trouble(error):
            logger.error("%s", trouble)
            sys.exit(1)
        raise
    to_file.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logging.getLogger().addHandler(to_file)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(to_file)
        with suppress(OSError):
            to_file.close()


def share_package_with_jobs(folder: str) -> None:
    """Let the processes that Snakemake starts import the package in ``folder``."""
    inherited = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [folder, inherited]))
