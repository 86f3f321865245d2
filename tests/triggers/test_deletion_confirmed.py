"""`DeletionConfirmedTrigger`: fires once, for the right reason, and survives being stored."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from pytest_mock import MockerFixture

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks import sharing
from airflow_provider_klaviyo.triggers import klaviyo
from airflow_provider_klaviyo.triggers.klaviyo import DeletionConfirmedTrigger

SINCE = "2026-01-01T00:00:00+00:00"


def trigger(profile_ids: list[str], **arguments: Any) -> DeletionConfirmedTrigger:
    defaults: dict[str, Any] = {
        "klaviyo_conn_id": "klaviyo_default",
        "since": SINCE,
        "deadline": time.time() + 60,
        "pause_seconds": 0.05,
        "longest_pause_seconds": 0.2,
    }
    return DeletionConfirmedTrigger(profile_ids=profile_ids, **defaults | arguments)


def stored(fired: DeletionConfirmedTrigger) -> DeletionConfirmedTrigger:
    """Return the trigger as the triggerer makes it anew from the metadata database."""
    path, arguments = fired.serialize()
    assert path == "airflow_provider_klaviyo.triggers.klaviyo.DeletionConfirmedTrigger"
    return DeletionConfirmedTrigger(**json.loads(json.dumps(arguments)))


def event_of(fired: DeletionConfirmedTrigger) -> dict[str, Any]:
    """Run a trigger to its end and return the payload of its only event."""

    async def run() -> list[Any]:
        return [event.payload async for event in stored(fired).run()]

    (payload,) = asyncio.run(run())
    assert json.loads(json.dumps(payload)) == payload
    return dict(payload)


@pytest.fixture
def pauses(mocker: MockerFixture) -> list[float]:
    """Let pauses of a second and more pass at once, on the clock as well; return how long each was."""
    passed: list[float] = []
    now = time.time()
    mocker.patch.object(time, "time", side_effect=lambda: now + sum(passed))
    really_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds >= 1:
            passed.append(seconds)
        await really_sleep(0)

    mocker.patch.object(asyncio, "sleep", sleep)
    return passed


def test_it_fires_when_the_last_profile_is_gone(connect: Callable[..., None]) -> None:
    with Emulator(limit_factor=1_000, deletion_seconds=0) as emulator:
        connect(emulator)
        profile_id = emulator.add_profile(email="jane@example.com")

        async def run() -> Any:
            waiting = asyncio.ensure_future(anext(aiter(stored(trigger([profile_id])).run())))
            await asyncio.sleep(0.5)
            assert not waiting.done()
            emulator.forget_people()
            return (await waiting).payload

        payload = asyncio.run(run())
    assert payload["status"] == "gone"
    assert (payload["outstanding"], payload["since"]) == (0, SINCE)


def test_it_fires_when_time_is_up_with_how_many_are_left(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    profile_ids = [emulator.add_profile(email=f"person.{number}@example.com") for number in range(3)]
    payload = event_of(trigger([*profile_ids, "01J0000000000000000000GONE"], deadline=time.time() + 0.3))
    assert (payload["status"], payload["outstanding"]) == ("timeout", 3)


def test_it_asks_only_for_what_is_outstanding(
    emulator: Emulator, connect: Callable[..., None], pauses: list[float]
) -> None:
    connect(emulator)
    there = emulator.add_profile(email="jane@example.com")
    gone = [f"01J{number:023d}" for number in range(150)]
    event_of(trigger([*gone, there], deadline=time.time() + 50, pause_seconds=10, longest_pause_seconds=10))
    assert pauses == [10] * 5
    assert emulator.calls("get_profiles") == 2 + 1 + 1 + 1 + 1


def test_the_pauses_double_up_to_the_longest(
    emulator: Emulator, connect: Callable[..., None], pauses: list[float]
) -> None:
    connect(emulator)
    there = emulator.add_profile(email="jane@example.com")
    event_of(trigger([there], deadline=time.time() + 1000, pause_seconds=60, longest_pause_seconds=300))
    assert pauses[:4] == [60, 120, 240, 300]
    assert sum(pauses) == pytest.approx(1000)


def test_it_reports_at_the_next_look_after_the_time_for_it(
    emulator: Emulator, connect: Callable[..., None], pauses: list[float]
) -> None:
    connect(emulator)
    there = emulator.add_profile(email="jane@example.com")
    quick = {"pause_seconds": 60, "longest_pause_seconds": 300, "deadline": time.time() + 10_000}
    payload = event_of(trigger([there, "01J0000000000000000000GONE"], report_seconds=500, **quick))
    assert payload == {
        "status": "progress",
        "outstanding": 1,
        "since": SINCE,
        "deadline": quick["deadline"],
        "profile_ids": [there],
    }
    assert pauses == [60, 120, 240, 300]
    assert event_of(trigger(["01J0000000000000000000GONE"], report_seconds=0, **quick))["status"] == "gone"


def test_it_pauses_before_every_report_and_ends_at_the_deadline(
    emulator: Emulator, connect: Callable[..., None], pauses: list[float]
) -> None:
    """With the shortest time to report: each report begins a new wait, as the sensor does."""
    connect(emulator)
    there = emulator.add_profile(email="jane@example.com")
    deadline = time.time() + 330
    reporting = trigger([there], report_seconds=0, pause_seconds=60, longest_pause_seconds=300, deadline=deadline)
    statuses = [event_of(reporting)["status"] for _ in range(5)]
    assert statuses == ["progress"] * 4 + ["timeout"]
    assert pauses == [60] * 4 + [60, 30]
    assert time.time() == deadline


def test_looks_without_an_answer_are_no_report(
    emulator: Emulator, connect: Callable[..., None], mocker: MockerFixture
) -> None:
    connect(emulator)
    mocker.patch.object(klaviyo, "PATIENCE_SECONDS", 0)
    there = emulator.add_profile(email="jane@example.com")
    quick = {"pause_seconds": 0.001, "longest_pause_seconds": 0.001, "report_seconds": 0}
    emulator.fault("connection_dropped_before", times=3)
    assert event_of(trigger([there], **quick))["status"] == "progress"
    assert emulator.calls("get_profiles", status="dropped") == 3
    emulator.fault("connection_dropped_before")
    assert event_of(trigger([there], **quick))["status"] == "failed"
    assert emulator.calls("get_profiles", status="dropped") == 3 + klaviyo.FAILURES_IN_A_ROW


def test_a_trigger_stored_before_there_were_reports_never_reports(
    emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(emulator)
    there = emulator.add_profile(email="jane@example.com")
    _, arguments = trigger([there], deadline=time.time() + 0.5).serialize()
    assert arguments.pop("report_seconds") is None
    assert event_of(DeletionConfirmedTrigger(**arguments))["status"] == "timeout"


def test_a_lasting_refusal_ends_it_with_the_reason(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    emulator.fault("scope_missing", scope="profiles:read")
    payload = event_of(trigger(["01J0000000000000000000GONE"]))
    assert payload["status"] == "failed"
    assert "profiles:read" in payload["message"]
    assert payload["may_retry"] is False


def test_a_key_that_is_accepted_nowhere_ends_it_for_good(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    emulator.fault("key_revoked")
    payload = event_of(trigger(["01J0000000000000000000GONE"]))
    assert (payload["status"], payload["may_retry"]) == ("failed", False)


def test_an_endpoint_that_refuses_a_good_key_is_borne(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    emulator.fault("key_revoked", endpoint="get_profiles", times=2)
    assert event_of(trigger(["01J0000000000000000000GONE"]))["status"] == "gone"


def test_a_missing_connection_ends_it_with_what_to_create() -> None:
    payload = event_of(trigger(["01J0000000000000000000GONE"], klaviyo_conn_id="klaviyo_nowhere"))
    assert payload["may_retry"] is False
    assert "'klaviyo_nowhere' does not exist" in payload["message"]


def test_an_answer_that_is_none_is_borne(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    emulator.fault("truncated_json", endpoint="get_profiles", times=2)
    assert event_of(trigger(["01J0000000000000000000GONE"]))["status"] == "gone"


def test_a_few_looks_without_an_answer_are_borne_and_many_are_not(
    emulator: Emulator, connect: Callable[..., None], mocker: MockerFixture
) -> None:
    connect(emulator)
    mocker.patch.object(klaviyo, "PATIENCE_SECONDS", 0)
    emulator.fault("connection_dropped_before", times=3)
    assert event_of(trigger(["01J0000000000000000000GONE"]))["status"] == "gone"
    assert emulator.calls("get_profiles", status="dropped") == 3
    emulator.fault("connection_dropped_before")
    failed = event_of(trigger(["01J0000000000000000000GONE"], pause_seconds=0.001, longest_pause_seconds=0.001))
    assert (failed["status"], failed["may_retry"]) == ("failed", True)
    assert emulator.calls("get_profiles", status="dropped") == 3 + klaviyo.FAILURES_IN_A_ROW


def test_the_wrong_account_confirms_nothing(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator, account_id="OthEr1")
    payload = event_of(trigger(["01J0000000000000000000GONE"]))
    assert payload["status"] == "failed"
    assert "OthEr1" in payload["message"]


def test_no_connection_stays_open_after_the_event(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    for _ in range(20):
        event_of(trigger(["01J0000000000000000000GONE"], pause_seconds=0))


def test_a_crowd_fires_over_one_client_that_is_closed_afterwards(
    emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(emulator, account_id=emulator.account.id)

    async def run() -> list[str]:
        crowd = [trigger([f"01J{number:023d}"], pause_seconds=0.01) for number in range(200)]
        return [event.payload["status"] for event in await asyncio.gather(*(anext(aiter(one.run())) for one in crowd))]

    assert asyncio.run(run()) == ["gone"] * 200
    assert emulator.calls("get_account") == 1
    assert emulator.calls("get_profiles") == 200
    assert sharing._all_shared == []


def test_a_look_that_is_cancelled_leaves_the_client_to_the_others(connect: Callable[..., None]) -> None:
    async def run() -> Any:
        crowd = [trigger(["01J0000000000000000000GONE"], pause_seconds=0).run() for _ in range(20)]
        waiting = [asyncio.ensure_future(anext(aiter(one))) for one in crowd]
        await asyncio.sleep(0.5)
        for one in waiting[::2]:
            one.cancel()
        return [event.payload["status"] for event in await asyncio.gather(*waiting[1::2])]

    with Emulator(limit_factor=1_000, latency_seconds=1) as slow:
        connect(slow)
        assert asyncio.run(run()) == ["gone"] * 10
    assert sharing._all_shared == []


def test_the_last_look_is_given_up_in_time_for_airflow_to_be_told(
    emulator: Emulator, connect: Callable[..., None], mocker: MockerFixture
) -> None:
    connect(emulator)
    mocker.patch.object(klaviyo, "LAST_LOOK_SECONDS", 0.1)
    emulator.fault("throttled", retry_after=50)
    payload = event_of(trigger(["01J0000000000000000000GONE"], deadline=time.time()))
    assert (payload["status"], payload["outstanding"]) == ("timeout", 1)
