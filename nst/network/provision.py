"""Provide the network of a run: fit it, fetch it, or read it."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from nst.config.catalogue import Entry, fetch, read_catalogue
from nst.config.layers import Architecture
from nst.config.registry import NETWORKS
from nst.errors import ConfigError, ExtractorError, FetchError
from nst.imaging.images import fit_long_side, load_image
from nst.network.extractor import Extractor, read_extractor, save_extractor
from nst.network.kmeans import fit_kmeans
from nst.network.tensors import to_tensor
from nst.system.files import REMEDIES, file_digest, part_folder, remove_parts, write_atomically

logger = logging.getLogger(__name__)

FIT_SIZE = 256  # px on the long side: enough for an image's patches
SHORTEST = 32  # px on the short side: relu5_1 needs two positions
TORCHVISION = ("vgg19", "vgg16")
OFFLINE = "extractor kmeans needs no weights, and vgg19_16x only a small file"
CAFFE = ("d01eb7cb", "00b39a1b", "vgg_conv")  # in the names of published Caffe networks


def provide_extractor(
    name: str,
    *,
    images: Sequence[Path] = (),
    seed: int = 0,
    weights: Path | None = None,
    mirror: str | None = None,
    cache: Path | None = None,
) -> Extractor:
    """Return the network called ``name``, on the CPU.

    ``kmeans`` is fitted to ``images`` with ``seed``. The other networks are read from ``weights``,
    or from the catalogue's file, fetched from ``mirror`` or its source. This file is kept in
    ``cache`` only while it is read; torchvision's files stay in torch's own cache.

    Raises:
        UserError: an image, the weights or the network is unavailable; the message says which.
    """
    if name == "kmeans":
        if weights is not None:
            raise ExtractorError("kmeans is fitted to its images and takes no --weights")
        logger.info("fitting kmeans to %d images", len(images))
        pictures = [load_image(path) for path in images]
        return fit_kmeans([to_tensor(_fit_size(picture)) for picture in pictures], seed)
    entry, read, architecture = _published(name)
    if weights is not None:
        return read(weights, _identify(entry, weights, architecture))
    if name in TORCHVISION:
        return read(_torchvision_file(entry, mirror, architecture), architecture)
    with part_folder((cache or user_cache()) / entry.file) as folder:
        fetch(entry, folder / entry.file, mirror)
        return read(folder / entry.file, architecture)


def _published(name: str) -> tuple[Entry, Callable[[Path, Architecture], Extractor], Architecture]:
    """Return the file, the reader and the architecture of a network whose weights are fetched.

    Raises:
        ConfigError: there is no such network, or its package does not say what to fetch.
    """
    network = NETWORKS.get(name)
    if network is None or name == "kmeans":
        fetched = [name for name, one in NETWORKS.items() if one.read]
        raise ConfigError(f"a network to fetch must be one of {', '.join(fetched)}; got {name!r}")
    entry = network.entry or read_catalogue().get(name)
    if entry is None or network.read is None:
        raise ConfigError(
            f"the network {name!r} of a package must have the entry of its weights, and a function "
            "that reads them. Correct its Network."
        )
    reader = network.read

    def read(path: Path, architecture: Architecture) -> Extractor:
        made = reader(path, architecture)
        if not isinstance(made, Extractor):
            raise ExtractorError(
                f"the function that reads {name} must return an Extractor of "
                f"nst.network.extractor; got a {type(made).__name__}. Correct it."
            )
        return made

    return entry, read, network.architecture


def prepared_extractor(name: str, mirror: str | None = None, cache: Path | None = None) -> Path:
    """Return the file of a published network in the user's cache, which keeps one file of each.

    The network is fetched and the file is written the first time, and again if the file is damaged.
    The same weights give the same bytes on every machine.

    Raises:
        UserError: the weights are unavailable, or the cache cannot be written.
    """
    architecture = _published(name)[2]
    path = (cache or user_cache()) / f"{name}.safetensors"
    if _is_prepared(path, architecture):
        return path
    logger.info("preparing %s in %s", name, path)
    try:
        remove_parts(path.parent)
        save_extractor(provide_extractor(name, mirror=mirror, cache=path.parent), path)
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "Check that folder")
        raise FetchError(
            f"{name}: {error.filename or path} cannot be written ({error.strerror}). {remedy}, or "
            "set XDG_CACHE_HOME to another folder."
        ) from error
    return path


def extractor_file(
    name: str,
    folder: Path,
    *,
    images: Sequence[Path] = (),
    seed: int = 0,
    weights: Path | None = None,
    mirror: str | None = None,
) -> Path:
    """Return the file of a network: the prepared file in the cache, or a new file in ``folder``.

    Raises:
        UserError: as ``provide_extractor``.
    """
    if name != "kmeans" and weights is None:
        return prepared_extractor(name, mirror)
    path = folder / f"{name}.safetensors"
    made = provide_extractor(name, images=images, seed=seed, weights=weights, mirror=mirror)
    save_extractor(made, path)
    return path


def deliver_extractor(
    name: str, path: Path, weights: Path | None = None, mirror: str | None = None
) -> None:
    """Write a published network to ``path``: from ``weights``, or a copy of the prepared file.

    Raises:
        UserError: as ``provide_extractor``.
    """
    if weights is not None:
        save_extractor(provide_extractor(name, weights=weights, mirror=mirror), path)
        return
    prepared = prepared_extractor(name, mirror)
    logger.info("%s is a copy of %s", path, prepared)
    write_atomically(path, prepared.read_bytes())


def _is_prepared(path: Path, architecture: Architecture) -> bool:
    """Return whether a file holds a network; log if it is damaged or outdated."""
    if not path.exists():
        return False
    try:
        if read_extractor(path)[0] == architecture:
            return True
        cause = "it was prepared by another version"
    except ExtractorError as error:
        cause = str(error.__cause__)
    logger.warning("%s cannot be used (%s); preparing it again", path, cause)
    return False


def _torchvision_file(entry: Entry, mirror: str | None, architecture: Architecture) -> Path:
    """Return a mirror folder's file of torchvision's weights, or the file in torch's cache.

    The file is fetched into the cache the first time, and again if it is damaged there.
    """
    path = Path(torch.hub.get_dir()) / "checkpoints" / entry.file
    if mirror and "://" not in mirror:
        there = Path(mirror) / entry.file
        if there.is_file():
            _identify(entry, there, architecture)
            return there
        source = f"torch's cache or {entry.source}"
        logger.warning("%s is not in %s; taking it from %s", entry.file, mirror, source)
        mirror = None
    if path.exists():
        if _digest(entry, path) == entry.sha256:
            return path
        logger.warning("%s is damaged; fetching it again", path)
    remove_parts(path.parent)
    try:
        fetch(entry, path, mirror)
    except FetchError as error:
        raise FetchError(f"{error} Or set {entry.name}.weights to that file; {OFFLINE}.") from error
    return path


def _identify(entry: Entry, path: Path, architecture: Architecture) -> Architecture:
    """Return the architecture with the origin of a file's weights; log the user's own weights.

    The origin leaves out the file's name: a renamed file must give the same fingerprints.
    """
    digest = _digest(entry, path)
    if digest == entry.sha256:
        return architecture
    if path.name == entry.file or entry.name == "vgg16_hed":
        own = "" if entry.name == "vgg16_hed" else ", or give weights of your own another name"
        raise FetchError(
            f"{path} is not the catalogue's {entry.file}: its sha256 is {digest[:12]}…, and must "
            f"be {entry.sha256[:12]}…. It is damaged or another file: fetch it again{own}."
        )
    is_caffe = digest[:8] in CAFFE or any(part in path.name for part in CAFFE)
    advice = "; a Caffe network needs input: caffe" if is_caffe else ""
    logger.warning("%s is not %s: sha256 %s%s", path, entry.file, digest, advice)
    return replace(architecture, origin=f"a file with sha256 {digest}")


def _digest(entry: Entry, path: Path) -> str:
    """Return the sha256 of a file that may be the entry's."""
    try:
        return file_digest(path)
    except OSError as error:
        raise FetchError(
            f"{path} cannot be read ({error.strerror}); check the path, or leave the weights out "
            f"to fetch {entry.file}"
        ) from error


def _fit_size(picture: Image.Image) -> Image.Image:
    """Reduce a picture to ``FIT_SIZE``; a panorama keeps enough height for the deepest layer."""
    longer, shorter = max(picture.size), min(picture.size)
    return fit_long_side(picture, max(FIT_SIZE, math.ceil(SHORTEST * longer / shorter)))


def user_cache() -> Path:
    """Return the user's cache folder, which keeps downloads between runs."""
    import pooch  # noqa: PLC0415 - only needed for downloads

    return Path(pooch.os_cache("nst"))
