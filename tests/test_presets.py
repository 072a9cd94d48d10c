"""The published recipes, held to their own formulas.

Nothing here is computed by the package's code: the network, its inputs and taps, the losses and the
optimisers are written down once more, in float64, from the table of formulations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from configurations import settings_of
from conftest import random_image
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from nst.cells.cell import read_record
from nst.cells.measure import Measure
from nst.cells.pair import Pair, Wanted, stylize_pair
from nst.config.architecture import Architecture
from nst.config.catalogue import read_catalogue
from nst.config.composition import Composition
from nst.config.presets import read_presets
from nst.config.settings import Settings
from nst.imaging.images import load_image
from nst.method.objective import Objective, measure_targets
from nst.method.regions import Region
from nst.method.resilience import make_cells
from nst.method.stages import Images, picture_size
from nst.network.extractor import Extractor, save_extractor
from nst.network.provision import provide_extractor

PRESETS = read_presets()
CATALOGUE = read_catalogue()

# ---------------------------------------------------------------- a network of VGG-19's shape

WIDTHS = ((4, 4), (6, 6), (8,) * 4, (8,) * 4, (8,) * 4)
NAMES = [f"{block}_{n}" for block, w in enumerate(WIDTHS, 1) for n in range(1, len(w) + 1)]
SHAPED_AS_VGG19 = Architecture("small", WIDTHS, "zeros", "max", "random, for tests")

Weights = Mapping[str, tuple[Tensor, Tensor]]
Features = Mapping[str, Tensor]


def weights(gain: float = 1.0) -> Weights:
    """Random convolutions by name, as ``4_2``; the first is scaled by ``gain``.

    Rounded to float32, so that both networks have exactly the same.
    """
    generator = torch.Generator().manual_seed(5)
    found, inputs = {}, 3
    for name, width in zip(NAMES, (w for block in WIDTHS for w in block), strict=True):
        weight = torch.randn(width, inputs, 3, 3, generator=generator) * (2 / (9 * inputs)) ** 0.5
        bias = torch.randn(width, generator=generator) * 0.1
        scale = gain if name == "1_1" else 1.0
        found[name] = ((weight * scale).double(), bias.double())
        inputs = width
    return {name: (w.float().double(), b) for name, (w, b) in found.items()}


def as_extractor(vgg: Weights) -> Extractor:
    """The package's network with the same weights."""
    extractor = Extractor(SHAPED_AS_VGG19).eval()
    for name, (weight, bias) in vgg.items():
        extractor.convolutions[f"conv{name}"].weight.copy_(weight)
        extractor.convolutions[f"conv{name}"].bias.copy_(bias)
    return extractor


def features(vgg: Weights, value: Tensor, pool: Callable[..., Tensor]) -> Features:
    """All the layers, before and after the ReLU."""
    found = {}
    for name, (weight, bias) in vgg.items():
        if name in {"2_1", "3_1", "4_1", "5_1"}:
            value = pool(value, kernel_size=2, stride=2)
        value = functional.conv2d(value, weight, bias, padding=1)
        found[f"conv{name}"] = value
        value = functional.relu(value)
        found[f"relu{name}"] = value
    return found


def torchvision_features(vgg: Weights) -> nn.Sequential:
    """The layers as torchvision stacks them in ``vgg19().features``, with ReLU in place."""
    layers: list[nn.Module] = []
    for block, widths in enumerate(WIDTHS, 1):
        for number in range(1, len(widths) + 1):
            weight, bias = vgg[f"{block}_{number}"]
            layer = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1, dtype=torch.float64)
            layer.load_state_dict({"weight": weight, "bias": bias})
            layers += [layer.requires_grad_(False), nn.ReLU(inplace=True)]
        layers.append(nn.MaxPool2d(2, 2))
    return nn.Sequential(*layers)


def run_and_save(layers: nn.Sequential, value: Tensor, indices: Iterable[int]) -> list[Tensor]:
    """Save what each of these layers returns, while later layers go on; as the notebooks do."""
    saved = []
    for index, layer in enumerate(layers):
        value = layer(value)
        if index in indices:
            saved.append(value)
    return saved


IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and standard deviation of RGB
CAFFE_BGR = (103.939, 116.779, 123.68)


def imagenet(rgb: Tensor) -> Tensor:
    mean, deviation = (torch.tensor(one, dtype=rgb.dtype)[:, None, None] for one in IMAGENET)
    return (rgb - mean) / deviation


def caffe(rgb: Tensor) -> Tensor:
    mean = torch.tensor(CAFFE_BGR, dtype=rgb.dtype)[:, None, None]
    return 255 * rgb[:, [2, 1, 0]] - mean


def gram(value: Tensor) -> Tensor:
    """F Fᵀ of 1 x C x H x W."""
    flat = value[0].reshape(value.shape[1], -1)
    return flat @ flat.T


# ---------------------------------------------------------------- each recipe's own formula

FIRSTS = ("1_1", "2_1", "3_1", "4_1", "5_1")


class Terms(NamedTuple):
    """The parts of a total loss, with all their weights."""

    content: Tensor
    style: Tensor
    variation: Tensor | float = 0.0


Formula = Callable[[Weights, Tensor, Tensor, Tensor], Terms]


def gatys2015(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """As ``gatys2016``, at α/β = 1e-4."""
    later = gatys2016(vgg, generated, content, style)
    return later._replace(style=10 * later.style)


def gatys2016(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """α · ½ Σ (F - P)² + β Σ_l 1/5 Σ (G - A)² / (4 C² (HW)²), at α/β = 1e-3."""
    g, c, s = (
        features(vgg, imagenet(x), functional.avg_pool2d) for x in (generated, content, style)
    )
    error = 0.5 * (g["conv4_2"] - c["conv4_2"]).pow(2).sum()
    total = torch.zeros(())
    for layer in FIRSTS:
        _, channels, height, width = g[f"conv{layer}"].shape
        difference = gram(g[f"conv{layer}"]) - gram(s[f"conv{layer}"])
        total = total + difference.pow(2).sum() / (4 * channels**2 * (height * width) ** 2) / 5
    return Terms(error, 1e3 * total)


def gatys_pytorch(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """Mean square at relu4_2 + Σ_l 1e3/C² · mean (ΔG)², G = FFᵀ/HW, C of the real VGG-19."""
    g, c, s = (features(vgg, caffe(x), functional.max_pool2d) for x in (generated, content, style))
    total = torch.zeros(())
    for layer, channels in zip(FIRSTS, (64, 128, 256, 512, 512), strict=True):
        one, other = g[f"relu{layer}"], s[f"relu{layer}"]
        difference = gram(one) / one[0, 0].numel() - gram(other) / other[0, 0].numel()
        total = total + 1e3 / channels**2 * difference.pow(2).mean()
    return Terms((g["relu4_2"] - c["relu4_2"]).pow(2).mean(), total)


def envision(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """Σ_l mean (ΔF)² + 0.01 Σ_l mean (ΔG)², taps 0, 5, 10, 19, 28 of the stack cut off at 29."""
    stack = torchvision_features(vgg)[:29]
    taps = (0, 5, 10, 19, 28)
    g, c, s = (run_and_save(stack, 1.0 * x, taps) for x in (generated, content, style))
    error = sum((one - other).pow(2).mean() for one, other in zip(g, c, strict=True))
    total = sum((gram(one) - gram(other)).pow(2).mean() for one, other in zip(g, s, strict=True))
    return Terms(1 * error, 0.01 * total)


def content_init(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """Σ_l mean (ΔF)² + 10 Σ_l Σ (ΔG)² / (C² (HW)²), at the first convolution of each block."""
    g, c, s = (
        features(vgg, imagenet(x), functional.max_pool2d) for x in (generated, content, style)
    )
    error, total = torch.zeros(()), torch.zeros(())
    for layer in FIRSTS:
        one, other, third = (x[f"conv{layer}"] for x in (g, c, s))
        _, channels, height, width = one.shape
        error = error + (one - other).pow(2).mean()
        difference = (gram(one) - gram(third)).pow(2).sum()
        total = total + difference / (channels**2 * (height * width) ** 2)
    return Terms(1 * error, 10 * total)


def udacity(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """mean (ΔF)² at 21 + 1e6 Σ_l w_l mean (ΔG)² / (C H W), taps 0, 5, 10, 19, 21, 28 of all 37."""
    stack = torchvision_features(vgg)
    taps = (0, 5, 10, 19, 21, 28)
    g, c, s = (run_and_save(stack, imagenet(x), taps) for x in (generated, content, style))
    total = torch.zeros(())
    for tap, weight in ((0, 1.0), (5, 0.75), (10, 0.2), (19, 0.2), (28, 0.2)):
        one, other = (x[taps.index(tap)] for x in (g, s))
        total = total + weight * (gram(one) - gram(other)).pow(2).mean() / one[0].numel()
    return Terms((g[4] - c[4]).pow(2).mean(), 1e6 * total)


def tensorflow(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """1e4 mean (ΔF)² at block5_conv2 + Σ_l 1e-2/5 mean (ΔG)², G = FFᵀ/HW, after the ReLU."""
    g, c, s = (features(vgg, caffe(x), functional.max_pool2d) for x in (generated, content, style))
    total = torch.zeros(())
    for layer in FIRSTS:
        one, other = g[f"relu{layer}"], s[f"relu{layer}"]
        difference = gram(one) / one[0, 0].numel() - gram(other) / other[0, 0].numel()
        total = total + 1e-2 / 5 * difference.pow(2).mean()
    return Terms(1e4 * (g["relu5_2"] - c["relu5_2"]).pow(2).mean(), total)


def tensorflow_with_variation(
    vgg: Weights, generated: Tensor, content: Tensor, style: Tensor
) -> Terms:
    """The second run: and 30 times the sum of the absolute differences of neighbours."""
    pixels = generated[0]
    variation = (pixels[:, 1:] - pixels[:, :-1]).abs().sum()
    variation = variation + (pixels[..., 1:] - pixels[..., :-1]).abs().sum()
    return tensorflow(vgg, generated, content, style)._replace(variation=30 * variation)


def coursera(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """10 Σ (ΔF)² / (4 H W C) + 40 Σ_l 0.2 Σ (ΔG)² / (4 C² (HW)²)."""
    g, c, s = (features(vgg, caffe(x), functional.avg_pool2d) for x in (generated, content, style))
    _, channels, height, width = g["conv4_2"].shape
    error = (g["conv4_2"] - c["conv4_2"]).pow(2).sum() / (4 * height * width * channels)
    total = torch.zeros(())
    for layer in FIRSTS:
        _, channels, height, width = g[f"conv{layer}"].shape
        difference = (gram(g[f"conv{layer}"]) - gram(s[f"conv{layer}"])).pow(2).sum()
        total = total + 0.2 * difference / (4 * channels**2 * (height * width) ** 2)
    return Terms(10 * error, 40 * total)


def relative_gram(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """mean (ΔF)² / var F_c + 10 · the average over layers of mean (ΔG)² / mean G_s², G = FFᵀ/HW."""
    g, c, s = (
        features(vgg, imagenet(x), functional.max_pool2d) for x in (generated, content, style)
    )
    target = c["relu4_2"]
    variance = (target - target.mean()).pow(2).mean()
    total = torch.zeros(())
    for layer in FIRSTS:
        one, other = (gram(x) / x[0, 0].numel() for x in (g[f"relu{layer}"], s[f"relu{layer}"]))
        total = total + (one - other).pow(2).mean() / other.pow(2).mean() / 5
    return Terms((g["relu4_2"] - target).pow(2).mean() / variance, 10 * total)


def halved(rgb: Tensor) -> Tensor:
    """Half the size by [1 3 3 1] / 8, as two means of neighbours and one of every second pixel."""
    rows = functional.pad(rgb, (1, 1, 1, 1), mode="replicate")
    for axis in (2, 3):
        size = rows.shape[axis]
        for _ in range(3):  # [1 1] three times is [1 3 3 1]
            rows = (rows.narrow(axis, 0, size - 1) + rows.narrow(axis, 1, size - 1)) / 2
            size -= 1
    return rows[..., ::2, ::2]


def covariance_error(one: Tensor, other: Tensor) -> Tensor:
    """Of features standardised by the mean and deviation of the style's, ``other``."""
    one, other = one[0].flatten(1), other[0].flatten(1)
    mean = other.mean(1, keepdim=True)
    deviation = (other - mean).pow(2).mean(1, keepdim=True).sqrt()
    one, other = ((value - mean) / (deviation + deviation.mean()) for value in (one, other))
    ours, theirs = (value @ value.T / value.shape[1] for value in (one, other))
    return (ours - theirs).pow(2).mean() / theirs.pow(2).mean() + one.mean(1).pow(2).mean()


def relative(vgg: Weights, generated: Tensor, content: Tensor, style: Tensor) -> Terms:
    """The mean over three layers and two octaves of (ΔF)² / var F_c
    + 5 · that of the covariances' errors
    + 5 · the mean square of differences.
    """

    def seen(rgb: Tensor) -> Features:
        return features(vgg, imagenet(rgb), functional.avg_pool2d)

    whole, half = (
        [seen(f(x)) for x in (generated, content, style)] for f in (Tensor.clone, halved)
    )
    error = total = torch.zeros(())
    for g, c, s in (whole, half):
        for layer in ("relu1_1", "relu2_1", "relu3_1"):
            variance = (c[layer] - c[layer].mean()).pow(2).mean()
            error = error + (g[layer] - c[layer]).pow(2).mean() / variance / 6
            total = total + covariance_error(g[layer], s[layer]) / 6
    down, across = (generated.diff(dim=axis).pow(2).mean() for axis in (2, 3))
    return Terms(error, 5 * total, 5 * (down + across))


FORMULAS: Mapping[str, Formula] = {
    "gatys2015": gatys2015,
    "gatys2016": gatys2016,
    "gatys_pytorch": gatys_pytorch,
    "envision": envision,
    "content_init": content_init,
    "udacity": udacity,
    "tensorflow": tensorflow,
    "coursera": coursera,
    "relative": relative,
    "relative_gram": relative_gram,
}

# The sizes of the recipes (width x height), about a tenth; a style has its own shape where the
# recipe leaves it that.
SIZES = {
    "envision": (40, 40),
    "coursera": (40, 32),
    "gatys_pytorch": (48, 40),
    "tensorflow": (48, 40),
    "relative": (48, 40),
    "relative_gram": (48, 40),
}
OWN_SHAPE = {"gatys_pytorch", "tensorflow", "relative", "relative_gram"}


def picture(seed: int, width: int, height: int) -> Image.Image:
    """A random picture with both large forms and detail, of 8 bits."""
    smooth = random_image(seed, height, width)[0].permute(1, 2, 0).numpy()
    grain = np.random.default_rng(seed).uniform(-0.15, 0.15, smooth.shape)
    return Image.fromarray(np.rint(255 * np.clip(smooth + grain, 0, 1)).astype(np.uint8))


def numbers(image: Image.Image) -> Tensor:
    """RGB in [0, 1], in float64."""
    return torch.from_numpy(np.asarray(image) / 255.0).permute(2, 0, 1)[None].contiguous()


def pictures_of(name: str) -> tuple[Image.Image, Image.Image]:
    """A content and a style of the recipe's shapes."""
    size = SIZES.get(name, (48, 40))
    return picture(1, *size), picture(2, *((36, 48) if name in OWN_SHAPE else size))


def test_every_preset_has_its_formula_here():
    assert set(PRESETS) == set(FORMULAS) == set(RECIPES)


@pytest.mark.parametrize(
    ("name", "formula", "changes"),
    [(name, formula, {}) for name, formula in FORMULAS.items()]
    + [("tensorflow", tensorflow_with_variation, {"tv_weight": 30})],
    ids=[*FORMULAS, "tensorflow, second run"],
)
def test_a_recipe_s_loss_is_that_of_its_published_formula(name, formula, changes):
    vgg = weights()
    content, style = (numbers(one) for one in pictures_of(name))
    width, height = SIZES.get(name, (48, 40))
    generated = numbers(picture(3, width, height))
    expected = formula(vgg, generated, content, style)

    cell = settings_of(name, **changes)
    network = as_extractor(vgg).adapted(cell.pooling, cell.input).double()
    targets = measure_targets(network, content, [Region.whole(style)], [cell])
    parts = Objective(network, targets, [cell])(generated)

    # Measured: 4e-7, from constants that the package rounds to float32.
    assert cell.alpha * parts.content.item() == pytest.approx(expected.content.item(), rel=1e-6)
    assert cell.beta * parts.style.item() == pytest.approx(expected.style.item(), rel=1e-6)
    assert cell.tv_weight * parts.tv.item() == pytest.approx(float(expected.variation), rel=1e-6)
    assert parts.total.item() == pytest.approx(float(sum(expected)), rel=1e-6)


def test_the_stack_with_relu_in_place_is_laid_out_as_torchvision_s():
    from torchvision.models import vgg19  # noqa: PLC0415 - takes a second

    with torch.device("meta"):
        theirs = vgg19().features
    ours = torchvision_features(weights())
    assert [type(layer) for layer in ours] == [type(layer) for layer in theirs]
    assert all(layer.inplace for layer in theirs if isinstance(layer, nn.ReLU))


def test_relu_in_place_overwrites_every_tap_but_the_last_of_a_stack():
    vgg, image = weights(), numbers(picture(3, 48, 40))
    stack = torchvision_features(vgg)
    plain = features(vgg, image, functional.max_pool2d)
    taps = (0, 5, 10, 19, 28)
    cut, whole = (run_and_save(one, image.clone(), taps) for one in (stack[:29], stack))
    for tap, layer in zip(cut[:-1], FIRSTS[:-1], strict=True):
        torch.testing.assert_close(tap, plain[f"relu{layer}"])
    torch.testing.assert_close(cut[-1], plain["conv5_1"])
    torch.testing.assert_close(whole[-1], plain["relu5_1"])
    assert plain["conv5_1"].min() < 0


# ---------------------------------------------------------------- the first steps of Adam


class Rule(NamedTuple):
    """How a recipe moves: Adam on values that are ``scale · RGB - offset``."""

    rate: float
    first: float = 0.9
    second: float = 0.999
    epsilon: float = 1e-8
    keras: bool = False
    clip: bool = False
    scale: float = 1.0
    offset: Sequence[float] = (0.0, 0.0, 0.0)
    gain: float = 1.0
    """Scales the network's first layer, for gradients so small that ε matters."""


CAFFE_RGB = CAFFE_BGR[::-1]
RULES = {
    "envision": Rule(1e-3),
    "content_init": Rule(1e-3),
    "udacity": Rule(3e-3),
    "tensorflow": Rule(0.02, first=0.99, epsilon=0.1, keras=True, clip=True),
    "coursera": Rule(2.0, keras=True, scale=255.0, offset=CAFFE_RGB, gain=0.01),
}


def adam(loss: Callable[[Tensor], Tensor], value: Tensor, rule: Rule, steps: int) -> list[Tensor]:
    """The values after 0, 1, …, steps steps.

    PyTorch divides by √v̂ + ε; TensorFlow moves the corrections into the rate and divides by √v + ε.
    """
    path = [value]
    mean, square = torch.zeros_like(value), torch.zeros_like(value)
    for step in range(1, steps + 1):
        value = value.detach().requires_grad_(True)
        loss(value).backward()
        mean = rule.first * mean + (1 - rule.first) * value.grad
        square = rule.second * square + (1 - rule.second) * value.grad**2
        mean_share, square_share = 1 - rule.first**step, 1 - rule.second**step
        with torch.no_grad():
            if rule.keras:
                rate = rule.rate * square_share**0.5 / mean_share
                value = value - rate * mean / (square.sqrt() + rule.epsilon)
            else:
                value = value - rule.rate * (mean / mean_share) / (
                    (square / square_share).sqrt() + rule.epsilon
                )
            if rule.clip:
                value = value.clamp(0, 1)
        path.append(value)
    return path


def first_values(name: str, content: Tensor) -> Tensor:
    """The start, on the recipe's own scale."""
    rule = RULES[name]
    offset = torch.tensor(rule.offset, dtype=torch.float64)[:, None, None]
    values = rule.scale * content - offset
    if name != "coursera":
        return values
    uniform = torch.rand(content.shape, generator=torch.Generator().manual_seed(0)).double()
    return 0.6 * (40 * uniform - 20) + 0.4 * values


# Measured: 2e-5 for tensorflow, 2e-6 for the others; one step is 1e-3 to 2e-2.
PATH_TOLERANCE = 1e-4


@pytest.mark.parametrize("name", RULES)
def test_the_first_ten_steps_of_a_recipe_are_those_of_its_optimiser(name):
    rule, formula = RULES[name], FORMULAS[name]
    vgg = weights(rule.gain)
    images = pictures_of(name)
    content, style = (numbers(one) for one in images)
    offset = torch.tensor(rule.offset, dtype=torch.float64)[:, None, None]

    def loss(values: Tensor) -> Tensor:
        return sum(formula(vgg, (values + offset) / rule.scale, content, style))

    path = adam(loss, first_values(name, content), rule, steps=10)

    width, height = images[0].size
    sides = {"exact": [width, height], "short_side": height, "long_side": width}
    size = sides[PRESETS[name].settings.get("size", "long_side")]
    cell = settings_of(
        name,
        image_size=size,
        iterations=10,
        snapshots=list(range(11)),
        precision="float32",
    )
    (result,) = make_cells(as_extractor(vgg), Images.of(*images), [cell])

    for step, values in enumerate(path):
        expected = ((values + offset) / rule.scale).clamp(0, 1)
        found = result.snapshots[step].double()
        torch.testing.assert_close(found, expected, atol=PATH_TOLERANCE, rtol=0)
    torch.testing.assert_close(result.image.double(), expected, atol=PATH_TOLERANCE, rtol=0)
    assert (path[-1] - path[0]).abs().max() > 5 * rule.rate


# ---------------------------------------------------------------- what the files say

CONV = {f"conv{layer}": 1.0 for layer in FIRSTS}
RELU = {f"relu{layer}": 1.0 for layer in FIRSTS}
FIFTHS = {f"conv{layer}": 1 / 5 for layer in FIRSTS}
ENVISION = {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0, "relu4_1": 1.0, "conv5_1": 1.0}
GATYS = {
    "alpha / beta": 1e-3,
    "content": ("half_sum", {"conv4_2": 1.0}),
    "style": ("sum_gram", FIFTHS),
    "pooling": "average",
    "input": "native",
    "size": ("long_side", 512, ()),
    "style_fit": "content",
    "start": "noise",
    "optimiser": "lbfgs",
    "iterations": 1000,
    "ends": (True, "best"),
}
RECIPES: Mapping[str, Mapping[str, Any]] = {
    "gatys2015": GATYS | {"alpha / beta": 1e-4},
    "gatys2016": GATYS,
    "gatys_pytorch": {
        "alpha, beta": (1.0, 1.0),
        "content": ("mean", {"relu4_2": 1.0}),
        "style": (
            "mean_gram",
            {
                "relu1_1": 1e3 / 64**2,
                "relu2_1": 1e3 / 128**2,
                "relu3_1": 1e3 / 256**2,
                "relu4_1": 1e3 / 512**2,
                "relu5_1": 1e3 / 512**2,
            },
        ),
        "pooling": "max",
        "input": "caffe",
        "size": ("long_side", 800, ((512, 500),)),
        "style_fit": "own",
        "start": "content",
        "optimiser": "lbfgs",
        "iterations": 200,
        "ends": (False, "best"),
    },
    "envision": {
        "alpha, beta": (1.0, 0.01),
        "content": ("mean", ENVISION),
        "style": ("mean_plain_gram", ENVISION),
        "pooling": "max",
        "input": "unit",
        "size": ("exact", (500, 500), ()),
        "style_fit": "content",
        "start": "content",
        "optimiser": "adam",
        "rates": (1e-3, 0.9, 0.999, 1e-8),
        "iterations": 6001,
        "ends": (False, "last"),
    },
    "content_init": {
        "alpha, beta": (1.0, 10.0),
        "content": ("mean", CONV),
        "style": ("sum_gram", dict.fromkeys(CONV, 4.0)),  # it lacks the 4 of the divisor
        "pooling": "max",
        "input": "native",
        "size": ("long_side", 512, ()),
        "style_fit": "content",
        "start": "content",
        "optimiser": "adam",
        "rates": (1e-3, 0.9, 0.999, 1e-8),
        "iterations": 6000,
        "ends": (False, "last"),
    },
    "udacity": {
        "alpha, beta": (1.0, 1e6),
        "content": ("mean", {"relu4_2": 1.0}),
        "style": (
            "mean_plain_gram_per_value",
            {"relu1_1": 1.0, "relu2_1": 0.75, "relu3_1": 0.2, "relu4_1": 0.2, "relu5_1": 0.2},
        ),
        "pooling": "max",
        "input": "imagenet",
        "size": ("short_side", 400, ()),
        "style_fit": "content",
        "start": "content",
        "optimiser": "adam",
        "rates": (3e-3, 0.9, 0.999, 1e-8),
        "iterations": 2000,
        "ends": (False, "last"),
    },
    "tensorflow": {
        "alpha, beta": (1e4, 1e-2),
        "content": ("mean", {"relu5_2": 1.0}),
        "style": ("mean_gram", dict.fromkeys(RELU, 1 / 5)),
        "variation": ("absolute_sum", 0.0),
        "pooling": "max",
        "input": "caffe",
        "size": ("long_side", 512, ()),
        "style_fit": "own",
        "start": "content",
        "optimiser": "keras_adam",
        "rates": (0.02, 0.99, 0.999, 0.1),
        "iterations": 1000,
        "ends": (True, "last"),
    },
    "coursera": {
        "alpha, beta": (10.0, 40.0),
        "content": ("mean", {"conv4_2": 1 / 4}),
        "style": ("sum_gram", FIFTHS),
        "pooling": "average",
        "input": "caffe",
        "size": ("exact", (400, 300), ()),
        "style_fit": "content",
        "start": "blended_noise",
        "start_noise": 0.6,
        "optimiser": "keras_adam",
        "rates": (2.0 / 255, 0.9, 0.999, 255 * 1e-8),
        "iterations": 200,
        "ends": (False, "last"),
    },
    "relative": {
        "alpha, beta": (1.0, 5.0),
        "content": ("relative", {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0}),
        "content_target": "recoloured",
        "style": ("covariance", {"relu1_1": 1.0, "relu2_1": 1.0, "relu3_1": 1.0}),
        "octaves": "auto",
        "variation": ("mean_square", 5.0),
        "pooling": "average",
        "input": "native",
        "size": ("long_side", 256, ()),
        "growth": 50,
        "style_fit": "own",
        "start": "recoloured",
        "start_noise": 0.05,
        "optimiser": "lbfgs",
        "iterations": 50,
        "ends": (True, "best"),
    },
    "relative_gram": {
        "alpha, beta": (1.0, 10.0),
        "content": ("relative", {"relu4_2": 1.0}),
        "style": ("relative", RELU),
        "pooling": "native",
        "input": "native",
        "size": ("long_side", 256, ()),
        "style_fit": "own",
        "start": "recoloured",
        "start_noise": 0.1,
        "optimiser": "lbfgs",
        "iterations": 100,
        "ends": (True, "best"),
    },
}
# What a file may set, and the row above that holds it.
HELD = {
    **{"alpha": "alpha", "beta": "beta", "tv_loss": "variation", "tv_weight": "variation"},
    **{"content_loss": "content", "content_layers": "content"},
    **{"style_loss": "style", "style_layers": "style"},
    **{name: name for name in ("content_target", "octaves", "growth")},
    **{name: name for name in ("pooling", "input", "style_fit", "start", "start_noise")},
    **{"size": "size", "image_size": "size", "coarse_stages": "size"},
    **{"optimiser": "optimiser", "iterations": "iterations", "clamp": "ends", "keep": "ends"},
    **dict.fromkeys(("learning_rate", "adam_beta1", "adam_beta2", "adam_epsilon"), "rates"),
}


def described(cell: Settings) -> dict[str, Any]:
    """A cell's settings in the rows of the table."""
    rates = (cell.learning_rate, cell.adam_beta1, cell.adam_beta2, cell.adam_epsilon)
    return {
        "alpha, beta": (cell.alpha, cell.beta),
        "alpha / beta": cell.alpha / cell.beta,
        "content": (cell.content_loss, dict(cell.content_layers)),
        "style": (cell.style_loss, dict(cell.style_layers)),
        "variation": (cell.tv_loss, cell.tv_weight),
        "content_target": cell.content_target,
        "octaves": cell.octaves,
        "growth": cell.growth,
        "pooling": cell.pooling,
        "input": cell.input,
        "size": (cell.size, cell.image_size, cell.coarse_stages),
        "style_fit": cell.style_fit,
        "start": cell.start,
        "start_noise": cell.start_noise,
        "optimiser": cell.optimiser,
        "rates": tuple(pytest.approx(rate, rel=1e-12, abs=0) for rate in rates),
        "iterations": cell.iterations,
        "ends": (cell.clamp, cell.keep),
    }


@pytest.mark.parametrize("name", RECIPES)
def test_a_preset_says_what_was_published(name):
    found = described(settings_of(name))
    assert {row: found[row] for row in RECIPES[name]} == dict(RECIPES[name])
    assert settings_of(name).style_scale == 1


@pytest.mark.parametrize("name", sorted(set(RECIPES) - {"relative"}))
def test_a_published_recipe_uses_nothing_that_came_later(name):
    cell = settings_of(name)
    later = (cell.content_target, cell.octaves, cell.growth, cell.tv_weight)
    assert later == ("content", 1, 0, 0)


@pytest.mark.parametrize("name", RECIPES)
def test_a_preset_says_nothing_that_is_not_held_here(name):
    held = " ".join(RECIPES[name])
    for field in PRESETS[name].settings:
        assert HELD[field] in held, f"{field} is not in the table"


# ---------------------------------------------------------------- what the network gets

COLOURS = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(3))


def test_unit_gives_a_network_made_for_imagenet_the_bare_rgb():
    network = as_extractor(weights())
    torch.testing.assert_close(network.input(COLOURS), imagenet(COLOURS))
    given = network.adapted("native", "unit").input(COLOURS)
    torch.testing.assert_close(given, COLOURS, atol=1e-6, rtol=0)


def test_unit_does_to_another_network_what_it_does_to_one_made_for_imagenet():
    network = as_extractor(weights()).adapted("native", "caffe")
    mean, deviation = (torch.tensor(one)[:, None, None] for one in IMAGENET)
    stretched = caffe(COLOURS * deviation + mean)
    given = network.adapted("native", "unit").input(COLOURS)
    torch.testing.assert_close(given, stretched, atol=1e-4, rtol=0)


def test_caffe_is_bgr_to_255_less_its_mean_whatever_the_network_was_made_for():
    network = as_extractor(weights())
    for one in (network, network.adapted("native", "unit")):
        given = one.adapted("native", "caffe").input(COLOURS)
        torch.testing.assert_close(given, caffe(COLOURS), atol=1e-4, rtol=0)
    red = torch.tensor([1.0, 0.0, 0.0])[None, :, None, None]
    blue, green, last = network.adapted("native", "caffe").input(red).flatten().tolist()
    assert (blue, green) == pytest.approx((-103.939, -116.779))
    assert last == pytest.approx(255 - 123.68)


def test_an_adapted_network_shares_the_convolutions_and_leaves_the_original_alone():
    network = as_extractor(weights())
    before = {name: value.clone() for name, value in network.state_dict().items()}
    image = random_image(4)
    for pooling in ("native", "max", "average"):
        for given in ("native", "imagenet", "unit", "caffe"):
            other = network.adapted(pooling, given)
            for name, one in network.convolutions.items():
                assert other.convolutions[name].weight.data_ptr() == one.weight.data_ptr()
            other(image, ["relu5_1"])
    assert network.architecture == SHAPED_AS_VGG19
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_the_original_goes_on_with_its_own_pooling_and_input():
    network = as_extractor(weights())
    image = random_image(4)
    before = network(image, ["relu3_1"])["relu3_1"]
    changed = network.adapted("average", "caffe")(image, ["relu3_1"])["relu3_1"]
    assert not torch.allclose(changed, before)
    assert torch.equal(network(image, ["relu3_1"])["relu3_1"], before)


# ---------------------------------------------------------------- the measures


def test_the_measures_are_0_for_the_content_and_for_the_style_themselves():
    content, style = picture(1, 48, 40), picture(2, 48, 40)
    measure = Measure(as_extractor(weights()), content, Composition.plain(style))
    as_content = measure(content)
    as_style = measure(style)
    assert as_content["relative_content"] == pytest.approx(0, abs=1e-10)
    assert as_style["relative_style"] == pytest.approx(0, abs=1e-10)
    assert min(as_content["relative_style"], as_style["relative_content"]) > 0.01


def test_the_measures_are_the_relative_losses_whatever_the_cell_s_own(tmp_path):
    content, style = picture(1, 48, 40), picture(2, 36, 48)
    vgg = weights()
    paths = {name: tmp_path / name for name in ("content.png", "style.png", "vgg.safetensors")}
    content.save(paths["content.png"])
    style.save(paths["style.png"])
    save_extractor(as_extractor(vgg), paths["vgg.safetensors"])
    # Steps too small to see: all the cells have the same picture, and each its own loss.
    still = {
        "image_size": 48,
        "size": "long_side",
        "iterations": 1,
        "coarse_stages": [],
        "growth": 0,
    }
    still |= {"start": "noise", "optimiser": "adam", "learning_rate": 1e-9}
    wanted = [
        Wanted("all", "1e0", name, settings_of(name, **still), tmp_path / f"{name}.png")
        for name in PRESETS
    ]
    pair = Pair(
        *(paths["content.png"], "content", "Content", paths["style.png"], "style", "Style"),
        paths["vgg.safetensors"],
    )
    cells = stylize_pair(pair, wanted, torch.device("cpu"))
    noise = torch.rand(1, 3, 40, 48, generator=torch.Generator().manual_seed(0)).double()
    noise = (noise * 255).round() / 255  # as it is delivered
    expected = relative_gram(vgg, noise, numbers(content), numbers(style))
    assert {cell.formulation for cell in cells} == set(PRESETS)
    for cell in cells:
        assert cell.losses["relative_content"] == pytest.approx(expected.content.item(), rel=1e-5)
        assert cell.losses["relative_style"] == pytest.approx(expected.style.item() / 10, rel=1e-5)
        record = read_record(tmp_path / f"{cell.formulation}.png")
        assert record["losses"]["relative_style"] == cell.losses["relative_style"]
    totals = {float(f"{cell.losses['total']:.4g}") for cell in cells}
    assert len(totals) == len(PRESETS), "no two recipes are the same"


# ---------------------------------------------------------------- the real network


@pytest.fixture(scope="module")
def real():
    """Loaded once: the distilled network, and the two paintings."""
    return {}


@pytest.mark.mirror
@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_lowers_its_own_loss_on_the_real_network(name, mirror, real, tmp_path):
    if not real:
        real["network"] = provide_extractor("vgg19_16x", mirror=str(mirror), cache=tmp_path)
        photographs = (load_image(mirror / f"{one}.jpg") for one in ("tubingen", "starry_night"))
        real["images"] = Images.of(*photographs)
    changes: dict[str, Any] = {"image_size": 64, "iterations": 12, "extractor": "vgg19_16x"}
    if name == "tensorflow":
        # The distilled network ends there, and its features are so small that at the published
        # balance the content, which is the start, outweighs the style a thousandfold.
        changes["content_layers"] = {"relu5_1": 1e-3}
    if PRESETS[name].settings.get("size") == "exact":
        changes["image_size"] = [64, 48]
    if "coarse_stages" in PRESETS[name].settings:
        changes["coarse_stages"] = [[48, 6]]
    cell = settings_of(name, **changes)
    (result,) = make_cells(real["network"], real["images"], [cell])
    assert result.attempts == 1
    assert result.image.isfinite().all()
    assert result.image.shape[-2:] == picture_size(real["images"].content, cell)[::-1]
    assert np.isfinite(result.trace["total"]).all()
    last_stage = result.trace["total"][-cell.iterations :]
    assert result.losses["total"] < last_stage[0]
    assert result.losses["total"] < result.trace["total"][0] or len(cell.stages) > 1


@pytest.mark.mirror
def test_the_distilled_network_s_own_input_is_caffe_s_colours_to_a_level_of_255(mirror, tmp_path):
    network = provide_extractor("vgg19_16x", mirror=str(mirror), cache=tmp_path)
    torch.testing.assert_close(network.input(COLOURS), caffe(COLOURS), atol=1, rtol=0)
