"""Names that are safe as parts of a path on every system."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

from nst.errors import ConfigError

NAME = re.compile(r"\w(?:[\w .-]{0,78}\w)?")
RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(1, 10))}


def checked_name(key: str, name: object) -> str:
    """Require a name that is safe as part of a path on every system."""
    if not isinstance(name, str):
        raise ConfigError(f"{key}: a name must be text; got {name!r}. Put it in quotes.")
    normal = unicodedata.normalize("NFC", name)
    if not NAME.fullmatch(normal) or normal.lower().split(".")[0] in RESERVED:
        raise ConfigError(
            f"{key}: {name!r} cannot name a file; use up to 80 letters, digits, spaces, '_', '-' "
            "and '.', with a letter, digit or '_' at both ends, as {name: cat, path: …}."
        )
    return normal


def refuse_collisions(key: str, names: Iterable[str]) -> None:
    """Refuse names that some file systems cannot tell apart."""
    seen: dict[str, str] = {}
    for name in names:
        if name.casefold() in seen:
            raise ConfigError(
                f"{key}: {seen[name.casefold()]!r} and {name!r} differ only in case; rename one"
            )
        seen[name.casefold()] = name
