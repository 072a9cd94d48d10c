"""The contents and styles of a run: images, blends of images, and regions with different styles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from nst.config.catalogue import Entry
from nst.config.composition import WHOLE, Composition, Part
from nst.config.names import checked_name
from nst.config.pictures import Picture, by_name, checked_title, resolve, resolve_one
from nst.errors import ConfigError

KEEP = "keep"


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
        known = by_name(key, (one for place in sorted(found) for one in found[place]))
    return known


def ingredients(styles: Iterable[Picture]) -> dict[str, Picture]:
    """Return the images that styles are made of, by name; a plain style is its own image.

    Raises:
        ConfigError: two different images have the same name, or an image has the name of a composed
            style.
    """
    found: dict[str, Picture] = {}
    styles = list(styles)
    made = {style.name for style in styles if style.made_of}
    for style in styles:
        parts = [part.image for part in style.made_of.parts] if style.made_of else [style]
        for picture in parts:
            if picture.name in made:
                raise ConfigError(
                    f"styles: {picture.name!r} is the name of a style and of an image that "
                    f"{style.name!r} is made of; give the style another name"
                )
            other = found.setdefault(picture.name, picture)
            if other != picture:
                raise ConfigError(
                    f"styles: {style.name!r} names another image {picture.name!r} than the styles "
                    "before it; give one of them a name, as {name: other, path: …}"
                )
    return found


def check_blend(styles: Mapping[str, Picture]) -> None:
    """Require that every style is a blend, as the setting ``blend`` needs.

    Raises:
        ConfigError: a style is not a blend.
    """
    for name, style in styles.items():
        if style.made_of is None or not style.made_of.blends:
            raise ConfigError(
                "blend leads from one picture of a blended style to the next, so every style must "
                f"be a blend, and {name!r} is not: give it as {{name: a, blend: {{b: 1, c: 1}}}}, "
                "or leave out blend"
            )


def check_masks(contents: Mapping[str, Picture], styles: Mapping[str, Picture]) -> None:
    """Require that every content has a mask if a style has regions.

    Raises:
        ConfigError: a content has no mask.
    """
    for name, style in styles.items():
        for content, picture in contents.items():
            if _has_regions(style) and picture.mask is None:
                raise ConfigError(
                    f"styles: {name!r} has regions, so every content needs a mask; {content!r} has "
                    "none. Give it one, as {path: …, mask: …}, or split the run."
                )


def composed(content: Picture, style: Picture) -> Composition[Picture] | None:
    """Return the composition of a style for a content; None if the style is one whole picture."""
    if style.made_of is not None:
        mask = content.mask if _has_regions(style) else None
        return Composition(style.made_of.regions, mask)
    return Composition.plain(style, style.name, style.mask) if style.mask else None


def _has_regions(style: Picture) -> bool:
    """Tell whether a style has different parts in different regions."""
    return style.made_of is not None and WHOLE not in style.made_of.regions


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
        picture = named or resolve_one(key, item, catalogue)
        plain = (Part(picture.name, picture, mask=picture.mask),)
        return picture.made_of.regions[WHOLE] if picture.made_of else plain

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
