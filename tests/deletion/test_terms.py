"""By when a person must be erased; and that a date which nobody understands says so, and nothing of itself."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.deletion.terms import TermsError, check_regulation, due_at, read_terms

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("received", "due"),
    [
        ("2026-01-31", "2026-02-28"),
        ("2028-01-31", "2028-02-29"),
        ("2026-01-28", "2026-02-28"),
        ("2026-03-31", "2026-04-30"),
        ("2026-02-28", "2026-03-28"),
        ("2026-12-31", "2027-01-31"),
        ("2026-11-22", "2026-12-22"),
    ],
)
def test_gdpr_is_one_month(received: str, due: str) -> None:
    assert due_at(day(received), "gdpr") == day(due)


def test_ccpa_is_45_days_and_a_number_is_that_many() -> None:
    assert due_at(day("2026-01-31"), "ccpa") == day("2026-03-17")
    assert due_at(day("2026-01-31"), "1") == day("2026-02-01")
    assert due_at(day("2026-01-31"), "3650") == day("2026-01-31") + timedelta(days=3_650)


@pytest.mark.parametrize(
    ("regulation", "name"),
    [
        ("GDPR", "gdpr"),
        (" ccpa ", "ccpa"),
        ("30", "30"),
        (30, "30"),
        ("0030", "30"),
        (Decimal(30), "30"),
        (30.0, "30"),
        ("GDPR\u00a0", "gdpr"),
        (float("nan"), "7"),
        (None, "7"),
    ],
)
def test_a_law_is_named_in_one_way(regulation: object, name: str) -> None:
    assert read_terms(None, regulation, NOW, "7").regulation == name


def test_the_usual_law_is_named_so_too() -> None:
    assert read_terms(None, None, NOW, " GDPR").regulation == "gdpr"
    check_regulation("gdpr")
    check_regulation(30)
    with pytest.raises(TermsError):
        check_regulation("canary")


@pytest.mark.parametrize(
    "regulation",
    [
        *("", "canary", "0", "-1", "3651", "1.5", "٣٠", "²", "9" * 10_000, "0000000019999999999999999"),
        *(
            True,
            0,
            -1,
            3_651,
            1.5,
            Decimal("1.5"),
            Decimal("NaN"),
            Decimal("Infinity"),
            Decimal("1E+999999"),
            [],
            date(2026, 1, 1),
        ),
    ],
)
def test_any_other_law_is_refused(regulation: object) -> None:
    with pytest.raises(TermsError, match="a regulation is gdpr, ccpa, or a number of days from 1 to 3650") as caught:
        read_terms(None, regulation, NOW, "gdpr")
    assert "canary" not in str(caught.value)


def test_a_number_that_python_does_not_write_out_is_no_law() -> None:
    with pytest.raises(TermsError):
        read_terms(None, 10**5_000, NOW, "gdpr")


@pytest.mark.parametrize(
    ("received", "at"),
    [
        (None, NOW),
        ("2026-11-01", day("2026-11-01")),
        (" 2026-11-01T10:00:00 ", day("2026-11-01T10:00:00")),
        ("2026-11-01T10:00:00Z", day("2026-11-01T10:00:00")),
        ("2026-11-01T10:00:00+02:00", day("2026-11-01T08:00:00")),
        (date(2026, 11, 1), day("2026-11-01")),
        (datetime(2026, 11, 1, 10), day("2026-11-01T10:00:00")),  # noqa: DTZ001 - as a driver may give it
        (datetime(2026, 11, 1, 10, tzinfo=timezone(timedelta(hours=2))), day("2026-11-01T08:00:00")),
        ("2026-11-01 10:00:00.000 UTC", day("2026-11-01T10:00:00")),
        (1793527200, day("2026-11-01T10:00:00")),
        (1793527200000.0, day("2026-11-01T10:00:00")),
        (20261101, day("2026-11-01")),
        ("NaT", NOW),
        (float("nan"), NOW),
        ("2026-11-22T12:00:01Z", NOW),
        ("2026-11-23T12:00:00Z", NOW),
    ],
)
def test_dates_and_times_are_utc_and_not_in_the_future(received: object, at: datetime) -> None:
    assert read_terms(received, None, NOW, "gdpr").received_at == at


@pytest.mark.parametrize(
    "received",
    [
        *("", "canary", "22/11/2026", "2026-13-01", "2026-02-30", 1.5, True, [], b"2026-11-01"),
        *("2026-11-23T12:00:01Z", "9999-12-31T23:59:59", datetime.max, "1999-12-31"),  # noqa: DTZ901
        datetime.min.replace(tzinfo=timezone(timedelta(hours=2))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-2))),
    ],
)
def test_any_other_date_is_refused(received: object) -> None:
    with pytest.raises(TermsError, match="a date of receipt must be") as caught:
        read_terms(received, None, NOW, "gdpr")
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@given(
    st.one_of(st.none(), st.text(), st.dates(), st.datetimes(), st.datetimes(timezones=st.timezones()), st.integers()),
    st.one_of(st.none(), st.sampled_from(["gdpr", "ccpa"]), st.integers(-10, 4_000), st.text()),
)
def test_what_is_understood_is_due_within_the_law(received: object, regulation: object) -> None:
    try:
        terms = read_terms(received, regulation, NOW, "gdpr")
    except TermsError:
        return
    assert terms.received_at <= NOW
    assert timedelta(days=1) <= terms.due_at - terms.received_at <= timedelta(days=3_650)
    assert terms.due_at.tzinfo is UTC
    assert read_terms(terms.received_at, terms.regulation, NOW, "ccpa") == terms
