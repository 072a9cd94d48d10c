"""The run's configuration: validated, with names resolved, expanded into pairs and variants.

Read while the workflow plans, so nothing here imports torch, and every mistake is found before any
job starts.
"""

from __future__ import annotations

import difflib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn

import yaml

from nst.config.addresses import checked_mirror
from nst.config.catalogue import Entry
from nst.config.documents import LONGEST_NUMBER, read_document
from nst.config.pictures import Picture, existing, read_pictures, resolve
from nst.config.presets import read_presets
from nst.config.settings import Settings
from nst.config.variants import Ratio, Variant, expand_grid, expand_recipes
from nst.errors import ConfigError

MOST_VALUES = 100_000  # of a configuration, every alias counted as often as it is used
MOST_DEEP = 8  # levels of lists and keys; the schema has four
LONGEST_TEXT = 4096  # signs: the longest path of Linux
LONGEST_SHOWN = 200  # signs of a value in a message
MOST_MISTAKES = 1000  # looked at for the most telling one
MOST_CELLS = 1_000_000  # of a run: planning takes 5 s and 60 MB for 10,000
SCHEMA = Path(__file__).resolve().parents[2] / "workflow" / "schemas" / "config.schema.yaml"


@dataclass(frozen=True)
class Run:
    """A whole run: every variant of every pair of a content and a style.

    The variants are the layer weightings × the ratios. ``formulations`` has the titles of the
    recipes, by name, if the variants are one for each recipe instead.
    """

    contents: Mapping[str, Picture]
    styles: Mapping[str, Picture]
    variants: Sequence[Variant]
    formulations: Mapping[str, str]
    device: str
    mirror: str | None
    start_file: str | None
    kmeans_images: Sequence[Picture]
    weights: Mapping[str, str | None]
    overview: tuple[str, str]
    """The layer weighting and the ratio that stand for each pair in the overview."""

    @cached_property
    def pictures(self) -> Mapping[str, Picture]:
        """The run's images by role and name, as ``content/astronaut``."""
        return {
            f"{role}/{name}": picture
            for role, pictures in (("content", self.contents), ("style", self.styles))
            for name, picture in pictures.items()
        }

    @cached_property
    def layers(self) -> list[str]:
        """The names of the layer weightings."""
        return list(dict.fromkeys(variant.layers for variant in self.variants))

    @cached_property
    def ratios(self) -> list[str]:
        """The labels of the ratios."""
        return list(dict.fromkeys(variant.ratio for variant in self.variants))

    def cell(self, layers: str, ratio: str) -> Settings:
        """Return the settings of the variant with these names."""
        return next(
            one.settings for one in self.variants if (one.layers, one.ratio) == (layers, ratio)
        )

    @property
    def settings(self) -> Settings:
        """The settings of the first variant; most are those of all."""
        return self.variants[0].settings


def read_run(config: Mapping[Any, Any], catalogue: Mapping[str, Entry]) -> Run:
    """Check a configuration and resolve its names.

    Raises:
        ConfigError: one line that names the key, the rule, the value and the remedy.
    """
    _validate(config)
    config = {**_defaults(), **config}
    contents = read_pictures("contents", config["contents"], catalogue)
    styles = read_pictures("styles", config["styles"], catalogue)
    variants = read_variants(config)
    _check_size(contents, styles, variants)
    start_file = config["start_file"]
    if any(variant.settings.start == "file" for variant in variants):
        if start_file is None:
            raise ConfigError("start: file needs start_file, the path of an image to start from")
        start_file = existing("start_file", start_file)
    return Run(
        contents=contents,
        styles=styles,
        variants=variants,
        formulations={
            one.layers: read_presets()[one.formulation].title
            for one in variants
            if "formulations" in config
        },
        device=config["device"],
        mirror=checked_mirror(config["mirror"] or os.environ.get("NST_MIRROR") or None),
        start_file=start_file,
        kmeans_images=_kmeans_images(config["kmeans"].get("images"), contents, styles, catalogue),
        weights={name: _weights(config, name, variants) for name in ("vgg19", "vgg16")},
        overview=_overview(config["overview"], variants),
    )


def read_variants(config: Mapping[str, Any]) -> list[Variant]:
    """Expand a checked configuration into its variants, without looking at its images.

    Raises:
        ConfigError: as ``read_run``.
    """
    expand = expand_recipes if "formulations" in config else expand_grid
    return expand({**_defaults(), **config}, read_presets())


def read_file(path: Path) -> dict[Any, Any]:
    """Read a configuration file, of YAML or JSON.

    Raises:
        ConfigError: it cannot be read, see ``read_document``, or holds no keys and values.
    """
    config = read_document(path)
    if not isinstance(config, dict):
        raise ConfigError(f"{path} must hold keys and values; see config/README.md")
    return config


@cache
def load_schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration."""
    schema: dict[str, Any] = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    return schema


def _validate(config: Mapping[Any, Any]) -> None:
    """Hold the configuration to the schema; report the most telling mistake in one line."""
    import jsonschema  # noqa: PLC0415 - half of this module's import time

    schema = load_schema()
    census = _Census(schema)
    census.check_keys(config, ())
    if any(key not in schema["properties"] for key in config):
        raise ConfigError(_unknown("the configuration", config, list(schema["properties"])))
    census.count(dict(config), ())
    validator = jsonschema.Draft202012Validator(schema)
    errors = list(islice(validator.iter_errors(dict(config)), MOST_MISTAKES))
    if not errors:
        return
    # A misspelt key explains the missing one, so it goes first.
    errors.sort(
        key=lambda error: (
            error.validator != "additionalProperties",
            [str(step) for step in error.absolute_path],
        )
    )
    raise ConfigError(_explain(errors[0], schema))


@dataclass
class _Census:
    """Counts the values of a configuration, and refuses what only YAML has.

    Snakemake reads YAML in a way that makes tuples, complex numbers and functions, too. Whatever
    has passed here is a tree of a size that can be searched, with numbers that can be compared
    and printed.
    """

    schema: Mapping[str, Any]
    sizes: dict[int, int] = field(default_factory=dict)
    """The size of each list and mapping by its ``id``; 0 while it is being counted."""

    def count(self, value: Any, path: tuple[str, ...]) -> int:
        """Return how many values there are in ``value``, which stands at ``path``."""
        if not isinstance(value, dict | list):
            self._check(value, path)
            return 1
        if self.sizes.get(id(value)) == 0:
            self._refuse(path, "something that contains itself")
        if len(path) > MOST_DEEP:
            self._refuse(path[:MOST_DEEP], f"something nested more than {MOST_DEEP} deep")
        if id(value) not in self.sizes:
            self.sizes[id(value)] = 0
            self.sizes[id(value)] = self._count_inner(value, path)
        return self.sizes[id(value)]

    def check_keys(self, value: Mapping[Any, Any], path: tuple[str, ...]) -> None:
        """Refuse a key that cannot even be printed."""
        for key in value:
            self._check(key, path)

    def _count_inner(self, value: dict[Any, Any] | list[Any], path: tuple[str, ...]) -> int:
        if isinstance(value, dict):
            self.check_keys(value, path)
        size = 1
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for step, inner in items if len(value) < MOST_VALUES else ():
            size += self.count(inner, (*path, str(step)))
        if max(size, len(value)) >= MOST_VALUES:
            place = ".".join(path) or "the configuration"
            raise ConfigError(
                f"{place} may hold at most {MOST_VALUES} values; got more. Name many images by a "
                "pattern, as photos/*.jpg, or split the run."
            )
        return size

    def _check(self, value: object, path: tuple[str, ...]) -> None:
        """Refuse a text, a number or a key that nothing can be done with."""
        if isinstance(value, str):
            if len(value) > LONGEST_TEXT:
                self._refuse(path, f"a text of {len(value)} signs, which is too long")
        elif isinstance(value, float):
            if not math.isfinite(value):
                self._refuse(path, f"{value}, which is not finite")
        elif isinstance(value, int):
            if value.bit_length() > LONGEST_NUMBER * math.log2(10):
                self._refuse(path, f"a number of {value.bit_length()} bits, which is too large")
        elif value is not None:
            self._refuse(path, f"a {type(value).__name__}, as YAML reads it: put it in quotes")

    def _refuse(self, path: Sequence[str], got: str) -> NoReturn:
        place = ".".join(path) or "the configuration"
        raise ConfigError(f"{place} must be {_rule(self.schema, path)}; got {got}.")


def _explain(error: Any, schema: Mapping[str, Any]) -> str:
    """Say what is wrong in the words of the schema's own descriptions."""
    path = [str(step) for step in error.absolute_path]
    place = ".".join(path) or "the configuration"
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        return _unknown(place, error.instance, list(error.schema["properties"]))
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        rule = error.schema["properties"][missing].get("description", "required")
        return f"{place}: the key {missing!r} is missing; it is {rule}."
    rule = error.schema.get("description") or _rule(schema, path)
    return f"{place} must be {rule}; got {_shown(error.instance)}."


def _unknown(place: str, mapping: Mapping[Any, Any], known: Sequence[str]) -> str:
    """Say that a key is unknown, and which it may have been meant to be."""
    unknown = next(key for key in mapping if key not in known)
    close = difflib.get_close_matches(str(unknown), known, n=1)
    hint = f"did you mean {close[0]!r}? The" if close else "the"
    return f"{place}: unknown key {unknown!r}; {hint} keys are {', '.join(known)}."


def _shown(value: object) -> str:
    """Show a value of a configuration in one line of bounded length."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):  # YAML has keys and loops that JSON has not
        text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _rule(schema: Mapping[str, Any], path: Sequence[str]) -> str:
    """Find the description nearest to a place in the configuration."""
    found = ""
    for step in (None, *path):
        if step is not None:
            properties = schema.get("properties", {})
            schema = (
                properties.get(step)
                or schema.get("additionalProperties")
                or schema.get("items")
                or {}
            )
        found = schema.get("description", found)
    return found


def _defaults() -> dict[str, Any]:
    """Return the keys that may be left out, apart from the settings."""
    return {
        "formulation": "relative",
        "iterations_scale": 1,
        "iterations_least": 1,
        "start_file": None,
        "device": "auto",
        "mirror": None,
        "kmeans": {},
        "vgg19": {},
        "vgg16": {},
        "overview": {},
    }


def _check_size(
    contents: Mapping[str, Picture], styles: Mapping[str, Picture], variants: Sequence[Variant]
) -> None:
    """Refuse a grid that could not even be planned."""
    cells = len(contents) * len(styles) * len(variants)
    if cells > MOST_CELLS:
        raise ConfigError(
            f"contents × styles × variants may be at most {MOST_CELLS} cells; got {len(contents)} "
            f"× {len(styles)} × {len(variants)} = {cells}. Split the run."
        )


def _weights(config: Mapping[str, Any], name: str, variants: Sequence[Variant]) -> str | None:
    """Return the path of a network's weights; it must be there if the network is used."""
    path: str | None = config[name].get("weights")
    used = any(variant.settings.extractor == name for variant in variants)
    return existing(f"{name}.weights", path) if path is not None and used else path


def _kmeans_images(
    names: Sequence[str] | None,
    contents: Mapping[str, Picture],
    styles: Mapping[str, Picture],
    catalogue: Mapping[str, Entry],
) -> list[Picture]:
    """Resolve the images that ``kmeans`` is fitted to; None stands for all of the run's."""
    if names is None:
        return [*contents.values(), *styles.values()]
    known = {**contents, **styles}
    return [
        picture
        for name in names
        for picture in (
            [known[name]] if name in known else resolve("kmeans.images", name, catalogue)
        )
    ]


def _overview(chosen: Mapping[str, Any], variants: Sequence[Variant]) -> tuple[str, str]:
    """Choose the variant that stands for a pair; by default the first weighting, middle ratio."""
    weightings = list(dict.fromkeys(variant.layers for variant in variants))
    weighting = chosen.get("layers", weightings[0])
    if weighting not in weightings:
        raise ConfigError(
            f"overview.layers must be one of {', '.join(weightings)}; got {weighting!r}"
        )
    ratios = [variant.ratio for variant in variants if variant.layers == weighting]
    if "ratio" not in chosen:
        return weighting, ratios[len(ratios) // 2]
    ratio = Ratio.parse(chosen["ratio"]).label
    if ratio not in ratios:
        raise ConfigError(f"overview.ratio must be one of {', '.join(ratios)}; got {ratio}")
    return weighting, ratio
