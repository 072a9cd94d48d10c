"""What to do about files from the future, as are left when a clock that was ahead is put right.

Snakemake fails a job whose output is older than its input, and so everything that is made of them,
until the clock gets to where it was.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from nst.errors import ImageError

KEPT = ("store", "cells")  # that no job is made from, so their dates do no harm
SKEW = 5  # seconds by which the machines of a cluster may disagree


def bring_to_the_present(folder: Path) -> list[Path]:
    """Date the files below ``folder`` that are newer than now as of now, and return them.

    All get the same date, so none is newer than another by it.
    """
    now = time.time_ns()
    late = []
    for place, folders, names in os.walk(folder):
        if Path(place) == folder:
            folders[:] = [name for name in folders if name not in KEPT]
        for path in (Path(place, name) for name in names):
            # What is just being removed, is somebody else's or cannot be written stays as it is.
            with contextlib.suppress(OSError):
                if path.lstat().st_mtime_ns > now + SKEW * 10**9:
                    os.utime(path, ns=(now, now), follow_symlinks=False)
                    late.append(path)
    return late


def refuse_future(path: Path) -> None:
    """Refuse a file of the user's that is newer than now; it is not ours to date.

    Raises:
        ImageError: it is; OSError: it is not there.
    """
    ahead = path.stat().st_mtime - time.time()
    if ahead > SKEW:
        raise ImageError(
            f"{path}: an image may not be newer than now, or what is made of it counts as out of "
            f"date; got {ahead:.0f} s from now. Set the clock right, or touch the file."
        )
