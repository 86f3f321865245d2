"""Rows of real databases become entries, only as far as they are wanted, and no error shows one."""

from __future__ import annotations

import json
import sqlite3
import tracemalloc
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.endpoints import ENDPOINTS
from airflow_provider_klaviyo.api.pace import Limit, Paces
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.identifiers import Kind
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.plan import PlanTooLargeError, make_plan
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.sources.errors import SourceError, SourceUnavailableError
from airflow_provider_klaviyo.sources.queries import FETCH_SIZE, queried

A, B = "a@example.com", "b@example.com"
MILLION = """
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999)
    SELECT i || '@example.com' AS email FROM n
"""
FAILS_HALF_WAY = """
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
    SELECT CASE WHEN i < 12500 THEN i || '@example.com' ELSE abs(-9223372036854775808) END AS email FROM n
"""


def raws(sql: str, conn_id: str, parameters: object = None) -> list[object]:
    return [entry.raw for entry in queried(sql, conn_id, Entry, parameters)]


def is_closed(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return True
    return False


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT EMAIL FROM people", [{"email": A}, {"email": B}]),
        ('SELECT name, day, EMAIL AS "Email" FROM people', [{"email": A}, {"email": B}]),
        ("SELECT phone_number FROM people", [{"phone_number": "+15005550001"}, {"phone_number": None}]),
        ("SELECT day AS external_id FROM people", [{"external_id": 1}, {"external_id": 2}]),
        ("SELECT name AS id FROM people WHERE day = 1", [{"id": "Ada"}]),
        ("SELECT CAST(email AS BLOB) AS email FROM people WHERE day = 1", [{"email": A.encode()}]),
        ("SELECT email FROM people WHERE day > 9", []),
    ],
)
def test_the_column_with_the_name_of_a_kind_is_taken(
    database: str, sql: str, expected: list[dict[str, object]]
) -> None:
    assert raws(sql, database) == expected


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT email FROM people WHERE day = ?", [2]),
        ("SELECT email FROM people WHERE day = :day", {"day": 2}),
    ],
)
def test_a_query_has_parameters_as_its_driver_takes_them(database: str, sql: str, parameters: object) -> None:
    assert raws(sql, database, parameters) == [{"email": B}]


@pytest.mark.parametrize(
    ("sql", "complaint"),
    [
        (
            "SELECT name FROM people",
            "the query must have .* named one of email, phone_number, id, external_id, and has none",
        ),
        ("SELECT email || '' FROM people", "has none"),
        ("PRAGMA table_info(people)", "has none: its columns are cid, name, type"),
        ("PRAGMA user_version = 1", "the query on connection 'shop_db' returns no columns: it must be a SELECT"),
        ("SELECT email, phone_number FROM people", r"exactly one identifier, and has 2 \(email, phone_number\)"),
        ("SELECT email, email FROM people", "has 2"),
        ("SELECT email, day AS request_id, name AS REQUEST_ID FROM people", "2 columns or keys named request_id"),
    ],
)
def test_a_query_without_exactly_one_usable_column_is_refused(
    database: str, opened: list[sqlite3.Connection], sql: str, complaint: str
) -> None:
    with pytest.raises(SourceError, match=complaint) as caught:
        list(queried(sql, database, Entry))
    assert "example.com" not in str(caught.value)
    assert [is_closed(connection) for connection in opened] == [True]


def test_nothing_is_asked_before_the_first_row_is_wanted(database: str, opened: list[sqlite3.Connection]) -> None:
    queried("SELECT email FROM people", database, Entry)
    assert opened == []


def test_a_query_that_is_read_to_its_end_leaves_no_connection_open(
    database: str, opened: list[sqlite3.Connection]
) -> None:
    list(queried("SELECT email FROM people", database, Entry))
    assert [is_closed(connection) for connection in opened] == [True]


def test_a_query_that_is_left_half_way_leaves_no_connection_open(
    database: str, opened: list[sqlite3.Connection]
) -> None:
    result = queried(MILLION, database, Entry)
    assert next(result) == Entry(Kind.EMAIL, "0@example.com")
    result.close()
    assert [is_closed(connection) for connection in opened] == [True]


def test_a_query_that_fails_half_way_fails_and_leaves_no_connection_open(
    database: str, opened: list[sqlite3.Connection]
) -> None:
    read: list[object] = []
    with pytest.raises(SourceUnavailableError, match=r"failed after 1[0-9],[05]00 rows: .*OperationalError"):
        read.extend(queried(FAILS_HALF_WAY, database, Entry))
    assert [is_closed(connection) for connection in opened] == [True]


def test_a_query_that_cannot_be_run_leaves_no_connection_open(database: str, opened: list[sqlite3.Connection]) -> None:
    with pytest.raises(
        SourceUnavailableError, match="connection 'shop_db' failed: OperationalError: no such table: no"
    ):
        list(queried("SELECT email FROM nobody", database, Entry))
    assert [is_closed(connection) for connection in opened] == [True]


def test_a_row_that_the_driver_cannot_read_is_not_shown(database: str) -> None:
    with pytest.raises(SourceUnavailableError, match=r"failed( after 1 rows)?: OperationalError") as caught:
        list(queried("SELECT CAST(x'ff' || email AS TEXT) AS email FROM people", database, Entry))
    assert "example" not in str(caught.value)


def test_what_is_known_of_the_request_is_taken_along(database: str) -> None:
    sql = "SELECT 'GDPR' AS Regulation, day AS REQUEST_ID, name, email, day + 0.5 AS received_at FROM people"
    assert list(queried(sql, database, Entry)) == [
        Entry(Kind.EMAIL, A, 1, 1.5, "GDPR"),
        Entry(Kind.EMAIL, B, 2, 2.5, "GDPR"),
    ]


def test_a_million_rows_take_no_more_memory_than_some_thousands(database: str) -> None:
    result = queried(MILLION, database, Entry)
    next(result)
    tracemalloc.start()
    try:
        deque(result, maxlen=0)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2_000 * FETCH_SIZE


@pytest.mark.filterwarnings("ignore")  # Of what Airflow imports to find the hook.
def test_a_connection_that_is_no_database_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MAIL", json.dumps({"conn_type": "smtp"}))
    with pytest.raises(SourceError, match="Connection 'mail' is no database: its hook is SmtpHook"):
        list(queried("SELECT 1 AS email", "mail", Entry))


@pytest.fixture
def client() -> Iterator[Callable[[Emulator], KlaviyoClient]]:
    clients: list[KlaviyoClient] = []

    def client(emulator: Emulator) -> KlaviyoClient:
        limits = dict.fromkeys(ENDPOINTS, Limit(1e6, 6e7))
        settings = Settings(api_key=emulator.account.key, base_url=emulator.url, limits=limits)
        clients.append(KlaviyoClient(settings, paces=Paces()))
        return clients[-1]

    yield client
    for one in clients:
        one.close()


def test_a_million_rows_are_read_no_further_when_the_plan_refuses(
    database: str, client: Callable[[Emulator], KlaviyoClient]
) -> None:
    read = 0

    def counted() -> Iterator[object]:
        nonlocal read
        for entry in queried(MILLION, database, Entry):
            read += 1
            yield entry.raw

    with Emulator(limit_factor=100_000) as emulator:
        emulator.add_profiles({"email": f"{number}@example.com"} for number in range(200))
        with pytest.raises(PlanTooLargeError, match="more than 100 Klaviyo profiles"):
            make_plan(counted(), client(emulator), max_profiles=100)
        assert emulator.calls("profile_deletion") == 0
    assert read <= 100 * (2 + 16 + 8) + 1


def test_rows_of_every_type_are_somebody_or_invalid(database: str, client: Callable[[Emulator], KlaviyoClient]) -> None:
    sql = """
        SELECT 'ada@example.com' AS email UNION ALL SELECT NULL UNION ALL SELECT 7 UNION ALL SELECT 7.5
        UNION ALL SELECT CAST('bob@example.com' AS BLOB) UNION ALL SELECT ''
    """
    with Emulator(limit_factor=100_000) as emulator:
        ada = emulator.add_profile("ada@example.com")
        emulator.add_profile("bob@example.com")
        plan = make_plan(raws(sql, database), client(emulator))
    assert list(plan.profile_ids) == [ada]
    assert plan.outcomes[Outcome.INVALID] == 5


def test_a_plan_of_a_query_that_fails_half_way_is_no_plan(
    database: str, client: Callable[[Emulator], KlaviyoClient]
) -> None:
    with Emulator(limit_factor=100_000) as emulator, pytest.raises(SourceUnavailableError):
        make_plan((entry.raw for entry in queried(FAILS_HALF_WAY, database, Entry)), client(emulator))
