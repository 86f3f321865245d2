"""The customer's own id of a request, as a source states it."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final
from unicodedata import normalize
from uuid import UUID

from airflow_provider_klaviyo.deletion.dates import is_missing
from airflow_provider_klaviyo.deletion.scalars import first_doubtful, plain

__all__ = ["RequestIdError", "read_request_id"]

LONGEST_REQUEST_ID: Final = 255
DIGIT: Final = re.compile(r"[1-9]")
PUNCTUATION: Final = re.compile(r"[\W_]+")
# What databases, spreadsheets, programs and people write where there is nothing, without their punctuation.
PLACEHOLDERS: Final = frozenset(
    {
        *("null", "dbnull", "sqlnull", "none", "nil", "nullptr", "nan", "qnan", "snan", "nat", "na"),
        *("undefined", "undef", "unknown", "missing", "empty", "blank", "void", "inf", "infinity"),
        *("noid", "norequest", "norequestid", "novalue", "nodata", "notset", "notgiven", "notprovided", "unspecified"),
        *("notavailable", "notapplicable", "notassigned", "unassigned", "notspecified", "notknown", "notfound"),
        *("tbd", "tba", "tbc", "todo", "pending", "placeholder", "default", "dummy", "test", "testing"),
        *("unbekannt", "keineangabe", "inconnu", "desconocido", "sconosciuto", "desconhecido", "onbekend"),
        *("true", "false", "requestid"),
        "f" * 32,
    }
)
# These mean something else without their punctuation.
SIGNS: Final = frozenset(
    {
        *("\\n", "-1", "1.#qnan", "1.#ind", "-1.#ind", "1.#inf", "-1.#inf", "k.a.", "n.v."),
        *("#ref!", "#value!", "#name?", "#num!", "#div/0!"),
    }
)


class RequestIdError(ValueError):
    """What a source states cannot be the id of a request. The message does not repeat it."""


def read_request_id(value: object) -> str | None:
    """Return the id: a text, a whole number or a UUID; None for a missing value, and for an empty text as in CSV files.

    :raises RequestIdError: for anything else, and for a placeholder such as ``NULL``, ``N/A``, ``-`` or ``0``: rows
        that have it in common are not of one request.
    """
    held = plain(value)
    if not held.strip() if isinstance(held, str) else is_missing(held):
        return None
    if isinstance(held, float) and held.is_integer() and abs(held) < first_doubtful(value):
        held = int(held)
    return _text(held)


def _text(value: object) -> str:
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < LONGEST_REQUEST_ID:
        value = int(value) if value == int(value) else value
    text = str(value) if isinstance(value, str | UUID) or _is_short_number(value) else ""
    if not text or len(text) > LONGEST_REQUEST_ID or not text.isprintable():
        raise RequestIdError(f"a request_id is 1 to {LONGEST_REQUEST_ID} printable characters")
    if _is_placeholder(text):
        raise RequestIdError("a placeholder such as null, N/A, - or 0 names no request")
    return text.strip()


def _is_short_number(value: object) -> bool:
    """Tell whether Python writes this number out: it refuses those of many thousands of digits."""
    return type(value) is int and abs(value) < 10**LONGEST_REQUEST_ID


def _is_placeholder(text: str) -> bool:
    written = normalize("NFKC", text).casefold().strip("'\"()[]{}<> ")
    if written in SIGNS:
        return True
    if DIGIT.search(written):
        return False  # Most ids are told by this, which is quick.
    word = PUNCTUATION.sub("", written)
    return not word or word in PLACEHOLDERS or (word.isdecimal() and int(word) == 0)
