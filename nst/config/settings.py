"""What decides a cell's pixels, in one frozen value.

Device, threads and paths stay outside it. A ``Settings`` is built once, passed whole, and saved
beside every result, so that a picture can be made again from its own metadata.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any, Literal, get_args

from nst.config import octaves as octave_names
from nst.config.octaves import Size, Taps
from nst.errors import ConfigError

ALGORITHM_VERSION = 11
"""Raised by whoever changes what the same settings compute, so that old cells are not reused."""

ContentLossName = Literal["relative", "half_sum", "mean", "scaled", "cosine", "self_similarity"]
StyleLossName = Literal[
    "covariance",
    "moments",
    "sliced_wasserstein",
    "nearest",
    "relative",
    "sum_gram",
    "mean_gram",
    "mean_plain_gram",
    "mean_plain_gram_per_value",
    "scaled_gram",
    "relaxed_emd",
]
TvLossName = Literal["mean_square", "square_sum", "absolute_sum"]
ExtractorName = Literal["kmeans", "vgg19", "vgg19_16x", "vgg16", "vgg16_hed"]
PublishedName = Literal["vgg16_hed", "vgg19_16x", "vgg19", "vgg16"]
"""The extractors whose weights are fetched."""
PUBLISHED: tuple[PublishedName, ...] = get_args(PublishedName)
PoolingName = Literal["native", "max", "average"]
PaddingName = Literal["native", "symmetric"]
InputName = Literal["native", "imagenet", "unit", "caffe"]
SizeName = Literal["long_side", "short_side", "exact"]
StyleFitName = Literal["own", "content"]
OptimiserName = Literal["lbfgs", "adam", "keras_adam", "rmsprop"]
ParametrisationName = Literal["pixels", "pyramid"]
ContentTargetName = Literal["content", "recoloured", "matched"]
ColoursName = Literal["style", "content", "luminance", "recoloured"]
Start = Literal[
    "recoloured", "content", "detail", "style", "noise", "blended_noise", "grey", "file"
]
KeepName = Literal["best", "last"]
PrecisionName = Literal["auto", "float32", "bfloat16"]

CONTENT_LAYERS: Mapping[str, float] = MappingProxyType({"relu4_2": 1.0})
STYLE_LAYERS: Mapping[str, float] = MappingProxyType(
    {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "relu5_1": 1.0}
)
OF_ALL_POSITIONS = frozenset({"sliced_wasserstein", "nearest", "relaxed_emd"})
"""The style losses that sort or look through the positions, so not a picture tile by tile."""
OF_SAMPLES: Mapping[str, str] = MappingProxyType(
    {"content_loss": "self_similarity", "style_loss": "relaxed_emd"}
)
"""The losses of features at sampled positions."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything but the images that decides a cell's pixels.

    ``content_layers`` and ``style_layers`` map layer names to weights in the content and in the
    style loss. ``image_size`` is the side of the result in pixels that ``size`` names; with
    ``exact``, both are given, as (width, height). ``blend`` leads from the first picture of a
    blended style, at 0, to the last, at 1; None stands for the style's own weights.
    ``coarse_stages`` are pairs of a size and a number of iterations to go through before; a size
    is given in px, or, below 1, as a share of ``image_size``.
    ``growth`` is the number at each half of ``image_size`` to go through, from about
    ``SMALLEST_STAGE`` px. With ``finish``, these stages minimise the content loss alone, and then
    ``finish`` steps at the full size minimise the style loss alone. ``coarse_alpha`` multiplies
    ``alpha`` at each halving of the size, and ``coarse_learning_rate`` replaces ``learning_rate``
    at all sizes but the last. ``averaging`` is the decay of a moving average of the images, which
    is then the last image; 0 is none. ``tile_size`` is the side, in px, above which a picture is
    computed in tiles. config/README.md says what each of them does. ``from_mapping`` checks the
    values.
    """

    alpha: float = 1.0
    beta: float = 10.0
    colours: ColoursName = "style"
    blend: float | None = None
    content_target: ContentTargetName = "content"
    match_content: float = 0.75
    content_loss: ContentLossName = "relative"
    style_loss: StyleLossName = "relative"
    tv_loss: TvLossName = "mean_square"
    tv_weight: float = 0.0
    content_layers: Mapping[str, float] = field(default_factory=lambda: CONTENT_LAYERS)
    style_layers: Mapping[str, float] = field(default_factory=lambda: STYLE_LAYERS)
    octaves: int | Literal["auto"] = 1
    extractor: ExtractorName = "vgg16_hed"
    pooling: PoolingName = "native"
    padding: PaddingName = "native"
    input: InputName = "native"
    image_size: int | tuple[int, int] = 256
    size: SizeName = "long_side"
    style_fit: StyleFitName = "own"
    style_scale: float = 1.0
    style_rotations: bool = False
    start: Start = "recoloured"
    start_noise: float = 0.1
    optimiser: OptimiserName = "lbfgs"
    parametrisation: ParametrisationName = "pixels"
    learning_rate: float = 0.02
    coarse_learning_rate: float | None = None
    adam_beta1: float = 0.9
    adam_beta2: float = 0.99
    adam_epsilon: float = 1e-8
    clamp: bool = True
    keep: KeepName = "best"
    averaging: float = 0.0
    iterations: int = 100
    coarse_stages: tuple[tuple[int | float, int], ...] = ()
    coarse_alpha: float = 1.0
    growth: int = 0
    finish: int = 0
    snapshots: tuple[int, ...] = ()
    seed: int = 0
    precision: PrecisionName = "auto"
    tile_size: int | Literal["auto"] = "auto"

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
        settings = cls(**{name: _as_field(name, value) for name, value in values.items()})
        _check_together(settings)
        return settings

    @property
    def stages(self) -> tuple[tuple[int | Size, int], ...]:
        """The sizes to go through, as ``image_size``, with the iterations at each."""
        finish = [(self.image_size, self.finish)] if self.finish else []
        return (*self.coarse, *self.grown, (self.image_size, self.iterations), *finish)

    @property
    def coarse(self) -> list[tuple[int, int]]:
        """``coarse_stages``, with all sizes in px."""
        longer = longer_side(self.image_size)
        return [
            (round(size * longer) if size < 1 else int(size), steps)
            for size, steps in self.coarse_stages
        ]

    @property
    def grown(self) -> list[tuple[int | Size, int]]:
        """The halves of the size that ``growth`` asks for, the smallest first."""
        if not self.growth:
            return []
        sizes = [_halved(self.image_size, times) for times in range(octave_names.MOST, 0, -1)]
        return [(size, self.growth) for size in sizes if longer_side(size) >= SMALLEST_STAGE]

    @property
    def needs_all_positions(self) -> str:
        """The setting that cannot be computed tile by tile; empty if there is none."""
        if self.style_loss in OF_ALL_POSITIONS:
            return f"style_loss: {self.style_loss}"
        if self.content_target == "matched":
            return "content_target: matched"
        content, style = self.compared_layers
        layers = {octave_names.split_octave(one)[0] for one in {**content, **style}}
        stacked = sorted(layers & octave_names.HYPERCOLUMN_BLOCKS.keys())
        return f"layer {stacked[0]}" if stacked else ""

    @property
    def compared_layers(self) -> tuple[dict[str, float], dict[str, float]]:
        """The content's and the style's layers and weights, without those of weight 0."""
        content, style = (
            {layer: weight for layer, weight in weights.items() if weight}
            for weights in (self.content_layers, self.style_layers)
        )
        return content, style

    def taps(self, content: Size, style: Size, halvings: int = 0) -> Taps:
        """Return what is compared of a result of this size, for a style of that one.

        Sizes are (width, height) in px. ``halvings`` says how often the result was halved against
        the one in the end: so many octaves are not there yet.
        """
        content_layers, style_layers = self.compared_layers
        if self.octaves == "auto":
            number = octave_names.count(style_layers, content_layers, content, style)
        else:
            number = max(1, self.octaves - halvings)
        content_taps, style_taps = (
            octave_names.taps(layers, number, halvings) for layers in (content_layers, style_layers)
        )
        return Taps(content_taps, style_taps)

    @classmethod
    def shared_names(cls) -> list[str]:
        """Name the settings that a configuration gives once, for all the variants of a run."""
        varied = ("alpha", "beta", "content_layers", "style_layers")
        return [one.name for one in fields(cls) if one.name not in varied]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON; ``from_mapping`` reads them back."""
        return {one.name: _as_plain(getattr(self, one.name)) for one in fields(self)}


RANGES: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "alpha": (0.0, 1e12),
        "beta": (0.0, 1e12),
        "tv_weight": (0.0, 1e12),
        "style_scale": (0.1, 10.0),
        "start_noise": (0.0, 1.0),
        "blend": (0.0, 1.0),
        "match_content": (0.0, 1.0),
        "learning_rate": (1e-9, 1e3),
        "coarse_learning_rate": (1e-9, 1e3),
        "coarse_alpha": (1e-3, 1e3),
        "adam_beta1": (0.0, 0.999999),
        "adam_beta2": (0.0, 0.999999),
        "adam_epsilon": (0.0, 1e6),
        "averaging": (0.0, 0.999999),
    }
)
WHOLE: Mapping[str, tuple[int, int]] = MappingProxyType(
    {
        "octaves": (1, octave_names.MOST),
        "iterations": (1, 100_000),
        "growth": (0, 100_000),
        "finish": (0, 100_000),
        "seed": (0, 2**63 - 1),
        "tile_size": (64, 8192),
    }
)
UNLESS: Mapping[str, object] = MappingProxyType(
    {"octaves": "auto", "blend": None, "coarse_learning_rate": None, "tile_size": "auto"}
)
"""What may stand in the place of a number."""
SIDE = (32, 8192)  # px
SMALLEST_STAGE = 64  # px: the longer side below which a picture does not begin to grow
OF_LISTS: Mapping[str, tuple[int, int]] = MappingProxyType(
    {"image_size": SIDE, "snapshots": (0, WHOLE["iterations"][1])}
)
CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "colours": get_args(ColoursName),
        "content_target": get_args(ContentTargetName),
        "content_loss": get_args(ContentLossName),
        "style_loss": get_args(StyleLossName),
        "tv_loss": get_args(TvLossName),
        "extractor": get_args(ExtractorName),
        "pooling": get_args(PoolingName),
        "padding": get_args(PaddingName),
        "input": get_args(InputName),
        "size": get_args(SizeName),
        "style_fit": get_args(StyleFitName),
        "start": get_args(Start),
        "optimiser": get_args(OptimiserName),
        "parametrisation": get_args(ParametrisationName),
        "keep": get_args(KeepName),
        "precision": get_args(PrecisionName),
    }
)


def plain_value(name: str, value: object) -> Any:
    """Return a setting's value as ``Settings.to_dict`` spells it, whatever the other settings are.

    Raises:
        ConfigError: it is no value of the setting.
    """
    _check(name, value)
    return _as_plain(_as_field(name, value))


def as_published(name: str) -> PublishedName:
    """Return the name of a published extractor.

    Raises:
        ConfigError: there is none of that name.
    """
    for one in PUBLISHED:
        if one == name:
            return one
    raise ConfigError(f"a network to fetch must be one of {', '.join(PUBLISHED)}; got {name!r}")


def _check(name: str, value: object) -> None:
    """Check one setting's kind and range."""
    if name in UNLESS and value == UNLESS[name]:
        return
    if name in RANGES:
        _check_range(name, value, *RANGES[name])
    elif name in WHOLE:
        _check_whole(name, value, *WHOLE[name])
    elif name in CHOICES:
        _check_choice(name, value, CHOICES[name])
    elif name in {"clamp", "style_rotations"}:
        if not isinstance(value, bool):
            raise ConfigError(f"{name} must be true or false; got {value!r}")
    elif name in {"image_size", "coarse_stages", "snapshots"}:
        _check_list(name, value)
    else:
        _check_layers(name, value)


def _check_list(name: str, value: object) -> None:
    """Check the settings that are, or may be, lists of whole numbers."""
    if name == "image_size" and not isinstance(value, list | tuple):
        _check_whole(name, value, *SIDE)
        return
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{name} must be a list; got {value!r}")
    if name == "image_size" and len(value) != 2:
        raise ConfigError(f"image_size must be a number or [width, height]; got {value!r}")
    for one in value:
        if name == "coarse_stages":
            _check_stage(one)
        else:
            _check_whole(name, one, *OF_LISTS[name])


def _check_stage(stage: object) -> None:
    """Check one of ``coarse_stages``."""
    if not isinstance(stage, list | tuple) or len(stage) != 2:
        raise ConfigError(f"coarse_stages must be a list of [size, iterations]; got {stage!r}")
    if not (isinstance(stage[0], float) and 0 < stage[0] < 1):  # a share of image_size
        _check_whole("coarse_stages: a size of 1 or more", stage[0], *SIDE)
    _check_whole("coarse_stages: the iterations", stage[1], *WHOLE["iterations"])


def _check_together(settings: Settings) -> None:
    """Check what depends on more than one setting."""
    if settings.alpha == settings.beta == 0:
        raise ConfigError("alpha and beta are both 0, so nothing is asked for; raise one")
    if (settings.size == "exact") != isinstance(settings.image_size, tuple):
        raise ConfigError(
            "image_size must be [width, height] with size: exact, and one number without; got "
            f"size: {settings.size}, image_size: {settings.image_size}"
        )
    if settings.size == "exact" and settings.coarse_stages:
        raise ConfigError(
            "coarse_stages need size: long_side or short_side; got exact. Remove one."
        )
    if settings.coarse_stages and settings.growth:
        raise ConfigError("coarse_stages and growth cannot both be given; remove one of them")
    small = [size for size, _ in settings.coarse if size < SIDE[0]]
    if small:
        raise ConfigError(
            f"coarse_stages: each size must be at least {SIDE[0]} px; a share of image_size, "
            f"{settings.image_size}, is only {small[0]} px. Raise the share or image_size."
        )
    if settings.tile_size != "auto" and settings.needs_all_positions:
        raise ConfigError(
            f"tile_size must be auto with {settings.needs_all_positions}, which needs all "
            f"positions at once; got {settings.tile_size}. Change one of the two."
        )
    if settings.parametrisation == "pyramid" and settings.optimiser == "lbfgs":
        raise ConfigError(
            "parametrisation: pyramid needs optimiser: adam, keras_adam or rmsprop; got lbfgs. "
            "Change one."
        )
    _check_samples(settings)
    late = [one for one in settings.snapshots if one > settings.iterations]
    if late:
        raise ConfigError(
            f"snapshots must not lie beyond iterations, {settings.iterations}; got {late[0]}. "
            "Raise iterations, or remove it."
        )


def _check_samples(settings: Settings) -> None:
    """Check that the losses of samples have the layer that is sampled, and no other has it."""
    layer = octave_names.SAMPLED
    for (name, loss), weights in zip(OF_SAMPLES.items(), settings.compared_layers, strict=True):
        sampled = [octave_names.is_sampled(one) for one in weights]
        layers, given = name.replace("_loss", "_layers"), getattr(settings, name)
        if given == loss and not all(sampled):
            raise ConfigError(
                f"{name}: {loss} needs {layers}: {{{layer}: 1}} and no other layer; got "
                f"{', '.join(weights)}. Set these layers, or another {name}; formulations compares "
                "recipes with other layers."
            )
        if given != loss and any(sampled):
            raise ConfigError(
                f"{layers}: {layer} needs {name}: {loss}; got {given}. Change one of the two."
            )
        if given == loss and settings.optimiser == "lbfgs":
            raise ConfigError(
                f"{name}: {loss} needs optimiser: rmsprop, adam or keras_adam, because it looks at "
                "other positions in each step; got lbfgs. Change one of the two."
            )
    if settings.content_target == "matched" and settings.content_loss == "self_similarity":
        raise ConfigError(
            "content_target: matched cannot be used with content_loss: self_similarity. Change one."
        )


def _check_range(name: str, value: object, low: float, high: float) -> None:
    """Require a finite number between ``low`` and ``high``."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (number and low <= value <= high):  # type: ignore[operator]
        rule = f"a number from {low:g} to {high:g}{_or_else(name)}"
        raise ConfigError(f"{name} must be {rule}; got {value!r}")


def _check_whole(name: str, value: object, low: int, high: int) -> None:
    """Require a whole number between ``low`` and ``high``."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole and low <= value <= high):  # type: ignore[operator]
        rule = f"a whole number from {low} to {high}{_or_else(name)}"
        raise ConfigError(f"{name} must be {rule}; got {value!r}")


def _or_else(name: str) -> str:
    """Name what may stand in the place of a number."""
    return f", or {UNLESS[name] or 'null'}" if name in UNLESS else ""


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Require one of ``choices``."""
    if value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}; got {value!r}")


def _check_layers(name: str, weights: object) -> None:
    """Require layer names with weights, one of them above 0."""
    if not isinstance(weights, Mapping) or not weights:
        raise ConfigError(f"{name} must map layer names to weights, as relu4_2: 1; got {weights!r}")
    for layer, weight in weights.items():
        if not octave_names.LAYER.fullmatch(str(layer)):
            raise ConfigError(f"{name}: {layer!r} is not a layer; layers are named as relu4_2")
        _check_range(f"{name}: the weight of {layer}", weight, 0.0, 1e12)
    if not any(weights.values()):
        raise ConfigError(f"{name}: all weights are 0; give at least one layer a positive weight")


def _as_field(name: str, value: Any) -> Any:
    """Bring a checked value into the form of its field, so that 1 and 1.0 are the same setting."""
    if name in UNLESS and value == UNLESS[name]:
        return value
    if name in RANGES:
        return float(value)
    if isinstance(value, Mapping):
        return {layer: float(weight) for layer, weight in value.items()}
    if name == "snapshots":
        return tuple(sorted(set(value)))
    if isinstance(value, list | tuple):
        return tuple(tuple(one) if isinstance(one, list | tuple) else one for one in value)
    return value


def longer_side(size: int | Size) -> int:
    """Return the side that ``image_size`` names, or the longer one of both."""
    return size if isinstance(size, int) else max(size)


def _halved(size: int | Size, times: int) -> int | Size:
    """Halve a size, as image_size has it, and again."""
    if isinstance(size, int):
        return max(1, size >> times)
    return max(1, size[0] >> times), max(1, size[1] >> times)


def _as_plain(value: Any) -> Any:
    """Turn mappings into dicts and tuples into lists, as JSON would."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, tuple):
        return [_as_plain(one) for one in value]
    return value
