"""Names that are safe as parts of a path on every system, and the files that a pattern names.

``find_files`` is like ``glob``, but in bounded time. For ``/**/*.jpg``, ``glob`` would read every
folder of the machine, and links between folders would send it round in circles.
"""

from __future__ import annotations

import fnmatch
import itertools
import os
import re
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator

from nst.errors import ConfigError

NAME = re.compile(r"\w(?:[\w .-]{0,78}\w)?")
# A part of a path may have 255 bytes on the usual file systems. This leaves room for suffixes, such
# as `.png` or the random part of a temporary file.
LONGEST = 200
RESERVED = {
    *("con", "prn", "aux", "nul"),
    *(f"{device}{number}" for device in ("com", "lpt") for number in range(1, 10)),
}
MOST_LOOKED_AT = 100_000  # names; takes 0.2 s on a disk
LONGEST_LOOK = 10  # seconds; a limit for folders on a network


def checked_name(key: str, name: object) -> str:
    """Require a name that is safe as part of a path on every system; return it composed (NFC).

    Raises:
        ConfigError: the name is not text, is too long, has characters that are special to a system
            or shell, or is a device's name on Windows.
    """
    if not isinstance(name, str):
        raise ConfigError(f"{key}: a name must be text; got {name!r}. Put it in quotes.")
    normal = unicodedata.normalize("NFC", name)
    # On Windows, COM¹ is COM1, and everything after a dot is ignored.
    stem = unicodedata.normalize("NFKC", normal).split(".")[0].strip().lower()
    if not NAME.fullmatch(normal) or stem in RESERVED or len(normal.encode()) > LONGEST:
        raise ConfigError(
            f"{key}: {name!r} cannot name a file; use up to 80 letters, digits, spaces, '_', '-' "
            f"and '.' ({LONGEST} bytes), with a letter, digit or '_' at both ends, and no name "
            "of a device such as NUL, as {name: cat, path: …}."
        )
    return normal


def refuse_collisions(key: str, names: Iterable[str]) -> None:
    """Refuse names that are equal, or differ only in case or in the encoding of accents.

    Some file systems cannot tell them apart.

    Raises:
        ConfigError: there are two such names.
    """
    seen: dict[str, str] = {}
    for name in names:
        decomposed = unicodedata.normalize("NFD", name)
        folded = unicodedata.normalize("NFD", decomposed.casefold())  # Unicode 3.13, D145
        if folded in seen:
            raise ConfigError(
                f"{key}: names must differ in more than case; got {seen[folded]!r} and {name!r}. "
                "Rename one, in a list as {name: other, …}."
            )
        seen[folded] = name


def is_pattern(text: str) -> bool:
    """Tell whether a text is a pattern rather than a path."""
    return "*" in text or "?" in text


def find_files(key: str, pattern: str) -> list[str]:
    """List the paths that match a pattern; ``key`` is its key, for error messages.

    ``*`` and ``?`` match within a name, ``**`` matches any number of folders. Hidden names match
    only a part that begins with a dot, as in a shell. Folders that cannot be read count as empty.
    Each folder below a ``**`` is entered once, even if several links lead to it.

    Raises:
        ConfigError: the search reads more than ``MOST_LOOKED_AT`` names, or takes longer than
            ``LONGEST_LOOK`` seconds.
    """
    looked_at, until = 0, time.monotonic() + LONGEST_LOOK

    def inside(folder: str, hidden: bool = False) -> list[str]:
        """List the paths in a folder."""
        nonlocal looked_at
        try:
            with os.scandir(folder or ".") as entries:
                names = [entry.name for entry in itertools.islice(entries, MOST_LOOKED_AT + 1)]
        except OSError:  # not a folder, or not readable
            names = []
        looked_at += len(names)
        if looked_at > MOST_LOOKED_AT or time.monotonic() > until:
            raise ConfigError(
                f"{key}: the pattern {pattern!r} has too many files and folders to look at, over "
                f"{MOST_LOOKED_AT} or {LONGEST_LOOK} s; name a deeper folder"
            )
        return [os.path.join(folder, name) for name in names if hidden or name[0] != "."]

    found = ["/" if pattern.startswith("/") else ""]
    for part in pattern.split("/"):
        if part == "**":
            found = [path for base in found for path in _all_below(base, inside)]
        elif is_pattern(part):
            wanted = re.compile(fnmatch.translate(part.replace("[", "[[]")))
            paths = [path for base in found for path in inside(base, part[0] == ".")]
            found = [path for path in paths if wanted.match(os.path.basename(path))]
        elif part not in ("", "."):
            paths = [os.path.join(base, part) for base in found]
            found = list(filter(os.path.lexists, paths))
    return sorted(set(found))


def _all_below(base: str, inside: Callable[[str], list[str]]) -> Iterator[str]:
    """Yield a folder and all files and folders below it; ``inside`` lists the paths in a folder."""
    entered, waiting = set(), [base]
    while waiting:
        path = waiting.pop()
        if os.path.isdir(path or "."):
            folder = os.path.realpath(path)
            if folder in entered:
                continue
            entered.add(folder)
            waiting += inside(path)
        yield path
