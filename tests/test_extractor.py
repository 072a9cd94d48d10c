from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest import TINY, random_image, random_network
from formulas import IMAGENET, SHAPED_AS_VGG19, caffe
from workflow_runs import run_python

from nst.config.layers import KMEANS, Architecture
from nst.errors import ExtractorError
from nst.network.extractor import Extractor, load_extractor, save_extractor
from nst.network.kernels import halve
from nst.network.kmeans import fit_kmeans
from nst.network.provision import provide_extractor
from nst.system.files import file_digest


def test_nothing_is_computed_beyond_the_last_layer_asked_for(tiny):
    tiny.convolutions["conv2_1"] = None  # it cannot be computed
    assert set(tiny(random_image(3), {"relu1_1", "conv1_2"})) == {"relu1_1", "conv1_2"}


def test_the_layer_rgb_is_the_picture_and_needs_no_network(tiny, monkeypatch):
    image = random_image(3)
    found = tiny(image, ["rgb", "relu1_1"])
    assert torch.equal(found["rgb"], image)
    assert torch.equal(found["relu1_1"], tiny(image, ["relu1_1"])["relu1_1"])
    monkeypatch.delattr(Extractor, "_walk")
    assert set(tiny(image, ["rgb"])) == {"rgb"}


def test_an_unknown_layer_is_refused_with_the_known_ones(tiny):
    with pytest.raises(
        ExtractorError, match=r"tiny has no layer 'relu4_2'; it has conv1_1, relu1_1"
    ):
        tiny(random_image(4), ["relu4_2"])


def test_an_image_too_small_for_a_layer_is_refused_with_the_remedy(tiny):
    with pytest.raises(ExtractorError, match=r"relu2_1 needs at least 4 px .* got 3\. Raise"):
        tiny(random_image(5, 3, 30), ["relu2_1"])
    tiny(random_image(5, 4, 30), ["relu2_1"])


def test_a_network_is_read_without_loading_what_computes_symbols(tiny_file):
    # Loading SymPy takes 0.6 s, before the first step of every `nst stylize`.
    script = (
        "import sys, torch; from pathlib import Path\n"
        "before = set(sys.modules)\n"
        "from nst.network.extractor import load_extractor\n"
        f"load_extractor(Path({str(tiny_file)!r})).adapted('max', 'caffe', padding='symmetric')\n"
        "assert 'sympy' not in set(sys.modules) - before"
    )
    run_python(script)


@pytest.mark.parametrize("native", ["zeros", "reflect"])
@pytest.mark.parametrize(("height", "width"), [(32, 48), (37, 51)])
def test_a_mirror_at_the_border_is_seen_as_a_larger_picture_is(native, height, width):
    image = random_image(8, height, width)
    network = Extractor(replace(KMEANS, padding=native)).eval()
    exact = ["conv1_1", "relu1_1", "relu1_2", "relu2_1"]
    found = network.adapted("native", "native", padding="symmetric")(image, [*exact, "relu2_2"])
    unasked = network.adapted("native", "native")(image, ["relu1_1"])["relu1_1"]
    assert torch.equal(unasked, network(image, ["relu1_1"])["relu1_1"])
    larger = torch.from_numpy(np.pad(image, ((0, 0), (0, 0), (16, 16), (16, 16)), "symmetric"))
    of_larger = network(larger, exact)
    for layer in exact:
        block = int(layer[4])
        high, wide, margin = (side >> (block - 1) for side in (height, width, 16))
        inside = of_larger[layer][..., margin : margin + high, margin : margin + wide]
        torch.testing.assert_close(found[layer], inside)
        assert found[layer].is_contiguous(memory_format=torch.channels_last)
    assert found["relu2_2"].shape[2:] == (height // 2, width // 2)


def test_a_saved_extractor_comes_back_the_same_and_is_saved_as_the_same_bytes(tiny, tiny_file):
    loaded = load_extractor(tiny_file)
    assert loaded.architecture == TINY
    image = random_image(7)
    assert torch.equal(loaded(image, ["relu2_1"])["relu2_1"], tiny(image, ["relu2_1"])["relu2_1"])
    before = file_digest(tiny_file)
    save_extractor(loaded, tiny_file)
    assert file_digest(tiny_file) == before


@pytest.mark.parametrize("damage", ["cut", "text"])
def test_a_damaged_extractor_file_is_named_with_the_remedy(tiny_file, damage):
    half = tiny_file.read_bytes()[:-100]
    tiny_file.write_bytes(half if damage == "cut" else b"hello")
    with pytest.raises(ExtractorError, match=r"tiny\.safetensors is not a network .*Delete it"):
        load_extractor(tiny_file)


def test_a_missing_extractor_file_is_named(tmp_path):
    with pytest.raises(ExtractorError, match=r"tiny\.safetensors does not exist; check the path"):
        load_extractor(tmp_path / "tiny.safetensors")


# ---------------------------------------------------------------- the network's input

COLOURS = torch.rand(1, 3, 4, 5, generator=torch.Generator().manual_seed(3))


def test_unit_does_to_another_network_what_it_does_to_one_made_for_imagenet():
    network = random_network(SHAPED_AS_VGG19).adapted("native", "caffe")
    mean, deviation = (torch.tensor(one)[:, None, None] for one in IMAGENET)
    stretched = caffe(COLOURS * deviation + mean)
    given = network.adapted("native", "unit").input(COLOURS)
    torch.testing.assert_close(given, stretched, atol=1e-4, rtol=0)


def test_caffe_is_bgr_to_255_less_its_mean_whatever_the_network_was_made_for():
    network = random_network(SHAPED_AS_VGG19)
    for one in (network, network.adapted("native", "unit")):
        given = one.adapted("native", "caffe").input(COLOURS)
        torch.testing.assert_close(given, caffe(COLOURS), atol=1e-4, rtol=0)


@pytest.mark.parametrize("given", ["native", "imagenet", "unit", "caffe"])
def test_an_adapted_network_shares_the_convolutions_and_leaves_the_original_alone(given):
    network = random_network(SHAPED_AS_VGG19)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    other = network.adapted("average", given)
    for name, one in network.convolutions.items():
        assert other.convolutions[name].weight.data_ptr() == one.weight.data_ptr()
    other(random_image(4), ["relu1_1"])
    assert network.architecture == SHAPED_AS_VGG19
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


@pytest.mark.mirror
def test_the_distilled_network_s_own_input_is_caffe_s_colours_to_a_level_of_255(mirror, tmp_path):
    network = provide_extractor("vgg19_16x", mirror=str(mirror), cache=tmp_path)
    torch.testing.assert_close(network.input(COLOURS), caffe(COLOURS), atol=1, rtol=0)


# ---------------------------------------------------------------- fitted by k-means


SMALL = Architecture("kmeans", ((8, 8), (12,)), "reflect", "average", "for tests")
IMAGES = [random_image(1, 40, 48), random_image(2, 36, 36)]


def fit(seed: int = 0, images=IMAGES):
    return fit_kmeans(images, seed, SMALL, patches=2000)


def test_the_same_images_and_seed_give_the_same_extractor():
    first, second, other = fit(0), fit(0), fit(1)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])
    assert not torch.equal(
        first.convolutions["conv1_1"].weight, other.convolutions["conv1_1"].weight
    )


def test_every_filter_has_a_mean_activation_of_one_over_the_octaves_of_the_images():
    extractor = fit()
    for layer in ("relu1_1", "relu1_2", "relu2_1"):
        octaves = [one for image in IMAGES for one in (image, halve(image), halve(halve(image)))]
        found = [extractor(image, [layer])[layer] for image in octaves]
        total = sum(one.sum((0, 2, 3)) for one in found)
        places = sum(one.shape[2] * one.shape[3] for one in found)
        torch.testing.assert_close(total / places, torch.ones_like(total), rtol=1e-3, atol=1e-3)


def test_the_filters_of_a_layer_differ_from_each_other():
    extractor = fit()
    filters = extractor.convolutions["conv1_1"].weight.flatten(1)
    distinct = torch.nn.functional.normalize(filters)
    similarity = (distinct @ distinct.T - torch.eye(len(distinct))).abs().mean()
    assert similarity < 0.6  # no two filters are duplicates


@pytest.mark.parametrize(
    "image",
    [torch.full((1, 3, 40, 40), 0.5), random_image(1, 6, 40)],
    ids=["of one colour", "narrow"],
)
def test_an_odd_image_does_not_break_the_fit(image):
    extractor = fit(images=[image])
    assert all(value.isfinite().all() for value in extractor.state_dict().values())


def test_no_images_and_tiny_images_are_refused():
    with pytest.raises(ExtractorError, match="none were given"):
        fit(images=[])
    with pytest.raises(ExtractorError, match="needs at least 4 px"):
        fit(images=[random_image(1, 3, 40)])
