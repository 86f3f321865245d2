"""`DeletionRecheckOperator`: who was erased, and has come back?"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import (
    DeletionPlanOperator,
    DeletionRecheckOperator,
    ProfileDeletionOperator,
)
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor

CANARY = "canary.tweet"


@pytest.fixture(autouse=True)
def ledger(emulator: Emulator, connect: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger in a file, behind the usual connection."""
    path = tmp_path / "ledger.db"
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    connect(emulator, account_id=emulator.account.id, fingerprint_key="a key that is long enough for a fingerprint")
    return path


def context(task_id: str, run_id: str) -> Any:
    of = {"dag_id": "erase", "run_id": run_id, "task_id": task_id, "map_index": -1, "max_tries": 0}
    return {"ti": SimpleNamespace(**of, xcom_push=lambda **_: None)}


def erase(people: list[str], run_id: str) -> dict[str, int]:
    references = DeletionPlanOperator(task_id="plan", profiles=people).execute(context("plan", run_id))
    for reference in references:
        ProfileDeletionOperator(task_id="delete", batch=reference).execute(context("delete", run_id))
    sensor = DeletionConfirmedSensor(task_id="confirm", plan=references, mode="poke", poke_interval=0.1)
    counts: dict[str, int] = sensor.execute(context("confirm", run_id))
    return counts


def look_again(people: list[Any], **arguments: Any) -> dict[str, int]:
    operator = DeletionRecheckOperator(task_id="recheck", profiles=people, **arguments)
    return operator.execute(context("recheck", "run 1"))


def test_a_person_who_came_back_is_reported_and_deleted_again(
    emulator: Emulator, capfd: pytest.CaptureFixture[str]
) -> None:
    people = [f"{CANARY}.{number}@example.com" for number in range(3)]
    for email in people[:2]:
        emulator.add_profile(email=email)
    erase(people, "run 1")
    new = emulator.add_profile(email=people[0])
    assert look_again(people) == {"listed": 3, "rechecked": 0, "reappeared": 0}, "not before thirty days"
    counts = look_again(people, recheck_after=timedelta(0))
    assert counts == {"listed": 3, "rechecked": 2, "reappeared": 1}
    assert CANARY not in "".join(capfd.readouterr())
    assert erase(people, "run 2")["confirmed"] == 1
    assert emulator.deletion_requests[-1] == new


def test_a_list_that_is_none_fails_for_good() -> None:
    with pytest.raises(AirflowFailException, match="profiles is the text of a list"):
        look_again("['canary@example.com']")  # type: ignore[arg-type]
