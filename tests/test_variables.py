"""No variable of an error shows a person, a key or a password, whichever operator, sensor, trigger or hook fails how.

Each way through the package is tried with a failure deep within it, in a function whose variables are secrets.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from pytest_mock import MockerFixture
from reporter import assert_none_shown
from ways import CANARY, EMAIL, EVERY_WAY, EXTERNAL_ID, PHONE, Ways

from airflow_provider_klaviyo.access.errors import OutputUnavailableError
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks import klaviyo as hooks
from airflow_provider_klaviyo.operators.klaviyo import (
    DeletionPlanOperator,
    ProfileDeletionOperator,
    ProfileSuppressionOperator,
)
from airflow_provider_klaviyo.sources.errors import SourceUnavailableError
from airflow_provider_klaviyo.tracebacks import UnexpectedError, hide_variables

PASSWORD = "canary_password_0123"
FINGERPRINT_KEY = "canary_fingerprint_0123456789abcdef"


class KilledError(BaseException):
    """What a signal handler may raise in the midst of anything, such as Airflow's AirflowTaskTimeout."""


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A Klaviyo that deletes in an hour."""
    with Emulator(limit_factor=1_000, deletion_seconds=3_600, key="pk_canary_0123456789abcdef") as emulator:
        emulator.add_profile(EMAIL, PHONE, EXTERNAL_ID)
        yield emulator


@pytest.fixture
def secrets(emulator: Emulator) -> list[str]:
    return [CANARY, PHONE, emulator.account.key, PASSWORD, FINGERPRINT_KEY]


@pytest.fixture
def ways(
    emulator: Emulator, connect: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Ways]:
    connection = json.dumps({"conn_type": "sqlite", "host": str(tmp_path / "ledger.db")})
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", connection)
    connect(emulator, account_id=emulator.account.id, fingerprint_key=FINGERPRINT_KEY)
    yield Ways(emulator, tmp_path / "exports")
    hooks._checked_keys.clear()


READING = {"read_fingerprint_keys"}
ASYNC = {"connect_async", "trigger"}
WITH_LEDGER = {"delete_batch", "plan", "release", "recheck", "poke_plan", "wait_for_plan"}
PLACES = {
    "airflow_provider_klaviyo.hooks.klaviyo.BaseHook.get_connection": EVERY_WAY - ASYNC,
    "httpx.Client.stream": EVERY_WAY - ASYNC - READING - {"recheck"},
    "httpx.AsyncClient.stream": ASYNC,
    "airflow_provider_klaviyo.ledger.database.Database.begin": WITH_LEDGER,
    "airflow_provider_klaviyo.deletion.identifiers.Identifier.parse": {"delete_list", "plan", "suppress"},
    "airflow_provider_klaviyo.access.folder._write_private": {"access"},
}
ERRORS = [
    KilledError("killed"),
    RuntimeError("no text of its own"),
    KeyError(EMAIL),
    ValueError(f"not a number: {EMAIL}"),
    UnicodeEncodeError("utf-8", f"{EMAIL}\ud800", 24, 25, "surrogates not allowed"),
    ExceptionGroup("several", [ValueError("one of them")]),
]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_failure_deep_within_shows_nothing(
    ways: Ways, secrets: list[str], mocker: MockerFixture, place: str, error: BaseException
) -> None:
    def fail(*arguments: Any, **named: Any) -> None:
        known = [*secrets, arguments, named]
        error.__context__ = LookupError(str(known))
        raise error.with_traceback(None)

    mocker.patch(place, fail)

    for way in sorted(PLACES[place]):
        hooks._checked_keys.clear()
        with pytest.raises(BaseException) as caught:  # noqa: PT011 - which one it is depends on the place
            getattr(ways, way)()
        assert not isinstance(caught.value, TaskDeferred | AssertionError), way
        assert caught.value.__traceback__ is not None
        assert_none_shown(caught.value, secrets)


def test_the_traceback_still_shows_where(ways: Ways, mocker: MockerFixture) -> None:
    mocker.patch("httpx.Client.stream", side_effect=RuntimeError("boom"))
    with pytest.raises(RuntimeError, match="boom") as caught:
        ways.access()
    assert {"execute", "_export", "_send"} <= {entry.name for entry in caught.traceback}


def test_a_disk_that_is_full_shows_no_document(ways: Ways, secrets: list[str], mocker: MockerFixture) -> None:
    mocker.patch.object(os, "fsync", side_effect=OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(OutputUnavailableError, match="No space left on device") as caught:
        ways.access()
    assert_none_shown(caught.value, secrets)


@pytest.mark.parametrize("operator", [ProfileDeletionOperator, DeletionPlanOperator, ProfileSuppressionOperator])
@pytest.mark.parametrize(
    "warehouse",
    [
        {"conn_type": "postgres", "host": "127.0.0.1", "port": 1},
        {"conn_type": "postgres", "host": "no.such.host.invalid"},
        {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "extra": {"sslkey": PASSWORD}},
    ],
    ids=["nothing listens", "no such host", "secret in the extra"],
)
def test_a_warehouse_that_cannot_be_reached_shows_no_password(
    ways: Ways, secrets: list[str], monkeypatch: pytest.MonkeyPatch, operator: Any, warehouse: dict[str, Any]
) -> None:
    of = {"login": "reader", "schema": "shop", "password": PASSWORD}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(of | warehouse))
    with pytest.raises(SourceUnavailableError, match="connection 'warehouse' cannot be reached") as caught:
        ways.run(operator, profiles=None, sql="SELECT email FROM people", sql_conn_id="warehouse", run_id="run 4")
    assert_none_shown(caught.value, secrets)


def test_a_driver_that_quotes_the_password_is_not_quoted(
    ways: Ways,
    secrets: list[str],
    warehouse: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    mocker: MockerFixture,
) -> None:
    connection = {"conn_type": "sqlite", "host": "there", "password": f"{PASSWORD}/+", "extra": {"token": CANARY}}
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", json.dumps(connection))
    for quoted in (f"cannot parse postgresql://me:{PASSWORD}/+@there", f"{PASSWORD}%2F%2B", f"no such token: {CANARY}"):
        mocker.patch("airflow.providers.sqlite.hooks.sqlite.SqliteHook.get_conn", side_effect=RuntimeError(quoted))
        with pytest.raises(SourceUnavailableError, match="cannot be reached: RuntimeError: the driver's own") as caught:
            ways.run(ProfileDeletionOperator, profiles=None, sql="SELECT 1 AS email", sql_conn_id="warehouse")
        assert_none_shown(caught.value, secrets)


def test_rows_behind_from_none_are_not_shown(
    ways: Ways, secrets: list[str], warehouse: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    warehouse(EMAIL)
    sql = "SELECT CAST(x'ff' || email AS TEXT) AS email FROM suppression_list"
    with pytest.raises(SourceUnavailableError, match="words are not shown") as caught:
        ways.run(ProfileDeletionOperator, profiles=None, sql=sql, sql_conn_id="warehouse")
    assert_none_shown(caught.value, secrets)


def test_a_file_that_is_broken_shows_no_line(ways: Ways, secrets: list[str], tmp_path: Path) -> None:
    for name, content in (
        ("people.csv", f"email\n{EMAIL}\n\udcff{EMAIL}".encode("utf-8", "surrogateescape")),
        ("people.jsonl", f'{{"email": "{EMAIL}"}}\n{{"email": "{EMAIL}'.encode()),
        ("people.parquet", EMAIL.encode()),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(Exception, match=name) as caught:
            ways.run(ProfileDeletionOperator, profiles=None, path=str(tmp_path / name))
        assert_none_shown(caught.value, secrets)


def test_what_was_wrong_about_a_value_is_not_quoted() -> None:
    @hide_variables
    def read(value: str) -> int:
        return int(value)

    @hide_variables
    async def read_later(value: str) -> int:
        return int(value)

    @hide_variables
    def read_each(value: str) -> Iterator[int]:
        yield int(value)

    for failing in (lambda: read(EMAIL), lambda: asyncio.run(read_later(EMAIL)), lambda: list(read_each(EMAIL))):
        with pytest.raises(UnexpectedError, match=r"^ValueError\. Its text is not shown") as caught:
            failing()
        assert_none_shown(caught.value, [CANARY])


def test_a_guarded_function_does_what_it_did() -> None:
    @hide_variables
    def each(number: int) -> Generator[int, None, str]:
        yield from range(number)
        return "end"

    items = each(2)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(StopIteration, match="end"):
        next(items)
    closed = each(2)
    next(closed)
    closed.close()
