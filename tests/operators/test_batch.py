"""`ProfileDeletionOperator(batch=…)`: a batch of a plan is worked off, and nothing that is none."""

from __future__ import annotations

import json
import sqlite3
import traceback
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from pytest_mock import MockerFixture

from airflow_provider_klaviyo.api.errors import KlaviyoAuthenticationError, KlaviyoStoppedError
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.ledger.errors import LedgerUnavailableError
from airflow_provider_klaviyo.ledger.work import LedgerBatch
from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator, ProfileDeletionOperator
from airflow_provider_klaviyo.sources.errors import SourceError

KEY = "a key that is long enough for a fingerprint"
CANARY = "canary.tweet"
PEOPLE = [f"{CANARY}.{number}@example.com" for number in range(4)]


@pytest.fixture(autouse=True)
def ledger(emulator: Emulator, connect: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger in a file, behind the usual connection."""
    path = tmp_path / "ledger.db"
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    connect(emulator, account_id=emulator.account.id, fingerprint_key=KEY)
    return path


def context(task_id: str = "delete", map_index: int = 0, run_id: str = "run 1") -> Any:
    of = {"dag_id": "erase", "run_id": run_id, "task_id": task_id, "map_index": map_index, "max_tries": 0}
    return {"ti": SimpleNamespace(**of, xcom_push=lambda **_: None)}


@pytest.fixture
def references(emulator: Emulator) -> list[dict[str, Any]]:
    """Two batches of two profiles each."""
    for email in PEOPLE:
        emulator.add_profile(email=email)
    operator = DeletionPlanOperator(task_id="plan", profiles=[*PEOPLE, f"{CANARY}.absent@example.com"], batch_size=2)
    return operator.execute(context("plan", -1))


def delete(batch: Any, map_index: int = 0, **arguments: Any) -> dict[str, Any]:
    return ProfileDeletionOperator(task_id="delete", batch=batch, **arguments).execute(context(map_index=map_index))


def test_it_deletes_its_batch_and_no_other(
    emulator: Emulator, references: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    result = delete(references[1])
    counts = dict.fromkeys(["planned", "absent", "confirmed", "reappeared", "invalid", "refused", "held"], 0)
    of = {"plan_id": references[1]["plan_id"], "batch": 1}
    assert result == {**of, **counts, "requested": 2, "outstanding": 0}
    assert len(emulator.deleted) == 2
    assert delete(references[1]) == result
    assert emulator.calls("profile_deletion") == 2
    assert CANARY not in "".join(capfd.readouterr())
    assert CANARY not in json.dumps(result)


def test_what_there_was_no_time_for_is_outstanding(emulator: Emulator, references: list[dict[str, Any]]) -> None:
    result = delete(references[0], max_duration=timedelta(0))
    assert (result["outstanding"], result["requested"]) == (2, 0)
    assert delete(references[0], max_duration=timedelta(hours=1))["outstanding"] == 0


def test_trouble_leaves_the_rest_to_a_retry(emulator: Emulator, references: list[dict[str, Any]]) -> None:
    emulator.fault("deletion_refused")
    with pytest.raises(KlaviyoAuthenticationError) as caught:
        delete(references[0])
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    emulator.clear_faults()
    assert delete(references[0])["requested"] == 2
    assert len(emulator.deletion_requests) == 2


def test_a_task_that_is_killed_deletes_nobody_more(
    emulator: Emulator, connect: Callable[..., None], references: list[dict[str, Any]], mocker: MockerFixture
) -> None:
    """Airflow calls `on_kill` in the midst of it, from a signal handler, and kills the process seconds later."""
    operator = ProfileDeletionOperator(task_id="delete", batch=references[0])
    end = LedgerBatch.end

    def end_and_be_killed(batch: LedgerBatch, *arguments: Any, **named: Any) -> None:
        end(batch, *arguments, **named)
        operator.on_kill()

    mocker.patch.object(LedgerBatch, "end", end_and_be_killed)
    with pytest.raises(KlaviyoStoppedError, match=r"1 of 2 deletions requested.* 1 profiles are outstanding"):
        operator.execute(context())
    mocker.stopall()
    assert len(emulator.deletion_requests) == 1
    assert delete(references[0])["requested"] == 2
    assert len(emulator.deletion_requests) == 2


def test_killed_before_it_has_begun_is_no_error() -> None:
    ProfileDeletionOperator(task_id="delete", profiles=["jane@example.com"]).on_kill()


def test_a_ledger_in_trouble_is_no_reason_to_give_up(
    emulator: Emulator, references: list[dict[str, Any]], ledger: Path
) -> None:
    with closing(sqlite3.connect(ledger)) as connection, connection:
        words = f"{CANARY} is not welcome"
        connection.execute(
            f"CREATE TRIGGER no BEFORE UPDATE ON klaviyo_requests BEGIN SELECT RAISE(ABORT, '{words}'); END"
        )
    with pytest.raises(LedgerUnavailableError, match="Ledger 'klaviyo_ledger': the ledger's database failed") as caught:
        delete(references[0])
    assert not isinstance(caught.value, AirflowFailException)
    assert CANARY not in "".join(traceback.format_exception(caught.value))
    assert emulator.calls("profile_deletion") == 0
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("DROP TRIGGER no")
    assert delete(references[0])["requested"] == 2


@pytest.mark.parametrize(
    "garbage",
    [
        7,
        CANARY,
        [],
        {},
        {"plan_id": "f" * 32, "batch": 0},
        {"plan_id": "f" * 32, "batch": -1, "size": 1},
        {"plan_id": "f" * 32, "batch": "0", "size": 1},
        {"plan_id": "f" * 32, "batch": True, "size": 1},
        {"plan_id": "f" * 32, "batch": 0, "size": 1, "email": CANARY},
        {"planned": 3, "profile_ids": [CANARY]},
    ],
)
def test_what_no_plan_has_returned_fails_for_good(emulator: Emulator, garbage: Any) -> None:
    with pytest.raises(
        AirflowFailException, match="must be one of the references that a DeletionPlanOperator"
    ) as caught:
        delete(garbage)
    assert CANARY not in str(caught.value)
    assert emulator.calls() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"plan_id": "f" * 32}, "there is no plan f{32} in this ledger: was it made with another ledger_conn_id"),
        ({"plan_id": f"{CANARY}@example.com"}, "that is no plan_id"),
        ({"plan_id": "\x00"}, "that is no plan_id"),
        ({"batch": 2}, "has no batch 2: hand references over as their plan gives them"),
        ({"batch": 10**30}, "has no batch 10{30}"),
    ],
)
def test_what_the_ledger_does_not_bear_out_fails_for_good(
    emulator: Emulator, references: list[dict[str, Any]], change: dict[str, Any], message: str
) -> None:
    with pytest.raises(AirflowFailException, match=message) as caught:
        delete(references[0] | change)
    assert CANARY not in str(caught.value)
    assert emulator.calls("profile_deletion") == 0


def test_a_plan_of_another_account_fails_for_good(
    emulator: Emulator, references: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = emulator.add_account()
    extra = {"account_id": other.id, "fingerprint_key": KEY}
    connection = {"conn_type": "klaviyo", "host": emulator.url, "password": other.key, "extra": extra}
    monkeypatch.setenv("AIRFLOW_CONN_OTHER", json.dumps(connection))
    with pytest.raises(AirflowFailException, match=f"made for account {emulator.account.id}, but the connection is of"):
        delete(references[0], klaviyo_conn_id="other")
    assert emulator.calls("profile_deletion") == 0


@pytest.mark.parametrize("more", [{"profiles": ["a@example.com"]}, {"sql": "x", "sql_conn_id": "x"}, {"dry_run": True}])
def test_a_batch_has_no_list_of_its_own(more: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="batch=… takes neither a list"):
        ProfileDeletionOperator(task_id="delete", batch={}, **more)


def test_a_batch_that_came_to_nothing_deletes_nobody(emulator: Emulator) -> None:
    """Such as the XCom of a task that was skipped."""
    operator = ProfileDeletionOperator(task_id="delete", batch={})
    operator.batch = None
    with pytest.raises(AirflowFailException):
        operator.execute(context())
    assert emulator.calls("profile_deletion") == 0
