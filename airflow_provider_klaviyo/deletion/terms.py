"""By when a person must be erased: when the request was received, and the law that it falls under.

Sources: GDPR Art. 12(3), one month from receipt; CCPA regulations § 7021, 45 calendar days from receipt.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Final

__all__ = ["Terms", "TermsError", "check_regulation", "due_at", "read_terms"]

LONGEST_DAYS: Final = 3_650
DAYS: Final = re.compile("[0-9]{1,9}")


class TermsError(ValueError):
    """A date of receipt or a regulation that cannot be understood. The message does not repeat it."""


@dataclass(frozen=True, slots=True)
class Terms:
    """When a request was received, what it is due under, and when. Both times are UTC."""

    received_at: datetime
    regulation: str
    due_at: datetime


def read_terms(received_at: object, regulation: object, now: datetime, default_regulation: str) -> Terms:
    """Return the terms of a row.

    :param received_at: a time, a date, or either in ISO 8601; without a time zone it is UTC. None is now.
    :param regulation: ``gdpr``, ``ccpa``, or a number of days; None is the default.
    :raises TermsError: when one of them is something else.
    """
    received = now if received_at is None else min(_time(received_at), now)
    name = _regulation(default_regulation if regulation is None else regulation)
    return Terms(received, name, due_at(received, name))


def check_regulation(regulation: object) -> None:
    """Refuse what is neither ``gdpr``, ``ccpa``, nor a number of days.

    :raises TermsError: saying so.
    """
    _regulation(regulation)


def due_at(received_at: datetime, regulation: str) -> datetime:
    """Return when an erasure is due that was asked for at a time.

    :param regulation: ``gdpr``, ``ccpa``, or a number of days.
    :raises TermsError: for any other.
    """
    match _regulation(regulation):
        case "gdpr":
            return _a_month_later(received_at)
        case "ccpa":
            return received_at + timedelta(days=45)
        case days:
            return received_at + timedelta(days=int(days))


def _regulation(value: object) -> str:
    text = value.strip().lower() if isinstance(value, str) else ""
    if text in ("gdpr", "ccpa"):
        return text
    days = int(text) if DAYS.fullmatch(text) else value
    if isinstance(days, Decimal) and days.is_finite() and days == days.to_integral_value():
        days = int(days) if days < LONGEST_DAYS + 1 else 0
    if type(days) is int and 1 <= days <= LONGEST_DAYS:
        return str(days)
    raise TermsError(f"a regulation is gdpr, ccpa, or a number of days from 1 to {LONGEST_DAYS}")


def _time(value: object) -> datetime:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            raise TermsError("a date of receipt must be in ISO 8601, such as 2026-11-22") from None
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time.min)
    if not isinstance(value, datetime):
        raise TermsError(f"a date of receipt must be a date, not {type(value).__name__}")
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise TermsError("a date of receipt must be in ISO 8601, such as 2026-11-22") from None


def _a_month_later(moment: datetime) -> datetime:
    """Return the same day of the next month, or the last one where the next month is shorter."""
    year, month = (moment.year, moment.month + 1) if moment.month < 12 else (moment.year + 1, 1)
    return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))
