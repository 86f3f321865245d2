"""A header says which columns hold a person, and one that can be read in two ways is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.identifiers import Identifier, InvalidIdentifierError, Kind
from airflow_provider_klaviyo.sources.columns import Columns
from airflow_provider_klaviyo.sources.errors import SourceError

A = "a@example.com"


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("spelled", [str.lower, str.upper, str.title, " {} ".format])
def test_each_kind_has_a_column(kind: Kind, spelled: Any) -> None:
    name = spelled(kind.value)
    columns = Columns.of(["name", name, "day"], "the query", Entry)
    assert (columns.kind, columns.names, columns.places) == (kind, (name, None, None, None), (1, None, None, None))


def test_what_is_known_of_the_request_is_found_in_any_order_and_case() -> None:
    columns = Columns.of(["REGULATION", "x", "Received_At", "Email", "request_id"], "the query", Entry)
    assert columns.places == (3, 4, 2, 0)
    assert columns.names == ("Email", "request_id", "Received_At", "REGULATION")
    assert columns.entry(["GDPR", 0, "today", A, 7]) == Entry(Kind.EMAIL, A, 7, "today", "GDPR")


@pytest.mark.parametrize("header", [(), ("name",), ("mail", "e-mail", "phone"), (None, 7, b"email"), ("request_id",)])
def test_a_header_without_an_identifier_is_refused_with_the_names_that_would_do(header: tuple[object, ...]) -> None:
    with pytest.raises(SourceError, match=r"the query must have .* one of email, phone_number, id, external_id, and"):
        Columns.of(header, "the query", Entry)


def test_a_header_is_not_repeated_because_it_may_be_a_row() -> None:
    with pytest.raises(SourceError) as caught:
        Columns.of(["jane@example.com"], "the file", Entry)
    assert "jane" not in str(caught.value)


@pytest.mark.parametrize(
    "header", [("email", "id"), ("email", "email"), ("Email", "x", "EMAIL"), ("id", "external_id")]
)
def test_a_header_with_several_identifiers_is_refused(header: tuple[str, ...]) -> None:
    with pytest.raises(SourceError, match=r"exactly one identifier, and has 2 .*a row names a person once"):
        Columns.of(header, "the query", Entry)


@pytest.mark.parametrize("name", ["request_id", "received_at", "regulation"])
def test_a_header_that_says_the_rest_twice_is_refused(name: str) -> None:
    with pytest.raises(SourceError, match=f"the query has 2 columns or keys named {name}: leave one"):
        Columns.of(["email", name, name.upper()], "the query", Entry)


def test_other_columns_may_come_twice() -> None:
    assert Columns.of(["x", "x", "id"], "the query", Entry).places[0] == 2


@given(
    st.permutations(["email", "request_id", "received_at", "regulation", "x", "y"]).flatmap(
        lambda names: st.integers(0, 6).map(
            lambda number: [*names[:number], "email"] if "email" not in names[:number] else names[:number]
        )
    ),
    st.lists(st.lists(st.integers(), min_size=7, max_size=7)),
)
def test_rows_of_every_form_give_the_same_entries(header: list[str], values: list[list[int]]) -> None:
    rows = [tuple(row[: len(header)]) for row in values]
    columns = Columns.of(header, "the query", Entry)
    expected = [
        Entry(
            Kind.EMAIL,
            **{
                "value" if name == "email" else name: value
                for name, value in zip(header, row, strict=True)
                if name not in "xy"
            },
        )
        for row in rows
    ]
    assert list(columns.entries(rows)) == expected
    assert list(columns.entries([dict(zip(header, row, strict=True)) for row in rows])) == expected
    assert [columns.entry(row) for row in rows] == expected
    fields = [None if place is None else [row[place] for row in rows] for place in columns.places]
    assert list(columns.of_fields(fields)) == expected


@pytest.mark.parametrize(
    "entry",
    [Entry(None, A), Entry(Kind.EMAIL, A), Entry(Kind.EXTERNAL_ID, 7), Entry(Kind.PHONE_NUMBER, "+15005550001")],
)
def test_an_entry_is_read_as_its_raw_form_is(entry: Entry) -> None:
    assert entry.identifier() == Identifier.parse(entry.raw)


@pytest.mark.parametrize("entry", [Entry(None, None), Entry(None, 7), Entry(Kind.EMAIL, None), Entry(Kind.ID, A)])
def test_an_entry_that_names_nobody_is_invalid(entry: Entry) -> None:
    with pytest.raises(InvalidIdentifierError):
        entry.identifier()


def test_an_entry_does_not_show_who_it_is() -> None:
    entries = [Entry(None, A, "request of a@example.com"), Entry(Kind.EMAIL, A)]
    assert "example" not in f"{entries} {entries[0]} {entries[0]!r}"


@pytest.mark.parametrize(
    ("header", "renamed", "names"),
    [
        (["E-Mail", "n"], {"E-Mail": "email"}, ("E-Mail", None, None, None)),
        ([" e-mail "], {"E-MAIL": "email"}, (" e-mail ", None, None, None)),
        (["e-mail", "E-Mail"], {"E-Mail": "email"}, ("E-Mail", None, None, None)),
        (["email", "Id", "E-Mail"], {"E-Mail": "email"}, ("E-Mail", None, None, None)),
        (["email", "Ticket"], {"Ticket": "request_id"}, ("email", "Ticket", None, None)),
        (["email", "Ticket", "request_id"], {"Ticket": "request_id"}, ("email", "Ticket", None, None)),
        (["Email", "Login"], {"Email": "request_id", "Login": "email"}, ("Login", "Email", None, None)),
        (["Klaviyo ID", "regulation"], {"Klaviyo ID": "id"}, ("Klaviyo ID", None, None, "regulation")),
    ],
)
def test_a_column_may_have_another_name(header: list[str], renamed: dict[str, str], names: tuple[Any, ...]) -> None:
    assert Columns.of(header, "the query", Entry, renamed).names == names


@pytest.mark.parametrize(
    ("header", "renamed", "complaint"),
    [
        (["email"], {"E-Mail": "email"}, "columns names 'E-Mail', and the query has no such column"),
        (["x"], {"A": "email", "B": "request_id"}, "columns names 'A', 'B', and"),
        (["e-mail", "E-mail"], {"E-Mail": "email"}, "the query has 2 columns named 'E-Mail'"),
        (["email", "Ticket"], {"email": "request_id"}, "and has none"),
    ],
)
def test_another_name_that_stands_for_nothing_is_refused(
    header: list[str], renamed: dict[str, str], complaint: str
) -> None:
    with pytest.raises(SourceError, match=complaint):
        Columns.of(header, "the query", Entry, renamed)


def test_a_header_that_is_nobodys_data_is_shown() -> None:
    with pytest.raises(
        SourceError, match=r"has none: its columns are mail, n \(in SQL, write SELECT … AS email, or give"
    ):
        Columns.of(["mail", "n"], "the query", Entry, {}, shows_header=True)
