"""Octaves: their number, the layers at each octave, and halving a picture."""

import numpy as np
import pytest
import torch
from conftest import random_image
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


def see(network: Extractor, image: torch.Tensor, layers: list[str]) -> dict[str, torch.Tensor]:
    return {
        name: value
        for _, found in see_in_tiles(network, image, layers, None)
        for name, value in found.items()
    }


def test_layers_are_seen_at_their_octaves(tiny):
    image = random_image(0, 40, 32)
    found = see(tiny, image, ["relu1_1", "relu2_1@1", "relu1_2@2"])
    assert set(found) == {"relu1_1", "relu2_1@1", "relu1_2@2"}
    half, quarter = halve(image), halve(halve(image))
    torch.testing.assert_close(found["relu1_1"], tiny(image, ["relu1_1"])["relu1_1"])
    torch.testing.assert_close(found["relu2_1@1"], tiny(half, ["relu2_1"])["relu2_1"])
    torch.testing.assert_close(found["relu1_2@2"], tiny(quarter, ["relu1_2"])["relu1_2"])


def test_an_octave_computes_only_what_is_asked_for_there(tiny, monkeypatch):
    asked = []
    whole = Extractor.forward

    def forward(self, images, layers, step=None):
        asked.append((tuple(images.shape[-2:]), sorted(layers)))
        return whole(self, images, layers, step)

    monkeypatch.setattr(Extractor, "forward", forward)
    see(tiny, random_image(0, 32, 48), ["relu1_1", "relu2_1@2", "relu1_1@2"])
    assert asked == [((32, 48), ["relu1_1"]), ((8, 12), ["relu1_1", "relu2_1"])]


def test_a_layer_is_at_all_octaves_with_half_the_weight_of_the_one_before_at_each():
    assert taps({"relu1_1": 1.0, "relu2_1": 3.0}, 1) == {"relu1_1": 1, "relu2_1": 3}
    assert taps({"relu1_1": 15.0}, 4) == {
        **{"relu1_1": 8, "relu1_1@1": 4, "relu1_1@2": 2, "relu1_1@3": 1}
    }


def test_the_octaves_that_only_a_larger_picture_has_count_alike():
    found = taps({"relu1_1": 31.0}, 6)
    assert list(found.values()) == [8, 8, 8, 4, 2, 1]


def test_a_layer_that_names_an_octave_is_at_that_one_only():
    weights = {"relu2_1@0": 1.0, "relu3_1@1": 2.0, "relu3_1@2": 4.0}
    assert taps(weights, 3) == {"relu2_1": 1, "relu3_1@1": 2, "relu3_1@2": 4}
    assert taps({"relu2_1": 3.0, "relu2_1@1": 2.0}, 2) == {"relu2_1": 2, "relu2_1@1": 3}


def test_a_layer_may_name_its_first_octave():
    assert taps({"relu3_1@1+": 3.0}, 3) == {"relu3_1@1": 2, "relu3_1@2": 1}
    assert taps({"relu3_1@0+": 1.0}, 2) == taps({"relu3_1": 1.0}, 2)
    assert taps({"relu3_1@1+": 1.0}, 1) == {"relu3_1@1": 1.0}, "the layer is never dropped"


def test_a_layer_keeps_its_size_in_the_picture_while_that_grows():
    weights = {"relu2_1@0": 1.0, "relu3_1@1": 2.0, "relu3_1@2": 4.0}
    assert taps(weights, 2, 1) == {"relu2_1": 1, "relu3_1": 2, "relu3_1@1": 4}
    assert taps(weights, 1, 2) == {"relu2_1": 1, "relu3_1": 6}
    assert taps({"relu2_1": 3.0, "relu2_1@1": 2.0}, 2, 1) == {"relu2_1": 4, "relu2_1@1": 1}
    assert taps({"relu3_1@1+": 3.0}, 2, 1) == {"relu3_1": 2, "relu3_1@1": 1}
    assert taps({"relu3_1@1+": 1.0}, 1, 2) == {"relu3_1": 1.0}


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
    ("size", "sizes"),
    [
        *((64, [64]), (127, [127]), (128, [64, 128]), (256, [64, 128, 256])),
        *((384, [96, 192, 384]), (1024, [64, 128, 256, 512, 1024])),
    ],
)
def test_a_picture_grows_through_the_halves_of_its_size(size, sizes):
    settings = Settings.from_mapping({"image_size": size, "growth": 30, "iterations": 10})
    assert settings.stages == (*((one, 30) for one in sizes[:-1]), (size, 10))


def test_both_sides_are_halved():
    exact = {"image_size": [160, 81], "size": "exact", "growth": 9}
    assert Settings.from_mapping(exact).stages == (((80, 40), 9), ((160, 81), 100))


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


def test_a_style_layer_may_name_its_octaves_too():
    layers = {"style_layers": {"relu1_1": 7, "relu3_1@1+": 3}, "content_layers": {"relu1_1": 1}}
    settings = Settings.from_mapping({"octaves": 3, **layers})
    assert dict(settings.taps((256, 192), (256, 192)).style) == {
        **{"relu1_1": 4, "relu1_1@1": 2, "relu1_1@2": 1},
        **{"relu3_1@1": 2, "relu3_1@2": 1},
    }


def test_an_octave_needs_a_picture_large_enough_for_it(tiny):
    with pytest.raises(ExtractorError, match=r"relu2_1@3 needs at least 32 px per side; got 31"):
        tiny.architecture.check(["relu2_1@3"], 31)


# ---------------------------------------------------------------- padding, cropping and pooling


def by_torch(features: torch.Tensor) -> torch.Tensor:
    """Halve with the binomial filter by torch's own operations."""
    row = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=features.dtype) / 8
    kernel = torch.outer(row, row).expand(features.shape[1], 1, 4, 4)
    padded = functional.pad(features, (1, 1, 1, 1), mode="replicate")
    return functional.conv2d(padded, kernel, stride=2, groups=features.shape[1])


KERNELS = {
    halve: by_torch,
    reflect: lambda features: functional.pad(features, (1, 1, 1, 1), mode="reflect"),
    average_pool: lambda features: functional.avg_pool2d(features, 2),
}
INSIDE = (slice(1, -1), slice(0, 2))


def features(*shape: int) -> torch.Tensor:
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return values.contiguous(memory_format=torch.channels_last).requires_grad_()


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("shape", [(1, 2, 2, 2), (2, 3, 3, 5), (1, 1, 6, 2), (3, 4, 7, 8)])
def test_a_kernel_computes_what_torch_s_does_and_its_gradient(kernel, shape):
    value = features(*shape)
    ours, torchs = kernel(value), KERNELS[kernel](value)
    torch.testing.assert_close(ours, torchs, rtol=0, atol=0)
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


def test_a_crop_and_its_gradient_are_a_slice_s_and_lie_channels_last():
    value = features(2, 3, 5, 6)
    assert torch.equal(crop(value, *INSIDE), value[..., INSIDE[0], INSIDE[1]])
    (found,) = torch.autograd.grad(crop(value, *INSIDE).cos().sum(), value)
    (expected,) = torch.autograd.grad(value[..., INSIDE[0], INSIDE[1]].cos().sum(), value)
    assert torch.equal(found, expected)
    assert found.is_contiguous(memory_format=torch.channels_last)
