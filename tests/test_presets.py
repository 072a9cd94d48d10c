"""The published recipes, compared with their own formulas, optimisers and settings."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from configurations import settings_of
from conftest import random_image, random_network
from formulas import (
    CAFFE_BGR,
    FORMULAS,
    SHAPED_AS_VGG19,
    tensorflow_with_variation,
    weights,
)
from PIL import Image
from torch import Tensor

from nst.config.variants import read_presets
from nst.method.objective import Objective, measure_targets
from nst.method.regions import Region
from nst.method.stages import Images
from nst.method.transfer import transfer
from nst.network.tensors import to_bytes, to_tensor

PRESETS = read_presets()

# About a tenth of the recipes' sizes (width x height). A style keeps its shape if the recipe does
# not change it.
SIZES = {"envision": (40, 40), "coursera": (40, 32)}


def picture(seed: int, width: int, height: int) -> Image.Image:
    """A random 8-bit picture with both large shapes and detail."""
    smooth = random_image(seed, height, width)[0].permute(1, 2, 0).numpy()
    grain = np.random.default_rng(seed).uniform(-0.15, 0.15, smooth.shape)
    return Image.fromarray(np.rint(255 * np.clip(smooth + grain, 0, 1)).astype(np.uint8))


def pictures_of(name: str) -> tuple[Image.Image, Image.Image]:
    """A content and a style with the recipe's shapes."""
    size = SIZES.get(name, (48, 40))
    of_style = (36, 48) if settings_of(name).style_fit == "own" else size
    return picture(1, *size), picture(2, *of_style)


def test_every_preset_has_its_formula_here():
    assert set(PRESETS) == set(FORMULAS) == set(RECIPES)


@pytest.mark.parametrize(
    ("name", "formula", "changes"),
    [(name, formula, {}) for name, formula in FORMULAS.items()]
    + [("tensorflow", tensorflow_with_variation, {"tv_weight": 30})],
    ids=[*FORMULAS, "tensorflow, second run"],
)
def test_a_recipe_s_loss_is_that_of_its_published_formula(name, formula, changes):
    network = random_network(SHAPED_AS_VGG19)
    vgg = weights(network)
    pictures = pictures_of(name)
    all_pictures = (*pictures, picture(3, *pictures[0].size))
    content, style, generated = (to_tensor(one).double() for one in all_pictures)
    expected = formula(vgg, generated, content, style)

    cell = settings_of(name, **changes)
    network = network.adapted(cell.pooling, cell.input, None, cell.padding).double()
    region = Region.whole(style)
    regions = [region.rotated() if cell.style_rotations else region]
    targets = measure_targets(network, content, regions, [cell])
    parts = Objective(network, targets, [cell])(generated)

    # Measured: 4e-7, from constants that the package rounds to float32.
    assert cell.alpha * parts["content"].item() == pytest.approx(expected.content.item(), rel=1e-6)
    assert cell.beta * parts["style"].item() == pytest.approx(expected.style.item(), rel=1e-6)
    assert cell.tv_weight * parts["tv"].item() == pytest.approx(float(expected.variation), rel=1e-6)
    assert parts["total"].item() == pytest.approx(float(sum(expected)), rel=1e-6)


# ---------------------------------------------------------------- the first steps of Adam


class Rule(NamedTuple):
    """How a recipe steps: Adam on the values ``scale · RGB - offset``.

    The other recipes with Adam step on RGB, as PyTorch does.
    """

    size: int | list[int]
    rate: float
    first: float = 0.9
    epsilon: float = 1e-8
    keras: bool = False
    clip: bool = False
    scale: float = 1.0
    offset: Sequence[float] = (0.0, 0.0, 0.0)
    gain: float = 1.0
    """Scales the network's first layer, for gradients so small that ε matters."""


RULES = {
    # The mean deviation of ImageNet's colours; the program divides each channel by its own.
    "udacity": Rule(40, 3e-3, scale=1 / 0.226),
    "tensorflow": Rule(48, 0.02, first=0.99, epsilon=0.1, keras=True, clip=True),
    "coursera": Rule([40, 32], 2.0, keras=True, scale=255.0, offset=CAFFE_BGR[::-1], gain=0.01),
}
# Measured: 2e-5 for tensorflow, 2e-6 for the others; one step is 1e-3 to 2e-2.
PATH_TOLERANCE = 1e-4


@pytest.mark.parametrize("name", RULES)
def test_the_first_ten_steps_of_a_recipe_are_those_of_its_optimiser(name):
    """PyTorch divides by √v̂ + ε; TensorFlow corrects the rate instead and divides by √v + ε."""
    rule, images = RULES[name], pictures_of(name)
    network = random_network(SHAPED_AS_VGG19)
    network.convolutions["conv1_1"].weight.mul_(rule.gain)
    vgg, found = weights(network), []
    steps = {"coarse_stages": [], "iterations": 10, "snapshots": [0], "precision": "float32"}
    cell = settings_of(name, **steps, image_size=rule.size)
    outcome = transfer(
        network, Images.of(*images), [cell], watch=lambda state: found.append(state.images.clone())
    )

    content, style = (to_tensor(one).double() for one in images)
    offset = torch.tensor(rule.offset, dtype=torch.float64)[:, None, None]
    start = rule.scale * content - offset
    if name == "coursera":
        uniform = torch.rand(content.shape, generator=torch.Generator().manual_seed(0)).double()
        start = 0.6 * (40 * uniform - 20) + 0.4 * start
    values = start.clone().requires_grad_()

    def rgb() -> Tensor:
        return (values + offset) / rule.scale

    assert torch.equal(outcome.snapshots[0], to_bytes(rgb().clamp(0, 1)))
    adam = torch.optim.Adam([values], rule.rate, (rule.first, 0.999), rule.epsilon)
    for step, image in enumerate(found, start=1):
        if rule.keras:
            adam.param_groups[0]["eps"] = rule.epsilon / (1 - 0.999**step) ** 0.5
        adam.zero_grad()
        sum(FORMULAS[name](vgg, rgb(), content, style)).backward()
        adam.step()
        if rule.clip:
            values.data.clamp_(0, 1)
        assert (image - rgb()).abs().max() <= PATH_TOLERANCE
    assert torch.equal(outcome.images, found[-1].clamp(0, 1))
    assert (values - start).abs().max() > 5 * rule.rate


# ---------------------------------------------------------------- the files

# The formulas above check these keys: they fail for any other value.
IN_FORMULAS = frozenset(
    {
        *("alpha", "beta", "tv_loss", "tv_weight", "pooling", "padding"),
        *("content_loss", "content_layers", "style_loss", "style_layers", "style_rotations"),
        "octaves",
    }
)
ADAM = {"optimiser": "adam", "keep": "last", "learning_rate": 1e-3, "adam_beta2": 0.999}
EVERYTHING_ELSE: dict[str, Any] = {
    **{"blend": None, "colours": "style", "content_target": "content", "match_content": 0.75},
    **{"image_size": 512, "size": "long_side", "style_fit": "own", "style_scale": 1.0},
    **{"start": "content", "start_noise": 0.1, "seed": 0, "snapshots": [], "tile_size": "auto"},
    **{"optimiser": "lbfgs", "parametrisation": "pixels", "clamp": False, "keep": "best"},
    **{"learning_rate": 0.02, "adam_beta1": 0.9, "adam_beta2": 0.99, "adam_epsilon": 1e-8},
    **{"averaging": 0.0, "coarse_stages": [], "coarse_alpha": 1.0, "coarse_learning_rate": None},
    **{"input": "native", "growth": 0, "finish": 0, "precision": "auto", "extractor": "vgg16_hed"},
}
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "gatys2015": {"iterations": 1000, "start": "noise", "style_fit": "content", "clamp": True},
    "gatys2016": {"iterations": 1000, "start": "noise", "style_fit": "content", "clamp": True},
    "gatys_pytorch": {
        **{"input": "caffe", "iterations": 200, "image_size": 800, "coarse_stages": [[512, 500]]},
    },
    "envision": {
        **ADAM,
        "input": "unit",
        **{"iterations": 6001, "size": "exact", "image_size": [500, 500], "style_fit": "content"},
    },
    "content_init": {**ADAM, "iterations": 6000, "style_fit": "content"},
    "udacity": {
        **{**ADAM, "learning_rate": 6.78e-4, "iterations": 2000, "input": "imagenet"},
        **{"size": "short_side", "image_size": 400, "style_fit": "content"},
    },
    "tensorflow": {
        **{**ADAM, "optimiser": "keras_adam", "learning_rate": 0.02},
        **{"adam_beta1": 0.99, "adam_epsilon": 0.1, "iterations": 1000, "clamp": True},
        "input": "caffe",
    },
    "coursera": {
        **{**ADAM, "optimiser": "keras_adam", "learning_rate": 2 / 255},
        **{"adam_epsilon": 255e-8, "iterations": 200, "start": "blended_noise", "start_noise": 0.6},
        **{"size": "exact", "image_size": [400, 300], "style_fit": "content", "input": "caffe"},
    },
    "jcjohnson": {
        **{"iterations": 1000, "start": "grey", "start_noise": 0.001 / 255, "input": "caffe"},
    },
    "crowsonkb": {
        **{**ADAM, "learning_rate": 0.02, "averaging": 0.99, "clamp": True, "iterations": 500},
        "input": "imagenet",
        "coarse_stages": [[0.25, 1000], [0.35355339, 500], [0.5, 500], [0.70710678, 500]],
    },
    "strotss": {
        **{"optimiser": "rmsprop", "learning_rate": 1e-3, "keep": "last", "iterations": 250},
        **{"coarse_alpha": 2.0, "coarse_learning_rate": 2e-3, "parametrisation": "pyramid"},
        **{"coarse_stages": [[0.125, 250], [0.25, 250], [0.5, 250]], "start": "detail"},
    },
    "nnst": {
        **{**ADAM, "learning_rate": 2e-3, "iterations": 200, "finish": 200},
        **{"parametrisation": "pyramid", "content_target": "matched", "colours": "recoloured"},
        "coarse_stages": [[0.125, 200], [0.25, 200], [0.5, 200]],
    },
    "relative": {
        **{"iterations": 20, "image_size": 256, "growth": 40, "content_target": "recoloured"},
        **{"start": "recoloured", "start_noise": 0.05, "clamp": True},
    },
    "relative_gram": {"iterations": 100, "image_size": 256, "start": "recoloured", "clamp": True},
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_preset_says_what_was_published(name):
    found = settings_of(name).to_dict()
    rest = {field: found[field] for field in found if field not in IN_FORMULAS}
    expected = {**EVERYTHING_ELSE, **RECIPES[name]}
    for field in ("learning_rate", "adam_epsilon", "start_noise"):
        expected[field] = pytest.approx(expected[field], rel=1e-12, abs=0)
    assert rest == expected


# ---------------------------------------------------------------- the real network
