"""The published recipes: one YAML file per recipe, in config/presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from nst.config.documents import read_document
from nst.config.settings import Settings
from nst.config.share import SHARE
from nst.errors import ConfigError, did_you_mean

FOLDER = SHARE / "config" / "presets"
RECIPE = "relative"  # the default: the project's own recipe


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
    """Read all recipes, by name.

    Raises:
        ConfigError: there are no preset files, a file is not a preset, or one of its settings is
            unknown or out of range.
    """
    presets = {path.stem: _read(path) for path in sorted(folder.glob("*.yaml"))}
    if not presets:
        raise ConfigError(
            f"there are no presets in {folder}; reinstall nst, or restore the checkout"
        )
    return MappingProxyType(presets)


def find_recipe(name: str, key: str = "formulation") -> Preset:
    """Return a recipe by its name; ``key`` is the key of the configuration for error messages.

    Raises:
        ConfigError: there is no recipe of this name.
    """
    presets = read_presets()
    if name not in presets:
        hint = did_you_mean(name, presets, f"the recipes are {', '.join(presets)}.")
        raise ConfigError(f"{key}: unknown recipe {name!r}; {hint}")
    return presets[name]


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
