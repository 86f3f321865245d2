"""A real PostgreSQL: streamed from the server, with any cursor, and none of its errors repeats a row."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from traceback import TracebackException
from typing import Any

import pytest
from airflow.providers.postgres.hooks.postgres import PostgresHook
from postgresql import PostgreSQL

from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.identifiers import Kind
from airflow_provider_klaviyo.sources.errors import SourceError, SourceUnavailableError
from airflow_provider_klaviyo.sources.queries import queried

MANY = "SELECT i || '@example.com' AS email, i AS request_id FROM generate_series(1, 200000) i"
FAILS_HALF_WAY = "SELECT email, CASE WHEN i < 12000 THEN 0 ELSE email::int END AS n FROM people"
FAILS_AT_ONCE = "SELECT email, email::int AS request_id FROM people"


@pytest.fixture
def people(postgres_id: str) -> str:
    PostgresHook(postgres_id).run(
        "CREATE TABLE people AS SELECT i, 'canary.' || i || '@example.com' AS email FROM generate_series(1, 20000) i"
    )
    return postgres_id


@pytest.fixture
def with_extra(postgres_connection: str, monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Return a connection with something in its extra field."""

    def with_extra(**extra: object) -> str:
        connection = json.loads(postgres_connection) | {"extra": extra}
        monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_EXTRA", json.dumps(connection))
        return "warehouse_extra"

    return with_extra


def failure(sql: str, conn_id: str, expected: type[Exception]) -> str:
    """Return the message of a failure of which neither the message nor any variable shows a row."""
    with pytest.raises(expected) as caught:
        for _ in queried(sql, conn_id, Entry):
            pass
    shown = "".join(TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "canary" not in shown
    assert "Traceback" in shown
    return str(caught.value)


def test_rows_are_entries_with_the_databases_own_values(postgres_id: str) -> None:
    sql = "SELECT 'x' AS email, 7::numeric AS request_id, timestamptz '2026-01-02 03:04:05Z' AS received_at"
    (entry,) = queried(sql, postgres_id, Entry)
    assert entry == Entry(Kind.EMAIL, "x", 7, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))


@pytest.mark.parametrize("cursor", [None, "dictcursor", "namedtuplecursor"])
def test_every_kind_of_cursor_will_do(with_extra: Callable[..., str], cursor: str | None) -> None:
    entries = list(queried(MANY, with_extra(**({"cursor": cursor} if cursor else {})), Entry))
    assert len(entries) == 200_000
    assert (entries[0], entries[-1]) == (
        Entry(Kind.EMAIL, "1@example.com", 1),
        Entry(Kind.EMAIL, "200000@example.com", 200_000),
    )


def test_an_empty_result_has_columns_too(postgres_id: str) -> None:
    assert list(queried("SELECT 'x' AS email WHERE false", postgres_id, Entry)) == []
    with pytest.raises(SourceError, match="exactly one identifier"):
        list(queried("SELECT 'x' AS mail WHERE false", postgres_id, Entry))


def test_a_query_has_parameters(postgres_id: str) -> None:
    sql = "SELECT i || '@example.com' AS email FROM generate_series(1, 9) i WHERE i > %(least)s"
    assert len(list(queried(sql, postgres_id, Entry, {"least": 7}))) == 2


def test_a_query_that_is_left_half_way_is_in_nobodys_way(postgres_id: str) -> None:
    entries = queried(MANY, postgres_id, Entry)
    next(entries)
    entries.close()
    assert list(queried("SELECT 'x' AS email", postgres_id, Entry)) == [Entry(Kind.EMAIL, "x")]


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT email FROM nobody", 'UndefinedTable 42P01: relation "nobody" does not exist'),
        ("SELEC email FROM people", "SyntaxError 42601: syntax error at or near"),
        ("SELECT mail AS email FROM people", 'UndefinedColumn 42703: column "mail" does not exist'),
    ],
)
def test_a_wrong_query_stays_wrong_and_says_why(people: str, sql: str, said: str) -> None:
    message = failure(sql, people, SourceError)
    assert message.startswith(f"the query on connection 'warehouse_pg' failed: {said}")


@pytest.mark.parametrize(("sql", "rows"), [(FAILS_AT_ONCE, None), (FAILS_HALF_WAY, "10,000")])
def test_a_row_that_the_database_cannot_read_stays_wrong_and_is_not_shown(
    people: str, sql: str, rows: str | None
) -> None:
    message = failure(sql, people, SourceError)
    so_far = f" after {rows} rows" if rows else ""
    assert f"failed{so_far}: InvalidTextRepresentation 22P02. The database's own words are not shown" in message


def test_a_query_that_takes_too_long_may_be_tried_again(people: str, with_extra: Callable[..., str]) -> None:
    conn_id = with_extra(options="-c statement_timeout=100")
    assert "QueryCanceled 57014" in failure("SELECT 'x' AS email, pg_sleep(5)", conn_id, SourceUnavailableError)


def test_a_database_that_goes_down_half_way_may_be_tried_again(postgresql: PostgreSQL, people: str) -> None:
    entries: Any = queried("SELECT email FROM people", people, Entry)
    for _ in range(5_000):
        next(entries)
    postgresql.stop()
    with pytest.raises(SourceUnavailableError, match=r"failed after 5,000 rows: ") as caught:
        next(entries)
    shown = "".join(TracebackException.from_exception(caught.value, capture_locals=True).format())
    assert "canary" not in shown


def test_a_database_that_is_down_may_be_tried_again_and_says_so(postgresql: PostgreSQL, people: str) -> None:
    postgresql.stop()
    message = failure("SELECT email FROM people", people, SourceUnavailableError)
    assert message.startswith("the database of connection 'warehouse_pg' cannot be reached: OperationalError: ")
    assert "refused" in message
