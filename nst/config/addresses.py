"""Where files may be fetched from."""

from __future__ import annotations

from urllib.parse import urlsplit

from nst.errors import ConfigError

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def checked_mirror(mirror: str | None) -> str | None:
    """Require that a mirror is a folder, or is reached over TLS or on this machine.

    Every file is held to its digest, but only TLS keeps who is in between from learning what is
    fetched, or from sending something else for ever.

    Raises:
        ConfigError: it is an address of another kind.
    """
    if mirror is None or "://" not in mirror:
        return mirror
    try:
        address = urlsplit(mirror)
        if address.scheme == "https" or (address.scheme == "http" and address.hostname in LOOPBACK):
            return mirror
    except ValueError:  # a bracket without its fellow
        pass
    raise ConfigError(
        f"mirror must be a folder or an https:// address; got {mirror!r}. Use https://, or copy "
        "the files to a folder."
    )
