"""Identifiers come from lists of every shape and from real databases, and only as far as they are wanted."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.endpoints import ENDPOINTS
from airflow_provider_klaviyo.api.pace import Limit, Paces
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.concealed import Concealed
from airflow_provider_klaviyo.deletion.identifiers import IdentifierKindError
from airflow_provider_klaviyo.deletion.plan import PlanTooLargeError, make_plan
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.sources import SourceError, check_source, listed, queried, rows

A, B, C = "a@example.com", "b@example.com", "c@example.com"
MILLION = """
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 999999)
    SELECT i || '@example.com' AS email FROM n
"""
FAILS_HALF_WAY = """
    WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
    SELECT CASE WHEN i < 2500 THEN i || '@example.com' ELSE abs(-9223372036854775808) END AS email FROM n
"""


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the id of the connection of a database with people in it."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE people (EMAIL TEXT, phone_number TEXT, name TEXT, day INTEGER)")
        connection.executemany(
            "INSERT INTO people VALUES (?, ?, ?, ?)", [(A, "+15005550001", "Ada", 1), (B, None, "Bob", 2)]
        )
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return "shop_db"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """Note the connections that are made to a database."""
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook

    opened: list[sqlite3.Connection] = []
    original = SqliteHook.get_conn

    def get_conn(hook: Any) -> Any:
        opened.append(original(hook))
        return opened[-1]

    monkeypatch.setattr(SqliteHook, "get_conn", get_conn)
    return opened


def is_closed(connection: sqlite3.Connection) -> bool:
    try:
        connection.execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return True
    return False


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


def test_anything_that_can_be_gone_through_is_a_list() -> None:
    assert list(listed({A})) == [A]
    assert list(listed(iter([A, B]))) == [A, B]
    assert list(listed(dict.fromkeys([A]).keys())) == [A]


@pytest.mark.parametrize("profiles", [None, 7, b"ada@example.com", bytearray(b"x"), object(), Concealed(None)])
def test_what_is_no_list_is_refused_and_not_shown(profiles: object) -> None:
    with pytest.raises(SourceError, match="must be a list of identifiers, not") as caught:
        list(listed(profiles))
    assert "ada" not in str(caught.value)


@pytest.mark.parametrize(
    ("profiles", "sql", "sql_conn_id", "parameters", "complaint"),
    [
        (None, None, None, None, "say whom to delete"),
        ([A], "SELECT 1", "db", None, "not both"),
        (None, "SELECT 1", None, None, "needs sql_conn_id"),
        (None, "SELECT 1", "", None, "needs sql_conn_id"),
        ([A], None, None, {"day": 1}, "belong to sql"),
    ],
)
def test_a_task_names_one_source(
    profiles: object, sql: str | None, sql_conn_id: str | None, parameters: object, complaint: str
) -> None:
    with pytest.raises(SourceError, match=complaint):
        check_source(profiles, sql, sql_conn_id, parameters)


@pytest.mark.parametrize("profiles", [[{"mail": A}], {"email": A, "id": "x"}, [[{"Email": A}]]])
def test_a_kind_that_there_is_not_is_refused_when_the_dag_is_read(profiles: object) -> None:
    with pytest.raises(IdentifierKindError):
        check_source(profiles, None, None, None)


@pytest.mark.parametrize("profiles", [[], [A], [{"email": "{{ params.email }}"}], "{{ params.profiles }}", object()])
def test_what_is_only_known_later_is_not_judged_when_the_dag_is_read(profiles: object) -> None:
    check_source(profiles, None, None, None)


def test_a_query_is_a_source(database: str) -> None:
    check_source(None, "SELECT email FROM people", database, None)
    assert list(rows(None, "SELECT email FROM people", database, None)) == [{"email": A}, {"email": B}]


def test_a_list_is_a_source() -> None:
    assert list(rows([A], None, None, None)) == [A]


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
    assert list(queried(sql, database)) == expected


@pytest.mark.parametrize(
    ("sql", "parameters"),
    [
        ("SELECT email FROM people WHERE day = ?", [2]),
        ("SELECT email FROM people WHERE day = :day", {"day": 2}),
    ],
)
def test_a_query_has_parameters_as_its_driver_takes_them(database: str, sql: str, parameters: object) -> None:
    assert list(queried(sql, database, parameters)) == [{"email": B}]


@pytest.mark.parametrize(
    ("sql", "complaint"),
    [
        ("SELECT name FROM people", "must return a column named one of email, phone_number, id, external_id"),
        ("SELECT email || '' FROM people", "must return a column"),
        ("CREATE TABLE other (email TEXT)", "must return a column"),
        ("SELECT email, phone_number FROM people", r"returns 2 columns of identifiers \(email, phone_number\)"),
        ("SELECT email, email FROM people", "returns 2 columns of identifiers"),
    ],
)
def test_a_query_without_exactly_one_usable_column_is_refused(
    database: str, opened: list[sqlite3.Connection], sql: str, complaint: str
) -> None:
    with pytest.raises(SourceError, match=complaint) as caught:
        list(queried(sql, database))
    assert "example.com" not in str(caught.value)
    assert [is_closed(connection) for connection in opened] == [True]


def test_nothing_is_asked_before_the_first_row_is_wanted(database: str, opened: list[sqlite3.Connection]) -> None:
    queried("SELECT email FROM people", database)
    assert opened == []


def test_a_query_that_is_read_to_its_end_leaves_no_connection_open(
    database: str, opened: list[sqlite3.Connection]
) -> None:
    list(queried("SELECT email FROM people", database))
    assert [is_closed(connection) for connection in opened] == [True]


def test_a_query_that_is_left_half_way_leaves_no_connection_open(
    database: str, opened: list[sqlite3.Connection]
) -> None:
    result = queried(MILLION, database)
    assert next(result) == {"email": "0@example.com"}
    result.close()
    assert [is_closed(connection) for connection in opened] == [True]


def test_a_query_that_fails_half_way_fails_and_leaves_no_connection_open(
    database: str, opened: list[sqlite3.Connection]
) -> None:
    read: list[object] = []
    with pytest.raises(sqlite3.OperationalError, match="overflow"):
        read.extend(queried(FAILS_HALF_WAY, database))
    assert [is_closed(connection) for connection in opened] == [True]


def test_a_query_that_cannot_be_run_leaves_no_connection_open(database: str, opened: list[sqlite3.Connection]) -> None:
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        list(queried("SELECT email FROM nobody", database))
    assert [is_closed(connection) for connection in opened] == [True]


@pytest.mark.filterwarnings("ignore")  # Of what Airflow imports to find the hook.
def test_a_connection_that_is_no_database_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_MAIL", json.dumps({"conn_type": "smtp"}))
    with pytest.raises(SourceError, match="Connection 'mail' is no database: its hook is SmtpHook"):
        list(queried("SELECT 1 AS email", "mail"))


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
        for row in queried(MILLION, database):
            read += 1
            yield row

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
        plan = make_plan(queried(sql, database), client(emulator))
    assert list(plan.profile_ids) == [ada]
    assert plan.work(datetime.now(UTC)).result(None)["invalid"] == 5


def test_a_plan_of_a_query_that_fails_half_way_is_no_plan(
    database: str, client: Callable[[Emulator], KlaviyoClient]
) -> None:
    with Emulator(limit_factor=100_000) as emulator, pytest.raises(sqlite3.OperationalError):
        make_plan(queried(FAILS_HALF_WAY, database), client(emulator))
