"""Paths that cannot be handed to the jobs of a cluster, refused before there are any.

Snakemake tells a job on another machine which files to wait for, in a command line for a shell, and
quotes their names as Python would. In Python's double quotes, which it takes for a name with a
single one, a shell goes on to expand ``$(…)``: such a name would be run.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from nst.config.run import Run
from nst.errors import ConfigError


def refuse_unquotable(run: Run) -> None:
    """Refuse a path of the run's that a shell would not read as it is written.

    Raises:
        ConfigError: it names the first such path, and the characters to leave out.
    """
    for path in _paths(run):
        if not _survives(path):
            raise ConfigError(
                f"{path!r}: a path with ' must have none of $, ` and \", and none may have a "
                "backslash, or the jobs of a cluster could not be given it. Rename the file."
            )


def _paths(run: Run) -> Iterator[str]:
    """Yield the user's own files, which jobs take as they are."""
    for picture in (*run.pictures.values(), *run.kmeans_images):
        if picture.path is not None:
            yield picture.path
    for path in (run.start_file, *run.weights.values()):
        if path is not None:
            yield path


def _survives(path: str) -> bool:
    """Tell whether a shell reads Python's quotation of a path as the path."""
    quoted = repr(path)
    if quoted[0] == '"' and any(character in path for character in "$`"):
        return False
    try:
        return shlex.split(quoted) == [path]
    except ValueError:  # a quotation that does not end
        return False
