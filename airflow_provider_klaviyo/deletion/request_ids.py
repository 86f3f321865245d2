"""The customer's own id of a request, as a source states it."""

from __future__ import annotations

from decimal import Decimal
from typing import Final
from uuid import UUID

from airflow_provider_klaviyo.deletion.dates import is_missing
from airflow_provider_klaviyo.deletion.scalars import first_doubtful, plain

__all__ = ["RequestIdError", "read_request_id"]

LONGEST_REQUEST_ID: Final = 255


class RequestIdError(ValueError):
    """What a source states cannot be the id of a request. The message does not repeat it."""


def read_request_id(value: object) -> str | None:
    """Return the id: a text, a whole number or a UUID; None for a missing value, and for an empty text as in CSV files.

    :raises RequestIdError: for anything else.
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
    return text.strip()


def _is_short_number(value: object) -> bool:
    """Tell whether Python writes this number out: it refuses those of many thousands of digits."""
    return type(value) is int and abs(value) < 10**LONGEST_REQUEST_ID
