"""The files of votes that the gallery saves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

from nst.config.documents import read_document
from nst.errors import ConfigError

FORMAT = "nst-votes-1"
NAMES = ("content", "style", "left", "right")  # of a vote in a file
SCORES: Mapping[str, float] = {"left": 1.0, "right": 0.0, "neither": 0.5}


class Vote(NamedTuple):
    """A vote between two cells of a pair, given by their fingerprints.

    ``score`` is 1 for the left cell, 0 for the right cell, and 0.5 for neither.
    """

    voter: str
    content: str
    style: str
    left: str
    right: str
    score: float


def read_ballots(paths: Iterable[Path]) -> list[Vote]:
    """Return the votes of all files.

    Raises:
        ConfigError: a file cannot be read or holds no votes, or two files are of the same voter.
    """
    votes: list[Vote] = []
    files: dict[str, Path] = {}
    for path in paths:
        voter, found = _read(path)
        if voter in files:
            raise ConfigError(
                f"votes: the voter {voter!r} is in {files[voter]} and in {path}; keep one of the "
                "files, or change the name in the other"
            )
        files[voter] = path
        votes += found
    return votes


def _read(path: Path) -> tuple[str, list[Vote]]:
    """Return a file's voter and votes."""
    saved = read_document(path)
    try:
        is_known, voter = saved["format"] == FORMAT, str(saved["voter"])
        votes = [
            Vote(voter, **{one: str(vote[one]) for one in NAMES}, score=SCORES[vote["chosen"]])
            for vote in saved["votes"]
        ]
    except (KeyError, TypeError):  # something is missing, or the structure is different
        is_known = False
    if not is_known or not votes:
        raise ConfigError(
            f"votes: {path} must be a file of votes that the gallery saved, in the format {FORMAT} "
            "and with at least one vote. Save it again, or leave it out."
        )
    return voter, votes
