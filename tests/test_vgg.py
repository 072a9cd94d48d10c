from __future__ import annotations

import hashlib
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from conftest import random_image
from downloads import Cut, direct, serve, unused_address
from torchvision.models import vgg19
from vgg_weights import (
    INDICES,
    assert_has,
    checkpoint,
    distilled,
    refusal,
    save_as_published,
    shapes_of,
    state,
    torchvision_features,
    waits,
    weights,
    world,
)

from nst.config.catalogue import fetch, read_catalogue
from nst.errors import ExtractorError
from nst.imaging.images import fit_long_side, load_image
from nst.network import provision
from nst.network.extractor import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    load_extractor,
    save_extractor,
)
from nst.network.provision import provide_extractor, user_cache
from nst.network.tensors import to_tensor
from nst.network.vgg import (
    VGG19,
    VGG19_16X,
    fetch_vgg19,
    vgg19_16x_from_file,
    vgg_from_state_dict,
)

__all__ = [
    "checkpoint",
    "direct",
    "distilled",
    "serve",
    "state",
    "waits",
    "weights",
    "world",
]  # fixtures

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")


# ---------------------------------------------------------------- the network


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


def test_the_classifier_of_a_whole_checkpoint_is_passed_over(state):
    whole = state | {"classifier.0.weight": torch.zeros(1), "classifier.0.bias": torch.zeros(1)}
    assert_has(vgg_from_state_dict(VGG19, whole, "here"), state)


def test_the_weights_do_not_learn(state):
    extractor = vgg_from_state_dict(VGG19, state, "here")
    assert not any(parameter.requires_grad for parameter in extractor.parameters())
    assert not extractor.training


def test_a_network_of_another_depth_is_refused(state):
    shallow = {name: value for name, value in state.items() if not name.startswith("features.34")}
    message = refusal(vgg_from_state_dict, VGG19, shallow, "vgg16.pth", kind=ExtractorError)
    assert message == (
        "vgg16.pth has weights of 15 layers; vgg19 has 16 convolutions. "
        "It is another network; fetch the right file."
    )


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
    world.offer(server, weights)
    assert_has(fetch_vgg19(), state)
    assert_has(fetch_vgg19(), state)
    assert server.asked == [f"/models/{weights.name}"]
    assert [path.name for path in world.cache.iterdir()] == [weights.name], "where torch looks too"


def test_a_download_is_tried_again_after_an_error_and_a_cut(world, serve, weights, state, waits):
    content = weights.read_bytes()
    server = serve(503, Cut(content), content)
    world.offer(server, weights)
    assert_has(fetch_vgg19(), state)
    assert len(server.asked) == 3
    assert waits == [1, 3]


def test_a_mirror_may_be_an_address(world, serve, weights, state):
    world.publish(f"{unused_address()}/{weights.name}")
    server = serve(weights.read_bytes())
    assert_has(fetch_vgg19(mirror=f"{server.url}/nst/"), state)
    assert server.asked == [f"/nst/{weights.name}"]


def test_the_cache_of_other_programs_serves(world, weights, state):
    world.publish(f"{unused_address()}/{weights.name}")
    world.cache.mkdir(parents=True)
    shutil.copy(weights, world.cache)
    assert_has(fetch_vgg19(), state)


@pytest.mark.parametrize("answer", [b"an error page", 500, 404, Cut(b"half" * 1000)])
def test_a_download_that_fails_is_reported_with_the_remedy(world, serve, answer):
    address = world.offer(serve(answer), Path("vgg19-dcbb9e9d.pth"))
    message = refusal(fetch_vgg19)
    assert message.startswith(f"vgg19: {address} cannot be fetched (")
    assert "Download vgg19-dcbb9e9d.pth elsewhere and set vgg19.weights to it" in message
    assert "extractor kmeans needs no weights, and vgg19_16x only a small file" in message
    assert list(world.cache.iterdir()) == [], "nothing that a later run would take for the weights"


@pytest.mark.usefixtures("world")
def test_without_a_network_the_remedy_is_reported():
    message = refusal(fetch_vgg19)
    assert "Connection refused" in message
    assert "set vgg19.weights to it; extractor kmeans needs no weights, and vgg19_16x" in message


def test_a_server_that_speaks_something_else_is_reported(world, serve, monkeypatch):
    monkeypatch.setattr("downloads.Handler.protocol_version", "NONSENSE\r\n")
    world.offer(serve(b"x"), Path("vgg19-dcbb9e9d.pth"))
    assert "cannot be fetched (" in refusal(fetch_vgg19)


def test_a_cache_that_cannot_be_written_is_reported(world, serve, weights):
    world.offer(serve(weights.read_bytes()), weights)
    world.cache.parent.parent.write_text("in the way")
    assert "cannot be fetched (" in refusal(fetch_vgg19)


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:5000], lambda content: b"", lambda content: content[:-1] + b"?"],
    ids=["cut off", "empty", "changed"],
)
def test_a_damaged_file_in_torch_s_cache_is_fetched_again(world, serve, weights, damage, caplog):
    server = serve(weights.read_bytes())
    world.offer(server, weights)
    world.cache.mkdir(parents=True)
    cached = world.cache / weights.name
    cached.write_bytes(damage(weights.read_bytes()))
    fetch_vgg19()
    assert f"{cached} is damaged; fetching it again" in caplog.text
    assert cached.read_bytes() == weights.read_bytes()
    assert len(server.asked) == 1


def test_a_damaged_file_in_torch_s_cache_is_not_used_where_there_is_no_network(world, weights):
    world.publish(f"{unused_address()}/{weights.name}")
    world.cache.mkdir(parents=True)
    (world.cache / weights.name).write_bytes(weights.read_bytes()[:-1])
    assert "cannot be fetched (" in refusal(fetch_vgg19)


def test_a_file_of_the_user_s_serves(world, weights, state, tmp_path):
    world.publish(f"{unused_address()}/{weights.name}")
    mine = shutil.copy(weights, tmp_path / "my weights.pth")
    assert_has(fetch_vgg19(Path(mine)), state)
    assert_has(provide_extractor("vgg19", weights=Path(mine)), state)


def test_a_damaged_file_under_the_published_name_is_refused(world, weights, tmp_path):
    world.publish(f"{unused_address()}/{weights.name}")
    (tmp_path / weights.name).write_bytes(b"another")
    digest = hashlib.sha256(b"another").hexdigest()
    for message in (
        refusal(fetch_vgg19, tmp_path / weights.name),
        refusal(fetch_vgg19, None, str(tmp_path)),
    ):
        assert f"{tmp_path / weights.name} has sha256 {digest[:12]}…" in message
        assert "fetch it again, or give another file another name" in message


def test_a_file_of_the_user_s_that_is_missing_is_reported(world, weights, tmp_path):
    world.publish(f"{unused_address()}/{weights.name}")
    message = refusal(fetch_vgg19, tmp_path / "nowhere.pth")
    assert "nowhere.pth cannot be read (No such file or directory)" in message
    assert f"Set vgg19.weights to {weights.name}, or to null to download it" in message


def test_a_mirror_folder_serves_before_the_network(world, weights, state):
    world.publish(f"{unused_address()}/{weights.name}")
    assert_has(fetch_vgg19(mirror=str(weights.parent)), state)
    assert_has(provide_extractor("vgg19", mirror=str(weights.parent)), state)


def test_a_mirror_without_the_weights_leaves_it_to_the_network_and_says_so(
    world, serve, weights, tmp_path, caplog
):
    server = serve(weights.read_bytes())
    world.offer(server, weights)
    fetch_vgg19(mirror=str(tmp_path))
    assert len(server.asked) == 1
    assert f"{weights.name} is not in {tmp_path}; taking it from torch's cache or " in caplog.text


# ---------------------------------------------------------------- code in a checkpoint


class Trap:
    """What an attacker would put into a checkpoint: reading it writes a file."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.sprung,)


@pytest.mark.parametrize("form", ["torch's", "pickle"])
def test_code_in_a_checkpoint_does_not_run(world, tmp_path, form):
    sprung = tmp_path / "sprung"
    if form == "pickle":
        content = pickle.dumps(Trap(sprung))
        path = tmp_path / f"vgg19-{hashlib.sha256(content).hexdigest()[:8]}.pth"
        path.write_bytes(content)
    else:
        path = save_as_published(
            {"model": Trap(sprung), "features.0.weight": Trap(sprung)}, tmp_path
        )
    world.publish(f"{unused_address()}/{path.name}")
    for read in (fetch_vgg19, vgg19_16x_from_file):
        message = refusal(read, path, kind=ExtractorError)
        assert f"{path} is not a checkpoint of tensors (" in message
        assert "fetch it again" in message
    assert not sprung.exists()
    if form == "pickle":
        pickle.loads(content)
        assert sprung.exists(), "the trap works"


@pytest.mark.parametrize("content", [b"", b"text", b"PK\x03\x04 no archive", b"\x80\x02."])
def test_a_file_that_is_no_checkpoint_is_refused(tmp_path, content):
    (tmp_path / "x.pth").write_bytes(content)
    message = refusal(vgg19_16x_from_file, tmp_path / "x.pth", kind=ExtractorError)
    assert "x.pth is not a checkpoint of tensors" in message


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {}, {"model": [1]}, {"model": None}])
def test_a_checkpoint_of_something_else_is_refused(tmp_path, content):
    torch.save(content, tmp_path / "x.pth")
    refusal(vgg19_16x_from_file, tmp_path / "x.pth", kind=ExtractorError)


def test_a_missing_checkpoint_is_reported(tmp_path):
    assert "cannot be read (No such file" in refusal(vgg19_16x_from_file, tmp_path / "x.pth")


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


def test_the_distilled_network_is_kept_for_the_next_time(checkpoint, tmp_path, monkeypatch):
    fetched = []

    def copy(entry, destination, mirror=None) -> None:
        fetched.append((entry.name, mirror))
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(checkpoint, destination)

    entry = replace(
        read_catalogue()["vgg19_16x"],
        sha256=hashlib.sha256(checkpoint.read_bytes()).hexdigest(),
    )
    monkeypatch.setattr(provision, "read_catalogue", lambda: {"vgg19_16x": entry})
    monkeypatch.setattr(provision, "fetch", copy)
    for _ in range(2):
        provide_extractor("vgg19_16x", mirror="/mnt", cache=tmp_path / "cache")
    assert fetched == [("vgg19_16x", "/mnt")]


def test_the_cache_is_the_user_s_own():
    assert user_cache().is_absolute()
    assert user_cache().name == "nst"


def test_a_distilled_network_survives_the_file_that_jobs_read(checkpoint, tmp_path):
    extractor = provide_extractor("vgg19_16x", weights=checkpoint)
    save_extractor(extractor, tmp_path / "e.safetensors")
    again = load_extractor(tmp_path / "e.safetensors")
    image = random_image(1)
    for layer in ("conv1_1", "relu5_1"):
        assert torch.equal(again(image, [layer])[layer], extractor(image, [layer])[layer])


@pytest.mark.mirror
def test_the_real_distilled_network_sees(mirror, tmp_path):
    entry = read_catalogue()["vgg19_16x"]
    extractor = provide_extractor("vgg19_16x", mirror=str(mirror), cache=tmp_path)
    content = (tmp_path / entry.file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == entry.sha256
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
