"""By when a person must be erased: when the request was received, and the law that it falls under.

Sources: GDPR Art. 12(3), one month from receipt; CCPA regulations § 7021, 45 calendar days from receipt.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Final

__all__ = ["Terms", "TermsError", "check_regulation", "due_at", "read_terms"]

LONGEST_DAYS: Final = 3_650
DAYS: Final = re.compile("[0-9]{1,9}")
# Clocks differ, and a date without a time zone may be tomorrow's.
LATEST: Final = timedelta(days=1)


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

    :param received_at: as `read_time` takes it. A missing value is now, and so is a time of the coming day.
    :param regulation: ``gdpr``, ``ccpa``, or a number of days; a missing value is the default.
    :raises TermsError: when one of them is something else, or the time is later.
    """
    # Here, because every parse of a DAG loads this module for its check of a regulation.
    from airflow_provider_klaviyo.deletion.dates import is_missing

    received = min(_received_at(received_at, now), now)
    name = _regulation(default_regulation if is_missing(regulation) else regulation)
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
    if isinstance(days, float) and days.is_integer():
        days = Decimal(days)
    if isinstance(days, Decimal) and days.is_finite() and days == days.to_integral_value():
        days = int(days) if days < LONGEST_DAYS + 1 else 0
    if type(days) is int and 1 <= days <= LONGEST_DAYS:
        return str(days)
    raise TermsError(f"a regulation is gdpr, ccpa, or a number of days from 1 to {LONGEST_DAYS}")


def _received_at(value: object, now: datetime) -> datetime:
    from airflow_provider_klaviyo.deletion.dates import DateError, read_time

    try:
        received = read_time(value)
    except DateError as error:
        raise TermsError(f"a date of receipt {error}") from None
    if received is None:
        return now
    if received > now + LATEST:
        raise TermsError("a date of receipt must be in the past")
    return received


def _a_month_later(moment: datetime) -> datetime:
    """Return the same day of the next month, or the last one where the next month is shorter."""
    year, month = (moment.year, moment.month + 1) if moment.month < 12 else (moment.year + 1, 1)
    return moment.replace(year=year, month=month, day=min(moment.day, calendar.monthrange(year, month)[1]))
