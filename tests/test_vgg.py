import shutil
from typing import get_args

import pytest
import torch
from conftest import random_image
from downloads import direct, pauses, serve, unused_address
from torchvision.models import vgg19
from vgg_weights import (
    INDICES,
    assert_has,
    checkpoint,
    distilled,
    refusal,
    shapes_of,
    state,
    torchvision_features,
    weights,
    world,
)

from nst.config.architecture import ARCHITECTURES, VGG19, VGG19_16X
from nst.config.catalogue import fetch, read_catalogue
from nst.config.settings import PUBLISHED, ExtractorName
from nst.errors import ExtractorError
from nst.imaging.images import fit_long_side, load_image
from nst.network.extractor import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    load_extractor,
    save_extractor,
)
from nst.network.provision import READERS, provide_extractor
from nst.network.tensors import to_tensor
from nst.network.vgg import vgg19_16x_from_file, vgg_from_state_dict

__all__ = [
    "checkpoint",
    "direct",
    "distilled",
    "pauses",
    "serve",
    "state",
    "weights",
    "world",
]  # fixtures

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


# ---------------------------------------------------------------- the network


def test_every_network_has_an_architecture_and_what_is_fetched_a_file_and_a_reader():
    assert set(ARCHITECTURES) == set(get_args(ExtractorName))
    assert set(READERS) == set(PUBLISHED) <= set(read_catalogue())


def test_the_convolutions_stand_where_torchvision_has_them():
    with torch.device("meta"):
        features = vgg19(weights=None).features
    found = {
        index: tuple(module.weight.shape)
        for index, module in enumerate(features)
        if isinstance(module, torch.nn.Conv2d)
    }
    assert found == dict(zip(INDICES, shapes_of(VGG19.widths), strict=True))


@torch.no_grad()
def test_every_layer_is_what_torchvision_computes(state):
    extractor = vgg_from_state_dict(VGG19, state, "here")
    image = random_image(3, 48, 33)
    mean, std = (torch.tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    ours = extractor(image, VGG19.layers)
    value, layers = (image - mean) / std, iter(VGG19.layers)
    for module in torchvision_features(state):
        value = module(value)
        if not isinstance(module, torch.nn.MaxPool2d):
            name = next(layers)
            torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-5, msg=name)
    assert not list(layers), "none is left out"


def test_the_weights_do_not_learn(state):
    extractor = vgg_from_state_dict(VGG19, state, "here")
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    assert not extractor.training


@pytest.mark.parametrize(
    ("name", "value", "got"),
    [
        ("features.10.weight", torch.zeros(256, 128, 5, 5), "(256, 128, 5, 5)"),
        ("features.10.bias", torch.zeros(1), "(1,)"),
        ("features.10.bias", None, "no tensor of floats"),
        ("features.10.bias", "text", "no tensor of floats"),
        ("features.10.bias", torch.zeros(256, dtype=torch.int64), "no tensor of floats"),
        ("features.10.bias", torch.zeros(256).to_sparse(), "no tensor of floats"),
        ("features.10.bias", torch.zeros(256, device="meta"), "no tensor of floats"),
    ],
)
def test_a_network_of_another_shape_is_refused(state, name, value, got):
    message = refusal(
        vgg_from_state_dict, VGG19, state | {name: value}, "x.pth", kind=ExtractorError
    )
    assert f"x.pth: {name} should have shape (256" in message
    assert f"; got {got}. It is another network" in message


# ---------------------------------------------------------------- fetching it


def test_the_published_weights_are_downloaded_once(world, serve, weights, state):
    server = serve(weights.read_bytes())
    world.publish(weights, f"{server.url}/models/{weights.name}")
    for _ in range(2):
        assert_has(provide_extractor("vgg19"), state)
    assert server.asked == [f"/models/{weights.name}"]
    assert [path.name for path in world.cache.iterdir()] == [weights.name], "where torch looks too"


def test_the_cache_of_other_programs_serves(world, weights, state):
    world.publish(weights, unused_address())
    world.cache.mkdir(parents=True)
    shutil.copy(weights, world.cache)
    assert_has(provide_extractor("vgg19"), state)


@pytest.mark.usefixtures("pauses")
def test_without_a_network_the_remedy_is_reported(world, weights):
    address = unused_address()
    world.publish(weights, address)
    message = refusal(provide_extractor, "vgg19")
    assert message.startswith(f"vgg19: {address} cannot be fetched (")
    assert "Connection refused" in message
    assert message.endswith(
        f"set mirror to a folder that holds {weights.name}. Or set vgg19.weights to that file; "
        "extractor kmeans needs no weights, and vgg19_16x only a small file."
    )
    assert list(world.cache.iterdir()) == [], "nothing that a later run would take for the weights"


def test_a_damaged_file_in_torch_s_cache_is_fetched_again(world, serve, weights, caplog):
    server = serve(weights.read_bytes())
    world.publish(weights, server.url)
    world.cache.mkdir(parents=True)
    cached = world.cache / weights.name
    cached.write_bytes(weights.read_bytes()[:-1] + b"?")
    provide_extractor("vgg19")
    assert f"{cached} is damaged; fetching it again" in caplog.text
    assert cached.read_bytes() == weights.read_bytes()
    assert len(server.asked) == 1


def test_a_mirror_folder_serves_before_the_network(world, weights, state, tmp_path):
    world.publish(weights, unused_address())
    assert_has(provide_extractor("vgg19", mirror=str(weights.parent)), state)
    assert not world.cache.exists(), "and is not copied"
    (tmp_path / weights.name).write_bytes(b"another")
    message = refusal(provide_extractor, "vgg19", mirror=str(tmp_path))
    assert f"{tmp_path / weights.name} is not the catalogue's {weights.name}: " in message


def test_a_mirror_without_the_weights_leaves_it_to_the_network_and_says_so(
    world, serve, weights, tmp_path, caplog
):
    server = serve(weights.read_bytes())
    world.publish(weights, server.url)
    provide_extractor("vgg19", mirror=str(tmp_path))
    assert len(server.asked) == 1
    assert f"{weights.name} is not in {tmp_path}; taking it from torch's cache or " in caplog.text


# ---------------------------------------------------------------- the distilled network


def test_a_distilled_checkpoint_is_read_with_its_colours(checkpoint, distilled):
    extractor = vgg19_16x_from_file(checkpoint)
    assert extractor.architecture == VGG19_16X
    assert torch.equal(extractor.input.weight, distilled["conv0.weight"])
    assert torch.equal(extractor.input.bias, distilled["conv0.bias"])
    assert torch.equal(extractor.convolutions["conv3_4"].weight, distilled["conv34.weight"])
    assert VGG19_16X.layers[-1] == "relu5_1"
    features = extractor(random_image(1), VGG19_16X.layers)
    assert all(value.isfinite().all() for value in features.values())


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {}, {"model": [1]}, {"model": None}])
def test_a_checkpoint_of_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "x.pth")
    refusal(vgg19_16x_from_file, tmp_path / "x.pth", kind=ExtractorError)


@pytest.mark.parametrize(
    ("name", "value", "fault"),
    [
        (
            "conv41.weight",
            torch.zeros(128, 64, 1, 1),
            "should have shape (128, 64, 3, 3); got (128",
        ),
        ("conv51.bias", None, "conv51.bias should have shape (128,); got no tensor of floats"),
        (
            "conv0.weight",
            torch.zeros(3, 3),
            "conv0.weight should have shape (3, 3, 1, 1); got (3, 3)",
        ),
    ],
)
def test_a_distilled_network_of_another_shape_is_refused(checkpoint, distilled, name, value, fault):
    changed = {key: one for key, one in {**distilled, name: value}.items() if one is not None}
    torch.save({"model": changed}, checkpoint)
    message = refusal(vgg19_16x_from_file, checkpoint, kind=ExtractorError)
    assert message.startswith(f"{checkpoint}: {name} ")
    assert fault in message
    assert "fetch the right file" in message


def test_a_distilled_network_survives_the_file_that_jobs_read(checkpoint, tmp_path):
    extractor = provide_extractor("vgg19_16x", weights=checkpoint)
    save_extractor(extractor, tmp_path / "e.safetensors")
    again = load_extractor(tmp_path / "e.safetensors")
    image = random_image(1)
    for layer in ("conv1_1", "relu5_1"):
        assert torch.equal(again(image, [layer])[layer], extractor(image, [layer])[layer])


@pytest.mark.mirror
def test_the_real_distilled_network_sees(mirror, tmp_path):
    extractor = provide_extractor("vgg19_16x", mirror=str(mirror), cache=tmp_path)
    assert list(tmp_path.iterdir()) == [], "its file is removed when it was read"
    fetch(read_catalogue()["chelsea"], tmp_path / "chelsea.png")
    image = to_tensor(fit_long_side(load_image(tmp_path / "chelsea.png"), 128))
    features = extractor(image, VGG19_16X.layers)
    for name, value in features.items():
        assert value.isfinite().all(), name
        assert value.std() > 1e-3, name
        if name.startswith("relu"):
            assert 0.02 < (value > 0).float().mean() < 0.98, name
    flipped = extractor(image.flip(-1), ["relu4_1"])["relu4_1"].flip(-1)
    assert not torch.allclose(flipped, features["relu4_1"], atol=0.1), "it knows left from right"
