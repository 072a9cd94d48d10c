"""The variants of a run: points on the axes of layer weightings, α/β and settings that vary.

If a run compares recipes, these take the place of the layer weightings. The published recipes are
one YAML file each, in config/presets.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any

from nst.config.documents import read_document
from nst.config.names import checked_name, refuse_collisions
from nst.config.registry import Registry
from nst.config.settings import SIDE, Settings, read_setting
from nst.errors import ConfigError, ExtractorError, did_you_mean, shown
from nst.system.files import DATA

FOLDER = DATA / "config" / "presets"
RECIPE = "relative"  # the default: the project's own recipe
MOST_VARIANTS = 10_000  # of a pair; one job computes all of them
MOST_SNAPSHOTS = 100  # megapixels per cell; 400 MB of memory


@dataclass(frozen=True)
class Preset:
    """A recipe: its name, its title in grids, where it was published, and its settings.

    ``year`` is the year of publication, or None if it is unknown.
    """

    name: str
    title: str
    source: str
    settings: Mapping[str, Any]
    year: int | None = None

    @property
    def dated(self) -> str:
        """The title with the year, unless the title contains the year already."""
        known = self.year is None or str(self.year) in self.title
        return self.title if known else f"{self.title}, {self.year}"


@cache
def read_presets(folder: Path = FOLDER) -> Mapping[str, Preset]:
    """Read all recipes, by name; installed packages can add more.

    Raises:
        ConfigError: a file is not a preset, or one of its settings is unknown or out of range.
    """
    presets = {path.stem: _read(path) for path in sorted(folder.glob("*.yaml"))}
    return Registry("formulation", Preset, presets)


def find_recipe(name: str, key: str = "formulation") -> Preset:
    """Return a recipe by its name; ``key`` is the key of the configuration for error messages.

    Raises:
        ConfigError: there is no recipe of this name, or a package's is not one.
    """
    presets = read_presets()
    if name not in presets:
        hint = did_you_mean(name, presets, f"the recipes are {', '.join(presets)}.")
        raise ConfigError(f"{key}: unknown recipe {name!r}; {hint}")
    return presets[name] if name in list(presets) else _added(name)


def _added(name: str) -> Preset:
    """Return a package's recipe under its entry point's name, and check it as a file's."""
    preset = read_presets()[name]
    try:
        if not isinstance(preset.title, str):
            raise TypeError(f"title must be a text; got {shown(preset.title)}")
        Settings.from_mapping(preset.settings)
    except (TypeError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"the entry point {name!r} of nst.formulation is not a recipe ({error}). Correct it."
        ) from error
    return replace(preset, name=name)


def _read(path: Path) -> Preset:
    """Read one preset file and check its settings."""
    try:
        preset = Preset(name=path.stem, **read_document(path))
        Settings.from_mapping(preset.settings)
    except (TypeError, AttributeError, ConfigError) as error:
        raise ConfigError(
            f"{path} is not a preset, with title, source and settings: {error}"
        ) from error
    return preset


def read_ratio(value: object, key: str = "ratios") -> tuple[str, dict[str, float]]:
    """Read α/β from a number, a label in any spelling, or ``{alpha, beta}``.

    ``key`` is the key of the configuration for error messages.

    Returns the canonical label, such as ``1e-2`` or ``2.5e-1`` with up to six digits, and the
    weights. A number r means α = 1 and β = 1/r.

    Raises:
        ConfigError: α/β, α or β is not a number from 1e-12 to 1e12.
    """
    if isinstance(value, Mapping):
        alpha, beta = (_positive(f"{key}: {name}", value[name]) for name in ("alpha", "beta"))
        ratio = alpha / beta
        _positive(f"{key}: alpha/beta", float(ratio))
    else:
        ratio = _positive(key, value)
        alpha, beta = Decimal(1), 1 / ratio
    digits, exponent = f"{ratio:.5e}".split("e")
    label = f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"
    return label, {"alpha": float(alpha), "beta": float(beta)}


@dataclass(frozen=True)
class Variant:
    """One way to redraw a pair: its names in paths, its recipe and its settings.

    ``layers`` is the name of the layer weighting or recipe, followed by the settings that vary,
    such as ``all/style_scale=0.5``. ``point`` has the label on each axis: ``layers``, ``ratio``,
    and the settings that vary.
    """

    layers: str
    ratio: str
    formulation: str
    settings: Settings
    point: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


Wanted = tuple[str, str, Variant]
"""A cell to compute: the names of its content and its style, and its variant."""


def labels_of(layers: str) -> dict[str, str]:
    """Split a variant's ``layers`` into its labels, by axis."""
    weighting, *varied = layers.split("/")
    parts = (one.partition("=") for one in varied)
    return {"layers": weighting, **{name: label for name, _, label in parts}}


def find_variant(variants: Iterable[Variant], layers: str, ratio: str) -> Variant:
    """Return the variant with these names of a path."""
    return next(one for one in variants if (one.layers, one.ratio) == (layers, ratio))


def digest(values: Iterable[object]) -> str:
    """Return a sha256 of variants or sheets, which changes with any of them or their order."""
    return hashlib.sha256(repr(list(values)).encode()).hexdigest()


def read_variants(config: Mapping[str, Any]) -> list[Variant]:
    """Expand a checked configuration: layer weightings or recipes × settings that vary × α/β.

    With layer weightings, the recipe of ``formulation`` gives all settings that the configuration
    leaves out. Each recipe of ``formulations`` has its own layers. Without ``ratios``, a recipe
    keeps its own α/β. If recipes are compared, this α/β is not an axis.

    Raises:
        ConfigError: one line that names the key, the rule, the value and the remedy.
    """
    key = "formulations" if "formulations" in config else "layers"
    axes = {"layers": _read_rows(key, config), **_read_axes(config)}
    number = math.prod(map(len, axes.values()))
    if number > MOST_VARIANTS:
        raise ConfigError(
            f"layers or formulations × vary × ratios may be at most {MOST_VARIANTS} variants of a "
            f"pair; got {number}. Split the run."
        )
    is_axis = "ratios" in config or key == "layers"
    variants = []
    for labels in itertools.product(*axes.values()):
        varied = dict(zip(axes, labels, strict=True))
        given = {name: one for axis in varied for name, one in axes[axis][varied[axis]].items()}
        recipe = find_recipe(given.pop("formulation"))
        values = overridden(recipe, config, given)
        alpha_beta = {weight: values[weight] for weight in ("alpha", "beta")}
        label, weights = read_ratio(alpha_beta, key)
        name, ratio = varied.pop("layers"), varied.pop("ratio", label)
        settings = _settings(f"{key}.{name}", values | weights, config)
        layers = "/".join([name, *(f"{axis}={label}" for axis, label in varied.items())])
        point = {"layers": name, **({"ratio": ratio} if is_axis else {}), **varied}
        variants.append(Variant(layers, ratio, recipe.name, settings, point))
    networks = {one.settings.extractor for one in variants}
    if len(networks) > 1:  # a job loads one network for all its cells
        raise ConfigError(
            f"formulations: extractor must be the same for all of a run; got "
            f"{', '.join(sorted(networks))}. Set extractor for the whole run, or split it."
        )
    return variants


def _read_rows(key: str, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Read the layer weightings or recipes: a ``formulation`` with its own settings, by name.

    A layer weighting is the recipe of ``formulation`` with other layers. The default is a single
    weighting with the recipe's layers.
    """
    if key == "layers":
        recipe = config.get("formulation", RECIPE)
        items = [
            {"formulation": recipe, "name": name}
            | {f"{role}_layers": of_role for role, of_role in weights.items()}
            for name, weights in config.get("layers", {recipe: {}}).items()
        ]
    else:
        items = config["formulations"]
        for other in ("layers", "formulation"):
            if config.get(other, RECIPE) != RECIPE:
                raise ConfigError(f"{other}: leave it out; each of formulations brings its own")
    rows = []
    for item in items:
        own = dict(item) if isinstance(item, Mapping) else {"formulation": item}
        recipe = find_recipe(own["formulation"])
        rows.append((checked_name(key, own.pop("name", recipe.name)), own))
    refuse_collisions(key, [name for name, _ in rows])
    return dict(rows)


def _read_axes(config: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Read the settings that vary and α/β, as the values of settings by axis and label."""
    axes: dict[str, dict[str, dict[str, Any]]] = {}
    for name, values in config.get("vary", {}).items():
        if name in config:
            raise ConfigError(f"{name}: give it once, by itself or in vary")
        axes[name] = {_label(name, value): {name: value} for value in values}
        if len(axes[name]) < len(values):
            raise ConfigError(f"vary.{name}: a value is there twice; got {values!r}. Remove one.")
    for value in config.get("ratios", []):
        label, weights = read_ratio(value)
        if label in axes.setdefault("ratio", {}):
            raise ConfigError(f"ratios: {value!r} is α/β = {label} again; remove one")
        axes["ratio"][label] = weights
    return axes


def _label(name: str, value: object) -> str:
    """Return the canonical label of a setting's value, which is a part of paths.

    Raises:
        ConfigError: the value is not allowed for the setting, or has no short label.
    """
    try:
        read = read_setting(name, value)
    except ConfigError as error:
        raise ConfigError(f"vary.{error}") from error
    if isinstance(read, tuple):
        label = "x".join(re.findall(r"[\d.]+", str(read))) or "none"
    elif isinstance(read, float):
        label = f"{read:.12g}".replace("e+", "e")
    else:
        label = str(read).lower()
    return checked_name(f"vary.{name}", label)


def _settings(key: str, values: Mapping[str, Any], config: Mapping[str, Any]) -> Settings:
    """Build and check a variant's settings, including whether the network has their layers."""
    try:
        scale = config.get("iterations_scale", 1)
        settings = shortened(
            Settings.from_mapping(values), scale, config.get("iterations_least", 1)
        )
        if scale > 1:  # the scaled numbers have the limits of the given numbers
            settings = Settings.from_mapping(settings.to_dict())
        sides = settings.image_size
        shape = (sides, sides) if isinstance(sides, int) else sides
        side, number, pixels = min(shape), len(settings.snapshots), math.prod(shape)
        seen = round(side * settings.style_scale) if settings.style_fit == "own" else side
        taps = settings.taps((side, side), (seen, seen))
        settings.architecture.check([*taps.content, *taps.style], side)
        settings.architecture.check(taps.style, seen)
        if number * pixels > MOST_SNAPSHOTS * 1e6:
            raise ConfigError(
                f"snapshots may have up to {MOST_SNAPSHOTS} megapixels together; got {number} of "
                f"up to {shape[0]}x{shape[1]} px. Give fewer, as {{every: 100}}."
            )
    except (ConfigError, ExtractorError) as error:
        raise ConfigError(f"{key}: {error}") from error
    return settings


def overridden(recipe: Preset, config: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """Return a recipe's settings, overridden by the configuration's and then by its ``own``."""
    given = {name: config[name] for name in Settings.shared_names() if name in config} | dict(own)
    if "image_size" in given:
        side = given["image_size"]
        given.setdefault("size", "exact" if isinstance(side, list) else "long_side")
        given = _fitting_stages(recipe.settings, side) | given
    if given.get("coarse_stages"):  # these sizes replace those of growth
        given.setdefault("growth", 0)
    weights = {"alpha": Settings.alpha, "beta": Settings.beta}
    return {**weights, **recipe.settings, **given}


def _fitting_stages(recipe: Mapping[str, Any], side: object) -> dict[str, Any]:
    """Return the settings that adapt a recipe's coarse stages to another ``image_size``.

    Stages given as shares of the size stay, if they are large enough. Stages in px are dropped. If
    no stage is left, a single size takes the steps of all stages.
    """
    stages = recipe.get("coarse_stages", [])
    number = side if isinstance(side, int) else 0
    shares = [[size, steps] for size, steps in stages if size < 1 and size * number >= SIDE[0]]
    if not stages or shares:
        return {"coarse_stages": shares} if stages else {}
    return {
        "coarse_stages": [],
        "iterations": recipe.get("iterations", Settings.iterations)
        + sum(steps for _, steps in stages),
    }


def shortened(settings: Settings, scale: int | float, least: int) -> Settings:
    """Scale the number of steps of each stage, and the steps of the snapshots.

    A stage keeps at least ``least`` steps, or all its steps if it has fewer.
    """

    def scaled(steps: int) -> int:
        return max(round(steps * scale), min(steps, least))

    iterations = scaled(settings.iterations)
    snapshots = {round(step * iterations / settings.iterations) for step in settings.snapshots}
    return replace(
        settings,
        iterations=iterations,
        coarse_stages=tuple((size, scaled(steps)) for size, steps in settings.coarse_stages),
        growth=scaled(settings.growth),
        finish=scaled(settings.finish),
        averaging=settings.averaging ** (settings.iterations / iterations),
        snapshots=tuple(sorted(snapshots)),
    )


def _positive(key: str, value: object) -> Decimal:
    """Read a positive number; YAML reads ``1e-3`` as text."""
    try:
        number = Decimal(0) if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        number = Decimal(0)
    if not (number.is_finite() and Decimal("1e-12") <= number <= Decimal("1e12")):
        raise ConfigError(f"{key} must be a number from 1e-12 to 1e12, as 1e-2; got {value!r}")
    return number
