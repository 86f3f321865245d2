"""The PostgreSQL that the tests bring along, as Airflow sees it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from airflow.providers.postgres.hooks.postgres import PostgresHook
from postgresql import PostgreSQL


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], PostgresHook]:
    """Return a hook for a connection, to be used before the next one is made."""

    def hook(connection: str) -> PostgresHook:
        monkeypatch.setenv("AIRFLOW_CONN_POSTGRESQL", connection)
        return PostgresHook(postgres_conn_id="postgresql")

    return hook


def test_a_database_answers(postgres_connection: str, hook: Callable[[str], PostgresHook]) -> None:
    assert hook(postgres_connection).get_first("SELECT 1") == (1,)


def test_databases_are_apart(
    postgresql: PostgreSQL, postgres_connection: str, hook: Callable[[str], PostgresHook]
) -> None:
    other = postgresql.database("other")
    hook(postgres_connection).run("CREATE TABLE mine ()")
    count = "SELECT count(*) FROM pg_tables WHERE tablename = 'mine'"
    assert hook(postgres_connection).get_first(count) == (1,)
    assert hook(other).get_first(count) == (0,)


def test_a_server_that_was_down_comes_back_with_its_data(
    postgresql: PostgreSQL, postgres_connection: str, hook: Callable[[str], PostgresHook]
) -> None:
    hook(postgres_connection).run("CREATE TABLE kept AS SELECT 42 AS answer")
    postgresql.stop()
    with pytest.raises(Exception, match="refused"):
        hook(postgres_connection).get_first("SELECT 1")
    postgresql.start()
    assert hook(postgres_connection).get_first("SELECT answer FROM kept") == (42,)


def test_a_server_can_wait_for_the_disk_and_leaves_nothing_behind(
    postgres_connection: str, hook: Callable[[str], PostgresHook]
) -> None:
    assert hook(postgres_connection).get_first("SHOW fsync") == ("off",)
    with PostgreSQL(durable=True) as server:
        assert hook(server.database("kept")).get_first("SHOW fsync") == ("on",)
    assert server.process is not None
    assert server.process.poll() == 0
    assert not server.home.exists()
