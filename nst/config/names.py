"""Names that are safe as parts of a path on every system, and the files that a pattern names.

``find_files`` is like ``glob``, but in bounded time. For ``/**/*.jpg``, ``glob`` would read every
folder of the machine, and links between folders would send it round in circles.
"""

from __future__ import annotations

import fnmatch
import os
import re
import time
import unicodedata
from collections.abc import Iterable, Iterator

from nst.errors import ConfigError

NAME = re.compile(r"\w(?:[\w .-]{0,78}\w)?")
# A part of a path may have 255 bytes on the usual file systems. This leaves room for suffixes, such
# as `.png` or the random part of a temporary file.
LONGEST = 200
RESERVED = {
    *("con", "prn", "aux", "nul"),
    *(f"{device}{number}" for device in ("com", "lpt") for number in range(1, 10)),
}


def checked_name(key: str, name: object) -> str:
    """Require a name that is safe as part of a path on every system; return it composed (NFC).

    Raises:
        ConfigError: the name is not text, is too long, has characters that are special to a system
            or shell, or is a device's name on Windows.
    """
    if not isinstance(name, str):
        raise ConfigError(f"{key}: a name must be text; got {name!r}. Put it in quotes.")
    normal = unicodedata.normalize("NFC", name)
    if not NAME.fullmatch(normal) or _is_reserved(normal) or len(normal.encode()) > LONGEST:
        raise ConfigError(
            f"{key}: {name!r} cannot name a file; use up to 80 letters, digits, spaces, '_', '-' "
            f"and '.' ({LONGEST} bytes), with a letter, digit or '_' at both ends, and no name "
            "of a device such as NUL, as {name: cat, path: …}."
        )
    return normal


def refuse_collisions(key: str, names: Iterable[str]) -> None:
    """Refuse names that differ only in case or in the encoding of accents.

    Some file systems cannot tell them apart.

    Raises:
        ConfigError: there are two such names.
    """
    seen: dict[str, str] = {}
    for name in names:
        folded = _folded(name)
        if folded in seen:
            raise ConfigError(
                f"{key}: {seen[folded]!r} and {name!r} differ only in case; rename one"
            )
        seen[folded] = name


def _is_reserved(name: str) -> bool:
    """Tell whether a name is a device on Windows, which ignores everything after a dot."""
    stem = unicodedata.normalize("NFKC", name).split(".")[0]  # COM¹ is COM1
    return stem.strip().lower() in RESERVED


def _folded(name: str) -> str:
    """Return a key that is equal for names that differ only in case (Unicode 3.13, D145)."""
    return unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 cell`` or ``2 cells``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


MOST_LOOKED_AT = 100_000  # names; takes 0.2 s on a disk
LONGEST_LOOK = 10  # seconds; a limit for folders on a network


def is_pattern(text: str) -> bool:
    """Tell whether a text is a pattern rather than a path."""
    return "*" in text or "?" in text


def find_files(pattern: str) -> list[str]:
    """List the paths that match a pattern.

    ``*`` and ``?`` match within a name, ``**`` matches any number of folders. Hidden names match
    only a part that begins with a dot, as in a shell. Folders that cannot be read count as empty.
    Each folder below a ``**`` is entered once, even if several links lead to it.

    Raises:
        ConfigError: the search reads more than ``MOST_LOOKED_AT`` names, or takes longer than
            ``LONGEST_LOOK`` seconds.
    """
    search = _Search(pattern)
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    bases = ["/" if pattern.startswith("/") else ""]
    for number, part in enumerate(parts, start=1):
        bases = list(search.expand(bases, part, last=number == len(parts)))
    return sorted(set(bases))


class _Search:
    """One search for a pattern, which counts the names that it reads."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._looked_at = 0
        self._until = time.monotonic() + LONGEST_LOOK

    def expand(self, bases: Iterable[str], part: str, *, last: bool) -> Iterator[str]:
        """Yield the paths below ``bases`` that match one part of the pattern."""
        wanted = re.compile(fnmatch.translate(part.replace("[", "[[]")))
        for base in bases:
            if part == "**":
                yield from self._below(base, files=last)
            elif is_pattern(part):
                for entry in self._scan(base):
                    hidden = entry.name.startswith(".") and not part.startswith(".")
                    if not hidden and wanted.match(entry.name):
                        yield os.path.join(base, entry.name)
            elif os.path.lexists(path := os.path.join(base, part)):
                yield path

    def _below(self, base: str, *, files: bool) -> Iterator[str]:
        """Yield a folder, all folders below it and, with ``files``, all files in them."""
        yield base
        entered: set[tuple[int, int]] = set()
        waiting = [base]
        while waiting:
            here = waiting.pop()
            for entry in self._scan(here):
                if entry.name.startswith("."):
                    continue
                path = os.path.join(here, entry.name)
                folder = _identity_of_folder(entry)
                if folder and folder not in entered:
                    entered.add(folder)
                    waiting.append(path)
                    yield path
                elif files and not folder:
                    yield path

    def _scan(self, base: str) -> Iterator[os.DirEntry[str]]:
        """Yield the entries of a folder."""
        try:
            with os.scandir(base or ".") as entries:
                for entry in entries:
                    self._looked_at += 1
                    if self._looked_at > MOST_LOOKED_AT or time.monotonic() > self._until:
                        raise ConfigError(
                            f"the pattern {self._pattern!r} has too many files and folders to look "
                            f"at, over {MOST_LOOKED_AT} or {LONGEST_LOOK} s; name a deeper folder"
                        )
                    yield entry
        except OSError:  # not a folder, or not readable
            return


def _identity_of_folder(entry: os.DirEntry[str]) -> tuple[int, int] | None:
    """Return the device and inode that identify a folder; None if the entry is no folder."""
    try:
        if not entry.is_dir():
            return None
        found = entry.stat()
    except OSError:  # a link that leads nowhere, or in a circle
        return None
    return found.st_dev, found.st_ino
