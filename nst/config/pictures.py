"""The contents and styles that a configuration names.

Images are given by a catalogue entry, a path, a folder or a pattern. A style may also blend several
images, or use a different style for each region.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from os.path import isfile
from pathlib import Path
from typing import Any

from nst.config.catalogue import Entry
from nst.config.composition import WHOLE, Composition, Part
from nst.config.names import checked_name, find_files, is_pattern, refuse_collisions
from nst.errors import ConfigError, did_you_mean

IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"),
    *(".gif", ".bmp", ".ppm", ".jp2", ".avif", ".heic", ".heif"),
)
LONGEST_TITLE = 200  # characters: two lines over a grid
KEEP = "keep"
FETCHED = "results/inputs/catalogue"  # the folder of the catalogue's files


@dataclass(frozen=True)
class Picture:
    """A content or style image of the run: its name in paths, its title, and its file.

    ``path`` is the user's file, or the file that an ``entry`` of the catalogue is fetched to. A
    style may be ``made_of`` several images instead. The ``mask`` of a style selects the part of the
    image that counts. The ``mask`` of a content defines its regions.
    """

    name: str
    title: str
    path: str = ""
    entry: Entry | None = None
    mask: Picture | None = None
    made_of: Composition[Picture] | None = None

    @property
    def composition(self) -> Composition[Picture]:
        """The images of a style, with their weights and masks; an image is made of itself."""
        return self.made_of or Composition.plain(self, self.name, self.mask)


def resolve(key: str, item: Any, catalogue: Mapping[str, Entry]) -> list[Picture]:
    """Resolve an item to pictures: a catalogue name, a path, a folder, a pattern or a mapping."""
    if isinstance(item, Mapping):
        return [_described(key, item, catalogue)]
    entry = catalogue.get(item)
    if entry is not None and entry.file.lower().endswith(IMAGE_SUFFIXES):
        return [Picture(item, entry.title, f"{FETCHED}/{entry.file}", entry)]
    if not set(item) & set("./*?") and not os.path.exists(_home(item)):
        images = [name for name, one in catalogue.items() if one.file.endswith(IMAGE_SUFFIXES)]
        hint = did_you_mean(item, images, f"it has {', '.join(images)}.")
        raise ConfigError(f"{key}: {item!r} is neither a file nor in the catalogue; {hint}")
    return [
        Picture(_name_of(key, path), checked_title(key, _stem(path)), path)
        for path in files_at(key, item, IMAGE_SUFFIXES)
    ]


def resolve_one(key: str, item: Any, catalogue: Mapping[str, Entry]) -> Picture:
    """Resolve an item to exactly one picture."""
    found = resolve(key, item, catalogue)
    if len(found) > 1:
        raise ConfigError(f"{key}: {item!r} must be one image; got {len(found)}. Name one of them.")
    return found[0]


def _described(key: str, item: Mapping[str, Any], catalogue: Mapping[str, Entry]) -> Picture:
    """Read ``{path or catalogue, name, title, mask}``."""
    if "catalogue" in item:
        picture = resolve_one(key, item["catalogue"], catalogue)
        if picture.entry is None:
            raise ConfigError(
                f"{key}: {item['catalogue']!r} is not in the catalogue; give your own file as path"
            )
    else:
        path = existing(key, item["path"])
        picture = Picture(item.get("name") or _name_of(key, path), _stem(path), path)
    name = checked_name(key, item.get("name", picture.name))
    title = checked_title(key, item.get("title", item.get("name", picture.title)))
    mask = resolve_one(f"{key}.mask", item["mask"], catalogue) if "mask" in item else None
    return replace(picture, name=name, title=title, mask=mask)


def existing(key: str, path: str) -> str:
    """Require a file at ``path``; ``~`` is the user's home.

    Raises:
        ConfigError: there is no such file, or its path cannot be printed or passed to Snakemake or
            to the jobs of a cluster.
    """
    path = _home(path)
    if not isfile(path):  # unlike pathlib's, never an OSError
        what = "is not a file" if os.path.exists(path) else "does not exist"
        raise ConfigError(
            f"{key}: {path!r} {what}; paths are relative to the working directory, {Path.cwd()}."
        )
    if set(path) & set("{}<>") or not survives_a_shell(path):
        raise ConfigError(
            f"{key}: a path must not contain {{, }}, <, >, a backslash or a character that cannot "
            "be printed, nor ' together with $, ` or \", because Snakemake or the shell of a "
            f"cluster's job would change it; got {path!r}. Rename the file."
        )
    return path


def survives_a_shell(path: str) -> bool:
    """Tell whether a shell reads Python's ``repr`` of a path as the path.

    Snakemake quotes paths in this way in the shell commands of a cluster's jobs. ``repr`` escapes
    some characters, and takes double quotes for a path with a single quote. In these, a shell
    expands ``$(…)``: it would run a command in the name.
    """
    return repr(path)[1:-1] == path and not ("'" in path and set(path) & set("$`"))


def files_at(key: str, item: str, suffixes: tuple[str, ...]) -> list[str]:
    """List the file at a path, or the files with a suffix in a folder or that match a pattern.

    Raises:
        ConfigError: there is no such file, the search takes too long, or a path cannot be passed to
            Snakemake.
    """
    pattern = os.path.join(item, "*") if os.path.isdir(_home(item)) else item
    if not is_pattern(pattern):
        return [existing(key, item)]
    found = find_files(key, _home(pattern))
    files = [path for path in found if path.lower().endswith(suffixes) and isfile(path)]
    if not files:
        raise ConfigError(
            f"{key}: no file matches {pattern!r} in {Path.cwd()}; check the pattern, and that the "
            f"files end in one of {', '.join(suffixes)}"
        )
    return [existing(key, path) for path in files]


def _home(path: str) -> str:
    """Replace ``~`` by the user's home."""
    try:
        return os.path.expanduser(path)
    except ValueError:  # a NUL, or half of a surrogate pair, in the user's name after ~
        return path


def _name_of(key: str, path: str) -> str:
    """Derive a picture's name from the name of its file."""
    stem = _stem(path)
    return checked_name(key, re.sub(r"[^\w .-]+", "-", stem).strip(" .-") or stem)


def _stem(path: str) -> str:
    """Return a file's name without its suffix, composed (NFC); some systems decompose accents."""
    return unicodedata.normalize("NFC", Path(path).stem)


def checked_title(key: str, title: str) -> str:
    """Refuse a title that cannot be drawn, or that would break the script of Snakemake's report."""
    odd = any(unicodedata.category(one) in ("Cc", "Cs", "Zl", "Zp") for one in title)
    if odd or len(title) > LONGEST_TITLE or "</script" in title.lower():
        raise ConfigError(
            f"{key}: a title may have up to {LONGEST_TITLE} characters, and must not contain line "
            f"breaks, control characters or </script; got {len(title)} characters, "
            f"{title[:LONGEST_TITLE]!r}. Reword it."
        )
    return title


def read_pictures(
    key: str, items: Iterable[Any], catalogue: Mapping[str, Entry]
) -> dict[str, Picture]:
    """Resolve the list of contents or styles.

    Raises:
        ConfigError: an image cannot be found or named, two images have the same name, or a blend or
            a region names something unknown.
    """
    items = list(items)
    found: dict[int, list[Picture]] = {}
    known: dict[str, Picture] = {}
    for kind in ("image", "blend", "regions"):  # each kind may name items of the kinds before it
        for place, item in enumerate(items):
            if _kind(item) == kind == "image":
                found[place] = resolve(key, item, catalogue)
            elif _kind(item) == kind:
                found[place] = [_read_composed(kind, item, known, catalogue)]
        pictures = [one for place in sorted(found) for one in found[place]]
        refuse_collisions(key, (one.name for one in pictures))
        known = {one.name: one for one in pictures}
    return known


def ingredients(styles: Mapping[str, Picture]) -> dict[str, Picture]:
    """Return the images that styles are made of, by name; a plain style is its own image.

    Raises:
        ConfigError: an image has the name of another image, or of a composed style.
    """
    found: dict[str, Picture] = {}
    known = dict(styles)
    for style in styles.values():
        for picture in (part.image for part in style.composition.parts):
            if known.setdefault(picture.name, picture) != picture:
                raise ConfigError(
                    f"styles: {style.name!r} names an image {picture.name!r}, which is also the "
                    "name of another image or style; give one a name, as {name: other, path: …}"
                )
            found[picture.name] = picture
    return found


def check_styles(
    contents: Mapping[str, Picture], styles: Mapping[str, Picture], *, blend: bool
) -> None:
    """Require masks of contents for styles with regions, and blended styles for ``blend``.

    Raises:
        ConfigError: a content has no mask, or a style is no blend.
    """
    bare = [name for name, picture in contents.items() if picture.mask is None]
    for name, style in styles.items():
        if blend and not style.composition.blends:
            raise ConfigError(
                "blend leads from one picture of a blended style to the next, so every style must "
                f"be a blend, and {name!r} is not: give it as {{name: a, blend: {{b: 1, c: 1}}}}, "
                "or leave out blend"
            )
        if WHOLE not in style.composition.regions and bare:
            raise ConfigError(
                f"styles: {name!r} has regions, so every content needs a mask; {bare[0]!r} has "
                "none. Give it one, as {path: …, mask: …}, or split the run."
            )


def composed(content: Picture, style: Picture) -> Composition[Picture] | None:
    """Return the composition of a style for a content; None if the style is one whole picture."""
    if not (style.made_of or style.mask):
        return None
    regions = style.composition.regions
    return Composition(regions, None if WHOLE in regions else content.mask)


def _kind(item: Any) -> str:
    """Tell whether an item is an image, a blend or regions."""
    kinds = [one for one in ("blend", "regions") if isinstance(item, Mapping) and one in item]
    return kinds[0] if kinds else "image"


def _read_composed(
    kind: str, item: Any, known: Mapping[str, Picture], catalogue: Mapping[str, Entry]
) -> Picture:
    """Read a blend or regions; ``known`` has the styles that the item may name."""
    key = f"styles.{item['name']}.{kind}"

    def parts(key: str, item: Any) -> tuple[Part[Picture], ...]:
        named = known.get(item) if isinstance(item, str) else None
        return (named or resolve_one(key, item, catalogue)).composition.regions[WHOLE]

    if kind == "blend":
        if not any(item["blend"].values()):
            raise ConfigError(f"{key}: all weights are 0; give one image a weight above 0")
        blended = [(parts(key, one), float(weight)) for one, weight in item["blend"].items()]
        regions = {WHOLE: tuple(replace(part, weight=weight) for (part,), weight in blended)}
    else:
        regions = {
            colour: () if one in (KEEP, {KEEP: True}) else parts(f"{key}.{colour}", one)
            for colour, one in item["regions"].items()
        }
        if not any(regions.values()):
            raise ConfigError(f"{key}: every region keeps the photograph; give one of them a style")
    name = checked_name("styles", item["name"])
    title = checked_title("styles", item.get("title", item["name"]))
    return Picture(name, title, made_of=Composition(regions))
