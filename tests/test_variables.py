"""No variable of an error shows a person, a key or a password, whichever operator, sensor, trigger or hook fails how.

Each way through the package is tried with a failure deep within it, in a function whose variables are secrets.
"""

from __future__ import annotations

import asyncio
import errno
import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred
from pytest_mock import MockerFixture
from reporter import assert_none_shown

from airflow_provider_klaviyo.access.errors import OutputUnavailableError
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks import klaviyo as hooks
from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook
from airflow_provider_klaviyo.operators.klaviyo import (
    DeletionPlanOperator,
    DeletionPlanReleaseOperator,
    DeletionRecheckOperator,
    ProfileAccessOperator,
    ProfileDeletionOperator,
    ProfileSuppressionOperator,
    ProfileUpdateOperator,
)
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor
from airflow_provider_klaviyo.sources.errors import SourceUnavailableError
from airflow_provider_klaviyo.tracebacks import UnexpectedError, hide_variables
from airflow_provider_klaviyo.triggers.klaviyo import DeletionConfirmedTrigger

CANARY = "canary.tweet"
PHONE = "+15005550177"
PASSWORD = "canary_password_0123"
FINGERPRINT_KEY = "canary_fingerprint_0123456789abcdef"
EMAIL = f"{CANARY}@example.com"
EXTERNAL_ID = f"{CANARY}-42"


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


def context() -> Any:
    of = {"dag_id": "erase", "run_id": "run 1", "task_id": "task", "map_index": -1, "max_tries": 0}
    started = {"start_date": datetime.now(UTC), "get_first_reschedule_date": lambda _: None}
    return {"ti": SimpleNamespace(**of, **started, xcom_push=lambda **_: None)}


class Ways:
    """All ways into the package, each by a name."""

    def __init__(self, emulator: Emulator, exports: Path) -> None:
        self.exports = str(exports)
        self.deleted = {
            "profile_ids": [one.id for one in emulator.profiles()],
            "looked_up_at": datetime.now(UTC).isoformat(),
            "account_id": emulator.account.id,
            "klaviyo_conn_id": "klaviyo_default",
        }
        self.batches = self.run(DeletionPlanOperator)
        self.held = self.run(DeletionPlanOperator, run_id="run 2", max_profiles=0, fail_when_held=False)

    @staticmethod
    def run(operator: Any, *listed: Any, run_id: str = "run 1", **arguments: Any) -> Any:
        """Run a task, whose list is rendered as Airflow does it."""
        task = operator(task_id="task", **{"profiles": [EMAIL, PHONE]} | arguments)
        if listed:
            task.profiles = list(listed)
        of = context()
        of["ti"].run_id = run_id
        return task.execute(of)

    def access(self) -> Any:
        return self.run(ProfileAccessOperator, EMAIL, {"external_id": EXTERNAL_ID}, output_path=self.exports)

    def delete_list(self) -> Any:
        return self.run(ProfileDeletionOperator, EMAIL, PHONE)

    def delete_batch(self) -> Any:
        task = ProfileDeletionOperator(task_id="task", batch=self.batches[0])
        return task.execute(context())

    def plan(self) -> Any:
        return self.run(DeletionPlanOperator, EMAIL, PHONE, run_id="run 3")

    def release(self) -> Any:
        task = DeletionPlanReleaseOperator(task_id="task", plan=self.batches, suppress_first=True)
        return task.execute(context())

    def recheck(self) -> Any:
        return self.run(DeletionRecheckOperator, EMAIL, recheck_after=timedelta(days=1))

    def update(self) -> Any:
        return self.run(ProfileUpdateOperator, {"external_id": EXTERNAL_ID, "new_email": f"{CANARY}.new@example.com"})

    def suppress(self) -> Any:
        return self.run(ProfileSuppressionOperator, EMAIL)

    def poke_profiles(self) -> Any:
        return self._sensor(self.deleted, [EMAIL]).poke(context())

    def poke_plan(self) -> Any:
        return DeletionConfirmedSensor(task_id="task", plan=self.batches).poke(context())

    def wait_for_profiles(self) -> Any:
        return self._sensor(self.deleted, [EMAIL], deferrable=True).execute(context())

    def wait_for_plan(self) -> Any:
        return DeletionConfirmedSensor(task_id="task", plan=self.batches, mode="poke", timeout=0).execute(context())

    def complete(self) -> Any:
        event = {"status": "gone", "since": "2026-01-01T00:00:00+00:00", "deadline": 1.0}
        return self._sensor([EMAIL], deferrable=True).execute_complete(context(), event)

    def look_for_profile(self) -> Any:
        with KlaviyoHook() as hook:
            return hook.find_profiles("email", [EMAIL])

    def request_deletion(self) -> Any:
        with KlaviyoHook() as hook:
            return hook.request_profile_deletion(email=EMAIL)

    def update_through_hook(self) -> Any:
        with KlaviyoHook() as hook:
            return hook.update_profile(self.deleted["profile_ids"][0], email=EMAIL, external_id=EXTERNAL_ID)

    def suppress_through_hook(self) -> Any:
        with KlaviyoHook() as hook:
            return hook.suppress_profiles([EMAIL])

    def request(self) -> Any:
        with KlaviyoHook() as hook:
            return hook.request("GET", "/api/profiles", params={"filter": f'equals(email,"{EMAIL}")'})

    def read_fingerprint_keys(self) -> Any:
        return KlaviyoHook().get_fingerprint_keys()

    def connect(self) -> Any:
        return KlaviyoHook().get_conn()

    def connect_async(self) -> Any:
        return asyncio.run(KlaviyoHook().get_async_conn())

    def trigger(self) -> Any:
        async def first() -> Any:
            how: dict[str, Any] = {"since": "2026-01-01T00:00:00+00:00", "deadline": 2.0**32}
            how |= {"pause_seconds": 0.0, "longest_pause_seconds": 0.0, "klaviyo_conn_id": "klaviyo_default"}
            return await anext(aiter(DeletionConfirmedTrigger(profile_ids=["X"], **how).run()))

        return asyncio.run(first())

    @staticmethod
    def _sensor(*listed: Any, **arguments: Any) -> DeletionConfirmedSensor:
        sensor = DeletionConfirmedSensor(task_id="task", profiles=[], **arguments)
        sensor.profiles = list(listed)
        return sensor


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
EVERY_WAY = {name for name in vars(Ways) if not name.startswith("_")} - {"run"}
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
    def each(number: int) -> Iterator[int]:
        yield from range(number)
        return "end"

    items = each(2)
    assert [next(items), next(items)] == [0, 1]
    with pytest.raises(StopIteration, match="end"):
        next(items)
    closed = each(2)
    next(closed)
    closed.close()  # type: ignore[attr-defined]
