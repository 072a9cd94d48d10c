"""VGG-19 and similar networks: reading, computing, fetching, reporting and refusing."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import pytest
import safetensors.torch
import torch
from configurations import refused
from conftest import random_image
from downloads import unused_address
from torchvision.models import vgg19

from nst.config.catalogue import fetch, read_catalogue
from nst.config.layers import VGG16, VGG19, VGG19_16X
from nst.config.registry import NETWORKS
from nst.errors import ExtractorError, FetchError
from nst.imaging.images import fit_long_side, load_image
from nst.network import provision
from nst.network.extractor import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Extractor,
    load_extractor,
    save_extractor,
)
from nst.network.provision import provide_extractor
from nst.network.tensors import to_tensor
from nst.network.vgg import vgg19_16x_from_file, vgg_from_state_dict

pytestmark = [
    pytest.mark.usefixtures("world"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

# The indices of the convolutions in torchvision's `features`, between ReLUs and poolings.
FETCHED = [name for name, one in NETWORKS.items() if one.read]
INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)

State = dict[str, torch.Tensor]


def random_convolutions(names: list[str], shapes: list[tuple[int, ...]]) -> State:
    """Weights that preserve the scale of features, and small biases."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in zip(names, shapes, strict=True):
        fan_in = shape[1] * shape[2] * shape[3]
        weight = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        state[f"{name}.weight"] = weight
        state[f"{name}.bias"] = torch.randn(shape[0], generator=generator) * 0.1
    return state


def shapes_of(widths: tuple[tuple[int, ...], ...]) -> list[tuple[int, ...]]:
    """The shapes of successive 3x3 convolutions with these widths."""
    channels = [3, *(width for block in widths for width in block)]
    return [(out, into, 3, 3) for into, out in pairwise(channels)]


@pytest.fixture(scope="session")
def state() -> State:
    """A random VGG-19 with torchvision's names, without the unused classifier."""
    return random_convolutions([f"features.{index}" for index in INDICES], shapes_of(VGG19.widths))


def assert_has(extractor: Extractor, state: State) -> None:
    for index, convolution in zip(INDICES, extractor.convolutions.values(), strict=True):
        assert torch.equal(convolution.weight, state[f"features.{index}.weight"])
        assert torch.equal(convolution.bias, state[f"features.{index}.bias"])


def torchvision_features(state: State) -> torch.nn.Sequential:
    """Torchvision's own VGG-19 with these weights."""
    with torch.device("meta"):
        features = vgg19(weights=None).features
    plain = {name.removeprefix("features."): value for name, value in state.items()}
    features.load_state_dict(plain, assign=True)
    for module in features:
        if isinstance(module, torch.nn.ReLU):
            module.inplace = False
    return features.eval()


refusal = partial(refused, kind=FetchError)


def save_as_published(content: object, folder: Path) -> Path:
    """Save a checkpoint under a name that ends in its sha256, as torchvision does."""
    torch.save(content, folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()
    return (folder / "new.pth").rename(folder / f"vgg19-{digest[:8]}.pth")


@pytest.fixture(scope="session")
def weights(state, tmp_path_factory) -> Path:
    return save_as_published(state, tmp_path_factory.mktemp("published"))


@dataclass
class World:
    """torch's cache, and a function that sets the catalogue's entry for VGG-19."""

    cache: Path
    publish: Callable[[Path, str], None]


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    """A machine with an empty cache and only local network access."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    catalogue = read_catalogue()

    def publish(weights: Path, address: str) -> None:
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        entry = replace(catalogue["vgg19"], file=weights.name, sha256=digest, source=address)
        monkeypatch.setattr(provision, "read_catalogue", lambda: {**catalogue, "vgg19": entry})

    return World(tmp_path / "torch" / "hub" / "checkpoints", publish)


@pytest.fixture
def distilled() -> State:
    """A random network with the distilled network's shapes and its authors' names."""
    names = [name.replace("_", "") for name in VGG19_16X.convolutions]
    return random_convolutions(["conv0", *names], [(3, 3, 1, 1), *shapes_of(VGG19_16X.widths)])


@pytest.fixture
def checkpoint(distilled, tmp_path) -> Path:
    """A checkpoint with a new name: the catalogue's name would require the catalogue's file."""
    torch.save({"model": distilled}, tmp_path / "distilled.pth")
    return tmp_path / "distilled.pth"


# ---------------------------------------------------------------- the network


def test_every_network_that_is_fetched_has_a_file():
    assert set(FETCHED) <= set(read_catalogue())


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
    assert not list(layers), "every layer is compared"


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


# ---------------------------------------------------------------- fetching


def test_the_published_weights_are_downloaded_once(world, serve, weights, state):
    server = serve(weights.read_bytes())
    world.publish(weights, f"{server.url}/models/{weights.name}")
    for _ in range(2):
        assert_has(provide_extractor("vgg19"), state)
    assert server.asked == [f"/models/{weights.name}"]
    assert [path.name for path in world.cache.iterdir()] == [weights.name], "torch finds it here"


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
    assert list(world.cache.iterdir()) == [], "no file that a later run could load as weights"


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
    assert not world.cache.exists(), "a file from a mirror folder is not copied"
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


def test_a_distilled_network_without_its_colours_is_refused(checkpoint, distilled):
    torch.save({"model": {**distilled, "conv0.weight": torch.zeros(3, 3)}}, checkpoint)
    message = refusal(vgg19_16x_from_file, checkpoint, kind=ExtractorError)
    assert "conv0.weight should have shape (3, 3, 1, 1); got (3, 3)" in message
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
    assert list(tmp_path.iterdir()) == [], "the file is removed after reading"
    fetch(read_catalogue()["chelsea"], tmp_path / "chelsea.png")
    image = to_tensor(fit_long_side(load_image(tmp_path / "chelsea.png"), 128))
    features = extractor(image, VGG19_16X.layers)
    for name, value in features.items():
        assert value.isfinite().all(), name
        assert value.std() > 1e-3, name
        if name.startswith("relu"):
            assert 0.02 < (value > 0).float().mean() < 0.98, name
    flipped = extractor(image.flip(-1), ["relu4_1"])["relu4_1"].flip(-1)
    assert not torch.allclose(flipped, features["relu4_1"], atol=0.1), "features are not symmetric"


# ---------------------------------------------------------------- the user's weights


def named_as_in_the_paper(state: State) -> State:
    """The same network with the names of Gatys et al.: conv1_1.weight to conv5_4.bias."""
    return {
        f"{name}.{part}": state[f"features.{index}.{part}"]
        for name, index in zip(VGG19.convolutions, INDICES, strict=True)
        for part in ("weight", "bias")
    }


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# ---------------------------------------------------------------- accepted files

OLD = {"_use_new_zipfile_serialization": False, "pickle_protocol": 2}


@pytest.mark.parametrize(
    ("name", "change", "options"),
    [
        ("mine.pth", lambda state: state | {"classifier.0.weight": torch.zeros(1)}, {}),
        ("vgg19-d01eb7cb.pth", dict, {}),
        ("vgg_conv.pth", named_as_in_the_paper, {}),
        ("old.pth", named_as_in_the_paper, OLD),
        ("wrapped.pth", lambda state: {"epoch": 3, 7: "no text", "state_dict": state}, {}),
        ("model.pth", lambda state: {"model": state}, {}),
        ("mine.safetensors", dict, {}),
    ],
)
def test_a_state_dict_is_read_under_either_names(state, tmp_path, name, change, options):
    path = tmp_path / name
    if path.suffix == ".pth":
        torch.save(change(state), path, **options)
    else:
        safetensors.torch.save_file(change(state), path)
    assert_has(provide_extractor("vgg19", weights=path), state)


def test_half_precision_weights_are_widened_and_do_not_learn(state):
    halved = {name: value.half() for name, value in state.items()}
    extractor = vgg_from_state_dict(VGG19, halved, "here")
    assert extractor.dtype == torch.float32
    assert_has(extractor, {name: value.float() for name, value in halved.items()})
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    assert not extractor.training


@pytest.fixture
def state16() -> State:
    """A random VGG-16 with the paper's names."""
    return random_convolutions(list(VGG16.convolutions), shapes_of(VGG16.widths))


def test_vgg16_takes_weights_of_its_own(state16, tmp_path):
    torch.save(state16, tmp_path / "mine.pth")
    extractor = provide_extractor("vgg16", weights=tmp_path / "mine.pth")
    for name, convolution in extractor.convolutions.items():
        assert torch.equal(convolution.weight, state16[f"{name}.weight"])
        assert torch.equal(convolution.bias, state16[f"{name}.bias"])


# ---------------------------------------------------------------- reports


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


# ---------------------------------------------------------------- refusals


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


@pytest.mark.parametrize("network", FETCHED)
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
