"""What is known of a run when it begins: which pictures it is to make, and how to show them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nst.config.run import Run
from nst.system.files import time_stamp


@dataclass(frozen=True)
class Watched:
    """What the process that watches a run is given, as plain values.

    ``missing`` has the pictures that the run is to make, each with the time stamp (ns) of the one
    that is there before, of another configuration perhaps; None if there is none. ``made`` are the
    pictures that stay as they are. ``contents`` and ``styles`` are titles by name, ``variants``
    layers, ratio and recipe. ``recipes`` are the titles of the recipes, if the run compares them.
    """

    missing: Mapping[str, int | None]
    made: Sequence[str]
    contents: Mapping[str, str]
    styles: Mapping[str, str]
    variants: Sequence[Sequence[str]]
    overview: Sequence[str]
    recipes: Sequence[str]
    title: str
    subtitle: str

    @classmethod
    def of_run(
        cls, run: Run, missing: Iterable[str], made: Iterable[str], *, title: str, subtitle: str
    ) -> Watched:
        """Gather what is to be known of a run before its first job."""
        return cls(
            missing={path: time_stamp(path) for path in missing},
            made=list(made),
            contents={name: one.title for name, one in run.contents.items()},
            styles={name: one.title for name, one in run.styles.items()},
            variants=[(one.layers, one.ratio, one.formulation) for one in run.variants],
            overview=run.overview,
            recipes=list(run.formulations.values()) if run.compares_recipes else [],
            title=title,
            subtitle=subtitle,
        )

    @property
    def pairs(self) -> Iterator[tuple[str, str]]:
        """The names of the pairs, in the order of the run."""
        return ((content, style) for content in self.contents for style in self.styles)

    def to_json(self) -> str:
        """Return all of it in one line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Watched:
        """Read back what ``to_json`` returned."""
        return cls(**json.loads(text))
