"""What to do about files from the future, as are left when a clock that was ahead is put right."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

KEPT = ("store", "cells")  # that no job is made from, so their dates do no harm
SKEW = 5  # seconds by which the machines of a cluster may disagree


def bring_to_the_present(folder: Path) -> list[Path]:
    """Date the files below ``folder`` that are newer than now as of now, and return them.

    Snakemake fails a job whose output is older than its input, so that everything would fail until
    the clock gets to where it was. All get the same date, so none is newer than another by it.
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
