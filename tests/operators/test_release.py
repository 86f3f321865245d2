"""`DeletionPlanReleaseOperator`: a held plan may be worked off; nothing else changes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import (
    DeletionPlanOperator,
    DeletionPlanReleaseOperator,
    ProfileDeletionOperator,
)


@pytest.fixture(autouse=True)
def ledger(emulator: Emulator, connect: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger in a file, behind the usual connection."""
    path = tmp_path / "ledger.db"
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    connect(emulator, account_id=emulator.account.id, fingerprint_key="a key that is long enough for a fingerprint")
    return path


def context(task_id: str) -> Any:
    of = {"dag_id": "erase", "run_id": "run 1", "task_id": task_id, "map_index": -1, "max_tries": 0}
    return {"ti": SimpleNamespace(**of, xcom_push=lambda **_: None)}


def plan(max_profiles: int) -> list[dict[str, Any]]:
    operator = DeletionPlanOperator(
        task_id="plan", profiles=["jane@example.com"], max_profiles=max_profiles, fail_when_held=False
    )
    return operator.execute(context("plan"))


def release(plan_id: Any) -> None:
    DeletionPlanReleaseOperator(task_id="release", plan=plan_id).execute(context("release"))


def delete(reference: dict[str, Any]) -> dict[str, Any]:
    return ProfileDeletionOperator(task_id="delete", batch=reference).execute(context("delete"))


def test_a_held_plan_may_be_worked_off_when_it_is_released(emulator: Emulator) -> None:
    jane = emulator.add_profile(email="jane@example.com")
    (reference,) = plan(0)
    with pytest.raises(AirflowFailException, match="let a DeletionPlanReleaseOperator release the plan"):
        delete(reference)
    release(reference["plan_id"])
    release(reference["plan_id"])
    assert plan(0) == [reference], "a plan that was released is not made anew"
    assert delete(reference)["requested"] == 1
    assert emulator.deletion_requests == [jane]


def test_a_plan_that_was_never_held_stays_as_it_is(emulator: Emulator) -> None:
    emulator.add_profile(email="jane@example.com")
    (reference,) = plan(1)
    release(reference["plan_id"])
    assert delete(reference)["requested"] == 1


def test_a_plan_that_was_replaced_stays_so(emulator: Emulator) -> None:
    emulator.add_profile(email="jane@example.com")
    (reference,) = plan(0)
    plan(1)
    with pytest.raises(AirflowFailException, match="was replaced by a newer one"):
        release(reference["plan_id"])


def test_what_a_plan_has_returned_will_do(emulator: Emulator) -> None:
    emulator.add_profile(email="jane@example.com")
    references = plan(0)
    release(references)
    assert delete(references[0])["requested"] == 1


@pytest.mark.parametrize("plan_id", ["f" * 32, "canary@example.com", None, {}, 7, [7], ["canary"]])
def test_an_unknown_plan_fails_for_good(plan_id: Any) -> None:
    with pytest.raises(
        AirflowFailException, match=r"no plan|must be what a DeletionPlan|must be one of the ref"
    ) as caught:
        release(plan_id)
    assert "canary" not in str(caught.value)
