"""What decides a cell's pixels, in one frozen value.

Device, threads and paths stay outside it. A ``Settings`` is built once, passed whole, and saved
beside every result, so that a picture can be made again from its own metadata.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, get_args

from nst.errors import ConfigError

ALGORITHM_VERSION = 1
"""Raised by whoever changes what the same settings compute, so that old cells are not reused."""

Formulation = Literal["relative"]
ExtractorName = Literal["kmeans", "vgg19", "vgg19_16x"]
OptimiserName = Literal["lbfgs", "adam"]
Start = Literal["recoloured", "content", "noise"]

CONTENT_LAYERS: Mapping[str, float] = MappingProxyType({"relu4_2": 1.0})
STYLE_LAYERS: Mapping[str, float] = MappingProxyType(
    {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}
)
LAYER_NAME = re.compile(r"(conv|relu)[1-5]_[1-4]")


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything but the two images that decides a cell's pixels.

    ``content_layers`` and ``style_layers`` map layer names to weights in the content and in the
    style loss. ``image_size`` is the longer side of the result in pixels, ``style_scale`` the
    longer side of the style image in units of it. ``start_noise`` is the share of the start's
    variance that is noise.

    ``from_mapping`` checks the values.
    """

    alpha: float = 1.0
    beta: float = 10.0
    content_layers: Mapping[str, float] = field(default_factory=lambda: CONTENT_LAYERS)
    style_layers: Mapping[str, float] = field(default_factory=lambda: STYLE_LAYERS)
    tv_weight: float = 0.0
    formulation: Formulation = "relative"
    extractor: ExtractorName = "kmeans"
    image_size: int = 256
    style_scale: float = 1.0
    start: Start = "recoloured"
    start_noise: float = 0.1
    optimiser: OptimiserName = "lbfgs"
    iterations: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("content_layers", "style_layers"):
            # Sorted and read-only, so that equal settings are equal in every way.
            weights = dict(sorted(getattr(self, name).items()))
            object.__setattr__(self, name, MappingProxyType(weights))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Settings:
        """Build settings from names and values; what is not named has its default.

        Raises:
            ConfigError: a name is not a setting, or a value is of the wrong kind or out of range.
        """
        known = [one.name for one in fields(cls)]
        unknown = [name for name in values if name not in known]
        if unknown:
            raise ConfigError(
                f"unknown setting {unknown[0]!r}; the settings are {', '.join(known)}"
            )
        for name, value in values.items():
            _check(name, value)
        settings = cls(**{name: _as_float(name, value) for name, value in values.items()})
        if settings.alpha == settings.beta == 0:
            raise ConfigError("alpha and beta are both 0, so nothing is asked for; raise one")
        return settings

    @classmethod
    def shared_names(cls) -> list[str]:
        """Name the settings that all variants of a run share."""
        varied = ("alpha", "beta", "content_layers", "style_layers")
        return [one.name for one in fields(cls) if one.name not in varied]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; ``from_mapping`` reads them back."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        for name in ("content_layers", "style_layers"):
            plain[name] = dict(plain[name])
        return plain


RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "alpha": (0.0, 1e12),
        "beta": (0.0, 1e12),
        "tv_weight": (0.0, 1e12),
        "style_scale": (0.1, 10.0),
        "start_noise": (0.0, 1.0),
    }
)
WHOLE: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"image_size": (32, 8192), "iterations": (1, 100_000), "seed": (0, 2**63 - 1)}
)
CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "formulation": get_args(Formulation),
        "extractor": get_args(ExtractorName),
        "start": get_args(Start),
        "optimiser": get_args(OptimiserName),
    }
)


def _check(name: str, value: object) -> None:
    """Check one setting's kind and range."""
    if name in RANGES:
        _check_range(name, value, *RANGES[name])
    elif name in WHOLE:
        _check_whole(name, value, *WHOLE[name])
    elif name in CHOICES:
        _check_choice(name, value, CHOICES[name])
    else:
        _check_layers(name, value)


def _as_float(name: str, value: Any) -> Any:
    """Turn a checked setting's numbers into floats, unless they are counts."""
    if name in RANGES:
        return float(value)
    if isinstance(value, Mapping):
        return {layer: float(weight) for layer, weight in value.items()}
    return value


def _check_range(name: str, value: object, low: float, high: float) -> None:
    """Require a finite number between ``low`` and ``high``."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and low <= value <= high):  # type: ignore[operator]
        raise ConfigError(f"{name} must be a number from {low:g} to {high:g}; got {value!r}")


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    """Require a whole number between ``low`` and ``high``."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole and low <= value <= high):  # type: ignore[operator]
        raise ConfigError(f"{name} must be a whole number from {low} to {high}; got {value!r}")


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Require one of ``choices``."""
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


def _check_layers(name: str, weights: object) -> None:
    """Require layer names with weights, one of them above 0."""
    if not isinstance(weights, Mapping) or not weights:
        raise ConfigError(f"{name} must map layer names to weights, as relu4_2: 1; got {weights!r}")
    for layer, weight in weights.items():
        if not LAYER_NAME.fullmatch(str(layer)):
            raise ConfigError(f"{name}: {layer!r} is not a layer; layers are named as relu4_2")
        _check_range(f"{name}: the weight of {layer}", weight, 0.0, 1e12)
    if not any(weights.values()):
        raise ConfigError(f"{name}: all weights are 0; give at least one layer a positive weight")
