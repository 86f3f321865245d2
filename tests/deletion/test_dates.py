"""Dates as warehouses write them are understood; what could be another date is not."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.deletion.dates import DateError, is_missing, read_time

AT = datetime(2026, 11, 1, 3, 4, 5, tzinfo=UTC)
EXACT = AT.replace(microsecond=123_000)
DAY = datetime(2026, 11, 1, tzinfo=UTC)
SECONDS = int(AT.timestamp())


class Scalar:
    """Like a scalar of numpy or Arrow."""

    def __init__(self, value: object, *, name: str = "item", shape: tuple[int, ...] = ()) -> None:
        self.shape = shape
        self.dtype = "datetime64[ns]"
        setattr(self, name, lambda: value)


class Nothing(datetime):
    """Like NaT of pandas, which is a datetime and equals nothing."""

    def __eq__(self, other: object) -> bool:
        return False

    def __ne__(self, other: object) -> bool:
        return True

    __hash__ = datetime.__hash__


NAType = type("NAType", (), {"__ne__": lambda *_: pytest.fail("a comparison of NA has no truth value")})


class Foreign:
    def isoformat(self) -> str:
        return "2026-11-01T03:04:05+00:00"


@pytest.mark.parametrize(
    ("value", "moment"),
    [
        ("2026-11-01 03:04:05 UTC", AT),
        ("2026-11-01 03:04:05.123 UTC", EXACT),
        ("2026-11-01 03:04:05.123 +0000 UTC", EXACT),
        ("2026-11-01 04:04:05.123 +0100 CET", EXACT),
        ("2026-11-01 03:04:05.123000000 Z", EXACT),
        ("2026-11-01T03:04:05Z", AT),
        ("2026-11-01t03:04:05z", AT),
        ("2026-11-01T03:04:05+00", AT),
        ("2026-11-01T03:04:05+0000", AT),
        ("2026-11-01 03:04:05+00:00", AT),
        ("2026-11-01 03:04:05.123+00", EXACT),
        ("2026-11-01 08:34:05+05:30", AT),
        ("2026-10-31 22:04:05-05", AT),
        ("2026-11-01 04:04:05.000 Europe/Berlin", AT),
        ("2026-11-01T04:04:05+01:00[Europe/Berlin]", AT),
        ("2026-11-01T03:04:05", AT),
        ("2026-11-01 03:04:05,123", EXACT),
        ("2026-11-01  03:04", AT.replace(second=0)),
        ("20261101T030405Z", AT),
        ("2026-11-01T03", AT.replace(minute=0, second=0)),
        ("2026-11-01", DAY),
        ("2026-11-1", DAY),
        ("2026/11/01", DAY),
        ("2026/11/01 03:04:05", AT),
        ("2026.11.01", DAY),
        ("20261101", DAY),
        (20261101, DAY),
        (20261101.0, DAY),
        (" 2026-11-01\u00a0", DAY),
        ('"2026-11-01"', DAY),
        ("\ufeff2026-11-01", DAY),
        ("2026-W44-7", DAY),
        ("Sun, 01 Nov 2026 03:04:05 GMT", AT),
        ("Sun, 1 Nov 2026 04:04:05 +0100", AT),
        ("01 Nov 2026 03:04:05 -0000", AT),
        ("01-NOV-2026", DAY),
        ("1 November 2026", DAY),
        ("November 1, 2026", DAY),
        ("Nov  1 2026  3:04AM", AT.replace(second=0)),
        ("Nov 1 2026 12:04:05 am", AT.replace(hour=0)),
        ("Nov 1 2026 12:04:05 PM", AT.replace(hour=12)),
        ("Sun Nov 01 2026 03:04:05 GMT+0000 (Coordinated Universal Time)", AT),
        (SECONDS, AT),
        (float(SECONDS), AT),
        (SECONDS + 0.123, EXACT),
        (Decimal(f"{SECONDS}.123"), EXACT),
        (str(SECONDS), AT),
        (f"{SECONDS}.123", EXACT),
        (SECONDS * 1_000 + 123, EXACT),
        (f"{SECONDS * 1_000 + 123}", EXACT),
        (float(SECONDS * 1_000), AT),
        (SECONDS * 1_000_000, AT),
        (SECONDS * 1_000_000_000, AT),
        (f"{SECONDS}123456789", AT.replace(microsecond=123_456)),
        (date(2026, 11, 1), DAY),
        (datetime(2026, 11, 1, 3, 4, 5), AT),  # noqa: DTZ001 - as a driver may give it
        (datetime(2026, 11, 1, 5, 4, 5, tzinfo=timezone(timedelta(hours=2))), AT),
        (Scalar(datetime(2026, 11, 1, 3, 4, 5)), AT),  # noqa: DTZ001 - as numpy gives it
        (Scalar(date(2026, 11, 1)), DAY),
        (Scalar(SECONDS * 1_000_000_000), AT),
        (Scalar(SECONDS), AT),
        (Scalar("2026-11-01"), DAY),
        (Scalar(AT, name="as_py"), AT),
        (Foreign(), AT),
    ],
)
def test_a_date_is_understood(value: object, moment: datetime) -> None:
    read = read_time(value)
    assert read is not None
    assert abs(read - moment) < timedelta(milliseconds=1)
    assert read.tzinfo is UTC
    assert type(read) is datetime


@pytest.mark.parametrize(
    "value",
    [
        *(None, "NaT", " nan", "NaN", "None", "NULL", "<NA>", '"null"', float("nan")),
        *(Nothing(2026, 1, 1), NAType(), Scalar(None), Scalar(None, name="as_py")),
    ],
)
def test_nothing_is_no_date(value: object) -> None:
    assert read_time(value) is None


def test_it_tells_what_is_missing() -> None:
    assert is_missing(None)
    assert not any(map(is_missing, [0, "0", False, [], Decimal("NaN"), AT, date(2026, 1, 1)]))


@pytest.mark.parametrize(
    "value",
    [
        *("01/11/2026", "11/01/2026", "1.11.2026", "01-11-2026", "01-NOV-26", "01/11/26", "26-11-01"),
        *("", " ", "2026-13-01", "2026-02-30", "2026-11-01 25:00:00", "2026-11-01 13:00 PM", "2026-11-01 03:04:05 CET"),
        *("2026-11-01 03:04:05 EST", "Sun, 01 Nov 2026 03:04:05 PDT", "2026-11-01 03:04:05 Nowhere/Town"),
        *("2026-11-01 03:04:05 ../etc/passwd", "2026-11-01T", "2026-11/01", "yesterday", "canary", "2026", 2026),
        *("0000-00-00", "0000-00-00 00:00:00", "1970-01-01", "1900-01-01", "1999-12-31", "19991231", 0, "0", 1, 1.5),
        *("Nov 31 2026", "Foo 1 2026", "Canary 01 Nov 2026", "\u0662\u0660\u0662\u0666-11-01", "2026-11-01 \n 7"),
        *(45962, 45962.5, "45962", 99_999_999, 10**21, -SECONDS, float("inf"), Decimal("Infinity")),
        *(
            Decimal("NaN"),
            Decimal("sNaN"),
            Decimal("1E+999999"),
            "1.79350E+09",
            "9" * 10_000,
            True,
            [],
            {},
            b"2026-11-01",
        ),
        *(Scalar([], shape=(1,)), Scalar(True), datetime.min, date.min),  # noqa: DTZ901
        datetime.min.replace(tzinfo=timezone(timedelta(hours=2))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-2))),
    ],
)
def test_what_may_be_another_date_is_not_understood(value: object) -> None:
    with pytest.raises(DateError, match=r"^must be ") as caught:
        read_time(value)
    assert "canary" not in str(caught.value).lower()
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


def test_a_number_that_python_does_not_write_out_is_no_date() -> None:
    with pytest.raises(DateError):
        read_time(10**5_000)


@given(st.text() | st.text("0123456789-/: TZ+.novNOV,GMUC", max_size=30) | st.floats() | st.integers() | st.decimals())
def test_whatever_is_listed_is_a_date_or_an_error_of_ours(value: Any) -> None:
    try:
        moment = read_time(value)
    except DateError:
        return
    assert moment is None or (moment.tzinfo is UTC and moment.year >= 2000)


@given(
    st.datetimes(datetime(2000, 1, 2), datetime(2099, 12, 30), timezones=st.timezones()),  # noqa: DTZ001
    st.sampled_from(["seconds", "milliseconds", "microseconds"]),
    st.sampled_from(" T"),
)
def test_what_python_writes_is_read_back(moment: datetime, precision: str, separator: str) -> None:
    written = moment.astimezone(UTC).isoformat(separator, precision)
    assert read_time(written) == datetime.fromisoformat(written)
    assert read_time(moment) == moment.astimezone(UTC)
