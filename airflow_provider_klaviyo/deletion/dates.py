"""Read dates and times as warehouses, files and data frames write them. What can be read in two ways is not read.

So ``01/11/2026`` is refused, because it is January in one country and November in another, and so are years of two
digits and abbreviated time zones. A time without a time zone is UTC.
"""

from __future__ import annotations

import math
import re
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo

from airflow_provider_klaviyo.deletion.characters import QUOTES, unwrapped
from airflow_provider_klaviyo.deletion.scalars import plain

__all__ = ["DateError", "is_missing", "read_time"]

HOW_TO_WRITE: Final = "must be in ISO 8601, such as 2026-11-22 or 2026-11-22T03:04:05Z"
FIRST_YEAR: Final = 2000
# Of each unit in which the time since 1970 is counted; what is plausible in one is in no other.
EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EARLIEST: Final = (datetime(2000, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(seconds=1)
LATEST: Final = (datetime(2100, 1, 1, tzinfo=UTC) - EPOCH) // timedelta(seconds=1)
UNITS: Final = (1, 1_000, 1_000_000, 1_000_000_000)
NOTHING: Final = frozenset({"nat", "nan", "none", "null", "<na>", "n/a", "#n/a"})
MONTHS: Final = (
    *("january", "february", "march", "april", "may", "june"),
    *("july", "august", "september", "october", "november", "december"),
)
LONGEST: Final = 100

_WEEKDAY: Final = "(?:(?:mon|tue|wed|thu|fri|sat|sun)[a-z]{0,6},?[ ]+)?"
_OFFSET: Final = "(?:UTC|GMT)?[+-][0-9]{2}(?::?[0-5][0-9]){0,2}"
# After an offset, an abbreviation or a name adds nothing: 2026-11-01 03:04:05 +0100 CET.
_ZONE: Final = rf"""
    [ ]*(?:
        (?P<zone>Z|UTC|GMT|UT|{_OFFSET})(?:[ ][A-Z]{{2,5}}|[ ]*\([a-z ]+\)|\[[a-z0-9_/+-]+\])?
        |(?P<place>[a-z_]+/[a-z0-9_/+-]+)
    )
"""
_TIME: Final = rf"""
    (?P<hour>[0-9]{{1,2}}):(?P<minute>[0-9]{{2}})(?::(?P<second>[0-9]{{2}})(?:[.,](?P<fraction>[0-9]{{1,12}}))?)?
    (?:[ ]*(?P<half>[ap])m)?
    (?:{_ZONE})?
"""
DAYS: Final = (
    # 2026-11-01 03:04:05 UTC, 2026/11/01
    ("(?P<year>[0-9]{4})(?P<sign>[-/.])(?P<month>[0-9]{1,2})(?P=sign)(?P<day>[0-9]{1,2})", "(?:T|[ ]+)"),
    # Sun, 01 Nov 2026 03:04:05 GMT; 01-NOV-2026
    (_WEEKDAY + "(?P<day>[0-9]{1,2})[ -](?P<name>[a-z]{3,9})[ -](?P<year>[0-9]{4})", "[ ]+"),
    # November 1, 2026; Nov  1 2026  3:04AM; Sun Nov 01 2026 03:04:05 GMT+0000
    (_WEEKDAY + "(?P<name>[a-z]{3,9})[ ]+(?P<day>[0-9]{1,2}),?[ ]+(?P<year>[0-9]{4})", ",?[ ]+"),
)
"""Patterns of a day, each with what stands between the day and the time."""

NUMBER: Final = re.compile(r"[0-9]{9,19}(?:\.[0-9]{1,12})?")
COMPACT_DATE: Final = re.compile("[0-9]{8}")
OTHER_ISO: Final = re.compile("[0-9]{4}[-0-9WTZ:.,+]+")


class DateError(ValueError):
    """A value is not a date, or one of several. The message does not repeat it."""


def is_missing(value: object) -> bool:
    """Tell whether a value says that there is none: None, NaN, NaT, NA, or a word for them."""
    if isinstance(value, str):
        return len(value) <= LONGEST and unwrapped(value, QUOTES).lower() in NOTHING
    if value is None or type(value).__name__ == "NAType":
        return True
    if isinstance(value, float):
        return math.isnan(value)
    # NaT of pandas is no float, is a datetime, and equals nothing, as NaT of numpy does.
    has_nothing = isinstance(value, date) or hasattr(value, "dtype")
    return has_nothing and getattr(value, "shape", ()) == () and bool(value != value)  # noqa: PLR0124


def read_time(value: object) -> datetime | None:
    """Return a time in UTC; None for a missing value.

    :param value: a time, a date, a text, or a number of seconds, milli-, micro- or nanoseconds since 1970; a number of
        eight digits is year, month and day. Scalars of numpy, pandas and Arrow are read as what they hold.
    :raises DateError: for anything else, for what is ambiguous, and for a time before 2000.
    """
    try:
        held = None if is_missing(value) else _plain(value)
        if is_missing(held):
            return None
        moment = _read(held)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except DateError:
        raise
    except (ArithmeticError, ValueError):
        raise DateError(HOW_TO_WRITE) from None
    if moment.year < FIRST_YEAR:
        raise DateError(f"must be of the year {FIRST_YEAR} or later")
    return moment


def _plain(value: object) -> object:
    held = plain(value)
    is_known = isinstance(held, str | date | int | float | Decimal)
    isoformat = None if is_known else getattr(held, "isoformat", None)
    return isoformat() if callable(isoformat) else held


def _read(value: object) -> datetime:
    if isinstance(value, datetime):
        # Of Python's own type: pandas has one that warns when it loses nanoseconds.
        day, clock = date(value.year, value.month, value.day), time(value.hour, value.minute, value.second)
        return datetime.combine(day, clock.replace(microsecond=value.microsecond, fold=value.fold), value.tzinfo)
    if isinstance(value, date):
        return datetime.combine(value, time.min)
    if isinstance(value, str):
        return _of_text(value)
    if isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        return _of_number(value)
    raise DateError(f"must be a date, not {type(value).__name__}")


def _of_number(value: float | Decimal) -> datetime:
    if value == 0 or not math.isfinite(value):
        raise DateError("must be a date, not a number")
    if FIRST_YEAR * 10_000 < value < 21_000_000 and value == int(value):
        return datetime.strptime(str(int(value)), "%Y%m%d").replace(tzinfo=UTC)
    for unit in UNITS:
        if EARLIEST * unit <= value < LATEST * unit:
            return EPOCH + timedelta(microseconds=int(Decimal(value) * 1_000_000 / unit))
    raise DateError("must be a date: no number of (milli-, micro-, nano-) seconds since 1970 from 2000 to 2100")


def _of_text(value: str) -> datetime:
    text = unwrapped(value, QUOTES)
    if len(text) > LONGEST:
        raise DateError(HOW_TO_WRITE)
    if COMPACT_DATE.fullmatch(text):
        return _of_number(int(text))
    if NUMBER.fullmatch(text):
        return _of_number(Decimal(text))
    for form in _forms():
        if match := form.fullmatch(text):
            return _of_parts(match.groupdict())
    if OTHER_ISO.fullmatch(text):
        return datetime.fromisoformat(text)  # Such as 20261101T030405Z.
    raise DateError(HOW_TO_WRITE)


@cache
def _forms() -> tuple[re.Pattern[str], ...]:
    """Return the patterns of a time. They are made when the first text is read, because every DAG loads this module."""
    flags = re.VERBOSE | re.IGNORECASE | re.ASCII
    return tuple(re.compile(f"{day}(?:{separator}{_TIME})?", flags) for day, separator in DAYS)


def _of_parts(parts: dict[str, str | None]) -> datetime:
    numbers = {name: int(parts.get(name) or 0) for name in ("year", "month", "day", "hour", "minute", "second")}
    if name := parts.get("name"):
        numbers["month"] = _month(name.lower())
    if half := parts["half"]:
        if not 1 <= numbers["hour"] <= 12:
            raise DateError(HOW_TO_WRITE)
        numbers["hour"] = numbers["hour"] % 12 + (12 if half in "pP" else 0)
    microsecond = int((parts["fraction"] or "")[:6].ljust(6, "0"))
    return datetime(**numbers, microsecond=microsecond, tzinfo=_zone(parts["zone"], parts["place"]))


def _month(name: str) -> int:
    """Return the number of an English month, in full or in three letters."""
    for number, month in enumerate(MONTHS, start=1):
        if name in (month, month[:3]):
            return number
    raise DateError(HOW_TO_WRITE)


def _zone(offset: str | None, place: str | None) -> tzinfo:
    if place is not None:
        try:
            return ZoneInfo(place)
        except (KeyError, OSError):
            raise DateError("must be in a time zone that is known here") from None
    digits = re.sub("[^0-9]", "", offset or "").ljust(6, "0")
    hours, minutes, seconds = (int(digits[start : start + 2]) for start in (0, 2, 4))
    behind = timedelta(hours=hours, minutes=minutes, seconds=seconds)
    return timezone(-behind if "-" in (offset or "") else behind)
