"""Weights of VGG-19 for the tests: random ones, as they are published and cached."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from downloads import Server, unused_address
from torchvision.models import VGG19_Weights, vgg19

from nst.errors import FetchError
from nst.network.extractor import Extractor
from nst.network.vgg import VGG19, VGG19_16X

# Where the convolutions stand in torchvision's `features`, between ReLUs and poolings.
INDICES = (0, 2, 5, 7, 10, 12, 14, 16, 19, 21, 23, 25, 28, 30, 32, 34)

State = dict[str, torch.Tensor]


def random_convolutions(names: list[str], shapes: list[tuple[int, ...]]) -> State:
    """Weights that keep the size of what passes through, and small biases."""
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, shape in zip(names, shapes, strict=True):
        fan_in = shape[1] * shape[2] * shape[3]
        weight = torch.randn(shape, generator=generator) * (2 / fan_in) ** 0.5
        state[f"{name}.weight"] = weight
        state[f"{name}.bias"] = torch.randn(shape[0], generator=generator) * 0.1
    return state


def shapes_of(widths: tuple[tuple[int, ...], ...]) -> list[tuple[int, ...]]:
    """The shapes of 3x3 convolutions of these widths, one after the other."""
    channels = [3, *(width for block in widths for width in block)]
    return [(out, into, 3, 3) for into, out in pairwise(channels)]


@pytest.fixture(scope="session")
def state() -> State:
    """A random VGG-19 as torchvision names it; without the classifier, which nobody reads."""
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


def refusal(read: Callable[..., object], *arguments: object, kind: type = FetchError) -> str:
    with pytest.raises(kind) as caught:
        read(*arguments)
    message = str(caught.value)
    assert message.splitlines() == [message]
    return message


def save_as_published(content: object, folder: Path) -> Path:
    """Save a checkpoint under a name that ends in its digest, as torchvision's are."""
    torch.save(content, folder / "new.pth")
    digest = hashlib.sha256((folder / "new.pth").read_bytes()).hexdigest()
    return (folder / "new.pth").rename(folder / f"vgg19-{digest[:8]}.pth")


@pytest.fixture(scope="session")
def weights(state, tmp_path_factory) -> Path:
    return save_as_published(state, tmp_path_factory.mktemp("published"))


@pytest.fixture(autouse=True)
def waits(monkeypatch) -> list[float]:
    """Record the pauses between attempts instead of making them."""
    made: list[float] = []
    monkeypatch.setattr("nst.network.vgg.time", SimpleNamespace(sleep=made.append))
    return made


@dataclass
class World:
    """Where the published weights are, as this test has it, and torch's cache."""

    cache: Path
    publish: Callable[[str], None]

    def offer(self, server: Server, weights: Path) -> str:
        address = f"{server.url}/models/{weights.name}"
        self.publish(address)
        return address


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    """A machine with an empty cache, and no network but this machine's own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def publish(address: str) -> None:
        monkeypatch.setattr(VGG19_Weights.IMAGENET1K_V1.value, "url", address)

    publish(f"{unused_address()}/vgg19-00000000.pth")
    return World(tmp_path / "torch" / "hub" / "checkpoints", publish)


@pytest.fixture
def distilled() -> State:
    """A random network of the distilled one's shapes, named as its authors did."""
    names = [name.replace("_", "") for name in VGG19_16X.convolutions]
    return random_convolutions(["conv0", *names], [(3, 3, 1, 1), *shapes_of(VGG19_16X.widths)])


@pytest.fixture
def checkpoint(distilled, tmp_path) -> Path:
    """Under a name of its own: under the catalogue's, the catalogue's file is insisted on."""
    torch.save({"model": distilled}, tmp_path / "distilled.pth")
    return tmp_path / "distilled.pth"
