"""Names that are safe as parts of a path on every system."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

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
