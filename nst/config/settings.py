"""The settings that determine a cell's pixels, in one frozen value.

Device, threads and paths stay outside it. A ``Settings`` is built once, passed whole, and saved
with every cell, so that a picture can be recomputed from its own metadata. Each field declares its
allowed values and its meaning. The checks of a configuration, the messages, the help of
``nst stylize`` and the table in config/README.md follow from these declarations.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Annotated, Any, Literal, get_args, get_type_hints

from nst.config import layers as layer_names
from nst.config.layers import Architecture, Size, Taps
from nst.config.registry import CONTENT_LOSSES, NETWORKS, STATISTICS, TV_LOSSES, Registry
from nst.errors import ConfigError, shown

ALGORITHM_VERSION = 11
"""Increase this number if the same settings compute other pixels, so that no old cell is reused."""

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
SIDE = (32, 8192)  # px
SMALLEST_STAGE = 64  # px: the smallest longer side from which a picture grows


@dataclass(frozen=True)
class Rule:
    """The allowed values: ``choices``, numbers within ``limits``, and those that ``form`` reads.

    ``text`` completes the sentence "… must be …".
    """

    text: str
    choices: tuple[object, ...] = ()
    limits: tuple[int | float, int | float] | None = None
    whole: bool = False
    form: Callable[[Any], object] | None = None

    def read(self, value: Any) -> Any:
        """Return an allowed value in the type of its field; 1 is not true, and true no number.

        Raises:
            ValueError: the value, or a value in it, is not allowed; the text shows it.
        """
        if any(type(value) is type(one) and value == one for one in self.choices):
            return value
        kind = int if self.whole else int | float
        if self.limits and isinstance(value, kind) and not isinstance(value, bool):
            if self.limits[0] <= value <= self.limits[1]:
                return value if self.whole else float(value)
        elif self.form:
            return self.form(value)
        raise ValueError(shown(value))


def number(
    low: int | float, high: int | float, *instead: str | None, whole: bool = False, text: str = ""
) -> Rule:
    """Return the rule of a number, or of one of the values ``instead`` of a number."""
    ends = (re.sub(r"e\+?(-?)0*", r"e\1", f"{one:g}") for one in (low, high))
    limits = " to ".join(ends)
    or_else = "".join(f", or {one or 'null'}" for one in instead)
    kind = "a whole number" if whole else "a number"
    text = text or f"{kind} from {limits}{or_else}"
    return Rule(text, instead, (low, high), whole)


def named(registry: Registry[Any]) -> Rule:
    """Return the rule of a name in a registry; the text lists the names of this package."""
    return Rule(f"one of {', '.join(registry)}", tuple(registry), form=registry.checked)


def _read_sides(value: Any) -> object:
    """Read [width, height]."""
    width, height = _read_list(value, 2)
    return A_SIDE.read(width), A_SIDE.read(height)


def _read_stages(value: Any) -> object:
    """Read a list of [size, iterations]; a float below 1 is a share of image_size."""
    return tuple(
        (size if isinstance(size, float) and 0 < size < 1 else A_SIDE.read(size), STEPS.read(steps))
        for size, steps in (_read_list(one, 2) for one in _read_list(value))
    )


def _read_snapshots(value: Any) -> object:
    """Read a list of steps or ``{every: N}``, which ``Settings.from_mapping`` turns into a list."""
    if isinstance(value, Mapping) and set(value) == {"every"}:
        return {"every": STEPS.read(value["every"])}
    return tuple(sorted({STEPS_OR_0.read(one) for one in _read_list(value)}))


def _read_list(value: Any, length: int | None = None) -> Sequence[Any]:
    """Require a list, of a ``length`` if it is given."""
    if not isinstance(value, list | tuple) or length not in (None, len(value)):
        raise ValueError(shown(value))
    return value


def _read_layers(value: Any) -> object:
    """Read a mapping of layer names to weights, at least one of them above 0."""
    if not isinstance(value, Mapping) or not any(value.values()):
        raise ValueError(shown(value))
    for layer in value:
        if not layer_names.LAYER.fullmatch(str(layer)):
            raise ValueError(shown(layer))
    return {layer: WEIGHT.read(weight) for layer, weight in value.items()}


WEIGHT = number(0, 1e12)
LAYERS = Rule(
    "layer names, as relu4_2, with weights from 0 to 1e12, at least one of them above 0",
    form=_read_layers,
)
BELOW_1 = number(0, 0.999999, text="a number from 0 to below 1")
STEPS, STEPS_OR_0 = number(1, 100_000, whole=True), number(0, 100_000, whole=True)
A_SIDE = number(*SIDE, whole=True)
SIZES = replace(
    A_SIDE,
    text=f"a whole number of pixels from {SIDE[0]} to {SIDE[1]}, or [width, height]",
    form=_read_sides,
)
STAGES = Rule(
    "a list of [size, iterations] to go through first; a size is in pixels, from "
    f"{SIDE[0]} to {SIDE[1]}, or a share of image_size below 1",
    form=_read_stages,
)
SNAPSHOTS = Rule(
    "a list of step numbers, from 0 to iterations, or {every: N} with N from 1 to 100000",
    form=_read_snapshots,
)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything except the images that determines a cell's pixels.

    Each field declares its meaning, and its allowed values unless its type does. config/README.md
    has more detail. ``from_mapping`` checks the values.
    """

    alpha: Annotated[float, WEIGHT, "The weight of the content loss."] = 1.0
    beta: Annotated[float, WEIGHT, "The weight of the style loss."] = 10.0
    colours: Annotated[
        ColoursName,
        "The colours of the result: the style's; the content's; with luminance, the content's "
        "chroma; with recoloured, that chroma matched to the style's.",
    ] = "style"
    blend: Annotated[
        float | None,
        number(0, 1, None),
        "The place between the first and the last image of a blend; null uses the blend's weights.",
    ] = None
    content_target: Annotated[
        ContentTargetName,
        "The target of the content loss: the content, recoloured, or matched to the style.",
    ] = "content"
    match_content: Annotated[
        float, number(0, 1), "With matched, the content's share in the features that are replaced."
    ] = 0.75
    content_loss: Annotated[
        str, named(CONTENT_LOSSES), "How features are compared with the content's."
    ] = "relative"
    style_loss: Annotated[
        str, named(STATISTICS), "Which statistics of features are compared with the style's."
    ] = "relative"
    tv_loss: Annotated[str, named(TV_LOSSES), "How total variation is measured."] = "mean_square"
    tv_weight: Annotated[float, WEIGHT, "The weight of the total variation, which smooths."] = 0.0
    content_layers: Annotated[
        Mapping[str, float], LAYERS, "Layers in the content loss, with weights."
    ] = field(default_factory=lambda: CONTENT_LAYERS)
    style_layers: Annotated[
        Mapping[str, float], LAYERS, "Layers in the style loss, with weights."
    ] = field(default_factory=lambda: STYLE_LAYERS)
    octaves: Annotated[
        int | Literal["auto"],
        number(1, layer_names.MOST, "auto", whole=True),
        "The number of octaves (full size, half, …) at which content and style are compared.",
    ] = 1
    extractor: Annotated[
        str,
        named(NETWORKS),
        "kmeans needs no download. The others are fetched once: vgg19_16x (4 MB), vgg16_hed "
        "(55 MB), vgg16 and vgg19 (over 500 MB).",
    ] = "vgg16_hed"
    pooling: Annotated[PoolingName, "How the network pools; native is as it was trained."] = (
        "native"
    )
    padding: Annotated[PaddingName, "How the network pads the picture at its border."] = "native"
    input: Annotated[InputName, "The form in which the network gets colours."] = "native"
    image_size: Annotated[
        int | tuple[int, int], SIZES, "The side that size names, in pixels; with exact, both sides."
    ] = 256
    size: Annotated[SizeName, "Which side image_size gives; exact stretches the content."] = (
        "long_side"
    )
    style_fit: Annotated[
        StyleFitName, "The shape of the style: its own, or stretched to the content's."
    ] = "own"
    style_scale: Annotated[
        float, number(0.1, 10), "Size of the style relative to the result; above 1, larger strokes."
    ] = 1.0
    style_rotations: Annotated[bool, "Whether the style is compared at four angles."] = False
    start: Annotated[
        Start, "The first picture; recoloured is the content in the style's colours."
    ] = "recoloured"
    start_noise: Annotated[
        float,
        number(0, 1),
        "The share of noise in recoloured and blended_noise; its deviation in grey.",
    ] = 0.1
    optimiser: Annotated[OptimiserName, "The optimiser; L-BFGS needs fewer steps than Adam."] = (
        "lbfgs"
    )
    parametrisation: Annotated[
        ParametrisationName,
        "The parameters that Adam or RMSprop updates: pixels, or levels of a Laplacian pyramid.",
    ] = "pixels"
    learning_rate: Annotated[float, number(1e-9, 1e3), "The learning rate of Adam and RMSprop."] = (
        0.02
    )
    coarse_learning_rate: Annotated[
        float | None,
        number(1e-9, 1e3, None),
        "The learning rate at all sizes but the last; null takes learning_rate.",
    ] = None
    adam_beta1: Annotated[float, BELOW_1, "β₁ of Adam."] = 0.9
    adam_beta2: Annotated[float, BELOW_1, "β₂ of Adam and RMSprop."] = 0.99
    adam_epsilon: Annotated[float, number(0, 1e6), "ε of Adam and RMSprop."] = 1e-8
    clamp: Annotated[bool, "Whether the picture is clamped to [0, 1] at every step."] = True
    keep: Annotated[
        KeepName, "The picture to keep: the picture of the lowest loss, or the last."
    ] = "best"
    averaging: Annotated[
        float,
        BELOW_1,
        "The decay of a moving average, which replaces the last picture; 0: none.",
    ] = 0.0
    iterations: Annotated[int, STEPS, "Steps at the full size; more is finer."] = 100
    coarse_stages: Annotated[
        tuple[tuple[int | float, int], ...],
        STAGES,
        "Smaller sizes to compute first, instead of growth.",
    ] = ()
    coarse_alpha: Annotated[
        float, number(1e-3, 1e3), "The factor on alpha for each halving of the size."
    ] = 1.0
    growth: Annotated[
        int,
        STEPS_OR_0,
        "Steps at each smaller size that the picture grows through, from about 64 px.",
    ] = 0
    finish: Annotated[
        int,
        STEPS_OR_0,
        "Steps at the end for the style loss alone; all before are for the content loss. 0: none.",
    ] = 0
    snapshots: Annotated[tuple[int, ...], SNAPSHOTS, "The steps whose pictures are kept."] = ()
    seed: Annotated[
        int,
        number(0, 2**63 - 1, whole=True, text="a whole number from 0 to 2^63 - 1"),
        "The same seed gives the same picture.",
    ] = 0
    precision: Annotated[
        PrecisionName, "bfloat16 is faster where the hardware supports it; auto detects this."
    ] = "auto"
    tile_size: Annotated[
        int | Literal["auto"],
        number(64, 8192, "auto", whole=True),
        "The side in pixels above which a picture is computed in tiles.",
    ] = "auto"

    def __post_init__(self) -> None:
        for name in ("content_layers", "style_layers"):
            # Sorted and read-only, so that equal settings are equal in every way.
            weights = dict(sorted(getattr(self, name).items()))
            object.__setattr__(self, name, MappingProxyType(weights))

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Settings:
        """Build settings from names and values, with defaults for all other settings.

        Raises:
            ConfigError: a name is not a setting, or a value is of the wrong kind or out of range.
        """
        fields = {name: read_setting(name, value) for name, value in values.items()}
        if isinstance(fields.get("snapshots"), Mapping):
            iterations = fields.get("iterations", cls.iterations)
            steps = range(0, iterations, fields["snapshots"]["every"])
            fields["snapshots"] = (*steps, iterations)
        settings = cls(**fields)
        _check_together(settings)
        return settings

    @property
    def stages(self) -> tuple[tuple[int | Size, int], ...]:
        """The sizes of all stages in order, in the form of ``image_size``, with their steps."""
        finish = [(self.image_size, self.finish)] if self.finish else []
        return (*self.smaller, (self.image_size, self.iterations), *finish)

    @property
    def smaller(self) -> list[tuple[int | Size, int]]:
        """The sizes before the full size, of ``coarse_stages`` in px or those of ``growth``."""
        if not self.growth:
            longer = longer_side(self.image_size)
            return [
                (round(size * longer) if size < 1 else int(size), steps)
                for size, steps in self.coarse_stages
            ]
        sizes = [_halved(self.image_size, times) for times in range(layer_names.MOST, 0, -1)]
        return [(size, self.growth) for size in sizes if longer_side(size) >= SMALLEST_STAGE]

    @property
    def architecture(self) -> Architecture:
        """The architecture of the network."""
        return NETWORKS[self.extractor].architecture

    @property
    def needs_all_positions(self) -> str:
        """The setting that cannot be computed in tiles; empty if all settings can."""
        if STATISTICS[self.style_loss].merge is None:
            return f"style_loss: {self.style_loss}"
        if self.content_target == "matched":
            return "content_target: matched"
        content, style = self.compared_layers
        layers = {layer_names.split_octave(one)[0] for one in {**content, **style}}
        stacked = sorted(layers & layer_names.HYPERCOLUMN_BLOCKS.keys())
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
        """Return the layers and octaves in which a result of one size is compared with a style.

        Sizes are (width, height) in px. ``halvings`` is the number of halvings between the final
        size and this size of the result, which lacks as many octaves.
        """
        content_layers, style_layers = self.compared_layers
        if self.octaves == "auto":
            number = layer_names.count(style_layers, content_layers, content, style)
        else:
            number = max(1, self.octaves - halvings)
        content_taps, style_taps = (
            layer_names.taps(layers, number, halvings) for layers in (content_layers, style_layers)
        )
        return Taps(content_taps, style_taps)

    @classmethod
    def shared_names(cls) -> list[str]:
        """Return the names of the settings that a configuration gives once, for all variants."""
        varied = ("alpha", "beta", "content_layers", "style_layers")
        return [name for name in RULES if name not in varied]

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values, for JSON; ``from_mapping`` reads them back."""
        values = {name: getattr(self, name) for name in RULES}
        plain: dict[str, Any] = json.loads(json.dumps(values, default=dict))
        return plain


def _rule_of(kind: Any, given: Sequence[Rule]) -> Rule:
    """Return the rule that a field declares, or else the rule of its type."""
    if given:
        return given[0]
    if kind is bool:
        return Rule("true or false", (True, False))
    return Rule(f"one of {', '.join(get_args(kind))}", get_args(kind))


_DECLARED = {
    name: get_args(hint) for name, hint in get_type_hints(Settings, include_extras=True).items()
}
RULES = {name: _rule_of(kind, given) for name, (kind, *given, _) in _DECLARED.items()}
MEANINGS: dict[str, str] = {name: meaning for name, (*_, meaning) in _DECLARED.items()}


def read_setting(name: str, value: Any) -> Any:
    """Check a value and convert it to the type of its field, so that 1 and 1.0 are equal.

    Raises:
        ConfigError: the value breaks the rule of its setting, or there is no such setting.
    """
    if name not in RULES:
        raise ConfigError(f"unknown setting {name!r}; the settings are {', '.join(RULES)}")
    try:
        return RULES[name].read(value)
    except ConfigError:  # a broken package
        raise
    except ValueError as error:
        remedy = ""
        if isinstance(value, str) and re.fullmatch(r"[-+]?\d+e[-+]?\d+", value):
            remedy = f" YAML reads this as text; write {value.replace('e', '.0e')}."
        raise ConfigError(f"{name} must be {RULES[name].text}; got {error}.{remedy}") from error


NOT_LBFGS = ("adam", "keras_adam", "rmsprop")


def _check_together(settings: Settings) -> None:
    """Check the rules that involve several settings."""
    if settings.alpha == settings.beta == 0:
        raise ConfigError("alpha and beta must not both be 0; raise one")
    if (settings.size == "exact") != isinstance(settings.image_size, tuple):
        raise ConfigError(
            "image_size must be [width, height] with size: exact, and one number without; got "
            f"size: {settings.size}, image_size: {settings.image_size}"
        )
    if settings.coarse_stages and (settings.growth or settings.size == "exact"):
        raise ConfigError(
            "coarse_stages cannot be given with growth or size: exact; remove one of them"
        )
    small = [size for size, _ in settings.smaller if longer_side(size) < SIDE[0]]
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
    late = [one for one in settings.snapshots if one > settings.iterations]
    if late:
        raise ConfigError(
            f"snapshots must not lie beyond iterations, {settings.iterations}; got {late[0]}. "
            "Raise iterations, or remove it."
        )
    _check_needs(settings)


def _check_needs(settings: Settings) -> None:
    """Check the values that need one of certain values of another setting."""
    if settings.parametrisation == "pyramid":
        _require(settings, "parametrisation", "optimiser", NOT_LBFGS)
    if settings.content_target == "matched":
        names = dict.fromkeys((*CONTENT_LOSSES, settings.content_loss))
        whole = [name for name in names if not CONTENT_LOSSES[name].of_samples]
        _require(settings, "content_target", "content_loss", whole)
    for role, weights in zip(("content", "style"), settings.compared_layers, strict=True):
        losses: Registry[Any] = CONTENT_LOSSES if role == "content" else STATISTICS
        given = getattr(settings, f"{role}_loss")
        sampled = next(name for name in (given, *losses) if losses[name].of_samples)
        if given == sampled:  # each step compares other positions, which L-BFGS cannot use
            _require(settings, f"{role}_loss", "optimiser", NOT_LBFGS)
        if {layer_names.is_sampled(one) for one in weights} != {given == sampled}:
            raise ConfigError(
                f"{role}_loss: {sampled} and {role}_layers: {{{layer_names.SAMPLED}: 1}}, without "
                f"other layers, need each other; got {given} and {', '.join(weights)}. Set both, "
                "or neither; formulations compares recipes with other layers."
            )


def _require(settings: Settings, name: str, other: str, allowed: Sequence[str]) -> None:
    """Require that a setting has one of the values that the value of another setting needs."""
    if getattr(settings, other) not in allowed:
        raise ConfigError(
            f"{name}: {getattr(settings, name)} needs {other}: {', '.join(allowed[:-1])} or "
            f"{allowed[-1]}; got {getattr(settings, other)}. Change one of the two."
        )


def longer_side(size: int | Size) -> int:
    """Return the longer side of a size in the form of ``image_size``."""
    return size if isinstance(size, int) else max(size)


def _halved(size: int | Size, times: int) -> int | Size:
    """Halve a size a number of ``times``; it has the form of ``image_size``."""
    if isinstance(size, int):
        return max(1, size >> times)
    return max(1, size[0] >> times), max(1, size[1] >> times)
