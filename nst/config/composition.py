"""Compositions: the weighted pictures of a style, for each region of the content.

The same class holds names of a configuration, files, pixels or digests of pixels; see ``mapped``.
A plain style is one picture for the whole content.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

WHOLE = ""  # the region of a content without a mask

T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True)
class Part(Generic[T]):
    """One of a style's pictures. Only the white region of its ``mask`` counts."""

    name: str
    image: T
    weight: float = 1.0
    mask: T | None = None


@dataclass(frozen=True)
class Composition(Generic[T]):
    """A style: the parts of each region, by the region's colour in the content's ``mask``.

    The parts of a region are blended. A region without parts keeps the photograph.
    """

    regions: Mapping[str, tuple[Part[T], ...]]
    mask: T | None = None

    @classmethod
    def plain(cls, image: T, name: str = "style", mask: T | None = None) -> Composition[T]:
        """Return the composition of a single picture."""
        return cls({WHOLE: (Part(name, image, mask=mask),)})

    @property
    def parts(self) -> list[Part[T]]:
        """The parts of all regions."""
        return [part for parts in self.regions.values() for part in parts]

    @property
    def everything(self) -> list[T]:
        """All pictures and masks, each once."""
        of_parts = [one for part in self.parts for one in (part.image, part.mask)]
        return list(dict.fromkeys(one for one in (*of_parts, self.mask) if one is not None))

    @property
    def is_plain(self) -> bool:
        """Whether the style is one whole picture for the whole content."""
        return set(self.regions) == {WHOLE} and len(self.parts) == 1 and not self.parts[0].mask

    @property
    def has_masks(self) -> bool:
        """Whether the content or any part has a mask."""
        return self.mask is not None or any(part.mask is not None for part in self.parts)

    @property
    def blends(self) -> bool:
        """Whether a region has several parts."""
        return any(len(parts) > 1 for parts in self.regions.values())

    def mapped(self, change: Callable[[T], U]) -> Composition[U]:
        """Return the composition with ``change`` applied to the parts' pictures and all masks.

        For example, this turns names into files, or files into pixels.
        """
        return Composition(
            {
                colour: tuple(
                    Part(one.name, change(one.image), one.weight, _maybe(change, one.mask))
                    for one in parts
                )
                for colour, parts in self.regions.items()
            },
            _maybe(change, self.mask),
        )

    def blended(self, position: float | None) -> Composition[T]:
        """Return the composition with positive weights that sum to 1 in each region.

        ``position`` in [0, 1] interpolates from the first part of a blend to the last, through all
        parts between them; None keeps the weights. Parts without weight are dropped. The parts are
        sorted by name, since the order of summation must not affect the result.
        """
        return replace(
            self,
            regions={
                colour: tuple(_blended(parts, position)) for colour, parts in self.regions.items()
            },
        )

    def to_dict(self) -> dict[str, Any]:
        """Return dicts and lists, for JSON if the pictures and masks are plain values."""
        regions = {colour: [vars(part) for part in parts] for colour, parts in self.regions.items()}
        return {"regions": regions, "mask": self.mask}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Composition[Any]:
        """Build a composition from the values that ``to_dict`` returned."""
        regions = {
            colour: tuple(Part(**part) for part in parts)
            for colour, parts in values["regions"].items()
        }
        return cls(regions, values["mask"])


def _blended(parts: tuple[Part[T], ...], position: float | None) -> Iterator[Part[T]]:
    """Yield the parts that have a weight, with their shares."""
    if position is not None:
        at = position * (len(parts) - 1)
        weights = [max(0.0, 1 - abs(at - index)) for index in range(len(parts))]
        parts = tuple(replace(one, weight=w) for one, w in zip(parts, weights, strict=True))
    total = sum(part.weight for part in parts)
    for part in sorted(parts, key=lambda one: one.name):
        if part.weight:
            yield replace(part, weight=part.weight / total)


def _maybe(change: Callable[[T], U], value: T | None) -> U | None:
    """Apply ``change``, unless the value is None."""
    return None if value is None else change(value)
