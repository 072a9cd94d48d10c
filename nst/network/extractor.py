"""The networks whose features define the losses, behind one interface with named layers.

Every network is a stack of 3x3 convolutions in blocks of falling resolution, like VGG-19. Networks
differ only in widths, weights, padding and pooling. One class therefore covers them all, and one
file format stores them: a ``safetensors`` file of the tensors, with the architecture as its header.
"""

from __future__ import annotations

import copy
import hashlib
import json
import logging
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Literal

import safetensors
import safetensors.torch
import torch
from torch import nn
from torch.nn import functional

from nst.config.layers import HYPERCOLUMN_BLOCKS, RGB, Architecture, is_sampled
from nst.config.settings import PrecisionName
from nst.errors import ConfigError, ExtractorError
from nst.network.kernels import average_pool, crop, pad_symmetric, reflect, sample_columns
from nst.network.tensors import Float, Int, Tensor
from nst.system.device import LIMITS
from nst.system.files import write_atomically

logger = logging.getLogger(__name__)

Precision = Literal["float32", "bfloat16"]
DTYPES: dict[Precision, torch.dtype] = {"float32": torch.float32, "bfloat16": torch.bfloat16}
# As torch.cpu.get_capabilities names them: of x86, and of ARM.
BFLOAT16_INSTRUCTIONS = ("amx_bf16", "avx512_bf16", "bf16", "sve_bf16")
AMPERE = (8, 0)  # the first compute capability of NVIDIA with bfloat16
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
CAFFE_MEAN = (123.68 / 255, 116.779 / 255, 103.939 / 255)  # of RGB in [0, 1]
FILE_FORMAT = "nst-extractor-2"
UNREADABLE = (
    "{} is not a network file of this version ({}). Delete it; the next run writes it again."
)
# Symmetric padding extends the picture by a margin of its mirror image. The first convolutions use
# up this margin and are not padded. Padded features would distort their neighbours, in a fringe of
# one to three pixels.
MARGIN = 4  # px
UNPADDED = ("conv1_1", "conv1_2", "conv2_1")


def choose_precision(name: PrecisionName, device: torch.device) -> Precision:
    """Return the precision called ``name``; ``auto`` is bfloat16 where it is native.

    On other devices bfloat16 is emulated, far slower than float32. The choice does not depend on
    timings: it decides pixels, so it must be the same each time.
    """
    if name != "auto":
        return name
    native, reason = _native_bfloat16(device)
    chosen: Precision = "bfloat16" if native else "float32"
    logger.info("precision: %s, because %s", chosen, reason)
    return chosen


def read_precision(path: Path) -> Precision:
    """Read the precision that was recorded for a run.

    Raises:
        ConfigError: the file holds something else.
    """
    text = path.read_text("utf-8", "replace").strip()
    if text not in DTYPES:
        raise ConfigError(f"{path} must hold one of {', '.join(DTYPES)}; got {text!r}")
    return text


def _native_bfloat16(device: torch.device) -> tuple[bool, str]:
    """Return whether the device computes bfloat16 natively, and the reason for this answer."""
    if device.type == "cuda":
        capability = torch.cuda.get_device_capability(device)
        return capability >= AMPERE, "the compute capability is {}.{}".format(*capability)
    if device.type != "cpu":
        return False, f"bfloat16 is untested on {device.type}"
    if not hasattr(torch.cpu, "get_capabilities"):
        return False, f"torch {torch.__version__} cannot report the processor's instructions"
    if limited := [name for name in LIMITS if os.environ.get(name)]:
        return False, f"{limited[0]} keeps oneDNN from some instructions"
    if not torch.backends.mkldnn.is_available():
        return False, "this torch has no oneDNN"
    capabilities = torch.cpu.get_capabilities()
    found = [name for name in BFLOAT16_INSTRUCTIONS if capabilities.get(name)]
    return bool(found), f"the processor has {found[0] if found else 'no bfloat16 instructions'}"


class Extractor(nn.Module):
    """A convolutional network that returns the features of the requested layers.

    Pictures are RGB in [0, 1]. A first 1x1 convolution, ``input``, converts them to the colours
    that the network was trained on: ImageNet normalisation, or the Caffe colours of the original
    VGG. With ``drawn``, the convolutions get random weights, which takes 0.15 s for VGG-16.
    Otherwise they are empty until weights are assigned.
    """

    def __init__(self, architecture: Architecture, *, drawn: bool = True) -> None:
        super().__init__()
        self.architecture = architecture
        self.input = nn.Conv2d(3, 3, 1)
        self.convolutions = nn.ModuleDict()
        # torch's skip_init would load SymPy, which takes 0.6 s.
        device = None if drawn else "meta"
        channels = 3
        mode: Literal["zeros", "reflect"] = (
            "zeros" if architecture.padding == "zeros" else "reflect"
        )
        for name, width in architecture.convolutions.items():
            self.convolutions[name] = nn.Conv2d(
                channels, width, 3, padding=1, padding_mode=mode, device=device
            )
            channels = width
        self.normalise_input(IMAGENET_MEAN, IMAGENET_STD)
        self.requires_grad_(False)

    def normalise_input(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Make ``input`` compute (x - mean) / std per channel."""
        scale = 1 / torch.tensor(std)
        with torch.no_grad():
            self.input.weight.copy_(torch.diag(scale)[:, :, None, None])
            self.input.bias.copy_(-torch.tensor(mean) * scale)  # type: ignore[union-attr]

    def adapted(
        self,
        pooling: str,
        input_range: str,
        dtype: torch.dtype | None = None,
        padding: str = "native",
    ) -> Extractor:
        """Return this network with another pooling, padding, input or precision.

        Weights are shared where possible. ``pooling`` is ``native``, ``max`` or ``average``;
        ``padding`` is ``native`` or ``symmetric``. ``input_range`` is the input of the first
        convolution: ``native``, as the network was trained; ``imagenet``, RGB minus the mean, over
        the standard deviation of ImageNet; ``caffe``, BGR in [0, 255] minus its mean; or ``unit``,
        without normalisation. A network trained for ``imagenet`` then gets RGB in [0, 1]; ``unit``
        changes the colours in the same way for every other network.
        """
        chosen = {"pooling": pooling, "padding": padding}
        changes = {name: value for name, value in chosen.items() if value != "native"}
        architecture = replace(self.architecture, **changes)  # type: ignore[arg-type]
        other = Extractor(architecture, drawn=False)
        other.input, other.convolutions = copy.deepcopy(self.input), self.convolutions
        if dtype not in (None, self.dtype):
            other.convolutions = copy.deepcopy(self.convolutions).to(dtype)
        if input_range == "imagenet":
            other.normalise_input(IMAGENET_MEAN, IMAGENET_STD)
        elif input_range == "caffe":
            other.normalise_input(CAFFE_MEAN, (1 / 255,) * 3)
            other.input.weight.copy_(other.input.weight.flip(0))
            other.input.bias.copy_(other.input.bias.flip(0))  # type: ignore[union-attr]
        elif input_range == "unit":
            mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
            weight = self.input.weight.cpu()[:, :, 0, 0]
            other.input.bias.add_((weight @ mean).to(other.input.bias))  # type: ignore[union-attr]
            other.input.weight.copy_((weight * std)[:, :, None, None])
        return other.to(next(self.parameters()).device).eval()

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the convolutions and of their features."""
        return self.convolutions["conv1_1"].weight.dtype  # type: ignore[return-value]

    def forward(
        self,
        images: Float[Tensor, "b 3 h w"],
        layers: Collection[str],
        step: Int[Tensor, ""] | None = None,
    ) -> dict[str, Float[Tensor, "b _c _h _w"]]:
        """Return the features of ``layers``, computing nothing beyond the last of them.

        Layer ``relu4_2`` is ``conv4_2`` after the ReLU. The ReLU works in place unless the layer
        before it is requested. Layer ``hypercolumn`` is as in ``_hypercolumn``. Layer
        ``sampled_hypercolumn`` has RGB and the features of its parts at the positions that
        ``sample_columns`` takes in a ``step``. Layer ``rgb`` is ``images``.

        Raises:
            ExtractorError: a layer is unknown, or the images are too small for one.
        """
        self.architecture.check(layers, min(images.shape[-2:]))
        wanted = {part for layer in layers for part in self.architecture.parts(layer)}
        features: dict[str, Tensor] = {}
        if RGB in layers:
            features[RGB] = images.contiguous(memory_format=torch.channels_last)
            wanted.add(RGB)
        walked = self._walk(images, wanted) if wanted - features.keys() else ()
        for name, value, margin in walked:
            if name in wanted:
                features[name] = _without(value, margin)
            if len(features) == len(wanted):
                break
        for layer in HYPERCOLUMN_BLOCKS.keys() & set(layers):
            parts = [features[name] for name in self.architecture.parts(layer)]
            features[layer] = (
                sample_columns([images, *parts], step)
                if is_sampled(layer)
                else _hypercolumn(parts, (images.shape[2] // 4, images.shape[3] // 4))
            )
        return {name: features[name] for name in features if name in layers}

    def _walk(self, images: Tensor, layers: Collection[str]) -> Iterator[tuple[str, Tensor, int]]:
        """Apply the network, and yield each layer with its margin as soon as it is computed."""
        padding = self.architecture.padding
        margin = MARGIN if padding == "symmetric" else 0
        of_max = self.architecture.pooling == "max"
        pool = partial(functional.max_pool2d, kernel_size=2) if of_max else average_pool
        pictures = pad_symmetric(images, margin)
        # Channels last is the layout of the fast kernels. In the other layout, this convolution
        # takes 30 times as long at 1024 px. Colours are normalised in the picture's own precision.
        value = self.input(pictures.contiguous(memory_format=torch.channels_last)).to(self.dtype)
        for name, convolution in self.convolutions.items():
            if name.endswith("_1") and name != "conv1_1":
                value = pool(value)
                margin //= 2
            assert isinstance(convolution, nn.Conv2d)
            if padding == "reflect" or (padding == "symmetric" and name not in UNPADDED):
                value = reflect(value)
            zeros = int(padding == "zeros")
            value = functional.conv2d(value, convolution.weight, convolution.bias, padding=zeros)
            margin = max(0, margin - 1)
            yield name, value, margin
            value = functional.relu(value, inplace=name not in layers)
            yield name.replace("conv", "relu"), value, margin


def _hypercolumn(
    features: Sequence[Float[Tensor, "b _c _h _w"]], size: tuple[int, int]
) -> Float[Tensor, "b _all _h2 _w2"]:
    """Concatenate the features of several layers at each position.

    As in the program of Kolkin et al. (2022): each layer is resized to ``size`` without a filter
    and divided by its number of channels, so that wide layers do not dominate.
    """
    resized = [
        functional.interpolate(one / one.shape[1], size, mode="bilinear", align_corners=True)
        for one in features
    ]
    return torch.cat(resized, 1)


def _without(features: Tensor, margin: int) -> Tensor:
    """Return features without ``margin`` positions at each border, channels last."""
    if not margin:
        return features
    inside = slice(margin, -margin)
    return crop(features, inside, inside).contiguous(memory_format=torch.channels_last)


def save_extractor(extractor: Extractor, path: Path) -> None:
    """Write the weights and the architecture to ``path``, whole or not at all.

    The same weights give the same bytes. The header has a sha256 of the header and the weights,
    since a flipped bit in the weights would change every picture slightly and go unnoticed.
    """
    tensors = {name: tensor.contiguous().cpu() for name, tensor in extractor.state_dict().items()}
    header = {"format": FILE_FORMAT, **asdict(extractor.architecture)}
    header["sha256"] = _digest(header, tensors)
    # One metadata entry: safetensors does not keep the order of several entries.
    metadata = {"nst": json.dumps(header, sort_keys=True)}
    write_atomically(path, safetensors.torch.save(tensors, metadata))


def load_extractor(path: Path) -> Extractor:
    """Load a network that ``save_extractor`` wrote, ready for use on the CPU.

    Raises:
        ExtractorError: the file is missing, damaged or of another kind.
    """
    architecture, tensors = read_extractor(path)
    extractor = Extractor(architecture, drawn=False)
    try:
        extractor.load_state_dict(tensors, assign=True)
    except RuntimeError as error:
        raise ExtractorError(UNREADABLE.format(path, error)) from error
    return extractor.eval()


def read_extractor(path: Path) -> tuple[Architecture, dict[str, Tensor]]:
    """Read the architecture and the tensors of a network's file, and check their sha256.

    Raises:
        ExtractorError: as ``load_extractor``.
    """
    if not path.exists():
        raise ExtractorError(f"the network {path} does not exist; check the path")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["nst"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if header.pop("sha256") != _digest(header, tensors):
            raise ValueError("its sha256 does not match")
        if header.pop("format") != FILE_FORMAT:
            raise KeyError("format")
        widths = tuple(tuple(block) for block in header["widths"])
        return Architecture(**{**header, "widths": widths}), tensors
    except MemoryError:
        raise
    except Exception as error:  # a damaged file may raise any exception
        raise ExtractorError(UNREADABLE.format(path, error)) from error


def _digest(header: Mapping[str, object], tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 of a file's header and of its weights, in the order of their names."""
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name in sorted(tensors):
        digest.update(tensors[name].numpy().data)
    return digest.hexdigest()
