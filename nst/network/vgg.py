"""VGG as an extractor: torchvision's ImageNet weights, the user's own, or distilled ones."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeGuard

import safetensors.torch
import torch
from torch import nn

from nst.config.architecture import VGG16, VGG19, VGG19_16X, Architecture
from nst.errors import ExtractorError, FetchError
from nst.network.extractor import Extractor, file_digest
from nst.network.shapes import Tensor
from nst.system.download import download, reason
from nst.system.files import part_folder, remove_parts, rename_durably

logger = logging.getLogger(__name__)

PAUSES = (1, 3)  # seconds before each further attempt at a download
OFFLINE = "extractor kmeans needs no weights, and vgg19_16x only a small file"
CAFFE = ("d01eb7cb", "00b39a1b", "vgg_conv")  # in the names of published Caffe networks


def fetch_vgg19(weights: Path | None = None, mirror: str | None = None) -> Extractor:
    """Return VGG-19 with the weights in the file ``weights``, or with torchvision's.

    Torchvision's come from a mirror folder that holds the published file, or are downloaded once
    into torch's own cache. A file under the published name must have the sha256 in that name.

    Raises:
        FetchError: the weights cannot be read or fetched, or the published file is damaged.
        ExtractorError: the file holds something else than a VGG-19.
    """
    from torchvision.models import VGG19_Weights  # noqa: PLC0415 - takes more than a second

    return _fetch(VGG19, VGG19_Weights.IMAGENET1K_V1.url, weights, mirror)


def fetch_vgg16(weights: Path | None = None, mirror: str | None = None) -> Extractor:
    """Return VGG-16 as ``fetch_vgg19`` returns VGG-19."""
    from torchvision.models import VGG16_Weights  # noqa: PLC0415 - takes more than a second

    return _fetch(VGG16, VGG16_Weights.IMAGENET1K_V1.url, weights, mirror)


def _fetch(
    architecture: Architecture, url: str, weights: Path | None, mirror: str | None
) -> Extractor:
    """Find or download a file of weights, check its sha256, and take the convolutions."""
    name = url.rsplit("/", 1)[-1]
    if mirror and "://" in mirror:
        url = f"{mirror.rstrip('/')}/{name}"
    elif weights is None and mirror:
        if (Path(mirror) / name).is_file():
            weights = Path(mirror) / name
        else:
            logger.warning("%s is not in %s; taking it from torch's cache or %s", name, mirror, url)
    if weights is None:
        weights = Path(torch.hub.get_dir()) / "checkpoints" / name
        _ensure(url, weights)
    else:
        architecture = _identify(architecture, weights, name)
    return vgg_from_state_dict(architecture, _load_state_dict(weights), str(weights))


def _ensure(url: str, weights: Path) -> None:
    """Have the published weights in torch's cache; what is damaged there is fetched again."""
    if weights.exists():
        if _digest(weights, weights.name).startswith(_published_digest(weights.name)):
            return
        logger.warning("%s is damaged; fetching it again", weights)
    _download(url, weights)


def _download(url: str, weights: Path) -> None:
    """Download the published weights, with retries, and check the digest in their name."""
    import requests  # noqa: PLC0415 - only a run that downloads needs it

    network = weights.name.split("-")[0]
    remove_parts(weights.parent)
    for pause in (*PAUSES, None):
        try:
            with part_folder(weights) as folder:
                arrived = folder / weights.name
                download(url, arrived)
                digest = _digest(arrived, weights.name)
                if not digest.startswith(_published_digest(weights.name)):
                    raise requests.RequestException(f"it sent another file, sha256 {digest[:12]}…")
                rename_durably(arrived, weights)
        except requests.RequestException as error:
            cause = reason(error)
        except OSError as error:
            cause = f"{error.filename or weights}: {error.strerror}"
            break  # the disk, which will not be better in a second
        else:
            return
        if pause is not None:
            logger.warning("%s: %s failed (%s); trying again", network, url, cause)
            time.sleep(pause)
    raise FetchError(
        f"{network}: {url} cannot be fetched ({cause}). Download {weights.name} elsewhere and "
        f"set {network}.weights to it; {OFFLINE}."
    )


def vgg_from_state_dict(
    architecture: Architecture, state: Mapping[Any, Any], source: str
) -> Extractor:
    """Take the convolutions out of a state dict named as torchvision's, or as the paper's layers.

    Raises:
        ExtractorError: it has neither form, or another number or shape of convolutions.
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


def vgg19_16x_from_file(path: Path) -> Extractor:
    """Read the distilled network from its authors' checkpoint.

    Its first layer, a 1x1 convolution, turns RGB in [0, 1] into the Caffe colours of the original.
    """
    state = _load_state_dict(path).get("model")
    if not isinstance(state, Mapping):
        raise ExtractorError(f"{path} is not the distilled VGG-19; fetch the right file")
    extractor = Extractor(VGG19_16X)
    names = [name.replace("_", "") for name in VGG19_16X.convolutions]
    extractor = _fill(extractor, state, names, str(path))
    _copy_convolution(extractor.input, state, "conv0", str(path))
    return extractor


def _load_state_dict(path: Path) -> Mapping[Any, Any]:
    """Load tensors without running code that the file may hold."""
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, Mapping):
            raise TypeError(type(state).__name__)
    except OSError as error:
        raise FetchError(f"{path} cannot be read ({error.strerror}); check the path") from error
    except Exception as error:  # a damaged pickle raises whatever it likes
        raise ExtractorError(
            f"{path} is not a checkpoint of tensors ({type(error).__name__}); fetch it again, or "
            "save the network's state_dict()"
        ) from error
    return state


def _published_digest(name: str) -> str:
    """Return the start of the sha256 that torchvision puts into a published name."""
    return name.rsplit("-", 1)[-1].removesuffix(".pth")


def _identify(architecture: Architecture, path: Path, published: str) -> Architecture:
    """Name the origin of a file's weights, and report a file that is not torchvision's.

    The origin leaves out the file's name: a renamed file must give the same fingerprints.
    """
    digest, expected = _digest(path, published), _published_digest(published)
    if digest.startswith(expected):
        return architecture
    if path.name == published:
        raise FetchError(
            f"{architecture.name}: {path} has sha256 {digest[:12]}…, but torchvision's weights "
            f"begin with {expected}. It is damaged or another file: fetch it again, or give "
            "another file another name."
        )
    is_caffe = digest[:8] in CAFFE or any(part in path.name for part in CAFFE)
    advice = "; a Caffe network needs input: caffe" if is_caffe else ""
    logger.warning("%s is not torchvision's file: sha256 %s%s", path, digest, advice)
    return replace(architecture, origin=f"a file with sha256 {digest}")


def _digest(path: Path, name: str) -> str:
    """Return the sha256 of what should be the published file ``name``."""
    network = name.split("-", maxsplit=1)[0]
    try:
        return file_digest(path)
    except OSError as error:
        raise FetchError(
            f"{network}: {path} cannot be read ({error.strerror}). Set {network}.weights to "
            f"{name}, or to null to download it; {OFFLINE}."
        ) from error


def _fill(
    extractor: Extractor, state: Mapping[Any, Any], names: list[str], source: str
) -> Extractor:
    """Copy the convolutions called ``names`` in ``state`` into the extractor, in order."""
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
    """Copy one convolution's weight and bias, insisting on the shape."""
    for part in ("weight", "bias"):
        target = getattr(convolution, part)
        value = state.get(f"{name}.{part}")
        if not _is_plain(value) or value.shape != target.shape:
            got = tuple(value.shape) if _is_plain(value) else "no tensor of floats"
            raise ExtractorError(
                f"{source}: {name}.{part} should have shape {tuple(target.shape)}; got {got}. "
                "It is another network; fetch the right file."
            )
        with torch.no_grad():
            target.copy_(value)


def _is_plain(value: Any) -> TypeGuard[Tensor]:
    """Whether a value is a dense tensor of floats in memory, which alone can be copied."""
    return (
        isinstance(value, torch.Tensor)
        and value.is_floating_point()
        and value.layout == torch.strided
        and value.device.type == "cpu"
    )
