"""What is asked for is what is in the list, whatever characters it is made of."""

from __future__ import annotations

import string
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.api.resources import profiles_request
from airflow_provider_klaviyo.api.wire import filter_any, quote_string
from airflow_provider_klaviyo.emulator.filters import Filter

printable = st.text(min_size=1).filter(str.isprintable)
nasty = st.text("\"\\,()[]{}+%&=#?;:'` äßİÅ漢😀" + string.ascii_letters, min_size=1)
values = st.lists(printable | nasty, min_size=1, max_size=5)


@given(values)
def test_a_filter_holds_its_values_and_nothing_else(wanted: list[str]) -> None:
    assert Filter.parse(filter_any("email", wanted), max_values=100) == Filter("email", tuple(wanted))


@given(values, st.none() | printable)
def test_a_query_survives_the_way(wanted: list[str], cursor: str | None) -> None:
    query = profiles_request("external_id", wanted, cursor).query
    assert query.isascii()
    parameters = dict(parse_qsl(query, strict_parsing=True))
    assert Filter.parse(parameters.pop("filter"), max_values=100).values == tuple(wanted)
    assert parameters.pop("page[cursor]", None) == cursor
    assert set(parameters) == {"fields[profile]", "page[size]"}


def test_a_plus_is_not_a_space() -> None:
    assert "a%2Bb%40example.com" in profiles_request("email", ["a+b@example.com"]).query


@given(st.text().filter(lambda text: not text.isprintable()))
def test_what_cannot_be_printed_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"^a filter value has a character that cannot be printed$"):
        quote_string(text)
