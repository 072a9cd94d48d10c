"""Weights of the user's own: what is accepted, what is computed, what is reported and refused."""

import hashlib
from pathlib import Path

import pytest
import safetensors.torch
import torch
from conftest import random_image
from vgg_weights import (
    INDICES,
    State,
    assert_has,
    random_convolutions,
    refusal,
    shapes_of,
    state,
    torchvision_features,
    weights,
    world,
)

from nst.config.architecture import VGG16, VGG19
from nst.config.catalogue import read_catalogue
from nst.config.settings import PUBLISHED
from nst.errors import ExtractorError, FetchError
from nst.network.extractor import load_extractor, save_extractor
from nst.network.provision import extractor_file, provide_extractor
from nst.network.vgg import vgg_from_state_dict

__all__ = ["state", "weights", "world"]  # fixtures

pytestmark = pytest.mark.usefixtures("world")


def named_as_in_the_paper(state: State) -> State:
    """The same network under the names of Gatys et al.: conv1_1.weight to conv5_4.bias."""
    return {
        f"{name}.{part}": state[f"features.{index}.{part}"]
        for name, index in zip(VGG19.convolutions, INDICES, strict=True)
        for part in ("weight", "bias")
    }


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---------------------------------------------------------------- what is accepted


@pytest.mark.parametrize("name", ["mine.pth", "vgg19-d01eb7cb.pth"])
def test_a_state_dict_with_torchvision_s_names_is_read(state, tmp_path, name):
    torch.save(state | {"classifier.0.weight": torch.zeros(1)}, tmp_path / name)
    assert_has(provide_extractor("vgg19", weights=tmp_path / name), state)


def test_a_state_dict_with_the_paper_s_names_is_read(state, tmp_path):
    torch.save(named_as_in_the_paper(state), tmp_path / "vgg_conv.pth")
    assert_has(provide_extractor("vgg19", weights=tmp_path / "vgg_conv.pth"), state)


def test_the_format_of_old_checkpoints_is_read(state, tmp_path):
    old = {"_use_new_zipfile_serialization": False, "pickle_protocol": 2}
    torch.save(named_as_in_the_paper(state), tmp_path / "old.pth", **old)
    assert_has(provide_extractor("vgg19", weights=tmp_path / "old.pth"), state)


@pytest.mark.parametrize("key", ["state_dict", "model"])
def test_a_wrapped_state_dict_is_read(state, key):
    checkpoint = {"epoch": 3, 7: "a key of another kind", key: state}
    assert_has(vgg_from_state_dict(VGG19, checkpoint, "here"), state)


def test_a_safetensors_file_is_read(state, tmp_path):
    safetensors.torch.save_file(state, tmp_path / "mine.safetensors")
    assert_has(provide_extractor("vgg19", weights=tmp_path / "mine.safetensors"), state)


def test_half_precision_weights_are_widened(state):
    halved = {name: value.half() for name, value in state.items()}
    widened = {name: value.float() for name, value in halved.items()}
    extractor = vgg_from_state_dict(VGG19, halved, "here")
    assert extractor.dtype == torch.float32
    assert_has(extractor, widened)


@pytest.fixture
def state16() -> State:
    """A random VGG-16 under the paper's names."""
    return random_convolutions(list(VGG16.convolutions), shapes_of(VGG16.widths))


def test_vgg16_takes_weights_of_its_own(state16, tmp_path):
    torch.save(state16, tmp_path / "mine.pth")
    extractor = provide_extractor("vgg16", weights=tmp_path / "mine.pth")
    for name, convolution in extractor.convolutions.items():
        assert torch.equal(convolution.weight, state16[f"{name}.weight"])
        assert torch.equal(convolution.bias, state16[f"{name}.bias"])


# ---------------------------------------------------------------- what is computed


@torch.no_grad()
def test_caffe_s_weights_compute_what_a_caffe_pipeline_computes(state):
    extractor = vgg_from_state_dict(VGG19, state, "here").adapted("native", "caffe")
    image = random_image(3, 40, 33)
    ours = extractor(image, VGG19.layers)
    blue_green_red = (255 * image).flip(1)
    value = blue_green_red - torch.tensor([103.939, 116.779, 123.68])[:, None, None]
    layers = iter(VGG19.layers)
    for module in torchvision_features(state):
        value = module(value)
        if not isinstance(module, torch.nn.MaxPool2d):
            name = next(layers)
            torch.testing.assert_close(ours[name], value, rtol=1e-4, atol=1e-3, msg=name)
    assert not list(layers), "none is left out"
    wrong = vgg_from_state_dict(VGG19, state, "here")(image, ["relu1_1"])["relu1_1"]
    assert not torch.allclose(wrong, ours["relu1_1"], rtol=0.1), "input makes a difference"


# ---------------------------------------------------------------- what is reported


def test_the_sha256_of_another_file_is_logged_in_one_line(state, tmp_path, caplog):
    path = tmp_path / "mine.pth"
    torch.save(state, path)
    provide_extractor("vgg19", weights=path)
    assert caplog.messages == [f"{path} is not vgg19-dcbb9e9d.pth: sha256 {digest_of(path)}"]


def test_torchvision_s_own_file_is_silent_under_any_name(world, weights, tmp_path, caplog):
    world.publish(weights, "https://nowhere")
    copy = tmp_path / "renamed.pth"
    copy.write_bytes(weights.read_bytes())
    for path in (weights, copy):
        assert provide_extractor("vgg19", weights=path).architecture == VGG19
    assert not caplog.messages


@pytest.mark.parametrize("name", ["vgg19-d01eb7cb.pth", "vgg16-00b39a1b (1).pth", "vgg_conv.pth"])
def test_a_published_caffe_network_is_reported_with_its_input(state, tmp_path, caplog, name):
    torch.save(state, tmp_path / name)
    provide_extractor("vgg19", weights=tmp_path / name)
    (message,) = caplog.messages
    assert message.endswith("; a Caffe network needs input: caffe")


def test_a_renamed_caffe_network_is_known_by_its_sha256(state, tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("nst.network.provision.file_digest", lambda path: "d01eb7cb" + 56 * "0")
    torch.save(state, tmp_path / "mine.pth")
    provide_extractor("vgg19", weights=tmp_path / "mine.pth")
    assert "needs input: caffe" in caplog.text


def test_the_extractor_s_file_names_the_origin_of_its_weights(state, tmp_path):
    path = tmp_path / "mine.pth"
    torch.save(state, path)
    save_extractor(provide_extractor("vgg19", weights=path), tmp_path / "e.safetensors")
    architecture = load_extractor(tmp_path / "e.safetensors").architecture
    assert architecture.origin == f"a file with sha256 {digest_of(path)}"
    assert "torchvision" in VGG19.origin
    assert b"torchvision" not in (tmp_path / "e.safetensors").read_bytes()


def test_a_renamed_file_gives_the_same_extractor(state, tmp_path):
    torch.save(state, tmp_path / "old.pth")
    old = extractor_file("vgg19", tmp_path / "1", weights=tmp_path / "old.pth")
    (tmp_path / "old.pth").rename(tmp_path / "new.pth")
    new = extractor_file("vgg19", tmp_path / "2", weights=tmp_path / "new.pth")
    assert digest_of(old) == digest_of(new)


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 no archive", b"\x80\x02."])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    message = refusal(provide_extractor, "vgg19", weights=tmp_path / name, kind=ExtractorError)
    assert f"{name} is not a checkpoint of tensors (" in message
    assert "fetch it again, or save the network's state_dict()" in message


@pytest.mark.parametrize("name", ["x.pth", "x.safetensors"])
def test_a_file_that_is_missing_is_reported(tmp_path, name):
    message = refusal(provide_extractor, "vgg19", weights=tmp_path / name, kind=FetchError)
    assert f"{name} cannot be read (No such file or directory); check the path, or leave" in message
    assert message.endswith("to fetch vgg19-dcbb9e9d.pth")


@pytest.mark.parametrize(
    ("content", "has"),
    [
        ({}, "nothing"),
        ({7: 1, "a": 2, "b": 3, "c": 4}, "7, a, b"),
        ({"encoder.0.weight": torch.zeros(3)}, "encoder.0.weight"),
        ({"state_dict": {"module.features.0.weight": 1}}, "module.features.0.weight"),
        ({"features.٣.weight": 1}, "features.٣.weight"),
    ],
)
def test_other_names_are_refused_with_the_names_that_are_read(tmp_path, content, has):
    torch.save(content, tmp_path / "x.pth")
    message = refusal(provide_extractor, "vgg19", weights=tmp_path / "x.pth", kind=ExtractorError)
    assert message == (
        f"{tmp_path / 'x.pth'} has neither features.0.weight, torchvision's name, nor "
        f"conv1_1.weight; it has {has}. Save the state dict of a vgg19 under these names; "
        "see config/README.md, Your own weights."
    )


def test_a_vgg19_is_no_vgg16_under_either_names(state, state16):
    for one in (state, named_as_in_the_paper(state)):
        message = refusal(vgg_from_state_dict, VGG16, one, "x.pth", kind=ExtractorError)
        assert message.startswith("x.pth has weights of 16 layers; vgg16 has 13 convolutions. ")
        assert message.endswith("fetch the right file.")
    message = refusal(vgg_from_state_dict, VGG19, state16, "x.pth", kind=ExtractorError)
    assert message.startswith("x.pth has weights of 13 layers; vgg19 has 16 convolutions. ")


@pytest.mark.parametrize("network", PUBLISHED)
def test_a_damaged_file_under_the_catalogue_s_name_is_refused_and_left(tmp_path, network):
    entry = read_catalogue()[network]
    path = tmp_path / entry.file
    path.write_bytes(b"another")
    message = refusal(provide_extractor, network, weights=path)
    own = "" if network == "vgg16_hed" else ", or give weights of your own another name"
    assert message == (
        f"{path} is not the catalogue's {entry.file}: its sha256 is {digest_of(path)[:12]}…, and "
        f"must be {entry.sha256[:12]}…. It is damaged or another file: fetch it again{own}."
    )
    assert path.read_bytes() == b"another"
