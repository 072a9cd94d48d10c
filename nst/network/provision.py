"""Provide the extractor that a run asks for: fit it, fetch it, or read it."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from nst.config.catalogue import Entry, fetch, is_intact, read_catalogue
from nst.config.settings import ExtractorName
from nst.errors import FetchError
from nst.imaging.images import fit_long_side, load_image
from nst.network.extractor import Extractor
from nst.network.kmeans import fit_kmeans
from nst.network.tensors import to_tensor
from nst.network.vgg import fetch_vgg16, fetch_vgg19, vgg19_16x_from_file
from nst.system.files import remove_parts

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

    ``kmeans`` is fitted to ``images`` with ``seed``. ``vgg16``, ``vgg19`` and ``vgg19_16x``
    read ``weights``, or else look in ``mirror``, or else download; ``vgg19_16x`` then keeps its
    file in ``cache``.

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
