"""The customer's own ids, in every spelling that one id may have.

An id is any text, and its case matters. But it is known what files, databases and data frames do to an id on its way:
padding, quotes, ``42.0`` for ``42``, a UUID in capitals or without hyphens, accents apart from their letters.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final
from uuid import UUID

from airflow_provider_klaviyo.deletion.characters import QUOTES, UnreadableError, composed, decomposed, unwrapped
from airflow_provider_klaviyo.deletion.scalars import FIRST_DOUBTFUL, first_doubtful, plain

__all__ = ["read_external_id"]

LONGEST_EXTERNAL_ID: Final = 255
LOST_DIGITS: Final = "a number that was a float and may have lost its last digits: write the id as text at its source"
# Texts for no value at all. A profile with such an id is not the one that a row means.
NOTHING: Final = frozenset({"nan", "none", "null", "nat", "<na>", "n/a", "#n/a", "undefined"})

UUID_TEXT: Final = re.compile(
    r"(?:urn:uuid:)?([0-9a-f]{8})(-?)([0-9a-f]{4})\2([0-9a-f]{4})\2([0-9a-f]{4})\2([0-9a-f]{12})",
    re.IGNORECASE | re.ASCII,
)
WHOLE_NUMBER: Final = re.compile(r"0|-?[1-9][0-9]*")
WITH_DECIMALS: Final = re.compile(r"(0|-?[1-9][0-9]*)\.0+")
WITH_EXPONENT: Final = re.compile(r"-?[0-9](?:\.([0-9]+))?(e|E)(\+?)([0-9]+)")


def read_external_id(value: object) -> tuple[str, tuple[str, ...]]:
    """Return an id in its canonical form, and up to five spellings to look up: the listed one last.

    :param value: a text, a whole number of whatever type, or a UUID.
    :raises UnreadableError: for what cannot be an id, or has lost digits.
    """
    listed = _text(value)
    inner = unwrapped(listed, QUOTES)
    if not inner or len(composed(inner)) > LONGEST_EXTERNAL_ID or not inner.isprintable():
        raise UnreadableError(f"not an external id: 1 to {LONGEST_EXTERNAL_ID} printable characters")
    if inner.lower() in NOTHING:
        raise UnreadableError("a word for no value, such as nan or null")
    forms = _forms_of_uuid(inner) or _forms_of_number(inner) or (composed(inner), decomposed(inner))
    possible = [one for one in (listed, inner, forms[0]) if len(one) <= LONGEST_EXTERNAL_ID and one.isprintable()]
    others = (form for form in dict.fromkeys(forms) if form != possible[0] and len(form) <= LONGEST_EXTERNAL_ID)
    return forms[0], (*others, possible[0])


def _text(value: object) -> str:
    doubtful, value = first_doubtful(value), plain(value)
    if isinstance(value, str):
        return value
    if isinstance(value, float):
        if not value.is_integer():
            raise UnreadableError("a number that is not a whole one")
        if abs(value) >= doubtful:
            raise UnreadableError(LOST_DIGITS)
        value = int(value)
    # A number of more digits than an id may have is left alone: Python would not write it out.
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < LONGEST_EXTERNAL_ID:
        value = int(value) if value == int(value) else value
    if isinstance(value, UUID) or (type(value) is int and abs(value) < 10**LONGEST_EXTERNAL_ID):
        return str(value)
    raise UnreadableError("no value (NULL)" if value is None else f"a value of type {type(value).__name__}, not text")


def _forms_of_uuid(text: str) -> tuple[str, ...] | None:
    """Return the forms of a UUID, with and without hyphens; None for what is none.

    Nobody else has it without hyphens: 128 bits are not the same by chance.
    """
    match = UUID_TEXT.fullmatch(text[1:-1] if text[:1] + text[-1:] == "{}" else text)
    if match is None:
        return None
    first, _, *rest = match.groups()
    parts = [part.lower() for part in (first, *rest)]
    lower, digits = "-".join(parts), "".join(parts)
    return lower, lower.upper(), digits, digits.upper()


def _forms_of_number(text: str) -> tuple[str, ...] | None:
    """Return the forms of a whole number, with and without the decimals of a float; None for what is none.

    :raises UnreadableError: for one that has lost digits.
    """
    if WHOLE_NUMBER.fullmatch(text):
        number = text
    elif match := WITH_DECIMALS.fullmatch(text):
        number = match[1]
        if _is_doubtful(number):
            raise UnreadableError(LOST_DIGITS)
    elif match := WITH_EXPONENT.fullmatch(text):
        fraction, letter, sign, exponent = match.groups()
        if fraction is None and not sign:
            return None  # 12e4 is an id as good as 12f4.
        # Java writes all digits that matter, and no sign; others round to as many as they show.
        is_exact = (letter == "E" and not sign and fraction) or int(exponent) <= len(fraction or "")
        if not is_exact or int(exponent) > 15:
            raise UnreadableError(LOST_DIGITS)
        value = Decimal(text)
        if value != int(value):
            return None
        number = str(int(value))
        if _is_doubtful(number):
            raise UnreadableError(LOST_DIGITS)
    else:
        return None
    return (number,) if _is_doubtful(number) else (number, f"{number}.0")


def _is_doubtful(number: str) -> bool:
    return len(number) > 17 or abs(int(number)) >= FIRST_DOUBTFUL
