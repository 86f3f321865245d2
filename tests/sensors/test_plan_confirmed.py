"""`DeletionConfirmedSensor(plan=…)` and `(batch=…)`: a wait that the ledger knows all about."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.emulator.profiles import ProfileStore
from airflow_provider_klaviyo.ledger.errors import LedgerUnavailableError
from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator, ProfileDeletionOperator
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor
from airflow_provider_klaviyo.sources.errors import SourceError
from airflow_provider_klaviyo.triggers.klaviyo import DeletionConfirmedTrigger

KEY = "a key that is long enough for a fingerprint"
CANARY = "canary.tweet"


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A Klaviyo whose deletions never finish until the fault is cleared."""
    with Emulator(limit_factor=1_000, deletion_seconds=0) as emulator:
        emulator.fault("deletions_never_finish")
        yield emulator


@pytest.fixture(autouse=True)
def ledger(emulator: Emulator, connect: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger in a file, behind the usual connection."""
    path = tmp_path / "ledger.db"
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    connect(emulator, account_id=emulator.account.id, fingerprint_key=KEY)
    return path


def context(task_id: str, run_id: str = "run 1", map_index: int = -1) -> Any:
    of = {"dag_id": "erase", "run_id": run_id, "task_id": task_id, "map_index": map_index, "max_tries": 0}
    started = {"start_date": datetime.now(UTC), "get_first_reschedule_date": lambda _: None}
    return {"ti": SimpleNamespace(**of, **started, xcom_push=lambda **_: None)}


def requested(emulator: Emulator, number: int, run_id: str = "run 1", **arguments: Any) -> list[dict[str, Any]]:
    """Have so many people deleted; return the references to the batches."""
    people = [f"{CANARY}.{run_id[-1]}.{one}@example.com" for one in range(number)]
    for email in people:
        emulator.add_profile(email=email)
    plan = DeletionPlanOperator(task_id="plan", profiles=people, **arguments)
    references = plan.execute(context("plan", run_id))
    for index, reference in enumerate(references):
        ProfileDeletionOperator(task_id="delete", batch=reference).execute(context("delete", run_id, index))
    return references


def sensor(**arguments: Any) -> DeletionConfirmedSensor:
    return DeletionConfirmedSensor(task_id="confirm", **{"mode": "poke", "poke_interval": 0.05, **arguments})


def found(counts: Any) -> dict[str, int]:
    return {name: number for name, number in counts.items() if number}


def test_it_waits_until_the_last_is_gone(emulator: Emulator) -> None:
    references = requested(emulator, 3, batch_size=2)
    waiting = sensor(plan=references)
    assert not waiting.poke(context("confirm"))
    assert not waiting.poke(context("confirm"))
    emulator.clear_faults()
    done: Any = waiting.poke(context("confirm"))
    assert done
    assert found(done.xcom_value) == {"confirmed": 3}
    assert done.xcom_value["outstanding"] == 0
    assert found(sensor(plan=references).execute(context("confirm"))) == {"confirmed": 3}
    assert found(sensor(plan=references[0]["plan_id"]).execute(context("confirm"))) == {"confirmed": 3}


def test_nothing_to_wait_for_succeeds_at_once(emulator: Emulator) -> None:
    assert found(sensor(plan=[]).execute(context("confirm"))) == {}
    references = requested(emulator, 0)
    assert found(sensor(plan=references).execute(context("confirm"))) == {}


def test_what_is_still_to_be_deleted_is_no_reason_to_wait(emulator: Emulator) -> None:
    emulator.clear_faults()
    people = [f"{CANARY}.{number}@example.com" for number in range(4)]
    for email in people:
        emulator.add_profile(email=email)
    references = DeletionPlanOperator(task_id="plan", profiles=people, batch_size=2).execute(context("plan"))
    ProfileDeletionOperator(task_id="delete", batch=references[0]).execute(context("delete"))
    counts = sensor(plan=references).execute(context("confirm"))
    assert found(counts) == {"confirmed": 2, "planned": 2, "outstanding": 2}


def test_one_batch_and_several_plans(emulator: Emulator) -> None:
    first = requested(emulator, 3, batch_size=2)
    second = requested(emulator, 1, run_id="run 2")
    emulator.clear_faults()
    assert found(sensor(batch=first[1]).execute(context("confirm"))) == {"confirmed": 1}
    assert found(sensor(plan=[*first, *second]).execute(context("confirm"))) == {"confirmed": 4}


def test_who_came_back_is_counted(emulator: Emulator) -> None:
    references = requested(emulator, 2)
    emulator.clear_faults()
    assert len(emulator.deleted) == 2
    emulator.add_profile(email=f"{CANARY}.1.0@example.com")
    assert found(sensor(plan=references).execute(context("confirm"))) == {"confirmed": 1, "reappeared": 1}


def test_every_look_may_be_in_another_worker(emulator: Emulator) -> None:
    """As with ``mode="reschedule"``: what one has seen, the other finds in the ledger."""
    references = requested(emulator, 2)
    _, second = emulator.deletion_requests
    assert not sensor(plan=references, mode="reschedule").poke(context("confirm"))
    emulator.clear_faults()
    assert len(emulator.deleted) == 2
    emulator.add_profile(email="left@example.com", profile_id=second)
    assert not sensor(plan=references, mode="reschedule").poke(context("confirm"))
    emulator.reset_counts()
    emulator.forget_people()
    done = sensor(plan=references, mode="reschedule").poke(context("confirm"))
    assert found(done.xcom_value) == {"confirmed": 2}
    assert emulator.calls("get_profiles") == 2, "the first was seen to be gone before"


def test_time_out_says_how_many_are_outstanding_and_since_when(emulator: Emulator) -> None:
    references = requested(emulator, 3)
    message = rf"^3 profiles are still in Klaviyo.*at {datetime.now(UTC):%Y-}.*14 days after.*has them requested again"
    with pytest.raises(AirflowSensorTimeout, match=message) as caught:
        sensor(plan=references, timeout=0).execute(context("confirm"))
    assert CANARY not in str(caught.value)
    with pytest.raises(AirflowSkipException):
        sensor(plan=references, timeout=0, soft_fail=True).execute(context("confirm"))


@pytest.mark.parametrize(
    "fault",
    [
        {"name": "throttled", "retry_after": 3_600},
        {"name": "truncated_json"},
        {"name": "key_revoked", "endpoint": "get_profiles"},
    ],
)
def test_a_look_without_an_answer_is_followed_by_the_next(emulator: Emulator, fault: dict[str, Any]) -> None:
    references = requested(emulator, 1)
    emulator.fault(**fault, times=1)
    assert not sensor(plan=references).poke(context("confirm"))


def test_a_ledger_without_an_answer_is_asked_again(
    emulator: Emulator, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = requested(emulator, 1)
    emulator.clear_faults()
    waiting = sensor(plan=references)
    with monkeypatch.context() as patch:
        nowhere = {"conn_type": "sqlite", "host": str(ledger.parent / "nowhere" / "ledger.db")}
        patch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps(nowhere))
        assert not waiting.poke(context("confirm"))
        with pytest.raises(LedgerUnavailableError):
            sensor(plan=references, deferrable=True).execute(context("confirm"))
    assert waiting.poke(context("confirm"))


def test_a_key_that_is_accepted_nowhere_confirms_nobody(emulator: Emulator) -> None:
    references = requested(emulator, 1)
    emulator.clear_faults()
    emulator.fault("key_revoked")
    with pytest.raises(AirflowFailException, match="No other endpoint accepts it either"):
        sensor(plan=references).execute(context("confirm"))
    emulator.clear_faults()
    assert found(sensor(plan=references).execute(context("confirm"))) == {"confirmed": 1}


@pytest.mark.parametrize(
    "plan",
    ["f" * 32, f"{CANARY}@example.com", 7, {}, [7], [CANARY], [{"plan_id": "f" * 32, "batch": 0, "size": 1}]],
)
def test_an_unknown_plan_fails_for_good(plan: Any) -> None:
    with pytest.raises(AirflowFailException) as caught:
        sensor(plan=plan).execute(context("confirm"))
    assert CANARY not in str(caught.value)


def test_a_plan_that_came_to_nothing_confirms_nobody() -> None:
    """Such as the XCom of a task that was skipped."""
    waiting = sensor(plan=[])
    waiting.plan = None
    with pytest.raises(AirflowFailException, match="plan must be what a DeletionPlanOperator has returned"):
        waiting.execute(context("confirm"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 1}, "has no batch 1"),
        ({"batch": -1}, "must be one of the references"),
        ({"batch": True}, "must be one of the references"),
        ({"plan_id": "f" * 32}, "there is no plan"),
    ],
)
def test_a_batch_that_is_none_fails_for_good(emulator: Emulator, change: dict[str, Any], message: str) -> None:
    (reference,) = requested(emulator, 1)
    with pytest.raises(AirflowFailException, match=message):
        sensor(batch=reference | change).execute(context("confirm"))


def test_a_held_plan_fails_for_good(emulator: Emulator) -> None:
    emulator.add_profile(email="jane@example.com")
    plan = DeletionPlanOperator(
        task_id="plan", profiles=["jane@example.com"], max_profiles=0, fail_when_held=False
    ).execute(context("plan"))
    with pytest.raises(AirflowFailException, match="is held: it matches 1 profiles"):
        sensor(plan=plan).execute(context("confirm"))


@pytest.mark.parametrize("arguments", [{}, {"plan": [], "profiles": []}, {"plan": [], "batch": {}}])
def test_it_waits_for_one_thing(arguments: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="exactly one of plan=…, batch=… and profiles=…"):
        sensor(**arguments)


def deferral_of(waiting: DeletionConfirmedSensor) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as caught:
        waiting.execute(context("confirm"))
    return caught.value


def resume(waiting: DeletionConfirmedSensor, event: object) -> Any:
    return waiting.resume_execution("execute_complete", {"event": event}, context("confirm"))


def event(status: str, **more: Any) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {"status": status, "outstanding": 0, "since": now, "deadline": time.time() + 60, **more}


async def fire(trigger: DeletionConfirmedTrigger) -> Any:
    return await anext(fired.payload async for fired in trigger.run())


def test_the_triggerer_watches_a_hundred_at_most(emulator: Emulator) -> None:
    references = requested(emulator, 105, batch_size=200)
    deferral = deferral_of(sensor(plan=references, deferrable=True, poke_interval=7))
    path, arguments = deferral.trigger.serialize()
    assert path.endswith("DeletionConfirmedTrigger")
    assert len(arguments["profile_ids"]) == 100
    assert set(arguments["profile_ids"]) == set(emulator.deletion_requests[-100:])
    assert json.loads(json.dumps(arguments)) == arguments
    assert CANARY not in json.dumps(arguments)
    assert arguments["pause_seconds"] == 7


def test_it_goes_back_to_the_triggerer_until_the_ledger_knows_of_nobody(emulator: Emulator) -> None:
    references = requested(emulator, 3)
    first = deferral_of(sensor(plan=references, deferrable=True))
    emulator.clear_faults()
    assert len(emulator.deleted) == 3
    left = first.trigger.serialize()[1]["profile_ids"][2]
    emulator.add_profile(email="left@example.com", profile_id=left)

    with pytest.raises(TaskDeferred) as caught:
        resume(sensor(plan=references, deferrable=True), event("gone"))
    assert caught.value.trigger.serialize()[1]["profile_ids"] == [left]
    emulator.forget_people()

    arguments = caught.value.trigger.serialize()[1] | {"pause_seconds": 0}
    fired = asyncio.run(fire(DeletionConfirmedTrigger(**arguments)))
    assert CANARY not in json.dumps(fired)
    assert found(resume(sensor(plan=references, deferrable=True), fired)) == {"confirmed": 3}


@pytest.mark.parametrize(
    ("more", "shortest", "longest"),
    [
        ({}, 1_200, 1_260),
        ({"max_wait": timedelta(minutes=5)}, 300, 300),
        ({"exponential_backoff": False, "poke_interval": 60}, 60, 60),
    ],
)
def test_the_longer_it_waits_the_less_often_it_wakes_a_worker(
    emulator: Emulator, more: dict[str, Any], shortest: float, longest: float
) -> None:
    """The triggerer sees nobody any more by the id, and the worker still does, for days."""
    references = requested(emulator, 1)
    since = (datetime.now(UTC) - timedelta(minutes=20)).isoformat()
    with pytest.raises(TaskDeferred) as caught:
        resume(sensor(plan=references, deferrable=True, **more), event("gone", since=since))
    assert shortest <= caught.value.trigger.serialize()[1]["pause_seconds"] <= longest


def test_everybody_gone_at_the_first_look_needs_no_triggerer(emulator: Emulator) -> None:
    references = requested(emulator, 1)
    emulator.clear_faults()
    assert found(sensor(plan=references, deferrable=True).execute(context("confirm"))) == {"confirmed": 1}


def test_a_look_without_an_answer_goes_to_the_triggerer_all_the_same(emulator: Emulator) -> None:
    references = requested(emulator, 1)
    emulator.fault("redirect", times=1)
    deferral = deferral_of(sensor(plan=references, deferrable=True))
    assert deferral.trigger.serialize()[1]["profile_ids"] == emulator.deletion_requests
    emulator.fault("redirect", times=1)
    with pytest.raises(TaskDeferred):
        resume(sensor(plan=references, deferrable=True), event("gone"))


def test_when_time_is_up_the_number_is_the_ledgers(emulator: Emulator) -> None:
    references = requested(emulator, 3)
    with pytest.raises(AirflowSensorTimeout, match=r"^3 profiles are still in Klaviyo"):
        resume(sensor(plan=references, deferrable=True), event("timeout", outstanding=77))
    with pytest.raises(AirflowSkipException):
        resume(sensor(plan=references, deferrable=True, soft_fail=True), event("timeout", outstanding=77))
    emulator.fault("redirect", times=1)
    with pytest.raises(AirflowSensorTimeout, match=r"^77 profiles"):
        resume(sensor(plan=references, deferrable=True), event("timeout", outstanding=77))
    emulator.clear_faults()
    counts = resume(sensor(plan=references, deferrable=True), event("timeout", outstanding=77))
    assert found(counts) == {"confirmed": 3}, "the last went while nobody looked"


def find_nobody_by_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have one of Klaviyo's indexes be behind: nobody is found by a profile id any more, and everybody by an e-mail."""
    holding = ProfileStore._holding
    monkeypatch.setattr(
        ProfileStore, "_holding", lambda store, field, value: () if field == "id" else holding(store, field, value)
    )


def test_who_is_gone_by_the_id_only_is_not_waited_for_after_the_deadline(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = requested(emulator, 3)
    find_nobody_by_id(monkeypatch)
    deferral = deferral_of(sensor(plan=references, deferrable=True))
    fired = asyncio.run(fire(DeletionConfirmedTrigger(**deferral.trigger.serialize()[1] | {"pause_seconds": 0})))
    assert fired["status"] == "gone"
    with pytest.raises(TaskDeferred) as caught:
        resume(sensor(plan=references, deferrable=True), fired)
    assert caught.value.trigger.serialize()[1]["deadline"] == fired["deadline"]

    late = fired | {"deadline": time.time() - 1}
    with pytest.raises(AirflowSensorTimeout, match=r"^3 profiles are still in Klaviyo"):
        resume(sensor(plan=references, deferrable=True), late)
    with pytest.raises(AirflowSkipException):
        resume(sensor(plan=references, deferrable=True, soft_fail=True), late)
    emulator.fault("redirect", times=1)
    with pytest.raises(AirflowSensorTimeout, match=r"^An unknown number of profiles"):
        resume(sensor(plan=references, deferrable=True), late)


def test_nobody_waits_for_somebody_who_never_goes(emulator: Emulator, ledger: Path) -> None:
    references = requested(emulator, 3)
    *_, stuck = emulator.profiles()
    deferral = deferral_of(sensor(plan=references, deferrable=True))
    emulator.clear_faults()
    assert len(emulator.deleted) == 3
    emulator.add_profile(email=stuck.email, profile_id=stuck.id)
    assert [outcome for outcome, _ in recorded(ledger)] == ["requested"] * 3

    quick = {"pause_seconds": 0.05, "longest_pause_seconds": 0.05, "report_seconds": 0.1}
    arguments = json.loads(json.dumps(deferral.trigger.serialize()[1] | quick))
    fired = asyncio.run(fire(DeletionConfirmedTrigger(**arguments)))
    assert (fired["status"], fired["outstanding"], fired["deadline"]) == ("progress", 1, arguments["deadline"])
    assert CANARY not in json.dumps(fired)

    with pytest.raises(TaskDeferred) as caught:
        resume(sensor(plan=references, deferrable=True), json.loads(json.dumps(fired)))
    assert recorded(ledger)[:2] == [("confirmed", None)] * 2
    assert [(outcome, text is not None) for outcome, text in recorded(ledger)[2:]] == [("requested", True)]
    again = caught.value.trigger.serialize()[1]
    assert (again["profile_ids"], again["deadline"]) == ([stuck.id], arguments["deadline"])

    late = fired | {"deadline": time.time() - 1}
    with pytest.raises(AirflowSensorTimeout, match=r"^1 profiles are still in Klaviyo"):
        resume(sensor(plan=references, deferrable=True), late)
    emulator.forget_people()
    assert found(resume(sensor(plan=references, deferrable=True), fired)) == {"confirmed": 3}


def recorded(ledger: Path) -> list[tuple[str, str | None]]:
    """Return the outcome of each request, and the identifier that the ledger holds for it, encrypted."""
    with closing(sqlite3.connect(ledger)) as connection:
        return connection.execute("SELECT outcome, identifier FROM klaviyo_requests ORDER BY number").fetchall()


@pytest.mark.parametrize("of_batch", [False, True])
def test_who_is_gone_is_recorded_within_hours(emulator: Emulator, of_batch: bool) -> None:
    references = requested(emulator, 1)
    waits_for: dict[str, Any] = {"batch": references[0]} if of_batch else {"plan": references}
    deferral = deferral_of(sensor(**waits_for, deferrable=True))
    assert deferral.trigger.serialize()[1]["report_seconds"] == 6 * 3_600


def test_a_report_that_finds_no_ledger_is_no_reason_to_give_up(
    emulator: Emulator, ledger: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    references = requested(emulator, 1)
    nowhere = {"conn_type": "sqlite", "host": str(ledger.parent / "nowhere" / "ledger.db")}
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps(nowhere))
    fired = event("progress", outstanding=1, profile_ids=emulator.deletion_requests)
    with pytest.raises(TaskDeferred) as caught:
        resume(sensor(plan=references, deferrable=True), fired)
    again = caught.value.trigger.serialize()[1]
    assert (again["profile_ids"], again["deadline"]) == (emulator.deletion_requests, fired["deadline"])
    assert again["since"] == fired["since"]


@pytest.mark.parametrize("odd", [None, {}, "gone", {"status": "gone"}, {"status": "success"}])
def test_an_event_that_is_none_confirms_nobody(emulator: Emulator, odd: object) -> None:
    references = requested(emulator, 1)
    emulator.clear_faults()
    with pytest.raises(ValueError, match="nothing is confirmed"):
        resume(sensor(plan=references, deferrable=True), odd)
