"""A list of which too many rows cannot be meant is refused, in words that show types and no values."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from airflow_provider_klaviyo.deletion.invalid_rows import InvalidListError, InvalidRows

CANARY = "canary@example.com"


def checked(max_invalid: float | None, invalid: int, listed: int, value: object = None) -> None:
    rows = InvalidRows(max_invalid, "Nothing was deleted")
    for row in range(1, invalid + 1):
        rows.add(row, value, "not an e-mail address")
    rows.check(listed)


@pytest.mark.parametrize(
    ("max_invalid", "invalid", "listed"),
    [
        (None, 0, 0),
        (None, 0, 1),
        (None, 1, 2),
        (None, 8, 9),
        (None, 3, 10),
        (None, 300, 1_000),
        (0, 0, 5),
        (0.5, 5, 10),
        (0.5, 1, 2),
        (1, 1, 1),
        (1.0, 1_000, 1_000),
    ],
)
def test_a_list_with_few_invalid_rows_passes(max_invalid: float | None, invalid: int, listed: int) -> None:
    checked(max_invalid, invalid, listed)


@pytest.mark.parametrize(
    ("max_invalid", "invalid", "listed"),
    [
        (None, 2, 2),
        (None, 9, 9),
        (None, 4, 10),
        (None, 5, 10),
        (None, 301, 1_000),
        (0, 1, 1_000),
        (0.1, 1, 5),
        (0.5, 6, 11),
        (0.99, 100, 100),
    ],
)
def test_a_list_with_too_many_is_refused(max_invalid: float | None, invalid: int, listed: int) -> None:
    with pytest.raises(InvalidListError, match=f"^{invalid:,} of {listed:,} rows are invalid.* Nothing was deleted"):
        checked(max_invalid, invalid, listed)


@pytest.mark.parametrize("value", [None, "", "canary", "canary@", "{{ canary }}", {"email": "canary"}])
def test_the_only_row_may_be_a_slip(value: object) -> None:
    checked(None, 1, 1, value)
    with pytest.raises(InvalidListError):
        checked(0.9, 1, 1, value)


@pytest.mark.parametrize("value", [b"canary", 7, 1.5, "a,b", "a\nb", [CANARY], {"email": [CANARY]}])
def test_the_only_row_may_be_no_slip_because_of_its_type(value: object) -> None:
    with pytest.raises(InvalidListError):
        checked(None, 1, 1, value)


@pytest.mark.parametrize(
    ("value", "look"),
    [
        (None, "no value"),
        ({"email": None}, "no value"),
        ("  ", "empty text"),
        (f"{CANARY}\n{CANARY}", "text with several values.*one item for each person"),
        (f"{CANARY},{CANARY}", "text with several values"),
        ({"email": f"{CANARY};{CANARY}"}, "text with several values"),
        (f"{CANARY}@", "text with an @"),
        ("canary", 'text without an @.*"external_id"'),
        ("{{ params.canary }}", "text with a template.*is not rendered"),
        (b"canary", r"bytes \(bytes\).*Decode"),
        (12345, r"numbers \(int\).*Cast ids to text"),
        (1.5, r"numbers \(float\)"),
        (Decimal("1.5"), r"numbers \(Decimal\)"),
        ([CANARY], r"lists or mappings \(list\)"),
        ({"email": [CANARY]}, r"lists or mappings \(list\)"),
        ({"email": CANARY, "id": "canary"}, r"lists or mappings \(dict\)"),
        (object(), "values of type object"),
    ],
)
def test_the_error_says_what_the_rows_look_like_and_what_to_write(value: Any, look: str) -> None:
    with pytest.raises(InvalidListError, match=f"They hold {look}") as caught:
        checked(None, 3, 3, value)
    assert "canary" not in str(caught.value)
    assert "first: rows 1, 2, 3" in str(caught.value)
    assert "max_invalid" in str(caught.value)


def test_few_kinds_and_few_rows_are_told_of_many() -> None:
    rows = InvalidRows(None)
    for row in range(1, 100_001):
        rows.add(row, "x" if row % 2 else row, f"reason {row}")
    with pytest.raises(InvalidListError) as caught:
        rows.check(100_000)
    assert len(str(caught.value)) < 1_000
    assert "100,000 of 100,000 rows" in str(caught.value)
    assert "rows 1, 2, 3, 4, 5." in str(caught.value)
