"""The errors that a user can correct, as exceptions whose text is the whole message.

Libraries raise these; only the entry points (the command line, the workflow's scripts) turn them
into one printed line and an exit status.
"""

from __future__ import annotations

import difflib
import json
import unicodedata
from collections.abc import Iterable

LONGEST = 1500  # characters of a message: a screenful, with room for every list of choices
LONGEST_SHOWN = 200  # characters of a value in a message


class UserError(ValueError):
    """An error outside the program. The message states the rule, the value and the remedy.

    The message is one printable line of bounded length, whatever it quotes.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))


class ConfigError(UserError):
    """A setting is unknown, of the wrong kind or out of range."""


class ImageError(UserError):
    """An image file cannot be used; the message names the file."""


class ExtractorError(UserError):
    """A network's file, layer or input size does not fit."""


class CellError(UserError):
    """The record or details of a finished cell cannot be used, or one of its files is missing."""


class FetchError(UserError):
    """A file could not be fetched, or is not the requested file."""


def did_you_mean(name: object, known: Iterable[str], remedy: str) -> str:
    """Return a remedy, preceded by the known name that is closest to an unknown name."""
    close = difflib.get_close_matches(str(name), known, n=1)
    return f"did you mean {close[0]!r}? {remedy[0].upper()}{remedy[1:]}" if close else remedy


def counted(number: int, noun: str) -> str:
    """Return a number with its noun, such as ``1 cell`` or ``2 cells``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def shown(value: object) -> str:
    """Show a value of a configuration in one line of bounded length."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=_odd)
    except (TypeError, ValueError):  # YAML allows keys and loops that JSON does not allow
        text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def _odd(value: object) -> str:
    """Show a value of a kind that only YAML has, such as a date."""
    return f"{value}, which YAML reads as a {type(value).__name__}; put it in quotes"


def one_line(text: str) -> str:
    r"""Return text as one line that is safe to print and to log, of at most ``LONGEST`` characters.

    Line breaks become spaces. Control characters and halves of surrogate pairs, which a file name
    may contain, are escaped as ``\x1b``: a terminal would interpret the former, and no encoding has
    the latter. A longer text loses its middle, because its end is the remedy.
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} … {text[-LONGEST // 2 + 3 :]}"
    return "".join(map(_printable, " ".join(text.splitlines()))).strip()


def _printable(character: str) -> str:
    """Return a character, or its escape sequence if it is not printable."""
    if character.isprintable():
        return character
    if unicodedata.category(character) == "Zs":
        return " "
    return character.encode("unicode_escape", "surrogatepass").decode("ascii")
