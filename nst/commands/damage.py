"""What to do about damaged files that the workflow itself made: find them, and have them remade.

A file in results/ can be made again from others, so a damaged one is deleted, and the same command
makes it anew. It is found when a job fails, since reading every file twice would cost too much;
what was fetched has a digest, and is looked at before.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from nst.config.catalogue import is_intact, read_catalogue
from nst.errors import UserError

logger = logging.getLogger(__name__)

MADE = Path("results")
FETCHED = MADE / "inputs" / "catalogue"
PICTURES = (".png", ".jpg", ".webp")


def discard_damaged(paths: Iterable[Path], *, fetched_only: bool = False) -> list[Path]:
    """Delete those of ``paths`` that the workflow made and that are damaged, and return them.

    ``fetched_only`` looks only at what came from the catalogue. A file that cannot be read for
    another reason, such as its permissions, is not damaged.
    """
    discarded = []
    for path in dict.fromkeys(paths):
        if not path.is_relative_to(MADE) or not path.is_file():
            continue
        if fetched_only and path.parent != FETCHED:
            continue
        if reason := _damage(path):
            logger.error(
                "%s was damaged (%s) and is deleted; run the same command again to make it anew",
                path,
                reason,
            )
            path.unlink(missing_ok=True)
            discarded.append(path)
    return discarded


def _damage(path: Path) -> str:
    """Return what is wrong with a file; empty if nothing is, or if that cannot be known."""
    try:
        if path.parent == FETCHED:
            _check_fetched(path)
        elif path.suffix in PICTURES:
            _check_picture(path)
        elif path.suffix == ".json":
            _check_details(path)
        elif path.suffix == ".safetensors":
            _check_extractor(path)
        elif path.suffix == ".parquet":
            _check_table(path)
    except Exception as error:  # a damaged file makes its reader raise whatever it likes
        cause = error.__cause__ if isinstance(error, UserError) else error
        if isinstance(cause, OSError) and cause.errno is not None:
            return ""
        return " ".join(str(error).split()) or type(error).__name__
    return ""


def _check_fetched(path: Path) -> None:
    """Raise if a file of the catalogue is not the one that it should be."""
    by_file = {entry.file: entry for entry in read_catalogue().values()}
    if path.name in by_file and not is_intact(by_file[path.name], path):
        raise ValueError("its sha256 is not the catalogue's")


# Imported only where something has gone wrong: they take seconds to load.


def _check_picture(path: Path) -> None:
    """Raise if a picture cannot be decoded to its end."""
    from PIL import Image  # noqa: PLC0415

    with Image.open(path) as image:
        image.load()


def _check_details(path: Path) -> None:
    """Raise if the details of a pair cannot be read."""
    from nst.cells.cell import read_details  # noqa: PLC0415

    read_details(path)


def _check_extractor(path: Path) -> None:
    """Raise if an extractor's file is not whole."""
    from nst.network.extractor import load_extractor  # noqa: PLC0415

    load_extractor(path)


def _check_table(path: Path) -> None:
    """Raise if a table cannot be read."""
    import pandas as pd  # noqa: PLC0415

    pd.read_parquet(path)
