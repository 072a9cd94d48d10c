import json
from dataclasses import FrozenInstanceError, fields

import pytest
from configurations import config, refused

from nst.config.layers import SAMPLED
from nst.config.settings import RULES, Settings
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


@pytest.mark.parametrize(("name", "rule"), NUMBERS.items())
def test_a_number_out_of_range_is_refused_with_the_range(name, rule):
    low, high = rule.limits
    for value in (low, high, *rule.choices):
        if value or name not in ("alpha", "beta"):
            assert getattr(Settings.from_mapping({name: value}), name) == value
    odd = (float("nan"), float("inf"), -float("inf"), 10**400, "1", None, True, [1], 1j)
    whole = (low - 1, high + 1, float(low), low + 0.5)
    for value in (*odd, *(whole if rule.whole else (low - 0.01, high * 1.01))):
        if value not in rule.choices:
            assert refusal(**{name: value}) == f"{name} must be {rule.text}; got {shown(value)}."


WRONG = {
    "image_size": [(31, 31), (64.0, 64.0), ([64], [64]), ([64, 31], 31), ([64] * 3, [64] * 3)],
    "coarse_stages": [(64, 64), ([64], 64), ([[64]], [64]), ([[31, 5]], 31), ([[1.0, 5]], 1.0)],
    "snapshots": [(5, 5), ([1, -1], -1), ({"every": 0}, 0), ({"evry": 5}, {"evry": 5}), ({}, {})],
}


@pytest.mark.parametrize(
    ("name", "value", "wrong"), [(name, *one) for name, values in WRONG.items() for one in values]
)
def test_a_list_of_another_form_is_refused_with_the_rule_and_the_wrong_part(name, value, wrong):
    assert refusal(**{name: value}) == f"{name} must be {RULES[name].text}; got {shown(wrong)}."


@pytest.mark.parametrize(("name", "choices"), CHOICES.items())
def test_another_choice_is_refused_with_the_choices(name, choices):
    for choice in choices:
        others = {
            **{"exact": {"image_size": [64, 48]}, "pyramid": {"optimiser": "adam"}},
            "self_similarity": {"content_layers": {SAMPLED: 1}, "optimiser": "adam"},
            "relaxed_emd": {"style_layers": {SAMPLED: 1}, "optimiser": "adam"},
        }
        assert getattr(Settings.from_mapping({name: choice, **others.get(choice, {})}), name) == (
            choice
        )
    for value in ("another", str(choices[0]).upper(), "", None, 0, 1, ["lbfgs"], {}):
        message = refusal(**{name: value})
        assert message == f"{name} must be {RULES[name].text}; got {shown(value)}."


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


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize(("value", "wrong"), NOT_LAYERS, ids=lambda value: shown(value)[:40])
def test_other_values_than_layers_with_weights_are_refused(name, value, wrong):
    assert refusal(**{name: value}) == (
        f"{name} must be layer names, as relu4_2, with weights from 0 to 1e12, at least one of "
        f"them above 0; got {shown(wrong)}."
    )


def test_asking_for_nothing_is_refused():
    message = refusal(alpha=0, beta=0)
    assert message == "alpha and beta must not both be 0; raise one"
    for name in ("alpha", "beta"):
        assert Settings.from_mapping({"alpha": 1, "beta": 1, name: 0})
