"""What an answer's headers say of the pace, in every form in which they come."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.api.pace import RateLimit
from airflow_provider_klaviyo.api.wire import read_rate_limit, read_retry_after

NOW = datetime(2026, 9, 1, 12, 0, 0, tzinfo=UTC)
DATE_PARTS = ["Tue,", "01", "Sep", "2026", "12:00:30", "GMT", "+0000", "-9999999999", "99999999999", ":", "24:99:99"]


@pytest.mark.parametrize("limit", ["3, 3;w=1, 60;w=60", "60", None])
def test_both_forms_of_the_limit_are_understood(limit: str | None) -> None:
    headers = {"ratelimit-remaining": "2", "ratelimit-reset": "1"}
    if limit is not None:
        headers["ratelimit-limit"] = limit
    assert read_rate_limit(headers) == RateLimit(remaining=2, reset_seconds=1.0)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"ratelimit-remaining": "2"},
        {"ratelimit-reset": "1"},
        {"ratelimit-remaining": "-1", "ratelimit-reset": "1"},
        {"ratelimit-remaining": "2, 59", "ratelimit-reset": "1"},
        {"ratelimit-remaining": "nan", "ratelimit-reset": "inf"},
        {"ratelimit-remaining": "", "ratelimit-reset": ""},
    ],
)
def test_headers_that_make_no_sense_are_no_headers(headers: dict[str, str]) -> None:
    assert read_rate_limit(headers) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("17", 17.0),
        (" 17 ", 17.0),
        ("0", 0.0),
        ("0.5", 0.5),
        ("86400", 86_400.0),
        ("9" * 15, float("9" * 15)),
        ("Tue, 01 Sep 2026 12:00:30 GMT", 30.0),
        ("Tue, 01 Sep 2026 14:00:30 +0200", 30.0),
        ("Tue, 01 Sep 2026 12:00:30 -0000", 30.0),
        ("Tue, 01 Sep 2026 11:00:00 GMT", 0.0),
        (None, None),
        ("", None),
        ("soon", None),
        ("-1", None),
        ("Tue, 01 Sep 99999999999999999999 12:00:00 GMT", None),
        ("Tue, 01 Sep 2026 12:00:00 +99999999999999", None),
    ],
)
def test_retry_after_is_read_exactly_or_not_at_all(text: str | None, seconds: float | None) -> None:
    assert read_retry_after({} if text is None else {"retry-after": text}, NOW) == seconds


@given(st.text() | st.lists(st.sampled_from(DATE_PARTS)).map(" ".join))
def test_no_header_upsets_the_reader(text: str) -> None:
    seconds = read_retry_after({"retry-after": text}, NOW)
    assert seconds is None or seconds >= 0
    rate_limit = read_rate_limit({"ratelimit-remaining": text, "ratelimit-reset": text})
    assert rate_limit is None or rate_limit.hold_seconds(1.05) >= 0


@pytest.mark.parametrize(
    ("remaining", "reset_seconds", "expected"),
    [
        (2, 1, 0.0),
        (59, 60, 0.0),
        (0, 1, 1.0),
        (0, 45, 45.0),
        (10, 50, 5.0),
        (0, 0, 0.0),
        (0, 61, 0.0),
    ],
)
def test_what_is_left_of_a_window_is_spread_over_what_is_left_of_its_time(
    remaining: int, reset_seconds: float, expected: float
) -> None:
    assert RateLimit(remaining, reset_seconds).hold_seconds(1.05) == expected
