import json
from dataclasses import FrozenInstanceError, fields

import pytest
from configurations import config, refused

from nst.config.layers import SAMPLED
from nst.config.settings import RULES, Rule, Settings
from nst.errors import ConfigError, shown

NAMES = [one.name for one in fields(Settings)]
LAYERS = ("content_layers", "style_layers")
NUMBERS = {name: rule for name, rule in RULES.items() if rule.limits and name != "image_size"}
FLOATS = {name: rule for name, rule in NUMBERS.items() if not rule.whole}
CHOICES = {name: rule.choices for name, rule in RULES.items() if rule.choices and not rule.limits}


def refusal(**values: object) -> str:
    """The error of refused settings, which is a single line."""
    return refused(Settings.from_mapping, values, kind=ConfigError)


# ---------------------------------------------------------------- round trips


def test_settings_are_read_back_from_what_they_say():
    values = {name: config()[name] for name in Settings.shared_names()}
    values |= {"alpha": 2.0, "beta": 0.0, "style_layers": {"relu1_1": 1.0, "relu3_1@1+": 0.5}}
    settings = Settings.from_mapping(values)
    said = settings.to_dict()
    assert Settings.from_mapping(said) == Settings.from_mapping(json.loads(json.dumps(said)))
    assert Settings.from_mapping(said) == settings
    assert {name: said[name] for name in values} == values


@pytest.mark.parametrize("name", LAYERS)
def test_the_order_of_layers_does_not_matter(name):
    """The losses are summed in this order, and rounding depends on it."""
    weights = {"relu3_1": 0.5, "relu1_1": 1.0, "relu2_1@1+": 2.0}
    one, other = (
        Settings.from_mapping({name: order}) for order in (weights, dict(sorted(weights.items())))
    )
    assert one == other
    assert json.dumps(one.to_dict()) == json.dumps(other.to_dict())


def test_every_setting_is_said_and_has_a_default():
    assert list(Settings().to_dict()) == list(RULES) == NAMES
    assert Settings.from_mapping({}) == Settings()


def test_the_shared_settings_are_those_that_no_variant_decides():
    assert set(NAMES) - set(Settings.shared_names()) == {"alpha", "beta", *LAYERS}


# ---------------------------------------------------------------- equality


@pytest.mark.parametrize("name", [name for name, rule in FLOATS.items() if rule.limits[1] >= 1])
def test_a_whole_number_is_the_same_as_its_float(name):
    one, other = (Settings.from_mapping({name: value}) for value in (1, 1.0))
    assert one == other
    assert type(getattr(one, name)) is float
    assert json.dumps(one.to_dict()) == json.dumps(other.to_dict())


def test_settings_cannot_be_changed():
    settings = Settings()
    with pytest.raises(FrozenInstanceError):
        settings.seed = 1
    with pytest.raises(TypeError):
        settings.style_layers["relu1_1"] = 2.0


# ---------------------------------------------------------------- refusals


def test_an_unknown_setting_is_refused_with_the_known_ones():
    message = refusal(betta=1)
    assert message == f"unknown setting 'betta'; the settings are {', '.join(NAMES)}"


NOT_LAYERS = [
    *((value, value) for value in ({}, [], "relu4_2", None, 1, ["relu4_2"], {"relu1_1": 0})),
    *(
        ({"relu1_1": 1, layer: 1}, layer)
        for layer in ("relu6_1", "relu1_5", "relu4", "Relu4_2", " relu4_2", "", 4, None)
    ),
    *(
        ({"relu1_1": 1, "relu2_1": weight}, weight)
        for weight in (-1, float("nan"), float("inf"), 10**400, "1", None, True)
    ),
]
# Values, each with the part of it that the message shows.
WRONG = {
    "image_size": [(31, 31), (64.0, 64.0), ([64], [64]), ([64, 31], 31), ([64] * 3, [64] * 3)],
    "coarse_stages": [(64, 64), ([64], 64), ([[64]], [64]), ([[31, 5]], 31), ([[1.0, 5]], 1.0)],
    "snapshots": [(5, 5), ([1, -1], -1), ({"every": 0}, 0), ({"evry": 5}, {"evry": 5}), ({}, {})],
    **dict.fromkeys(LAYERS, NOT_LAYERS),
}


def wrong_values(rule: Rule) -> list[tuple[object, object]]:
    """List values that a rule of a number or of choices does not allow."""
    values = ("another", str([*rule.choices, ""][0]).upper(), "", None, 0, 1, ["lbfgs"], {})
    if rule.limits:
        low, high = rule.limits
        odd = (float("nan"), float("inf"), -float("inf"), 10**400, "1", None, True, [1], 1j)
        whole = (low - 1, high + 1, float(low), low + 0.5)
        values = (*odd, *(whole if rule.whole else (low - 0.01, high * 1.01)))
    allowed = [(type(one), one) for one in rule.choices]
    return [(one, one) for one in values if (type(one), one) not in allowed]


@pytest.mark.parametrize("name", RULES)
def test_another_value_is_refused_with_the_rule_and_the_wrong_part(name):
    for value, wrong in WRONG.get(name) or wrong_values(RULES[name]):
        message = refusal(**{name: value})
        assert message == f"{name} must be {RULES[name].text}; got {shown(wrong)}."


@pytest.mark.parametrize(("name", "rule"), NUMBERS.items())
def test_the_ends_of_a_range_and_the_words_in_place_of_a_number_are_allowed(name, rule):
    for value in (*rule.limits, *rule.choices):
        if value or name not in ("alpha", "beta"):
            assert getattr(Settings.from_mapping({name: value}), name) == value


@pytest.mark.parametrize(("name", "choices"), CHOICES.items())
def test_every_choice_is_allowed(name, choices):
    needs = {
        **{"exact": {"image_size": [64, 48]}, "pyramid": {"optimiser": "adam"}},
        "self_similarity": {"content_layers": {SAMPLED: 1}, "optimiser": "adam"},
        "relaxed_emd": {"style_layers": {SAMPLED: 1}, "optimiser": "adam"},
    }
    for choice in choices:
        settings = Settings.from_mapping({name: choice, **needs.get(choice, {})})
        assert getattr(settings, name) == choice


def test_asking_for_nothing_is_refused():
    message = refusal(alpha=0, beta=0)
    assert message == "alpha and beta must not both be 0; raise one"
    for name in ("alpha", "beta"):
        assert Settings.from_mapping({"alpha": 1, "beta": 1, name: 0})
