"""Shared code of the benchmarks: networks, pictures, facts about the machine, reports."""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import nn

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results" / "benchmarks" / "reports"
sys.path.insert(0, str(ROOT))

from nst.config.catalogue import fetch, read_catalogue  # noqa: E402
from nst.config.layers import VGG19, Architecture  # noqa: E402
from nst.imaging.images import load_image  # noqa: E402
from nst.method.stages import Images  # noqa: E402
from nst.network.extractor import Extractor  # noqa: E402
from nst.network.provision import provide_extractor  # noqa: E402
from nst.system.device import (  # noqa: E402
    choose_device,
    describe_device,
    processor,
)

DEVICE = choose_device("auto")  # also applies its settings, as in a job


def random_network(architecture: Architecture, seed: int = 0) -> Extractor:
    """Return a network with He's random weights: as fast as trained weights, without a download."""
    extractor = Extractor(architecture).eval()
    generator = torch.Generator().manual_seed(seed)
    for convolution in convolutions(extractor).values():
        deviation = (2 / convolution.weight[0].numel()) ** 0.5
        noise = torch.randn(convolution.weight.shape, generator=generator)
        convolution.weight.copy_(noise * deviation)
        bias_of(convolution).zero_()
    return extractor


def random_vgg19(seed: int = 0) -> Extractor:
    """Return VGG-19 with random weights."""
    return random_network(VGG19, seed)


def convolutions(extractor: Extractor) -> dict[str, nn.Conv2d]:
    """Return the network's convolutions by name."""
    named = extractor.convolutions.items()
    return {name: module for name, module in named if isinstance(module, nn.Conv2d)}


def bias_of(convolution: nn.Conv2d) -> torch.Tensor:
    """Return the bias of a convolution; every convolution of a network has a bias."""
    assert convolution.bias is not None
    return convolution.bias


def widened(extractor: Extractor, factor: int = 4) -> Extractor:
    """Return a network with the same features, each channel repeated ``factor`` times.

    The distilled VGG-19 has a quarter of VGG-19's channels. With each channel repeated four times,
    it costs as much as VGG-19 and has the losses of a trained network: repeating channels does not
    scale relative losses.
    """
    small = extractor.architecture
    widths = tuple(tuple(width * factor for width in block) for block in small.widths)
    large = Extractor(Architecture(small.name, widths, "zeros", small.pooling, small.origin)).eval()
    large.input.load_state_dict(extractor.input.state_dict())
    wide = convolutions(large)
    for place, (name, convolution) in enumerate(convolutions(extractor).items()):
        weight = convolution.weight.repeat_interleave(factor, 0)
        if place:
            weight = weight.repeat_interleave(factor, 1) / factor
        wide[name].weight.copy_(weight)
        bias_of(wide[name]).copy_(bias_of(convolution).repeat_interleave(factor, 0))
    return large


def trained_vgg19_sized() -> Extractor:
    """Return the distilled VGG-19 at VGG-19's size; fetch it, or read it from NST_MIRROR."""
    mirror = os.environ.get("NST_MIRROR")
    path = RESULTS / "inputs" / "vgg19_16x.pth"
    if not path.exists():
        fetch(read_catalogue()["vgg19_16x"], path, mirror)
    return widened(provide_extractor("vgg19_16x", weights=path))


def as_sequential(extractor: Extractor) -> tuple[nn.Sequential, Mapping[str, int]]:
    """Return the network as a list of modules, channels first, and the index of each layer."""
    modules: list[nn.Module] = [extractor.input]
    places = {}
    pool = nn.MaxPool2d if extractor.architecture.pooling == "max" else nn.AvgPool2d
    for name, convolution in convolutions(extractor).items():
        if name.endswith("_1") and name != "conv1_1":
            modules.append(pool(2))
        modules += [convolution, nn.ReLU()]
        places[name.replace("conv", "relu")] = len(modules) - 1
    return nn.Sequential(*modules).to(memory_format=torch.contiguous_format), places


def add_pictures(parser: argparse.ArgumentParser) -> None:
    """Add options for the paths of a content and a style."""
    parser.add_argument("--content", type=Path)
    parser.add_argument("--style", type=Path)


def chosen_pictures(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> Images:
    """Return the pair that the options name, or the default pair."""
    given = [path for path in (chosen.content, chosen.style) if path]
    if not given:
        return default_pictures()
    if len(given) == 1:
        parser.error("--content and --style go together: give both or neither")
    return Images.of(*map(load_image, given))


def default_pictures() -> Images:
    """Return a photograph and a study, neither of which needs the internet."""
    catalogue = read_catalogue()
    folder = RESULTS / "inputs"
    loaded = []
    for name in ("rocket", "starry_night_study"):
        path = folder / catalogue[name].file
        if not path.exists():
            fetch(catalogue[name], path)
        loaded.append(load_image(path))
    return Images.of(*loaded)


def studies() -> Images:
    """Return two studies, for benchmarks in which only the time matters."""
    names = ("great_wave_study.jpg", "starry_night_study.jpg")
    return Images.of(*(load_image(ROOT / "resources" / "studies" / name) for name in names))


def style_of(images: Images) -> Image.Image:
    """Return the picture of a style that consists of a single picture."""
    return images.style.parts[0].image


def machine() -> dict[str, Any]:
    """Return the facts about the machine that a figure depends on."""
    return {
        "device": describe_device(DEVICE),
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def save_report(name: str, facts: Mapping[str, Any]) -> Path:
    """Write the figures as JSON, and print them."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    text = json.dumps({"benchmark": name, "machine": machine(), **facts}, indent=1)
    path.write_text(f"{text}\n", encoding="utf-8")
    print(text)
    print(f"{path.relative_to(ROOT)} is written", file=sys.stderr)
    return path


def peak_memory() -> float:
    """Return the peak memory in GiB: of this process, or on a GPU of torch's allocations."""
    if DEVICE.type == "cuda":
        return torch.cuda.max_memory_allocated() / 2**30
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**30


def synchronise() -> None:
    """Wait until the GPU has finished, before a clock is read."""
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
