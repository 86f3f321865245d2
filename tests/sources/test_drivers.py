"""Real drivers: one query through each, as a whole task, and nothing that a query would change is lost in silence."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import psycopg2
import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, BaseHook
from airflow.providers.common.sql.hooks.sql import DbApiHook

from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import ProfileDeletionOperator
from airflow_provider_klaviyo.sources.errors import SourceError, SourceUnavailableError
from airflow_provider_klaviyo.sources.queries import queried

A, B = "a@example.com", "b@example.com"
CANARY = "canary@example.com"
TABLE = ('CREATE TABLE people (email VARCHAR(99), n INTEGER, "E-Mail" VARCHAR(99))',)
ROWS = (f"INSERT INTO people VALUES ('{A}', 1, '{B}')", f"INSERT INTO people VALUES ('{CANARY}', 2, '{CANARY}')")


class Hook(DbApiHook):
    """What a provider's hook comes to: a way to connect."""

    conn_name_attr = "conn_id"
    connect: Callable[[], Any]

    def get_conn(self) -> Any:
        return self.connect()


class TrinoUserError(Exception):
    """As the trino package has it, which has no classes of PEP 249 for it."""

    error_type = "USER_ERROR"

    def __init__(self, name: str, text: str) -> None:
        super().__init__({"errorName": name, "message": text})
        self.error_name = name


class LazyCursor:
    """A cursor that takes no semicolon, and runs nothing before the first rows or their description are wanted."""

    def __init__(self, cursor: sqlite3.Cursor) -> None:
        self.cursor = cursor
        self.todo: tuple[Any, ...] | None = None

    def execute(self, sql: str, parameters: Any = ()) -> None:
        self.todo = (sql, parameters)

    def run(self) -> None:
        todo, self.todo = self.todo, None
        if todo is None:
            return
        if ";" in todo[0]:
            raise TrinoUserError("SYNTAX_ERROR", "line 1:9: mismatched input ';'. Expecting: <EOF>")
        try:
            self.cursor.execute(*todo)
        except sqlite3.OperationalError as error:
            name = "TABLE_NOT_FOUND" if "no such table" in str(error) else "SYNTAX_ERROR"
            raise TrinoUserError(name, f"line 1:1: {error}") from None

    @property
    def description(self) -> Any:
        self.run()
        return self.cursor.description

    def fetchmany(self, size: int) -> list[Any]:
        self.run()
        rows = self.cursor.fetchmany(size)
        if any(row[0] == "not a number" for row in rows):
            raise TrinoUserError("INVALID_CAST_ARGUMENT", f"Cannot cast '{CANARY}' to INT")
        return rows

    def close(self) -> None:
        self.cursor.close()


class LazyConnection:
    """A connection as Trino's: every statement is its own transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection

    def cursor(self) -> LazyCursor:
        return LazyCursor(self.connection.cursor())

    def close(self) -> None:
        self.connection.close()


@pytest.fixture
def sqlite_file(tmp_path: Path) -> Callable[[], Any]:
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in (*TABLE, *ROWS):
            connection.execute(statement)
    return lambda: sqlite3.connect(path)


@pytest.fixture
def duckdb_file(tmp_path: Path) -> Callable[[], Any]:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(path) as connection:
        for statement in (*TABLE, *ROWS):
            connection.execute(statement)
    return lambda: duckdb.connect(path)


@pytest.fixture
def snowflake() -> Iterator[Callable[[], Any]]:
    import fakesnow
    from snowflake import connector

    with fakesnow.patch():

        def connect() -> Any:
            return connector.connect(database="shop", schema="public")

        with closing(connect()) as connection, closing(connection.cursor()) as cursor:
            for statement in (*TABLE, *ROWS):
                cursor.execute(statement)
        yield connect


@pytest.fixture
def postgres(postgres_connection: str) -> dict[str, Any]:
    of = json.loads(postgres_connection)
    where = {"host": of["host"], "port": of["port"], "dbname": of["schema"]}
    address = where | {"user": of["login"], "password": of["password"]}
    with closing(psycopg2.connect(**address)) as connection, connection, connection.cursor() as cursor:
        for statement in (*TABLE, *ROWS):
            cursor.execute(statement)
        cursor.execute(
            "CREATE FUNCTION mark(given VARCHAR) RETURNS VARCHAR LANGUAGE sql AS "
            "'UPDATE people SET n = 99 WHERE email = given RETURNING email'"
        )
    return address


def after_a_statement(connect: Callable[[], Any]) -> Callable[[], Any]:
    """Return what connects as a hook that sets something up."""

    def connected() -> Any:
        connection = connect()
        with closing(connection.cursor()) as cursor:
            cursor.execute("SET application_name = 'a hook'")
        return connection

    return connected


CONNECTIONS: dict[str, Callable[[Any], Callable[[], Any]]] = {
    "psycopg": lambda value: lambda: psycopg.connect(**value("postgres")),
    "psycopg, autocommit": lambda value: lambda: psycopg.connect(**value("postgres"), autocommit=True),
    "psycopg2": lambda value: lambda: psycopg2.connect(**value("postgres")),
    "psycopg, after a statement": lambda value: after_a_statement(lambda: psycopg.connect(**value("postgres"))),
    "psycopg2, after a statement": lambda value: after_a_statement(lambda: psycopg2.connect(**value("postgres"))),
    "sqlite": lambda value: value("sqlite_file"),
    "duckdb": lambda value: value("duckdb_file"),
    "snowflake": lambda value: value("snowflake"),
    "trino": lambda value: lambda: LazyConnection(value("sqlite_file")()),
}
POSTGRESQL = [name for name in CONNECTIONS if name.startswith("psycopg")]
pytestmark = pytest.mark.filterwarnings("ignore:Arrow output on a DB-API result:UserWarning")


@pytest.fixture
def shop(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the id of a connection with two people in it."""
    connect = CONNECTIONS[request.param](request.getfixturevalue)
    hook = Hook("shop_db")
    hook.connect = connect
    monkeypatch.setattr(BaseHook, "get_hook", lambda *_, **__: hook)
    return "shop_db"


each_driver = pytest.mark.parametrize("shop", CONNECTIONS, indirect=True)
each_postgresql = pytest.mark.parametrize("shop", POSTGRESQL, indirect=True)


def raws(sql: str, conn_id: str, **options: Any) -> list[object]:
    return [entry.raw for entry in queried(sql, conn_id, Entry, **options)]


def delete(**arguments: Any) -> dict[str, Any]:
    """Run the operator as a worker does, without a DAG around it."""
    return ProfileDeletionOperator(task_id="delete", **arguments).execute({})


@each_driver
def test_the_people_of_a_query_are_deleted_and_no_others(
    shop: str, emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(emulator)
    ids = {email: emulator.add_profile(email=email) for email in (A, B, CANARY)}
    delete(sql="SELECT EMAIL, n AS request_id FROM people WHERE n = 1; -- one of them", sql_conn_id=shop)
    assert emulator.deleted == {ids[A]}
    delete(sql='SELECT email, "E-Mail" FROM people WHERE n = 1', sql_conn_id=shop, columns={"e-mail": "email"})
    assert emulator.deleted == {ids[A], ids[B]}


@each_driver
def test_a_query_with_nobody_in_it_has_columns_too(shop: str) -> None:
    assert raws("SELECT email FROM people WHERE n = 7", shop) == []
    with pytest.raises(SourceError, match=r"has none: its columns are n,? ?\S* \(in SQL"):
        raws("SELECT n FROM people WHERE n = 7".replace("n FROM", 'n AS "n" FROM'), shop)


@each_driver
@pytest.mark.parametrize(
    ("sql", "said"),
    [
        ("SELECT email FROM nobody", "nobody"),
        ("SELEC email FROM people", "selec|token"),
        ("SELECT nothing AS email FROM people", "nothing"),
    ],
)
def test_a_wrong_query_says_why(shop: str, sql: str, said: str) -> None:
    with pytest.raises(
        (SourceError, SourceUnavailableError), match=rf"'shop_db' failed: .*: (?s:.)*(?i:{said})"
    ) as caught:
        raws(sql, shop)
    assert CANARY not in str(caught.value)
    assert "not shown" not in str(caught.value)


NOT_SHOWN = "The database's own words are not shown"


@pytest.mark.parametrize(
    ("shop", "sql"),
    [
        ("psycopg", "SELECT CAST(email AS integer) AS email FROM people"),
        ("psycopg2", "SELECT CAST(email AS integer) AS email FROM people"),
        ("duckdb", "SELECT CAST(email AS integer) AS email FROM people"),
        ("snowflake", "SELECT CAST(email AS integer) AS email FROM people"),
        ("trino", "SELECT 'not a number' AS email FROM people"),
    ],
    indirect=["shop"],
)
def test_a_wrong_value_stays_wrong_and_is_not_shown(shop: str, sql: str) -> None:
    with pytest.raises(SourceError, match=NOT_SHOWN) as caught:
        raws(sql, shop)
    assert "example.com" not in str(caught.value)


@pytest.mark.parametrize(
    ("shop", "place"), [("psycopg", "%s"), ("psycopg2", "%s"), ("sqlite", "?"), ("duckdb", "?")], indirect=["shop"]
)
def test_a_parameter_is_not_shown(shop: str, place: str) -> None:
    assert raws(f"SELECT email FROM people WHERE email = {place}", shop, parameters=[A]) == [{"email": A}]
    with pytest.raises((SourceError, SourceUnavailableError)) as caught:
        raws(f"SELECT email FROM people WHERE nothing = {place}", shop, parameters=[CANARY])
    assert "example.com" not in str(caught.value)
    with pytest.raises((SourceError, SourceUnavailableError)) as caught:
        raws(f"SELECT email FROM people WHERE email {place}", shop, parameters=[CANARY])
    assert "example.com" not in str(caught.value)


def marked(shop: str) -> list[Any]:
    with closing(BaseHook.get_hook(shop).get_conn()) as connection, closing(connection.cursor()) as cursor:
        cursor.execute("SELECT n FROM people WHERE n > 50")
        return list(cursor.fetchmany(9))


@each_driver
@pytest.mark.parametrize(
    "sql",
    [
        "UPDATE people SET n = 99 RETURNING email",
        "WITH taken AS (UPDATE people SET n = 99 RETURNING email) SELECT email FROM taken;",
    ],
)
def test_a_query_that_marks_what_it_returns_deletes_nobody_and_says_what_to_do(
    shop: str, emulator: Emulator, connect: Callable[..., None], sql: str
) -> None:
    connect(emulator)
    emulator.add_profile(email=A)
    with pytest.raises(
        AirflowFailException, match=r"a source is only read.* mark the rows in a task of its own, after"
    ):
        delete(sql=sql, sql_conn_id=shop)
    assert emulator.calls() == 0
    assert marked(shop) == []


@each_postgresql
@pytest.mark.parametrize(
    "sql", ["SELECT mark(email) AS email FROM people", "SELECT m AS email FROM people, LATERAL mark(people.email) AS m"]
)
def test_a_function_that_marks_what_it_returns_deletes_nobody_and_says_what_to_do(
    shop: str, emulator: Emulator, connect: Callable[..., None], sql: str
) -> None:
    connect(emulator)
    emulator.add_profile(email=A)
    with pytest.raises(AirflowFailException, match=r"it writes, and a source is only read.* whose functions change no"):
        delete(sql=sql, sql_conn_id=shop)
    assert emulator.deleted == set()
    assert marked(shop) == []


@pytest.mark.parametrize(
    ("shop", "sql"),
    [
        ("psycopg2", "SHOW search_path"),
        ("sqlite", "PRAGMA user_version = 7"),
        ("trino", "PRAGMA user_version = 7"),
        ("duckdb", "SET threads = 1"),
    ],
    indirect=["shop"],
)
def test_a_statement_without_people_is_refused(shop: str, sql: str) -> None:
    with pytest.raises((SourceError, SourceUnavailableError), match=r"must be a SELECT|has none|failed"):
        raws(sql, shop)


class Unreadable:
    """A cursor that cannot say what it returns."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def execute(self, sql: str) -> None:
        pass

    def fetchmany(self, size: int) -> list[Any]:
        return []

    @property
    def description(self) -> Any:
        raise self.error

    def cursor(self) -> Unreadable:
        return self

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (TrinoUserError("COLUMN_NOT_FOUND", "line 1:8: Column 'x'"), SourceError, "COLUMN_NOT_FOUND: .*Column 'x'"),
        (TrinoUserError("DIVISION_BY_ZERO", CANARY), SourceError, f"DIVISION_BY_ZERO. {NOT_SHOWN}"),
        (RuntimeError(CANARY), SourceUnavailableError, f"RuntimeError. {NOT_SHOWN}"),
    ],
)
def test_a_header_that_cannot_be_read_is_an_error_of_the_query(
    monkeypatch: pytest.MonkeyPatch, error: Exception, kind: type[Exception], said: str
) -> None:
    hook = Hook("shop_db")
    hook.connect = lambda: Unreadable(error)
    monkeypatch.setattr(BaseHook, "get_hook", lambda *_, **__: hook)
    with pytest.raises(kind, match=said) as caught:
        raws("SELECT 1 AS email", "shop_db")
    assert CANARY not in str(caught.value)


@pytest.mark.filterwarnings("ignore")  # Airflow 2.11 imports its web server to find a hook.
@pytest.mark.parametrize(
    ("connection", "said"),
    [
        (None, "there is no connection 'nowhere': create it, or set sql_conn_id to one that exists"),
        ({"conn_type": "canary"}, "the type of connection 'nowhere' has no hook here .* is its provider installed"),
    ],
)
def test_a_connection_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, connection: dict[str, str] | None, said: str
) -> None:
    if connection:
        monkeypatch.setenv("AIRFLOW_CONN_NOWHERE", json.dumps(connection))
    with pytest.raises(SourceError, match=said):
        raws("SELECT 1 AS email", "nowhere")
