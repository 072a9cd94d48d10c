"""Configurations for the tests: one with every key, a minimal one, and changed ones."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from nst.config.catalogue import read_catalogue
from nst.config.run import read_run
from nst.config.settings import RULES, Rule, Settings
from nst.config.variants import read_presets
from nst.errors import ConfigError, UserError

WEIGHTS = {"content": {"relu4_2": 1}, "style": {"relu1_1": 1, "relu3_1": 2.5}}


def other_values(settings: Settings) -> dict[str, Any]:
    """Return another value of each setting."""
    lists = {
        **{"content_layers": {"relu3_1": 1.0}, "style_layers": {"relu2_1": 1.0}},
        **{"image_size": 65, "coarse_stages": ((32, 5),), "snapshots": (1,)},
    }
    numbers = (0.5, 1.0, 0.25, 2, 3, 64)
    return lists | {
        name: next(
            one
            for one in (*rule.choices, *numbers)
            if one is not None and one != getattr(settings, name) and is_allowed(rule, one)
        )
        for name, rule in RULES.items()
        if name not in lists
    }


def is_allowed(rule: Rule, value: object) -> bool:
    """Tell whether a rule allows a value."""
    try:
        rule.read(value)
    except ValueError:
        return False
    return True


def config(**changes: object) -> dict[str, object]:
    """Return a valid configuration that uses every key."""
    valid: dict[str, object] = {
        "contents": ["chelsea", {"name": "kitten", "path": "photos/cat.png", "title": "A cat"}],
        "styles": ["photos/dog.jpg", "starry_night_study"],
        "ratios": [1, "1e-2", {"alpha": 10, "beta": 40}],
        "layers": {"all": WEIGHTS, "fine": {"content": {"conv3_1": 1}, "style": {"relu1_1": 1}}},
        **OTHERS,
        **{"extractor": "vgg19_16x", "formulation": "tensorflow", "colours": "content"},
        **{"blend": None, "content_loss": "half_sum", "style_loss": "mean_gram"},
        **{"image_size": 128, "size": "short_side", "start_file": "photos/cat.png"},
        **{"optimiser": "adam", "iterations": 25, "iterations_scale": 2, "iterations_least": 3},
        **{"coarse_stages": [[64, 10]], "growth": 0, "finish": 4, "snapshots": [0, 20]},
        **{"device": "cpu", "mirror": "https://example.org/nst"},
        **{"vgg19": {"weights": "vgg19.pth"}, "vgg16": {"weights": "vgg16.pth"}},
        "kmeans": {"images": ["kitten", "rocket"]},
        "overview": {"layers": "fine", "ratio": 0.01},
    }
    return copy.deepcopy(valid | changes)


def least(**changes: object) -> dict[str, object]:
    """Return a configuration with only the required keys."""
    return {key: config()[key] for key in ("contents", "styles", "ratios", "layers")} | changes


def settings_of(name: str, **changes: Any) -> Settings:
    """Return the settings of a preset, with some of them changed."""
    return Settings.from_mapping({**read_presets()[name].settings, **changes})


def refused(
    use: Callable[..., object], *arguments: object, kind: type = UserError, **options: object
) -> str:
    """Return the one-line message of the error that a call raises."""
    with pytest.raises(kind) as caught:
        use(*arguments, **options)
    message = str(caught.value)
    assert message.splitlines() == [message], "a refusal is one line"
    return message


def refusal(mistaken: dict[str, object]) -> str:
    """Return the one-line message of the error for a mistaken configuration."""
    return refused(read_run, mistaken, read_catalogue(), kind=ConfigError)


# The settings that a configuration gives once.
OTHERS = {
    name: value
    for name, value in other_values(settings_of("relative")).items()
    if name in Settings.shared_names()
}
