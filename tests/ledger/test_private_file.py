"""The file of an SQLite ledger, and what SQLite writes beside it, is its owner's alone."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.ledger.database import Database
from airflow_provider_klaviyo.ledger.errors import LedgerUnavailableError


@pytest.fixture(autouse=True)
def careless_umask() -> Iterator[None]:
    """Let files be readable by all, as they are by default, or worse."""
    before = os.umask(0)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("url", ["sqlite:///{path}", "sqlite:///file:{path}?uri=true"], ids=["path", "uri"])
def test_a_new_file_is_its_owners_alone(tmp_path: Path, url: str, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "ledger.db"
    for _ in range(2):
        Database(create_engine(url.format(path=path))).close()
        assert mode_of(path) == 0o600
    assert "chmod" not in caplog.text


def test_what_sqlite_writes_beside_it_is_too(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    database = Database(create_engine(f"sqlite:///{path}"))
    with database.begin() as connection:
        connection.execute(text("CREATE TABLE other (number)"))
        connection.execute(text("INSERT INTO other VALUES (1)"))
        journal = tmp_path / "ledger.db-journal"
        assert mode_of(journal) == 0o600
    database.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("INSERT INTO other VALUES (1)")
        assert {mode_of(one) for one in tmp_path.iterdir()} == {0o600}
        assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
def test_an_old_file_that_others_may_read_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: int
) -> None:
    path = tmp_path / "ledger.db"
    path.touch()
    path.chmod(mode)
    Database(create_engine(f"sqlite:///{path}")).close()
    (record,) = [record for record in caplog.records if record.levelname == "WARNING"]
    assert f"(mode {mode:03o}): chmod 600 {path}" in record.getMessage()
    assert mode_of(path) == mode


def test_a_folder_that_is_not_there_is_the_databases_trouble(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnavailableError, match="unable to open database file"):
        Database(create_engine(f"sqlite:///{tmp_path}/nowhere/ledger.db"))


def test_a_ledger_that_may_only_be_read_is_not_made(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    with pytest.raises(LedgerUnavailableError):
        Database(create_engine(f"sqlite:///file:{path}?mode=ro&uri=true"))
    assert not path.exists()


def test_the_journal_of_an_emulator_is_its_owners_alone(tmp_path: Path) -> None:
    with Emulator(journal=tmp_path / "journal.jsonl") as emulator:
        emulator.add_profile("ada@example.com")
    assert mode_of(tmp_path / "journal.jsonl") == 0o600
