"""The run's configuration: validated, with names resolved, expanded into pairs and variants.

It is read while the workflow plans. Nothing here therefore imports torch, and every mistake is
found before any job starts.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nst.config.catalogue import Entry, find_mirror
from nst.config.documents import read_document, validate
from nst.config.pictures import (
    Picture,
    check_styles,
    existing,
    files_at,
    ingredients,
    read_pictures,
    resolve,
)
from nst.config.prints import read_prints
from nst.config.settings import Settings
from nst.config.variants import Preset, Variant, Wanted, read_presets, read_ratio, read_variants
from nst.config.votes import read_ballots
from nst.errors import ConfigError

MOST_CELLS = 1_000_000  # of a run: planning takes 5 s and 60 MB for 10,000


@dataclass(frozen=True)
class Sheet:
    """A grid of a pair. ``cells`` has the variants' ``layers`` and ``ratio`` by row and column.

    ``name`` lists the labels of the grid on all other axes; it is empty for a single grid.
    """

    name: str
    row_axis: str
    column_axis: str
    rows: Sequence[str]
    columns: Sequence[str]
    cells: Sequence[Sequence[tuple[str, str]]]

    @property
    def suffix(self) -> str:
        """What follows the style in the path of the grid."""
        return f"/{self.name}" if self.name else ""


def pair_sheets(variants: Sequence[Variant], chosen: Mapping[str, str]) -> list[Sheet]:
    """Lay out two axes as rows and columns, with one sheet per point of all other axes.

    ``chosen`` may name the axes of ``rows`` and ``columns``. By default, the columns are α/β, and
    the rows are the layer weightings. An axis with several labels replaces a default axis with a
    single label.

    Raises:
        ConfigError: an axis is unknown, or is chosen for both rows and columns.
    """
    axes = {
        name: list(dict.fromkeys(one.point[name] for one in variants)) for name in variants[0].point
    }
    if len(axes) == 1:  # only recipes, whose grid has a column per pair
        return []
    row_axis, column_axis = _choose(axes, chosen)
    rows, columns = axes.pop(row_axis), axes.pop(column_axis)
    places = {frozenset(one.point.items()): (one.layers, one.ratio) for one in variants}
    sheets = []
    for labels in itertools.product(*axes.values()):
        others = dict(zip(axes, labels, strict=True))
        named = (f"{axis}={label}" for axis, label in others.items() if len(axes[axis]) > 1)
        cells = [
            [
                places[frozenset({**others, row_axis: row, column_axis: column}.items())]
                for column in columns
            ]
            for row in rows
        ]
        sheets.append(Sheet(", ".join(named), row_axis, column_axis, rows, columns, cells))
    return sheets


def _choose(axes: Mapping[str, Sequence[str]], chosen: Mapping[str, str]) -> tuple[str, str]:
    """Choose the axes of the rows and of the columns."""
    for side, name in chosen.items():
        if name not in axes:
            raise ConfigError(f"grid.{side} must be one of {', '.join(axes)}; got {name!r}")
    names = sorted(axes, key=lambda name: name == "ratio")  # with α/β at the end

    def pick(names: Iterable[str], other: str | None) -> str:
        free = [name for name in names if name != other]
        return next((name for name in free if len(axes[name]) > 1), free[0])

    column = chosen.get("columns") or pick(reversed(names), chosen.get("rows"))
    row = chosen.get("rows") or pick(names, column)
    if row == column:
        raise ConfigError(f"grid: rows and columns must be two axes; got {row!r} for both")
    return row, column


@dataclass(frozen=True)
class Run:
    """A whole run: every variant of every pair of a content and a style.

    The variants are the layer weightings or recipes × the settings that vary × α/β.
    """

    contents: Mapping[str, Picture]
    styles: Mapping[str, Picture]
    variants: Sequence[Variant]
    device: str
    start_file: str | None
    kmeans_images: Sequence[Picture]
    weights: Mapping[str, str | None]
    overview: tuple[str, str]
    """The layer weighting and the α/β that represent each pair in the overview."""
    sheets: Sequence[Sheet]
    """The comparison grids of a pair."""
    prints: Sequence[Wanted]
    """The cells to render at a larger size."""
    votes: Sequence[str]
    """The paths of the files of votes."""

    @cached_property
    def pictures(self) -> Mapping[str, Picture]:
        """The run's images and masks by role and name, such as ``content/astronaut``.

        A composed style is replaced by the images that it is made of.
        """
        found: dict[str, Picture] = {}
        by_role = {"content": self.contents, "style": ingredients(self.styles)}
        for role, pictures in by_role.items():
            for name, picture in pictures.items():
                found[f"{role}/{name}"] = picture
                if picture.mask is not None:
                    found[f"{role}_mask/{name}"] = picture.mask
        return found

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The names of the content and the style of each pair."""
        return [(content, style) for content in self.contents for style in self.styles]

    @property
    def cells(self) -> list[Wanted]:
        """All cells, pair by pair."""
        return list(itertools.product(self.contents, self.styles, self.variants))

    @cached_property
    def layers(self) -> list[str]:
        """The names of the layer weightings or recipes, with the settings that vary."""
        return list(dict.fromkeys(variant.layers for variant in self.variants))

    @property
    def places(self) -> list[tuple[str, str]]:
        """``layers`` and ``ratio`` of each variant."""
        return [(one.layers, one.ratio) for one in self.variants]

    @cached_property
    def ratios(self) -> list[str]:
        """The labels of α/β."""
        return list(dict.fromkeys(variant.ratio for variant in self.variants))

    @property
    def varied(self) -> list[str]:
        """The names of the settings that vary."""
        return [name for name in self.variants[0].point if name not in ("layers", "ratio")]

    @property
    def compares_recipes(self) -> bool:
        """Whether the variants differ only in the recipe, each with its own α/β."""
        return len(self.variants[0].point) == 1

    @property
    def recipes(self) -> list[Preset]:
        """The recipe of each variant."""
        return [read_presets()[one.formulation] for one in self.variants]

    @property
    def asks_for_precision(self) -> bool:
        """Whether a variant leaves its precision to the device."""
        return any(one.settings.precision == "auto" for one in self.variants)

    @property
    def settings(self) -> Settings:
        """The settings of the first variant; all variants share most of them."""
        return self.variants[0].settings


def read_run(config: Mapping[Any, Any], catalogue: Mapping[str, Entry]) -> Run:
    """Check a configuration and resolve its names.

    Raises:
        ConfigError: one line that names the key, the rule, the value and the remedy.
    """
    validate(config)
    find_mirror(config)  # only checked here; the jobs read it
    contents = read_pictures("contents", config["contents"], catalogue)
    styles = read_pictures("styles", config["styles"], catalogue)
    variants = read_variants(config)
    _check_size(contents, styles, variants)
    blend = any(variant.settings.blend is not None for variant in variants)
    check_styles(contents, styles, blend=blend)
    start_file = config.get("start_file")
    if start_file is not None:
        start_file = existing("start_file", start_file)
    elif any(variant.settings.start == "file" for variant in variants):
        raise ConfigError("start: file needs start_file, the path of an image to start from")
    votes = [file for one in config.get("votes", []) for file in files_at("votes", one, (".json",))]
    read_ballots(map(Path, votes))  # only checked here; a job counts them
    return Run(
        contents=contents,
        styles=styles,
        variants=variants,
        device=config.get("device", "auto"),
        start_file=start_file,
        kmeans_images=_kmeans_images(config, contents, styles, catalogue),
        weights={name: _weights(config, name, variants) for name in ("vgg19", "vgg16")},
        overview=_overview(config.get("overview", {}), variants),
        sheets=pair_sheets(variants, config.get("grid", {})),
        prints=read_prints(config.get("prints", {}), contents, styles, variants),
        votes=votes,
    )


def read_file(path: Path) -> dict[Any, Any]:
    """Read a configuration file, of YAML or JSON.

    Raises:
        ConfigError: the file cannot be read, see ``read_document``, or holds no keys and values.
    """
    config = read_document(path)
    if not isinstance(config, dict):
        raise ConfigError(f"{path} must hold keys and values; see config/README.md")
    return config


def _check_size(
    contents: Mapping[str, Picture], styles: Mapping[str, Picture], variants: Sequence[Variant]
) -> None:
    """Refuse a grid that is too large to plan."""
    cells = len(contents) * len(styles) * len(variants)
    if cells > MOST_CELLS:
        raise ConfigError(
            f"contents × styles × variants may be at most {MOST_CELLS} cells; got {len(contents)} "
            f"× {len(styles)} × {len(variants)} = {cells}. Split the run."
        )


def _weights(config: Mapping[str, Any], name: str, variants: Sequence[Variant]) -> str | None:
    """Return the path of a network's weights; the file must exist if the network is used."""
    path: str | None = config.get(name, {}).get("weights")
    used = any(variant.settings.extractor == name for variant in variants)
    return existing(f"{name}.weights", path) if path is not None and used else path


def _kmeans_images(
    config: Mapping[str, Any],
    contents: Mapping[str, Picture],
    styles: Mapping[str, Picture],
    catalogue: Mapping[str, Entry],
) -> list[Picture]:
    """Resolve the images that ``kmeans`` is fitted to; by default, all images of the run."""
    of_styles = ingredients(styles)
    names = config.get("kmeans", {}).get("images")
    if names is None:
        return [*contents.values(), *of_styles.values()]
    known = {**contents, **of_styles}
    found: list[Picture] = []
    for name in names:
        found += [known[name]] if name in known else resolve("kmeans.images", name, catalogue)
    return found


def _overview(chosen: Mapping[str, Any], variants: Sequence[Variant]) -> tuple[str, str]:
    """Choose the variant of the overview; by default the first weighting with the middle α/β."""
    layers = chosen.get("layers", variants[0].layers)
    ratios = [one.ratio for one in variants if one.layers == layers]
    if not ratios:
        known = ", ".join(dict.fromkeys(one.layers for one in variants))
        raise ConfigError(f"overview.layers must be one of {known}; got {layers!r}")
    ratio = read_ratio(chosen["ratio"])[0] if "ratio" in chosen else ratios[len(ratios) // 2]
    if ratio not in ratios:
        raise ConfigError(f"overview.ratio must be one of {', '.join(ratios)}; got {ratio}")
    return layers, ratio
