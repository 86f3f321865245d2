"""`DeletionConfirmedSensor`: what it waits for, what it tells apart, how it gives up."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import (
    AirflowFailException,
    AirflowSensorTimeout,
    AirflowSkipException,
    TaskDeferred,
)
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_0_PLUS

from airflow_provider_klaviyo.api.errors import KlaviyoError
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import ProfileDeletionOperator
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor
from airflow_provider_klaviyo.sources.errors import SourceError


@pytest.fixture
def slow_emulator() -> Iterator[Emulator]:
    """A Klaviyo whose deletions never finish until the fault is cleared."""
    with Emulator(limit_factor=1_000, deletion_seconds=0) as emulator:
        emulator.fault("deletions_never_finish")
        yield emulator


def sensor(**arguments: Any) -> DeletionConfirmedSensor:
    return DeletionConfirmedSensor(task_id="confirm", **{"mode": "poke", "poke_interval": 0.1, **arguments})


def deleted(*emails: str) -> dict[str, Any]:
    """Have these people deleted; return the result of the operator."""
    return ProfileDeletionOperator(task_id="delete", profiles=list(emails)).execute({})


def resume(waiting: DeletionConfirmedSensor, event: object) -> Any:
    return waiting.resume_execution("execute_complete", {"event": event}, {})


def test_the_result_of_the_operator_is_confirmed(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    emulator.add_profile(email="jane@example.com")
    result = deleted("jane@example.com", "nobody@example.com")
    assert sensor(profiles=result).execute({}) == {"confirmed": 1, "reappeared": 0}
    assert sensor(profiles=[result, result]).execute({}) == {"confirmed": 1, "reappeared": 0}
    assert sensor(profiles=result["profile_ids"]).execute({}) == {"confirmed": 1, "reappeared": 0}


def test_nothing_to_wait_for_succeeds_at_once(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    assert sensor(profiles=[]).execute({}) == {"confirmed": 0, "reappeared": 0}
    dry = ProfileDeletionOperator(task_id="delete", profiles=[], dry_run=True).execute({})
    assert sensor(profiles=dry).execute({}) == {"confirmed": 0, "reappeared": 0}


def test_it_waits_until_the_last_profile_is_gone(connect: Callable[..., None]) -> None:
    with Emulator(limit_factor=1_000, deletion_seconds=0.5) as emulator:
        connect(emulator)
        emulator.add_profile(email="jane@example.com")
        result = deleted("jane@example.com")
        waiting = sensor(profiles=result)
        assert not waiting.poke({})
        time.sleep(0.6)
        assert waiting.poke({}).xcom_value == {"confirmed": 1, "reappeared": 0}


def test_it_asks_only_for_what_is_outstanding_a_hundred_a_call(
    slow_emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(slow_emulator)
    emails = [f"person.{number}@example.com" for number in range(250)]
    for email in emails:
        slow_emulator.add_profile(email=email)
    result = deleted(*emails)
    waiting = sensor(profiles=result)
    slow_emulator.reset_counts()
    assert not waiting.poke({})
    assert slow_emulator.calls("get_profiles") == 3
    slow_emulator.clear_faults()
    assert len(slow_emulator.deleted) == 250
    slow_emulator.add_profile(profile_id=result["profile_ids"][0], email="person.0@example.com")
    assert not waiting.poke({})
    slow_emulator.reset_counts()
    assert not waiting.poke({})
    assert slow_emulator.calls("get_profiles") == 1


def test_somebody_who_came_back_is_told_from_a_deletion_that_has_not_happened(
    emulator: Emulator, connect: Callable[..., None], warehouse: Callable[..., Path]
) -> None:
    connect(emulator)
    warehouse("jane@example.com", "joe@example.com")
    for name in ("jane", "joe"):
        emulator.add_profile(email=f"{name}@example.com")
    result = deleted("jane@example.com", "joe@example.com")
    emulator.add_profile(email="jane@example.com")

    sql = {"sql": "SELECT email FROM suppression_list", "sql_conn_id": "warehouse"}
    assert sensor(profiles=result, **sql).execute({}) == {"confirmed": 1, "reappeared": 1}
    sql = {"sql": 'SELECT email AS "E-Mail" FROM suppression_list;', "sql_conn_id": "warehouse"}
    found = sensor(profiles=result, columns={"E-Mail": "email"}, **sql).execute({})
    assert found == {"confirmed": 1, "reappeared": 1}
    with pytest.raises(SourceError, match="columns belongs to sql=…, which is missing"):
        sensor(profiles=result, columns={"E-Mail": "email"})
    assert sensor(profiles=[result, "jane@example.com", "joe@example.com"]).execute({})["reappeared"] == 1


def test_somebody_who_came_back_while_an_address_was_watched_is_told_too(
    slow_emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(slow_emulator)
    slow_emulator.add_profile(email="jane@example.com")
    deleted("jane@example.com")
    waiting = sensor(profiles=["jane@example.com"])
    assert not waiting.poke({})
    slow_emulator.clear_faults()
    slow_emulator.fault("profiles_return")
    slow_emulator.add_profile(email="jane@example.com")
    assert waiting.poke({}).xcom_value == {"confirmed": 0, "reappeared": 1}


def test_time_out_says_how_many_are_outstanding_and_since_when(
    slow_emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(slow_emulator)
    slow_emulator.add_profile(email="jane@example.com")
    result = deleted("jane@example.com")
    with pytest.raises(
        AirflowSensorTimeout, match=r"1 profiles are still in Klaviyo.*looked up, or requested, at 20\d\d-"
    ) as caught:
        sensor(profiles=result, timeout=0).execute({})
    assert result["looked_up_at"] in str(caught.value)
    with pytest.raises(AirflowSkipException):
        sensor(profiles=result, timeout=0, soft_fail=True).execute({})


def test_soft_fail_does_not_hide_a_revoked_key(slow_emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(slow_emulator)
    slow_emulator.add_profile(email="jane@example.com")
    result = deleted("jane@example.com")
    slow_emulator.fault("key_revoked")
    with pytest.raises(AirflowFailException):
        sensor(profiles=result, soft_fail=True).execute({})


def test_never_fail_hides_it_as_it_says(slow_emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(slow_emulator)
    slow_emulator.add_profile(email="jane@example.com")
    result = deleted("jane@example.com")
    slow_emulator.fault("key_revoked")
    with pytest.raises(AirflowSkipException):
        sensor(profiles=result, never_fail=True).execute({})


def test_a_look_without_an_answer_is_followed_by_the_next(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    emulator.add_profile(email="jane@example.com")
    result = deleted("jane@example.com")
    emulator.fault("throttled", retry_after=3600, times=1)
    waiting = sensor(profiles=result)
    assert not waiting.poke({})


def test_a_key_that_is_refused_is_not_taken_for_everybody_gone(
    slow_emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(slow_emulator)
    slow_emulator.add_profile(email="jane@example.com")
    result = deleted("jane@example.com")
    faults: list[tuple[str, dict[str, Any]]] = [
        ("key_revoked", {}),
        ("scope_missing", {"scope": "profiles:read"}),
    ]
    for fault, options in faults:
        slow_emulator.clear_faults()
        slow_emulator.fault(fault, **options)
        with pytest.raises((KlaviyoError, AirflowFailException)):
            sensor(profiles=result).execute({})


def test_an_answer_that_is_none_is_not_taken_for_everybody_gone(
    slow_emulator: Emulator, connect: Callable[..., None]
) -> None:
    connect(slow_emulator)
    slow_emulator.add_profile(email="jane@example.com")
    waiting = sensor(profiles=deleted("jane@example.com"))
    slow_emulator.fault("truncated_json", times=1)
    assert not waiting.poke({})
    assert not waiting.poke({})


def test_profiles_of_another_connection_are_not_taken_for_gone(
    emulator: Emulator, connect: Callable[..., None], connection: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(emulator)
    emulator.add_profile(email="jane@example.com")
    result = deleted("jane@example.com")
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_OTHER", connection(emulator))
    with pytest.raises(AirflowFailException, match=r"requested on connection 'klaviyo_default'.*same klaviyo_conn_id"):
        sensor(profiles=result, klaviyo_conn_id="klaviyo_other").execute({})
    same_account = {"account_id": emulator.account.id}
    connect(emulator, **same_account)
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_OTHER", connection(emulator, **same_account))
    emulator.add_profile(email="joe@example.com")
    assert sensor(profiles=deleted("joe@example.com"), klaviyo_conn_id="klaviyo_other").execute({})["confirmed"] == 1


def test_the_wrong_account_confirms_nothing(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    emulator.add_profile(email="jane@example.com")
    result = deleted("jane@example.com")
    connect(emulator, account_id="OthEr1")
    with pytest.raises(AirflowFailException, match="OthEr1"):
        sensor(profiles=result).execute({})


@pytest.mark.parametrize(
    "profiles",
    [
        [{"profile_ids": ["01J0000000000000000000GONE"]}],
        [{"profile_ids": ["not an id!"], "looked_up_at": "2026-01-01T00:00:00+00:00"}],
        [{"profile_ids": 7, "looked_up_at": "2026-01-01T00:00:00+00:00"}],
        [{"profile_ids": [], "looked_up_at": "yesterday"}],
        [{"profile_ids": [], "looked_up_at": "2026-01-01T00:00:00"}],
        [{"what": "ever"}],
        7,
    ],
)
def test_what_is_no_result_is_refused(profiles: Any, emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator)
    with pytest.raises(AirflowFailException):
        sensor(profiles=profiles).execute({})


class TestDeferred:
    """The same wait, in the triggerer."""

    @pytest.fixture
    def deferral(self, slow_emulator: Emulator, connect: Callable[..., None]) -> TaskDeferred:
        connect(slow_emulator)
        slow_emulator.add_profile(email="jane@example.com")
        self.result = deleted("jane@example.com")
        with pytest.raises(TaskDeferred) as caught:
            self.waiting(poke_interval=7).execute({})
        return caught.value

    def waiting(self, **arguments: Any) -> DeletionConfirmedSensor:
        return sensor(**{"profiles": self.result, "deferrable": True, **arguments})

    def test_the_trigger_gets_ids_and_times_only(self, deferral: TaskDeferred) -> None:
        _, arguments = deferral.trigger.serialize()
        assert arguments.pop("deadline") == pytest.approx(time.time() + timedelta(days=14).total_seconds(), abs=60)
        assert arguments == {
            "klaviyo_conn_id": "klaviyo_default",
            "profile_ids": self.result["profile_ids"],
            "since": self.result["looked_up_at"],
            "pause_seconds": 7,
            "longest_pause_seconds": 1800,
            "report_seconds": None,
        }
        assert json.loads(json.dumps(arguments)) == arguments
        assert deferral.method_name == "execute_complete"

    def test_a_first_look_without_an_answer_is_no_reason_to_fail(
        self, deferral: TaskDeferred, slow_emulator: Emulator
    ) -> None:
        slow_emulator.fault("throttled", retry_after=3600)
        with pytest.raises(TaskDeferred) as caught:
            self.waiting().execute({})
        assert caught.value.trigger.profile_ids == self.result["profile_ids"]
        slow_emulator.clear_faults()

    def test_it_does_not_ask_without_a_pause(self, deferral: TaskDeferred) -> None:
        with pytest.raises(TaskDeferred) as caught:
            self.waiting(poke_interval=0, exponential_backoff=False).execute({})
        assert (caught.value.trigger.pause_seconds, caught.value.trigger.longest_pause_seconds) == (1, 1)

    def test_gone_is_looked_at_once_more_and_confirmed(self, deferral: TaskDeferred, slow_emulator: Emulator) -> None:
        slow_emulator.clear_faults()
        assert resume(self.waiting(), self.event("gone")) == {"confirmed": 1, "reappeared": 0}

    def test_an_address_that_is_seen_again_is_waited_for_again(
        self, deferral: TaskDeferred, slow_emulator: Emulator
    ) -> None:
        with pytest.raises(TaskDeferred):
            resume(self.waiting(profiles=[self.result, "jane@example.com"]), self.event("gone"))

    def test_an_address_that_is_seen_again_is_not_waited_for_after_the_deadline(self, deferral: TaskDeferred) -> None:
        again = [self.result, "jane@example.com"]
        late = self.event("gone", deadline=time.time() - 1)
        with pytest.raises(AirflowSensorTimeout, match=r"^1 profiles are still in Klaviyo"):
            resume(self.waiting(profiles=again), late)
        with pytest.raises(AirflowSkipException):
            resume(self.waiting(profiles=again, soft_fail=True), late)

    def test_no_number_is_made_up_when_the_last_look_is_not_answered(
        self, deferral: TaskDeferred, slow_emulator: Emulator
    ) -> None:
        slow_emulator.fault("truncated_json")
        with pytest.raises(AirflowSensorTimeout, match=r"^An unknown number of profiles"):
            resume(
                self.waiting(profiles=[self.result, "jane@example.com"]), self.event("gone", deadline=time.time() - 1)
            )

    def test_time_out_fails_or_skips(self, deferral: TaskDeferred) -> None:
        with pytest.raises(AirflowSensorTimeout, match="1 profiles are still in Klaviyo"):
            resume(self.waiting(), self.event("timeout", outstanding=1))
        with pytest.raises(AirflowSkipException):
            resume(self.waiting(soft_fail=True), self.event("timeout", outstanding=1))

    def test_soft_fail_does_not_hide_a_failure(self, deferral: TaskDeferred) -> None:
        with pytest.raises(AirflowFailException, match="no scope"):
            resume(self.waiting(soft_fail=True), self.event("failed", message="no scope", may_retry=False))

    @pytest.mark.parametrize("error", ["Trigger failure", "canary"])
    def test_soft_fail_does_not_hide_a_trigger_that_broke(self, deferral: TaskDeferred, error: str) -> None:
        with pytest.raises(Exception, match=error) as caught:
            self.waiting(soft_fail=True).resume_execution("__fail__", {"error": error}, {})
        assert not isinstance(caught.value, AirflowSkipException)

    def test_soft_fail_skips_when_the_triggerer_let_time_pass(self, deferral: TaskDeferred) -> None:
        error = "Trigger timeout" if AIRFLOW_V_3_0_PLUS else "Trigger/execution timeout"
        with pytest.raises(AirflowSkipException):
            self.waiting(soft_fail=True).resume_execution("__fail__", {"error": error}, {})

    def test_a_failure_fails_with_its_message(self, deferral: TaskDeferred) -> None:
        with pytest.raises(AirflowFailException, match="no scope"):
            resume(self.waiting(), self.event("failed", message="no scope", may_retry=False))
        with pytest.raises(KlaviyoError, match="no answer"):
            resume(self.waiting(), self.event("failed", message="no answer", may_retry=True))

    @pytest.mark.parametrize("event", [None, {}, "gone", {"status": "gone"}, {"status": "success"}, {"outstanding": 0}])
    def test_an_event_that_is_none_confirms_nothing(self, deferral: TaskDeferred, event: object) -> None:
        with pytest.raises(ValueError, match="nothing is confirmed"):
            resume(self.waiting(), event)

    def event(self, status: str, **more: Any) -> dict[str, Any]:
        now = datetime.now(UTC)
        return {"status": status, "outstanding": 0, "since": now.isoformat(), "deadline": time.time() + 60, **more}


def test_it_waits_in_the_worker_unless_told_otherwise() -> None:
    assert sensor(profiles=[]).deferrable is False
    assert sensor(profiles=[], deferrable=True).deferrable is True


def test_its_defaults_fit_klaviyo() -> None:
    waiting = DeletionConfirmedSensor(task_id="confirm", profiles=[])
    assert waiting.mode == "reschedule"
    assert waiting.timeout == timedelta(days=14).total_seconds()
    assert (waiting.poke_interval, waiting.exponential_backoff) == (60, True)
    assert waiting.max_wait == timedelta(minutes=30)
