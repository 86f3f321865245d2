"""Characters that are not part of a value: padding, wrapping, and the two ways to write an accent in Unicode.

Source: https://www.unicode.org/reports/tr15/, where the two ways are the normal forms NFC and NFD.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final, Literal

__all__ = ["QUOTES", "WRAPPINGS", "UnreadableError", "composed", "decomposed", "folded", "lowered", "unwrapped"]

# White space, and what is invisible: soft hyphen, zero-width characters, directions of writing, byte order mark.
PADDING: Final = (
    "\t\n\v\f\r\x1c\x1d\x1e\x1f \x85\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
    "\u00ad\u061c\u180e\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e"
    "\u2060\u2061\u2062\u2063\u2064\u2066\u2067\u2068\u2069\ufeff"
)
QUOTES: Final = {'"': '"', "'": "'"}
WRAPPINGS: Final = {**QUOTES, "<": ">", "`": "`", "\u201c": "\u201d", "\u2018": "\u2019", "\u00ab": "\u00bb"}
# Nothing longer is an identifier; taking quotes off one by one would take long.
LONGEST_WRAPPED: Final = 1_000
# Equivalent to ; ` and K in Unicode, but KELVIN SIGN is not a K: it may be in the address of somebody else.
LOOK_ALIKES: Final = re.compile("([\u037e\u1fef\u212a])")


class UnreadableError(ValueError):
    """A value cannot be an identifier. The message gives the reason, never the value."""


def unwrapped(text: str, pairs: dict[str, str], scheme: str = "") -> str:
    """Return a text without padding, without the quotes or brackets around it, and without ``mailto:`` or ``tel:``.

    :param pairs: each opening character with the closing one. Only what opens and closes is taken off.
    :param scheme: in lower case, with its colon.
    """
    if len(text) > LONGEST_WRAPPED:
        return text.strip(PADDING)
    while True:
        inner = text.strip(PADDING)
        if len(inner) > 1 and pairs.get(inner[0]) == inner[-1]:
            inner = inner[1:-1]
        elif scheme and inner[: len(scheme)].lower() == scheme:
            inner = inner[len(scheme) :]
        if inner == text:
            return text
        text = inner


def composed(text: str) -> str:
    """Return a text with each accented letter as one character where there is one (NFC)."""
    return _normalised("NFC", text)


def decomposed(text: str) -> str:
    """Return a text with letters and accents apart (NFD), as macOS writes file names."""
    return _normalised("NFD", text)


def folded(text: str) -> str:
    """Return a text in lower case and composed."""
    return composed(lowered(composed(text)))


def lowered(text: str) -> str:
    """Return a text in lower case."""
    return text.lower() if text.isascii() else "".join(map(_lower, text))


def _lower(character: str) -> str:
    """Return a character in lower case, unless that would be another letter: KELVIN SIGN is not a k."""
    lower = character.lower()
    return character if len(lower) != 1 or (lower.isascii() and not character.isascii()) else lower


def _normalised(form: Literal["NFC", "NFD"], text: str) -> str:
    if text.isascii():
        return text
    parts = LOOK_ALIKES.split(text)
    # What the pattern captures is every second part.
    parts[::2] = [unicodedata.normalize(form, part) for part in parts[::2]]
    return "".join(parts)
