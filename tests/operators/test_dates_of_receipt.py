"""Requests are due by the date that the list has, in whatever way it is written; a list of wrong dates is refused."""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator, ProfileDeletionOperator

KEY = "a key that is long enough for a fingerprint"
RECEIVED = datetime(2026, 11, 1, 3, 4, 5, tzinfo=UTC)
SECONDS = int(RECEIVED.timestamp())


@pytest.fixture
def ledger(emulator: Emulator, connect: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger in a file."""
    path = tmp_path / "ledger.db"
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    connect(emulator, account_id=emulator.account.id, fingerprint_key=KEY)
    return path


def delete(**arguments: Any) -> None:
    """Run the tasks that delete a list."""
    of = {"dag_id": "erase", "run_id": "run", "task_id": "a_task", "map_index": -1, "max_tries": 0}
    context: Any = {"ti": SimpleNamespace(**of, xcom_push=lambda key, value: None)}
    for batch in DeletionPlanOperator(task_id="plan", **arguments).execute(context):
        ProfileDeletionOperator(task_id="delete", batch=batch).execute(context)


def registered(ledger: Path) -> list[tuple[datetime, datetime]]:
    """Return when each request was received, and when it is due."""
    with closing(sqlite3.connect(ledger)) as connection:
        rows = connection.execute("SELECT received_at, due_at FROM klaviyo_requests ORDER BY number").fetchall()
    received, due = zip(*rows, strict=True)
    read = [[datetime.fromisoformat(text).replace(tzinfo=UTC) for text in texts] for texts in (received, due)]
    return list(zip(*read, strict=True))


@pytest.mark.parametrize(
    "received_at",
    [
        *(
            "2026-11-01 03:04:05 UTC",
            "2026-11-01 03:04:05.123 +0000 UTC",
            "2026-11-01T03:04:05Z",
            "2026-11-01 04:04:05+01",
        ),
        *(SECONDS, SECONDS * 1_000, float(SECONDS), str(SECONDS), SECONDS * 1_000_000, SECONDS * 1_000_000_000),
        *("Sun, 01 Nov 2026 03:04:05 GMT", "2026-11-01 04:04:05.000 Europe/Berlin", RECEIVED),
    ],
)
def test_a_request_is_due_a_month_after_its_date(emulator: Emulator, ledger: Path, received_at: object) -> None:
    jane = emulator.add_profile(email="jane@example.com")
    delete(profiles=[{"email": "jane@example.com", "received_at": received_at}])
    ((received, due),) = registered(ledger)
    assert abs(received - RECEIVED) < timedelta(seconds=1)
    assert due == received.replace(month=12)
    assert emulator.deleted == {jane}


@pytest.mark.parametrize("received_at", ["2026-11-01", "2026/11/01", "20261101", 20261101, "01-NOV-2026"])
def test_a_day_begins_at_midnight(emulator: Emulator, ledger: Path, received_at: object) -> None:
    delete(profiles=[{"email": "jane@example.com", "received_at": received_at}])
    assert registered(ledger) == [(datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC))]


@pytest.mark.parametrize("received_at", [None, "", "NaT", float("nan")])
def test_a_missing_date_is_now(
    emulator: Emulator, ledger: Path, caplog: pytest.LogCaptureFixture, received_at: object
) -> None:
    before = datetime.now(UTC)
    with caplog.at_level(logging.WARNING):
        delete(profiles=[{"email": f"{number}@example.com", "received_at": received_at} for number in range(3)])
    assert all(before <= received <= datetime.now(UTC) for received, _ in registered(ledger))
    assert "not understood" not in caplog.text


@pytest.mark.parametrize("received_at", ["01/11/2026", "9999-12-31", 45962, "yesterday", "1970-01-01"])
def test_a_wrong_date_is_named_by_its_row(
    emulator: Emulator, ledger: Path, caplog: pytest.LogCaptureFixture, received_at: object
) -> None:
    jane = emulator.add_profile(email="jane@example.com")
    people = [{"email": "jane@example.com", "received_at": received_at}]
    people += [{"email": f"{number}@example.com", "received_at": "2026-11-01"} for number in range(3)]
    before = datetime.now(UTC)
    with caplog.at_level(logging.WARNING):
        delete(profiles=people)
    assert "Row 1 is not understood in full; it counts as received now: a date of receipt must be" in caplog.text
    assert before <= registered(ledger)[0][0]
    assert emulator.deleted == {jane}


@pytest.mark.parametrize("received_at", ["01/11/2026", "9999-12-31", 45962, "11/01/26"])
def test_a_list_of_wrong_dates_is_refused(emulator: Emulator, ledger: Path, received_at: object) -> None:
    people = [{"email": f"{number}@example.com", "received_at": received_at} for number in range(3)]
    emulator.add_profiles({"email": one["email"]} for one in people)
    with pytest.raises(AirflowFailException, match="3 of 3 dates of receipt are not understood") as caught:
        delete(profiles=people)
    assert str(received_at) not in str(caught.value)
    assert "rows 1, 2, 3" in str(caught.value)
    assert emulator.deletion_requests == []
    delete(profiles=people, max_invalid=1)
    assert len(emulator.deleted) == 3
