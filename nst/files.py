"""Files written whole or not at all."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file through a temporary neighbour, so that a kill never leaves half of it.

    Creates parent folders. Raises ``OSError`` as the file system does.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name[:40]}-{secrets.token_hex(4)}.part")
    try:
        with part.open("xb") as file:  # not tempfile, whose files only the owner can read
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:  # an interrupt too
        part.unlink(missing_ok=True)
        raise
