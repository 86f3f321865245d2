"""Lists of every shape are taken apart; a mapping names one person and says nothing that is not understood."""

from __future__ import annotations

import sqlite3
from collections import UserList, namedtuple
from contextlib import closing
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import create_engine, text

from airflow_provider_klaviyo.concealed import Concealed, Several
from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.identifiers import Kind
from airflow_provider_klaviyo.sources.errors import SourceError
from airflow_provider_klaviyo.sources.lists import check_list, list_entries, listed

A, B, C = "a@example.com", "b@example.com", "c@example.com"


@pytest.mark.parametrize(
    ("profiles", "expected"),
    [
        ([A, B], [A, B]),
        ((A, B), [A, B]),
        ([], []),
        (A, [A]),
        ({"email": A}, [{"email": A}]),
        ([A, {"email": B}], [A, {"email": B}]),
        ([[A, B], [C]], [A, B, C]),
        ([(A,), [[B]], []], [A, B]),
        (Concealed([A, [B]]), [A, B]),
        (Concealed(A), [A]),
        ([None, 7, b"x"], [None, 7, b"x"]),
    ],
)
def test_a_list_is_taken_apart(profiles: object, expected: list[object]) -> None:
    assert list(listed(profiles)) == expected
    assert [entry.raw for entry in list_entries(profiles, Entry)] == expected


def test_anything_that_can_be_gone_through_is_a_list() -> None:
    assert list(listed({A})) == [A]
    assert list(listed(iter([A, B]))) == [A, B]
    assert list(listed(dict.fromkeys([A]).keys())) == [A]


@pytest.mark.parametrize("profiles", [None, 7, b"ada@example.com", bytearray(b"x"), object(), Concealed(None)])
def test_what_is_no_list_is_refused_and_not_shown(profiles: object) -> None:
    with pytest.raises(SourceError, match="must be a list of identifiers, not") as caught:
        list(list_entries(profiles, Entry))
    assert "ada" not in str(caught.value)


@pytest.mark.parametrize("profiles", [f"['{A}']", f'\n[{{"email": "{A}"}}]\n', f'{{"email": "{A}"}}', f"('{A}',)"])
def test_the_text_of_a_list_is_refused_and_not_shown(profiles: str) -> None:
    with pytest.raises(SourceError, match=r"the text of a list.*profiles=task\.output") as caught:
        list(list_entries(profiles, Entry))
    assert A not in str(caught.value)
    assert "native" not in str(caught.value)


@pytest.mark.parametrize("profiles", [f"{A},{B}", f"{A}; {B}", f"{A}\n{B}\n", f"{A}\r\n{B}", f" {A} ,\n {B}, {C}"])
def test_a_text_of_several_is_refused_and_not_shown(profiles: str) -> None:
    for given in (profiles, Concealed(profiles)):
        with pytest.raises(SourceError, match="one text with commas, semicolons or line breaks") as caught:
            list(listed(given))
        assert A not in str(caught.value)


ROW = namedtuple("ROW", "email handled_by")


def rows_of(library: str, *values: str) -> list[Any]:
    """Return the result of a query, as a library has it."""
    columns = ", ".join(f"'{value}' AS column_{number}" for number, value in enumerate(values))
    if library == "sqlite3":
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(f"SELECT {columns}").fetchall()
    with create_engine("sqlite://").connect() as connection:
        return list(connection.execute(text(f"SELECT {columns}")).fetchall())


@pytest.mark.parametrize(
    "rows",
    [
        [(A,), (B,)],
        [[A], [B]],
        {(A,), (B,)},
        iter([(A,), (B,)]),
        iter([[A], [B]]),
        [rows_of("sqlite3", A)[0], rows_of("sqlite3", B)[0]],
        [*rows_of("sqlalchemy", A), *rows_of("sqlalchemy", B)],
        UserList([[(A,)], [(B,)]]),
        [[[A]], [[B]]],
    ],
)
def test_rows_of_one_column_are_its_values(rows: Any) -> None:
    assert sorted(map(str, listed(rows))) == [A, B]


@pytest.mark.parametrize(
    "rows",
    [
        [(A, B)],
        [(A, B), (C, B)],
        [[A, B]],
        [[A, B], [C, B]],
        [[A, None], [C, B]],
        [[A, {"tags": []}], [C, {"tags": []}]],
        [ROW(A, B)],
        [(A,), (C, B)],
        [A, (C, B)],
        {(A, B)},
        iter([[A, B], [C]]),
        (row for row in [(A, B)]),
        rows_of("sqlite3", A, B),
        rows_of("sqlalchemy", A, B),
        [rows_of("sqlite3", A, B), rows_of("sqlite3", A, B)],
        [[[A, B], [C, B]], [[A, B]]],
        UserList([[(A, B)], [(C, B)]]),
        Several([[[A, B], [C, B]], A]),
        Concealed([[A, B]]),
        Concealed((A, B)),
        Concealed(ROW(A, B)),
        Concealed(rows_of("sqlite3", A, B)[0]),
    ],
)
def test_rows_of_several_columns_are_refused_and_not_shown(rows: Any) -> None:
    with pytest.raises(SourceError, match=r"rows of 2 values.*select one column.*sql=…") as caught:
        list(listed(rows))
    assert "example.com" not in str(caught.value)


@pytest.mark.parametrize(
    ("lists", "expected"),
    [
        (UserList([[A, B], [C, A]]), [A, B, C, A]),
        (Several([[A, B], [C, A]]), [A, B, C, A]),
        ([UserList([[A, B], [C, A]]), B], [A, B, C, A, B]),
        ([[{"email": A}, {"email": B}], [{"email": C}, {"email": A}]], [{"email": one} for one in (A, B, C, A)]),
        ([[A, B], [C]], [A, B, C]),
        ([[A, B], C], [A, B, C]),
        ([{A}, frozenset([B])], [A, B]),
        ([], []),
        ([[], []], []),
        (Concealed((A,)), [A]),
        (Concealed(()), []),
    ],
)
def test_the_lists_of_several_tasks_are_one(lists: Any, expected: list[object]) -> None:
    assert list(listed(lists)) == expected


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (pa.array([A, None, B]), [A, None, B]),
        (pa.chunked_array([[A], [B]]), [A, B]),
        ([pa.array([A]), pa.array([B])], [A, B]),
        ([pa.scalar(A), pa.scalar(7)], [A, 7]),
    ],
)
def test_a_column_of_a_table_is_a_list(column: Any, expected: list[object]) -> None:
    assert list(listed(column)) == expected


def test_numbers_of_other_libraries_are_numbers() -> None:
    number = SimpleNamespace(dtype=SimpleNamespace(kind="i"), item=lambda: 7)  # As numpy's.
    assert list(list_entries([{"external_id": number}, {"external_id": pa.scalar("x")}], Entry)) == [
        Entry(Kind.EXTERNAL_ID, 7),
        Entry(Kind.EXTERNAL_ID, "x"),
    ]


@pytest.mark.parametrize("table", [pa.table({"email": [A]}), pa.record_batch({"email": [A]})])
def test_a_table_is_refused_and_not_shown(table: Any) -> None:
    with pytest.raises(SourceError, match=r"is a table \((Table|RecordBatch)\).*its column") as caught:
        list(listed(table))
    assert A not in str(caught.value)


def test_a_string_is_of_any_kind_and_a_mapping_of_one() -> None:
    assert list(list_entries([A, {"phone_number": "+15005550001"}, {Kind.ID: "x"}, {"External_ID": 7}], Entry)) == [
        Entry(None, A),
        Entry(Kind.PHONE_NUMBER, "+15005550001"),
        Entry(Kind.ID, "x"),
        Entry(Kind.EXTERNAL_ID, 7),
    ]


def test_a_mapping_may_say_what_is_known_of_the_request() -> None:
    now = datetime.now(UTC)
    assert list(
        list_entries(
            [
                {"request_id": 7, "email": A, "received_at": now, "regulation": "GDPR"},
                {"email": B, "REQUEST_ID": "x"},
                {"email": C, "regulation": None},
            ],
            Entry,
        )
    ) == [Entry(Kind.EMAIL, A, 7, now, "GDPR"), Entry(Kind.EMAIL, B, "x"), Entry(Kind.EMAIL, C)]


@pytest.mark.parametrize(
    ("profiles", "complaint"),
    [
        ({"mail": A}, "one of email, phone_number, id, external_id, and has none"),
        ({}, "exactly one identifier"),
        ({A: 1}, "exactly one identifier"),
        ({"email": A, "id": "x"}, r"exactly one identifier, and has 2 \(email, id\)"),
        ({"email": A, "Email": B}, r"exactly one identifier, and has 2 \(email, email\)"),
        ([[{"request_id": 7}]], "has none"),
        ([A, {"email": B, "request_id": 1, "Request_id": 2}], "2 columns or keys named request_id"),
        ([{"email": A, "keep": True}], "may have request_id, received_at, regulation .* no other keys"),
        ([{"email": A, 10**5000: True}], "no other keys"),
        ([{"email": A, None: True}], "no other keys"),
    ],
)
def test_a_mapping_that_names_nobody_or_two_or_says_more_is_refused(profiles: object, complaint: str) -> None:
    for read in (lambda profiles: check_list(profiles, Entry), lambda profiles: list(list_entries(profiles, Entry))):
        with pytest.raises(SourceError, match=complaint) as caught:
            read(profiles)
        assert "example.com" not in str(caught.value)


@pytest.mark.parametrize("profiles", [[], [A], [{"email": "{{ params.email }}"}], [{"email": None, "request_id": 1}]])
def test_values_are_not_judged_when_the_dag_is_read(profiles: object) -> None:
    check_list(profiles, Entry)
