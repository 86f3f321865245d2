"""What a firewall or a proxy answers in Klaviyo's place fails no task, and says nothing about a person or the key."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import TaskDeferred

from airflow_provider_klaviyo.api import conversation
from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator, ProfileDeletionOperator
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor

JANE, JOE, BYSTANDER = "jane@example.com", "joe@example.com", "bystander@example.com"
IN_HTML = [200, 202, 204, 302, 400, 401, 403, 404, 405, 409, 410, 414, 429, 503]


@pytest.fixture(autouse=True)
def connection_to_emulator(
    emulator: Emulator, connect: Callable[..., None], ledger: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect(emulator, account_id=emulator.account.id, fingerprint_key="a key that is long enough for a fingerprint")
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", ledger.connection)
    monkeypatch.setattr(conversation, "FIRST_PAUSE_SECONDS", 0.001)
    monkeypatch.setattr(conversation, "WRONG_SUCCESS_PATIENCE_SECONDS", 0.1)


def context_of(task_id: str) -> Any:
    ti = SimpleNamespace(
        dag_id="erase", run_id="run 1", task_id=task_id, map_index=-1, max_tries=0, xcom_push=lambda **_: None
    )
    return {"ti": ti, "task_state_store": None}


def delete(**of: Any) -> dict[str, Any]:
    return ProfileDeletionOperator(task_id="delete", **of).execute(context_of("delete"))


def plan(*people: str) -> list[dict[str, Any]]:
    return DeletionPlanOperator(task_id="plan", profiles=list(people), absent_looks=1).execute(context_of("plan"))


@pytest.mark.parametrize("endpoint", ["get_profiles", "get_profile", "profile_deletion"])
@pytest.mark.parametrize("status", IN_HTML)
def test_a_list_is_deleted_all_the_same(emulator: Emulator, status: int, endpoint: str) -> None:
    listed = [emulator.add_profile(JANE), emulator.add_profile(JOE)]
    emulator.add_profile(BYSTANDER)
    emulator.fault("server_error_html", status=status, endpoint=endpoint, times=3)
    result = delete(profiles=[JANE, JOE, "nobody@example.com"], absent_looks=1)
    assert (result["requested"], result["absent"], result["held"], result["refused"]) == (2, 1, 0, 0)
    assert emulator.deletion_requests == listed
    assert emulator.deleted == set(listed)


@pytest.mark.parametrize("endpoint", ["get_profiles", "get_profile", "profile_deletion"])
@pytest.mark.parametrize("status", [202, 401, 403, 404])
def test_a_plan_is_worked_off_all_the_same(emulator: Emulator, status: int, endpoint: str) -> None:
    listed = [emulator.add_profile(JANE), emulator.add_profile(JOE)]
    emulator.add_profile(BYSTANDER)
    emulator.fault("server_error_html", status=status, endpoint=endpoint, times=3)
    (batch,) = plan(JANE, JOE, "nobody@example.com")
    assert delete(batch=batch)["requested"] == 2
    assert emulator.deletion_requests == listed


def test_a_202_in_html_is_no_acceptance_however_long_it_lasts(emulator: Emulator) -> None:
    jane = emulator.add_profile(JANE)
    (batch,) = plan(JANE)
    emulator.fault("server_error_html", status=202, endpoint="profile_deletion")
    with pytest.raises(KlaviyoAnswerError):
        delete(batch=batch)
    assert emulator.deletion_requests == []
    emulator.clear_faults()
    assert delete(batch=batch)["requested"] == 1
    assert emulator.deletion_requests == [jane]


def test_five_401_in_html_do_not_revoke_a_key(emulator: Emulator) -> None:
    jane = emulator.add_profile(JANE)
    emulator.fault("server_error_html", status=401, times=5)
    assert delete(profiles=[JANE])["requested"] == 1
    assert emulator.deletion_requests == [jane]


@pytest.mark.parametrize("fault", ["errors_in_ok", "wrong_resources", "truncated_json", "wrong_types"])
@pytest.mark.parametrize("endpoint", ["get_profiles", "get_profile"])
def test_a_success_that_says_nothing_makes_nobody_absent(emulator: Emulator, fault: str, endpoint: str) -> None:
    jane = emulator.add_profile(JANE)
    emulator.fault(fault, endpoint=endpoint, times=3)
    result = delete(profiles=[JANE], absent_looks=1)
    assert (result["requested"], result["absent"]) == (1, 0)
    assert emulator.deletion_requests == [jane]


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_sensor_looks_on(emulator: Emulator, status: int) -> None:
    emulator.add_profile(JANE)
    result = delete(profiles=[JANE])
    emulator.fault("server_error_html", status=status, times=3)
    sensor = DeletionConfirmedSensor(task_id="confirm", profiles=result, mode="poke", poke_interval=0.01)
    assert sensor.execute(context_of("confirm"))["confirmed"] == 1


@pytest.mark.parametrize("status", [200, 401, 403, 404])
def test_a_trigger_survives(emulator: Emulator, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also if each of its looks gives up at once."""
    monkeypatch.setattr("airflow_provider_klaviyo.triggers.klaviyo.PATIENCE_SECONDS", 0.0)
    emulator.fault("deletions_never_finish", times=1)
    emulator.add_profile(JANE)
    result = delete(profiles=[JANE])
    sensor = DeletionConfirmedSensor(task_id="confirm", profiles=result, deferrable=True, poke_interval=1)
    with pytest.raises(TaskDeferred) as caught:
        sensor.execute(context_of("confirm"))
    trigger: Any = caught.value.trigger
    trigger.pause_seconds, trigger.longest_pause_seconds, trigger.deadline = 0.01, 0.01, time.time() + 60
    emulator.clear_faults()
    emulator.fault("server_error_html", status=status, times=5)

    async def payloads() -> list[Any]:
        return [event.payload async for event in trigger.run()]

    (payload,) = asyncio.run(payloads())
    assert payload["status"] == "gone"
