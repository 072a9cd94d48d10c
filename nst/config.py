"""The run's configuration: validated, with names resolved, expanded into pairs and variants.

Read while the workflow plans, so nothing here imports torch, and every mistake is found before any
job starts.
"""

from __future__ import annotations

import difflib
import json
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property
from glob import glob
from os.path import isfile
from pathlib import Path
from typing import Any

import yaml

from nst.architecture import ARCHITECTURES
from nst.catalogue import Entry
from nst.errors import ConfigError, ExtractorError
from nst.settings import Settings

SCHEMA = Path(__file__).resolve().parents[1] / "workflow" / "schemas" / "config.schema.yaml"
NAME = re.compile(r"\w(?:[\w .-]{0,78}\w)?")
RESERVED = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(1, 10))}
IMAGE_SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff"),
    *(".gif", ".bmp", ".ppm", ".jp2", ".avif"),
)


@dataclass(frozen=True)
class Picture:
    """A content or style image of the run: its name in paths, its title, and its file.

    Either ``path`` is the user's own file, or ``entry`` is the catalogue's.
    """

    name: str
    title: str
    path: str | None = None
    entry: Entry | None = None


@dataclass(frozen=True)
class Ratio:
    """A balance of content and style. ``label`` is the canonical α/β, as ``1e-2``."""

    label: str
    alpha: float
    beta: float

    @classmethod
    def parse(cls, value: object) -> Ratio:
        """Read α/β from a number, a label in any spelling, or ``{alpha, beta}``.

        A ratio r stands for α = 1 and β = 1/r.

        Raises:
            ConfigError: it or a weight is not a number from 1e-12 to 1e12.
        """
        if isinstance(value, Mapping):
            if set(value) != {"alpha", "beta"}:
                raise ConfigError(f"ratios: give both alpha and beta, and no more; got {value!r}")
            alpha, beta = (_positive(f"ratios: {key}", value[key]) for key in ("alpha", "beta"))
            _positive("ratios: alpha/beta", float(alpha / beta))
            return cls(_canonical(alpha / beta), float(alpha), float(beta))
        ratio = _positive("ratios", value)
        return cls(_canonical(ratio), 1.0, float(1 / ratio))


@dataclass(frozen=True)
class Run:
    """A whole run: every combination of content, style, layer weighting and ratio.

    ``settings`` holds what all cells share; ``cell`` adds what the variant decides.
    """

    contents: Mapping[str, Picture]
    styles: Mapping[str, Picture]
    ratios: Mapping[str, Ratio]
    layers: Mapping[str, Mapping[str, Mapping[str, int | float]]]
    settings: Settings
    device: str
    mirror: str | None
    kmeans_images: Sequence[Picture]
    vgg19_weights: str | None
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

    def cell(self, layers: str, ratio: str) -> Settings:
        """Return the settings of one variant."""
        weights = self.layers[layers]
        return Settings.from_mapping(
            {
                **self.settings.to_dict(),
                "content_layers": weights["content"],
                "style_layers": weights["style"],
                "alpha": self.ratios[ratio].alpha,
                "beta": self.ratios[ratio].beta,
            }
        )


def read_run(config: Mapping[Any, Any], catalogue: Mapping[str, Entry]) -> Run:
    """Check a configuration and resolve its names.

    Raises:
        ConfigError: one line that names the key, the rule, the value and the remedy.
    """
    _validate(config)
    config = {**_defaults(), **config}
    layers = {_checked_name("layers", name): value for name, value in config["layers"].items()}
    _refuse_collisions("layers", layers)
    contents = _read_pictures("contents", config["contents"], catalogue)
    styles = _read_pictures("styles", config["styles"], catalogue)
    ratios = _read_ratios(config["ratios"])
    shared = {key: config[key] for key in Settings.shared_names() if key in config}
    run = Run(
        contents=contents,
        styles=styles,
        ratios=ratios,
        layers=layers,
        settings=Settings.from_mapping(shared),
        device=config["device"],
        mirror=config["mirror"] or os.environ.get("NST_MIRROR") or None,
        kmeans_images=_kmeans_images(config["kmeans"].get("images"), contents, styles, catalogue),
        vgg19_weights=config["vgg19"].get("weights"),
        overview=_overview(config["overview"], layers, ratios),
    )
    for variant in layers:
        _check_layers(run, variant)
    return run


def _check_layers(run: Run, variant: str) -> None:
    """Find a wrong weight, or a layer that the extractor lacks, here and not in a job."""
    try:
        settings = run.cell(variant, next(iter(run.ratios)))
        used = [*settings.content_layers, *settings.style_layers]
        ARCHITECTURES[settings.extractor].check(used, settings.image_size)
    except (ConfigError, ExtractorError) as error:
        raise ConfigError(f"layers.{variant}: {error}") from error


def read_file(path: Path) -> dict[Any, Any]:
    """Read a YAML configuration file.

    Raises:
        ConfigError: the file is missing or not YAML.
    """
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except (yaml.YAMLError, ValueError) as error:  # PyYAML lets a date's own error through
        reason = " ".join(str(error).split())
        raise ConfigError(f"{path} is not valid YAML: {reason}") from error
    if not isinstance(config, dict):
        raise ConfigError(f"{path} must hold keys and values; see config/README.md")
    return config


def load_schema() -> dict[str, Any]:
    """Return the JSON schema of the configuration."""
    schema: dict[str, Any] = yaml.safe_load(SCHEMA.read_text(encoding="utf-8"))
    return schema


def _validate(config: Mapping[Any, Any]) -> None:
    """Hold the configuration to the schema; report the most telling mistake in one line."""
    import jsonschema  # noqa: PLC0415 - half of this module's import time

    schema = load_schema()
    errors = list(jsonschema.Draft202012Validator(schema).iter_errors(dict(config)))
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


def _explain(error: Any, schema: Mapping[str, Any]) -> str:
    """Say what is wrong in the words of the schema's own descriptions."""
    path = [str(step) for step in error.absolute_path]
    place = " ".join(".".join(path).split()) or "the configuration"
    if error.validator == "additionalProperties" and isinstance(error.instance, Mapping):
        known = list(error.schema["properties"])
        unknown = next(key for key in error.instance if key not in known)
        close = difflib.get_close_matches(str(unknown), known, n=1)
        hint = f"did you mean {close[0]!r}? The" if close else "the"
        return f"{place}: unknown key {unknown!r}; {hint} keys are {', '.join(known)}."
    if error.validator == "required":
        missing = next(key for key in error.validator_value if key not in error.instance)
        rule = error.schema["properties"][missing].get("description", "required")
        return f"{place}: the key {missing!r} is missing; it is {rule}."
    rule = error.schema.get("description") or _rule(schema, path)
    return f"{place} must be {rule}; got {_shown(error.instance)}."


def _shown(value: object) -> str:
    """Show a value of a configuration in one line of bounded length."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except (TypeError, ValueError):  # YAML has keys and loops that JSON has not
        text = repr(value)
    return " ".join(text.splitlines())[:200]


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
        "device": "auto",
        "mirror": None,
        "kmeans": {},
        "vgg19": {},
        "overview": {},
    }


def _read_pictures(
    key: str, items: Iterable[Any], catalogue: Mapping[str, Entry]
) -> dict[str, Picture]:
    """Resolve the list of contents or styles."""
    pictures: dict[str, Picture] = {}
    for item in items:
        for picture in _resolve(key, item, catalogue):
            if picture.name in pictures:
                raise ConfigError(
                    f"{key}: two images are named {picture.name!r}; give one of them a name, as "
                    f"{{name: other, path: {picture.path or picture.name}}}."
                )
            pictures[picture.name] = picture
    _refuse_collisions(key, pictures)
    return pictures


def _resolve(key: str, item: Any, catalogue: Mapping[str, Entry]) -> list[Picture]:
    """Turn one item into pictures: a catalogue's name, a path, a pattern, or a mapping."""
    if isinstance(item, Mapping):
        path = _existing(key, item["path"])
        name = item.get("name", _name_of(key, path))
        return [Picture(_checked_name(key, name), item.get("title", name), path=path)]
    entry = catalogue.get(item)
    if entry is not None and entry.file.lower().endswith(IMAGE_SUFFIXES):
        return [Picture(item, entry.title, entry=entry)]
    if any(sign in item for sign in "*?"):
        paths = _matching(item)
        if not paths:
            raise ConfigError(f"{key}: no image matches {item!r} in {Path.cwd()}")
    elif "." in item or "/" in item or os.path.exists(item):
        paths = [_existing(key, item)]
    else:
        images = [name for name, one in catalogue.items() if one.file.endswith(IMAGE_SUFFIXES)]
        close = difflib.get_close_matches(item, images, n=1)
        hint = f"did you mean {close[0]!r}? It" if close else "it"
        raise ConfigError(
            f"{key}: {item!r} is neither a file nor in the catalogue; {hint} has "
            f"{', '.join(images)}."
        )
    names = [_name_of(key, path) for path in paths]
    return [Picture(name, name, path=path) for name, path in zip(names, paths, strict=True)]


def _matching(pattern: str) -> list[str]:
    """List the image files that match a pattern, in alphabetical order."""
    try:
        found = sorted(str(Path(path)) for path in glob(pattern, recursive=True))
    except ValueError:  # a NUL
        return []
    return [path for path in found if path.lower().endswith(IMAGE_SUFFIXES) and isfile(path)]


def _existing(key: str, path: str) -> str:
    """Require a file at ``path``."""
    if not isfile(path):  # unlike pathlib's, never an OSError
        what = "is not a file" if os.path.exists(path) else "does not exist"
        raise ConfigError(
            f"{key}: {path!r} {what}; paths are relative to the working directory, {Path.cwd()}."
        )
    return path


def _name_of(key: str, path: str) -> str:
    """Make a name out of a file's."""
    return _checked_name(
        key, re.sub(r"[^\w .-]+", "-", Path(path).stem).strip(" .-") or Path(path).stem
    )


def _checked_name(key: str, name: object) -> str:
    """Require a name that is safe as part of a path on every system."""
    if not isinstance(name, str):
        raise ConfigError(f"{key}: a name must be text; got {name!r}. Put it in quotes.")
    normal = unicodedata.normalize("NFC", name)
    if not NAME.fullmatch(normal) or normal.lower().split(".")[0] in RESERVED:
        raise ConfigError(
            f"{key}: {name!r} cannot name a file; use up to 80 letters, digits, spaces, '_', '-' "
            "and '.', with a letter, digit or '_' at both ends, as {name: cat, path: …}."
        )
    return normal


def _refuse_collisions(key: str, names: Iterable[str]) -> None:
    """Refuse names that some file systems cannot tell apart."""
    seen: dict[str, str] = {}
    for name in names:
        if name.casefold() in seen:
            raise ConfigError(
                f"{key}: {seen[name.casefold()]!r} and {name!r} differ only in case; rename one"
            )
        seen[name.casefold()] = name


def _read_ratios(values: Iterable[object]) -> dict[str, Ratio]:
    """Read the ratios, refusing two that say the same."""
    ratios: dict[str, Ratio] = {}
    for value in values:
        ratio = Ratio.parse(value)
        if ratio.label in ratios:
            raise ConfigError(f"ratios: {value!r} is α/β = {ratio.label} again; remove one")
        ratios[ratio.label] = ratio
    return ratios


def _positive(key: str, value: object) -> Decimal:
    """Read a positive number; YAML hands ``1e-3`` over as text."""
    try:
        number = Decimal(0) if isinstance(value, bool) else Decimal(str(value))
    except InvalidOperation:
        number = Decimal(0)
    if not (number.is_finite() and Decimal("1e-12") <= number <= Decimal("1e12")):
        raise ConfigError(f"{key} must be a number from 1e-12 to 1e12, as 1e-2; got {value!r}")
    return number


def _canonical(ratio: Decimal) -> str:
    """Spell a positive number as ``1e-2`` or ``2.5e-1``, with up to six digits."""
    digits, exponent = f"{ratio:.5e}".split("e")
    return f"{digits.rstrip('0').rstrip('.')}e{int(exponent)}"


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
            [known[name]] if name in known else _resolve("kmeans.images", name, catalogue)
        )
    ]


def _overview(
    chosen: Mapping[str, Any], layers: Mapping[str, Any], ratios: Mapping[str, Ratio]
) -> tuple[str, str]:
    """Choose the variant that stands for a pair; by default the first weighting, middle ratio."""
    weighting = chosen.get("layers", next(iter(layers)))
    if weighting not in layers:
        raise ConfigError(f"overview.layers must be one of {', '.join(layers)}; got {weighting!r}")
    if "ratio" not in chosen:
        return weighting, list(ratios)[len(ratios) // 2]
    ratio = Ratio.parse(chosen["ratio"]).label
    if ratio not in ratios:
        raise ConfigError(f"overview.ratio must be one of {', '.join(ratios)}; got {ratio}")
    return weighting, ratio
