"""Octaves: their number, the layers at each octave, and halving a picture."""

import numpy as np
import pytest
import torch
from conftest import random_image
from formulas import halved
from torch.nn import functional

from nst.config.layers import count, taps
from nst.config.settings import Settings
from nst.errors import ConfigError, ExtractorError
from nst.method.resilience import make_cells
from nst.method.stages import Images
from nst.network.extractor import Extractor
from nst.network.kernels import average_pool, crop, halve, pad_symmetric, reflect
from nst.network.tensors import to_image
from nst.network.tiles import see_in_tiles

STYLE = ("relu1_1", "relu2_1", "relu3_1")


# ---------------------------------------------------------------- layers at octaves


def test_an_octave_computes_only_what_is_asked_for_there(tiny, monkeypatch):
    asked = []
    whole = Extractor.forward

    def forward(self, images, layers, step=None):
        asked.append((tuple(images.shape[-2:]), sorted(layers)))
        return whole(self, images, layers, step)

    monkeypatch.setattr(Extractor, "forward", forward)
    list(see_in_tiles(tiny, random_image(0, 32, 48), ["relu1_1", "relu2_1@2", "relu1_1@2"], None))
    assert asked == [((32, 48), ["relu1_1"]), ((8, 12), ["relu1_1", "relu2_1"])]


NAMED = {"relu2_1@0": 1.0, "relu3_1@1": 2.0, "relu3_1@2": 4.0}


@pytest.mark.parametrize(
    ("weights", "octaves", "halvings", "expected"),
    [
        # Each octave has half the weight of the one before; those from the fourth on have equal
        # weights, since only a larger picture has them.
        ({"relu1_1": 1, "relu2_1": 3}, 1, 0, {"relu1_1": 1, "relu2_1": 3}),
        ({"relu1_1": 7}, 3, 0, {"relu1_1": 4, "relu1_1@1": 2, "relu1_1@2": 1}),
        (
            {"relu1_1": 31},
            6,
            0,
            {"relu1_1": 8, **{f"relu1_1@{n}": 2 ** min(3, 5 - n) for n in range(1, 6)}},
        ),
        # A layer may name its only octave or its first one.
        (NAMED, 3, 0, {"relu2_1": 1, "relu3_1@1": 2, "relu3_1@2": 4}),
        ({"relu2_1": 3, "relu2_1@1": 2}, 2, 0, {"relu2_1": 2, "relu2_1@1": 3}),
        ({"relu3_1@1+": 3}, 3, 0, {"relu3_1@1": 2, "relu3_1@2": 1}),
        ({"relu3_1@0+": 3}, 2, 0, {"relu3_1": 2, "relu3_1@1": 1}),
        ({"relu3_1@1+": 1}, 1, 0, {"relu3_1@1": 1}),  # it is never dropped
        # A layer keeps its size in a picture that grows.
        (NAMED, 2, 1, {"relu2_1": 1, "relu3_1": 2, "relu3_1@1": 4}),
        (NAMED, 1, 2, {"relu2_1": 1, "relu3_1": 6}),
        ({"relu2_1": 3, "relu2_1@1": 2}, 2, 1, {"relu2_1": 4, "relu2_1@1": 1}),
        ({"relu3_1@1+": 3}, 2, 1, {"relu3_1": 2, "relu3_1@1": 1}),
        ({"relu3_1@1+": 1}, 1, 2, {"relu3_1": 1}),
    ],
)
def test_a_layer_is_at_its_octaves_with_its_share_of_the_weight_at_each(
    weights, octaves, halvings, expected
):
    weights = {name: float(weight) for name, weight in weights.items()}
    assert taps(weights, octaves, halvings) == expected


@pytest.mark.parametrize(
    ("longest", "octaves"), [(32, 1), (64, 2), (128, 3), (256, 4), (512, 5), (1024, 6), (8192, 8)]
)
def test_twice_the_size_has_one_octave_more(longest, octaves):
    size = (longest, longest * 2 // 3)
    assert count(STYLE, STYLE, size, size) == octaves


def test_deeper_layers_and_narrow_pictures_have_fewer_octaves():
    assert count(["relu4_1"], STYLE, (256, 170), (256, 170)) == 3
    assert count(["relu5_1"], STYLE, (256, 170), (256, 170)) == 2
    assert count(STYLE, STYLE, (256, 40), (256, 170)) == 3
    assert count(STYLE, STYLE, (256, 170), (256, 17)) == 2
    assert count(STYLE, STYLE, (256, 5), (256, 170)) == 1  # the layer itself is refused later


def test_there_is_room_at_every_octave_for_the_content_s_layers_too():
    size = (256, 40)
    assert count(["relu2_1"], ["relu2_1"], size, size) == 4
    assert count(["relu2_1"], ["relu4_1"], size, size) == 2
    assert count(["relu2_1"], ["relu4_1@1"], size, size) == 4, "relu4_1 is used only at octave 1"
    assert count(["relu2_1"], ["relu4_1@1+"], size, size) == 2
    shallow = {"style_layers": {"relu2_1": 1}, "content_layers": {"relu4_1": 3}}
    found = Settings.from_mapping({"octaves": "auto", **shallow}).taps(size, size)
    assert dict(found.content) == {"relu4_1": 2, "relu4_1@1": 1}


def test_a_layer_of_weight_0_takes_no_room_and_is_not_looked_at():
    size = (256, 40)
    used = {"style_layers": {"relu2_1": 1}, "content_layers": {"relu2_1": 1}}
    more = {kind: {**layers, "relu4_1": 0} for kind, layers in used.items()}
    plain, with_zeros = (Settings.from_mapping({"octaves": "auto", **one}) for one in (used, more))
    assert with_zeros.taps(size, size) == plain.taps(size, size)


def test_a_stage_has_an_octave_less_for_each_halving():
    layers = {"style_layers": dict.fromkeys(STYLE, 1), "content_layers": {"relu3_1@1": 1}}
    settings = Settings.from_mapping({"octaves": 3, **layers})
    found = settings.taps((128, 96), (128, 96), halvings=1)
    assert len(found.style) == 2 * len(STYLE)
    assert dict(found.content) == {"relu3_1": 1}
    assert len(settings.taps((32, 24), (32, 24), halvings=3).style) == len(STYLE)


# ---------------------------------------------------------------- growth


@pytest.mark.parametrize(
    "sizes",
    [
        *([64], [127], [64, 128], [64, 128, 256], [96, 192, 384], [64, 128, 256, 512, 1024]),
        [(80, 40), (160, 81)],
    ],
)
def test_a_picture_grows_through_the_halves_of_its_size(sizes):
    size, exact = sizes[-1], {"size": "exact"} if isinstance(sizes[-1], tuple) else {}
    settings = Settings.from_mapping({"image_size": size, "growth": 30, "iterations": 10, **exact})
    assert settings.stages == (*((one, 30) for one in sizes[:-1]), (size, 10))


def test_growth_and_coarse_stages_do_not_go_together():
    with pytest.raises(ConfigError, match="coarse_stages cannot be given with growth"):
        Settings.from_mapping({"growth": 5, "coarse_stages": [[64, 5]]})


def test_a_later_size_starts_with_the_strokes_of_the_one_before_and_its_own_detail(tiny, small):
    """With a negligible final step, the result is the smaller picture, enlarged with detail."""
    cell = small(image_size=128, growth=30, iterations=1, optimiser="adam", learning_rate=1e-9)
    before = small(image_size=64, iterations=30, optimiser="adam", learning_rate=1e-9)
    pictures = Images.of(to_image(random_image(1, 96, 128)), to_image(random_image(2, 96, 128)))
    (grown,) = make_cells(tiny, pictures, [cell])
    (alone,) = make_cells(tiny, pictures, [before])
    down = functional.interpolate(grown.image, size=(48, 64), mode="bicubic", antialias=True)
    torch.testing.assert_close(down, alone.image, atol=0.06, rtol=0)
    assert grown.image.diff(dim=3).abs().mean() > 0


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    "layer", ["relu3_1@-1", "relu3_1@8", "relu3_1@", "relu3_1@1@2", "relu3_1 @1"]
)
def test_an_octave_that_there_is_not_is_refused(layer):
    with pytest.raises(ConfigError, match="content_layers must be layer names, as relu4_2"):
        Settings.from_mapping({"content_layers": {layer: 1}})


def test_an_octave_needs_a_picture_large_enough_for_it(tiny):
    with pytest.raises(ExtractorError, match=r"relu2_1@3 needs at least 32 px per side; got 31"):
        tiny.architecture.check(["relu2_1@3"], 31)


# ---------------------------------------------------------------- padding, cropping and pooling


def crop_inside(features: torch.Tensor) -> torch.Tensor:
    return crop(features, slice(1, -1), slice(0, 2))


KERNELS = {
    halve: halved,
    reflect: lambda features: functional.pad(features, (1, 1, 1, 1), mode="reflect"),
    average_pool: lambda features: functional.avg_pool2d(features, 2),
    crop_inside: lambda features: features[..., 1:-1, 0:2],
}


def features(*shape: int) -> torch.Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return values.contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", [(1, 2, 3, 2), (2, 3, 3, 5), (1, 1, 6, 2), (3, 4, 7, 8)])
def test_a_kernel_computes_what_torch_s_operations_do_and_its_gradient(kernel, shape):
    value = features(*shape)
    ours, torchs = kernel(value), KERNELS[kernel](value)
    torch.testing.assert_close(ours, torchs)
    (found,) = torch.autograd.grad(ours, value, torch.cos(ours), retain_graph=True)
    (expected,) = torch.autograd.grad(torchs, value, torch.cos(torchs))
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_gradient_of_a_kernel_lies_channels_last(kernel):
    value = features(2, 4, 8, 6)
    (found,) = torch.autograd.grad(kernel(value).square().sum(), value)
    strides = found.stride()
    assert strides[1] == min(strides) == 1, "the channels of each position are contiguous"


@pytest.mark.parametrize("shape", [(1, 3, 5, 7), (2, 3, 4, 4), (1, 3, 1, 2), (1, 3, 3, 2)])
def test_a_picture_is_continued_by_its_mirror_image(shape):
    picture = features(*shape)
    expected = np.pad(picture.detach().numpy(), ((0, 0), (0, 0), (4, 4), (4, 4)), "symmetric")
    assert torch.equal(pad_symmetric(picture, 4), torch.from_numpy(expected))
    assert torch.autograd.gradcheck(lambda one: pad_symmetric(one, 4), picture)
    assert pad_symmetric(picture, 0) is picture
