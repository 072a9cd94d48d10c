"""Weights of VGG-19 for the tests: random ones, as they are published and cached."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torchvision.models import vgg19

from nst.config.architecture import VGG19, VGG19_16X
from nst.config.catalogue import read_catalogue
from nst.errors import FetchError
from nst.network import provision
from nst.network.extractor import Extractor

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


def refusal(
    read: Callable[..., object], *arguments: object, kind: type = FetchError, **options: object
) -> str:
    with pytest.raises(kind) as caught:
        read(*arguments, **options)
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


@dataclass
class World:
    """torch's cache, and where the catalogue says that VGG-19 is."""

    cache: Path
    publish: Callable[[Path, str], None]


@pytest.fixture
def world(tmp_path, monkeypatch) -> World:
    """A machine with an empty cache, and no network but this machine's own."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    catalogue = read_catalogue()

    def publish(weights: Path, address: str) -> None:
        digest = hashlib.sha256(weights.read_bytes()).hexdigest()
        entry = replace(catalogue["vgg19"], file=weights.name, sha256=digest, source=address)
        monkeypatch.setattr(provision, "read_catalogue", lambda: {**catalogue, "vgg19": entry})

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
