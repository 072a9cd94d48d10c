"""Messages for disk errors (full, read-only, not writable), which are no defects of the program."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from types import MappingProxyType

FORBIDDEN = "Get permission to read and write there, or work in another folder"
REMEDIES: Mapping[int, str] = MappingProxyType(
    {
        errno.ENOSPC: "Free some space on that disk",
        errno.EDQUOT: "Delete some of your files, or ask for a larger quota",
        errno.EFBIG: "Raise the limit on the size of files (ulimit -f)",
        errno.EROFS: "Mount that file system for writing, or work in another folder",
        errno.EACCES: FORBIDDEN,
        errno.EPERM: FORBIDDEN,
        errno.EIO: "The disk or its connection is failing: save what you can, see the system's log",
    }
)


def explain_disk_trouble(error: BaseException | None) -> str | None:
    """Return one line with the file, the error and the remedy; None for any other error."""
    if not isinstance(error, OSError):
        return None
    remedy = REMEDIES.get(error.errno or 0)
    if remedy is None:
        return None
    file = " ".join(str(error.filename or "a temporary file").splitlines())
    return (
        f"{file}: {error.strerror}. {remedy}, and run the same command again; the cells that are "
        "finished are kept."
    )
