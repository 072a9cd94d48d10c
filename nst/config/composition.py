"""What a style is made of: weighted pictures, for each region of the content.

The same shape holds what a configuration names, files, pixels or digests: see ``mapped``. A plain
style is one picture for the whole of the content.
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
    """One of a style's pictures. Of its ``mask``, what is white is looked at."""

    name: str
    image: T
    weight: float = 1.0
    mask: T | None = None


@dataclass(frozen=True)
class Composition(Generic[T]):
    """A style: the parts of each region, under the region's colour in the content's ``mask``.

    The parts of a region are blended. One without parts keeps the photograph.
    """

    regions: Mapping[str, tuple[Part[T], ...]]
    mask: T | None = None

    @classmethod
    def plain(cls, image: T, name: str = "style", mask: T | None = None) -> Composition[T]:
        """Return a style that is one picture."""
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
        """Whether it is one whole picture for the whole of the content."""
        return set(self.regions) == {WHOLE} and len(self.parts) == 1 and not self.parts[0].mask

    @property
    def has_masks(self) -> bool:
        """Whether anything in it is masked."""
        return self.mask is not None or any(part.mask is not None for part in self.parts)

    @property
    def blends(self) -> bool:
        """Whether a region has several parts."""
        return any(len(parts) > 1 for parts in self.regions.values())

    def mapped(self, change: Callable[[T], U]) -> Composition[U]:
        """Return the composition of other things: files instead of names, pixels instead of files.

        ``change`` is called for the parts' pictures and for all masks.
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
        """Return the composition with weights that sum to 1 in each region, none of them 0.

        ``position`` in [0, 1] leads from the first part of a blend to the last, by way of those
        between; None keeps the weights. The parts are sorted by name, since the order of summation
        must not affect the result.
        """
        return replace(
            self,
            regions={
                colour: tuple(_blended(parts, position)) for colour, parts in self.regions.items()
            },
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON, as far as the contents are such."""
        regions = {colour: [vars(part) for part in parts] for colour, parts in self.regions.items()}
        return {"regions": regions, "mask": self.mask}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Composition[Any]:
        """Read back what ``to_dict`` returned."""
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
    """Change what is there."""
    return None if value is None else change(value)
