"""Real databases with people in them, and a note of every connection to them."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the id of the connection of an SQLite database with people in it."""
    path = tmp_path / "shop.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE people (EMAIL TEXT, phone_number TEXT, name TEXT, day INTEGER)")
        connection.executemany(
            "INSERT INTO people VALUES (?, ?, ?, ?)",
            [("a@example.com", "+15005550001", "Ada", 1), ("b@example.com", None, "Bob", 2)],
        )
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_DB", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    return "shop_db"


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[sqlite3.Connection]:
    """Note the connections that are made to an SQLite database."""
    from airflow.providers.sqlite.hooks.sqlite import SqliteHook

    opened: list[sqlite3.Connection] = []
    original = SqliteHook.get_conn

    def get_conn(hook: Any) -> Any:
        opened.append(original(hook))
        return opened[-1]

    monkeypatch.setattr(SqliteHook, "get_conn", get_conn)
    return opened


@pytest.fixture
def postgres_id(postgres_connection: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the id of the connection of an empty PostgreSQL database."""
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE_PG", postgres_connection)
    return "warehouse_pg"
