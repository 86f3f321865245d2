"""The customer's own id of a request, as a source states it."""

from __future__ import annotations

from decimal import Decimal
from typing import Final
from uuid import UUID

__all__ = ["RequestIdError", "read_request_id"]

LONGEST_REQUEST_ID: Final = 255


class RequestIdError(ValueError):
    """What a source states cannot be the id of a request. The message does not repeat it."""


def read_request_id(value: object) -> str | None:
    """Return the id: a text, a whole number or a UUID; None for nothing, and for an empty text, CSV's way to say so.

    :raises RequestIdError: for anything else.
    """
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < LONGEST_REQUEST_ID:
        value = int(value) if value == int(value) else value
    text = str(value) if isinstance(value, str | UUID) or _is_short_number(value) else ""
    if not text or len(text) > LONGEST_REQUEST_ID or not text.isprintable():
        raise RequestIdError(f"a request_id is 1 to {LONGEST_REQUEST_ID} printable characters")
    return text.strip()


def _is_short_number(value: object) -> bool:
    """Tell whether Python writes this number out: it refuses those of many thousands of digits."""
    return type(value) is int and abs(value) < 10**LONGEST_REQUEST_ID
