"""Measure, wrap, shrink and cut text so that it fits its box.

The font is DejaVu Sans, which matplotlib ships: it has Greek, Cyrillic, accents and superscripts.
Pillow's basic text layout is used, because the other layout engine depends on installed libraries.
"""

import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from pathlib import Path

from PIL import ImageFont

ELLIPSIS = "…"
LEADING = 1.22  # distance between baselines, in font sizes
_BREAK_AFTER = frozenset("-–—/_.,;:·\N{NO-BREAK SPACE}")  # in a word that is wider than its line


@dataclass(frozen=True)
class Hand:
    """The allowed sizes, the weight and the number of lines of a text.

    `size` is the preferred size and `floor` the smallest, both in px of the em square. `lines` is
    the largest number of lines.
    """

    size: int
    floor: int
    lines: int
    bold: bool = False


@dataclass(frozen=True)
class Lettering:
    """A text that fits: its lines, and the box in px of their ink and advance."""

    lines: tuple[str, ...]
    size: int
    bold: bool
    width: int
    height: int
    ascent: int  # from the top of the box to the first baseline
    pitch: int  # from baseline to baseline


@cache
def font_file(bold: bool = False) -> Path:
    """Return the file of DejaVu Sans, one of matplotlib's fonts."""
    import matplotlib  # noqa: PLC0415  (costs 0.1 s, and only drawing needs it)

    name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name


@cache
def face(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return DejaVu Sans at a size in px."""
    return ImageFont.truetype(font_file(bold), size, layout_engine=ImageFont.Layout.BASIC)


def clean(text: str) -> str:
    """Return text as one line with composed accents, single spaces and no control characters."""
    drawn = "".join(map(_drawable, unicodedata.normalize("NFC", text)))
    return " ".join(filter(None, drawn.split(" ")))


def _drawable(character: str) -> str:
    """Return a character, or nothing if it is invisible, or � for half of a surrogate pair."""
    if character in "\t\n\r\v\f\u2028\u2029":
        return " "
    category = unicodedata.category(character)
    if category == "Cs":
        return "\N{REPLACEMENT CHARACTER}"
    return "" if category in ("Cc", "Cf") or "\ufe00" <= character <= "\ufe0f" else character


def overhang(line: str, font: ImageFont.FreeTypeFont) -> int:
    """Return the distance in px by which ink extends to the left of the line's start."""
    return max(0, -_bounds(line, font)[0])


@lru_cache(maxsize=8192)
def extent(line: str, font: ImageFont.FreeTypeFont) -> int:
    """Return the width of a line in px: the larger of the widths of its ink and its advance."""
    left, _, right, _ = _bounds(line, font)
    return max(right, int(-(-font.getlength(line) // 1))) + max(0, -left)


def _bounds(line: str, font: ImageFont.FreeTypeFont) -> tuple[int, int, int, int]:
    """Return the box of a line's ink, from its baseline's start, in px rounded outwards."""
    left, top, right, bottom = font.getbbox(line, anchor="ls")
    return int(left // 1), int(top // 1), int(-(-right // 1)), int(-(-bottom // 1))


def _longest_start(text: str, font: ImageFont.FreeTypeFont, width: int, ending: str = "") -> int:
    """Return the number of characters that fit a width, with an ending."""
    ends = range(1, len(text) + 1)
    return bisect_right(ends, width, key=lambda end: extent(text[:end] + ending, font))


def _parts(word: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break a word that is wider than its line, after punctuation in the line's second half."""
    parts = []
    while extent(word, font) > width and len(word) > 1:
        end = max(1, _longest_start(word, font, width))
        soft = [at for at in range(end // 2 + 1, end + 1) if word[at - 1] in _BREAK_AFTER]
        end = soft[-1] if soft else end
        parts.append(word[:end])
        word = word[end:]
    return [*parts, word]


def wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Break text into lines of at most `width` px, between words where possible."""
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and extent(longer, font) <= width:
            lines[-1] = longer
        else:
            lines += _parts(word, font, width)
    return [line for line in lines if line]


def _even(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    """Wrap text into as few lines as `wrap` does, of about the same width."""
    lines = wrap(text, font, width)
    if len(lines) < 2:
        return lines
    longest = max((extent(word, font) for word in text.split(" ")), default=width)
    widths = range(min(width, longest), width)
    enough = bisect_left(widths, True, key=lambda one: len(wrap(text, font, one)) <= len(lines))
    return wrap(text, font, widths.start + enough)


def _cut(lines: Sequence[str], font: ImageFont.FreeTypeFont, width: int, most: int) -> list[str]:
    """Keep the first `most` lines, and end the last line with an ellipsis."""
    if len(lines) <= most:
        return list(lines)
    rest = " ".join(lines[most - 1 :])
    rest = rest[: _longest_start(rest, font, width, ELLIPSIS)]
    words, _, stump = rest.rpartition(" ")
    rest = words if len(words) > 2 * len(stump) else rest
    return [*lines[: most - 1], rest.rstrip(" ,;:.–-(") + ELLIPSIS]


@lru_cache(maxsize=1024)
def fit(text: str, width: int, hand: Hand) -> Lettering:
    """Fit text into `width` px: wrap it, then shrink it, then break words, then cut it short.

    The result is never wider than `width`, unless a single character is.
    """
    text = clean(text)
    words = text.split(" ")
    for size in range(hand.size, hand.floor - 1, -1):
        font = face(size, hand.bold)
        whole = all(extent(word, font) <= width for word in words)
        if whole and len(wrap(text, font, width)) <= hand.lines:
            break
    return _letter(_cut(_even(text, font, width), font, width, hand.lines), size, hand.bold)


def fit_alike(texts: Sequence[str], width: int, hand: Hand) -> list[Lettering]:
    """Fit several texts into `width` px each, all at the smallest size that any text needs."""
    size = min((fit(text, width, hand).size for text in texts if clean(text)), default=hand.size)
    return [fit(text, width, replace(hand, size=size)) for text in texts]


def _letter(lines: Sequence[str], size: int, bold: bool) -> Lettering:
    """Measure lines; characters taller than the font's ascent get enough room."""
    if not lines:
        return Lettering((), size, bold, 0, 0, 0, 0)
    font = face(size, bold)
    ascent, descent = font.getmetrics()
    bounds = [_bounds(line, font) for line in lines]
    rises = [max(ascent, -top) for _, top, _, _ in bounds]
    drops = [max(descent, bottom) for _, _, _, bottom in bounds]
    pitch = round(LEADING * size)
    if len(lines) > 1:
        pitch = max(pitch, max(drops[:-1]) + max(rises[1:]))
    height = rises[0] + pitch * (len(lines) - 1) + drops[-1]
    width = max(extent(line, font) for line in lines)
    return Lettering(tuple(lines), size, bold, width, height, rises[0], pitch)
