"""The id of a request: read as it is stated, and never shared by people who have no request in common."""

from __future__ import annotations

import contextlib
import math
import string
from decimal import Decimal
from uuid import UUID

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.deletion.request_ids import RequestIdError, read_request_id

hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

PLACEHOLDERS = [
    *("null", "NULL", "Null", "(null)", "<null>", "[NULL]", '"null"', "{null}", " null ", "\uff2e\uff35\uff2c\uff2c"),
    *(
        "None",
        "none",
        "(none)",
        "nil",
        "nan",
        "NaN",
        "-nan",
        "1.#QNAN",
        "NaT",
        "<NA>",
        "NA",
        "N/A",
        "n/a",
        "na",
        "n.a.",
    ),
    *("N\\A", "#N/A", "#REF!", "#NUM!", "\\N", "undefined", "unknown", "Unknown", "tbd", "TBD", "t.b.d.", "test"),
    *("not available", "no id", "missing", "0", "00", "000000", "0.0", "+0", "-0", "-1", "0-0-0", "\uff10", "\u0660"),
    *("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"),
    *(
        "-",
        "--",
        "\u2013",
        "\u2014",
        " - ",
        ".",
        "...",
        "\u2026",
        "?",
        "???",
        "_",
        "/",
        "*",
        "#",
        "'",
        "''",
        "()",
        "[]",
    ),
    *("{}", "; ;", 0, 0.0, -1, Decimal(0), Decimal("0.00"), UUID(int=0), UUID(int=2**128 - 1)),
]
NO_IDS = [
    *(math.inf, 7.5, Decimal("NaN"), Decimal("sNaN"), Decimal("Infinity"), Decimal("0.5"), False, b"7"),
    *("\u00a0null", "\0", "7\n8", "7" * 256),
]


@pytest.mark.parametrize("placeholder", PLACEHOLDERS, ids=repr)
def test_a_placeholder_is_no_request_id(placeholder: object) -> None:
    with pytest.raises(RequestIdError, match=r"^a placeholder such as null, N/A, - or 0 names no request$"):
        read_request_id(placeholder)


@pytest.mark.parametrize("value", NO_IDS, ids=repr)
def test_what_is_no_short_text_and_no_whole_number_is_no_request_id(value: object) -> None:
    with pytest.raises(RequestIdError, match="1 to 255 printable characters"):
        read_request_id(value)


@pytest.mark.parametrize("nothing", [None, "", " ", "\t\n", "\u00a0", math.nan], ids=repr)
def test_nothing_is_nothing(nothing: object) -> None:
    assert read_request_id(nothing) is None


IDS = [
    "1",
    "7",
    "10",
    "100",
    "-7",
    "R-0",
    "0000001",
    "A",
    "n",
    "NA-1",
    "null-1",
    "nullable",
    "nanny",
    "test-7",
    "a/b",
    "é",
]


@pytest.mark.parametrize("value", IDS)
def test_an_id_is_one(value: str) -> None:
    assert read_request_id(f" {value} ") == value


class Scalar:
    """A number of numpy or Arrow."""

    def __init__(self, value: object) -> None:
        self._value = value

    def item(self) -> object:
        return self._value


def test_numbers_and_uuids_are_ids() -> None:
    assert read_request_id(Scalar(7)) == "7"
    with pytest.raises(RequestIdError, match="placeholder"):
        read_request_id(Scalar(0))
    assert read_request_id(7) == read_request_id(Decimal("7.0")) == read_request_id(7.0) == "7"
    assert read_request_id(UUID(int=7)) == "00000000-0000-0000-0000-000000000007"


@given(st.text(string.punctuation + " 0", min_size=1, max_size=255))
def test_punctuation_and_zeros_name_nothing(text: str) -> None:
    with contextlib.suppress(RequestIdError):
        assert read_request_id(text) is None


@given(st.text(max_size=300))
def test_a_placeholder_stays_one_however_it_is_written(text: str) -> None:
    try:
        found = read_request_id(text)
    except RequestIdError:
        return
    assert found is None or read_request_id(found) == found
