"""The images that a configuration names: the catalogue's, the user's own, or a pattern of them."""

from __future__ import annotations

import difflib
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from glob import glob
from os.path import isfile
from pathlib import Path
from typing import Any

from nst.catalogue import Entry
from nst.errors import ConfigError
from nst.names import checked_name, refuse_collisions

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"),
    *(".gif", ".bmp", ".ppm", ".jp2", ".avif"),
)


@dataclass(frozen=True)
class Picture:
    """A content or style image of the run: its name in paths, its title, and its file.

    Either ``path`` is the user's own file, or ``entry`` is the catalogue's.
    """

    name: str
    title: str
    path: str | None = None
    entry: Entry | None = None


def read_pictures(
    key: str, items: Iterable[Any], catalogue: Mapping[str, Entry]
) -> dict[str, Picture]:
    """Resolve the list of contents or styles."""
    pictures: dict[str, Picture] = {}
    for item in items:
        for picture in resolve(key, item, catalogue):
            if picture.name in pictures:
                raise ConfigError(
                    f"{key}: two images are named {picture.name!r}; give one of them a name, as "
                    f"{{name: other, path: {picture.path or picture.name}}}."
                )
            pictures[picture.name] = picture
    refuse_collisions(key, pictures)
    return pictures


def resolve(key: str, item: Any, catalogue: Mapping[str, Entry]) -> list[Picture]:
    """Turn one item into pictures: a catalogue's name, a path, a pattern, or a mapping."""
    if isinstance(item, Mapping):
        path = existing(key, item["path"])
        name = checked_name(key, item["name"]) if "name" in item else _name_of(key, path)
        title = _checked_title(key, item.get("title", item.get("name", _stem(path))))
        return [Picture(name, title, path=path)]
    entry = catalogue.get(item)
    if entry is not None and entry.file.lower().endswith(IMAGE_SUFFIXES):
        return [Picture(item, entry.title, entry=entry)]
    if any(sign in item for sign in "*?"):
        paths = _matching(item)
        if not paths:
            raise ConfigError(f"{key}: no image matches {item!r} in {Path.cwd()}")
    elif "." in item or "/" in item or os.path.exists(item):
        paths = [existing(key, item)]
    else:
        images = [name for name, one in catalogue.items() if one.file.endswith(IMAGE_SUFFIXES)]
        close = difflib.get_close_matches(item, images, n=1)
        hint = f"did you mean {close[0]!r}? It" if close else "it"
        raise ConfigError(
            f"{key}: {item!r} is neither a file nor in the catalogue; {hint} has "
            f"{', '.join(images)}."
        )
    return [Picture(_name_of(key, path), _stem(path), path=path) for path in paths]


def _matching(pattern: str) -> list[str]:
    """List the image files that match a pattern, in alphabetical order."""
    try:
        found = sorted(
            str(Path(path))
            for path in glob(os.path.expanduser(pattern).replace("[", "[[]"), recursive=True)
        )
    except ValueError:  # a NUL
        return []
    return [path for path in found if path.lower().endswith(IMAGE_SUFFIXES) and isfile(path)]


def existing(key: str, path: str) -> str:
    """Require a file at ``path``; ``~`` is the user's home."""
    path = os.path.expanduser(path)
    if not isfile(path):  # unlike pathlib's, never an OSError
        what = "is not a file" if os.path.exists(path) else "does not exist"
        raise ConfigError(
            f"{key}: {path!r} {what}; paths are relative to the working directory, {Path.cwd()}."
        )
    return path


def _name_of(key: str, path: str) -> str:
    """Make a name out of a file's."""
    stem = _stem(path)
    return checked_name(key, re.sub(r"[^\w .-]+", "-", stem).strip(" .-") or stem)


def _stem(path: str) -> str:
    """Return a file's name without its suffix; some systems spell its accents as signs apart."""
    return unicodedata.normalize("NFC", Path(path).stem)


def _checked_title(key: str, title: str) -> str:
    """Refuse the one text that Snakemake's report would not keep a text."""
    if "</script" in title.lower():
        raise ConfigError(f"{key}: a title must not contain </script; got {title!r}. Reword it.")
    return title
