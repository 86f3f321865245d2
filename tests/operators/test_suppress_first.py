"""`suppress_first`: whoever is to be deleted gets no more mail from the moment that the plan may be worked off."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_klaviyo.api import suppression
from airflow_provider_klaviyo.api.errors import KlaviyoUnavailableError
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import (
    DeletionPlanOperator,
    DeletionPlanReleaseOperator,
    ProfileDeletionOperator,
)

PEOPLE = ["jane@example.com", "joe@example.com", {"phone_number": "+15005550001"}, "absent@example.com"]


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A Klaviyo whose jobs are quick, with somebody in it whom nobody lists."""
    with Emulator(limit_factor=1_000, deletion_seconds=0, suppression_seconds=0.01) as emulator:
        emulator.add_profile("bystander@example.com")
        yield emulator


@pytest.fixture(autouse=True)
def ledger(emulator: Emulator, account: Callable[[Emulator], str], ledger: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A ledger behind the usual connection, and jobs that are looked at often."""
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_DEFAULT", account(emulator))
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", ledger.connection)
    monkeypatch.setattr(suppression, "FIRST_PAUSE_SECONDS", 0.02)
    return ledger


@pytest.fixture
def known(emulator: Emulator) -> set[str]:
    """Who is in Klaviyo of those who are listed, and has an address."""
    emulator.add_profile(None, "+15005550001")
    return {emulator.add_profile(f"{name}@example.com") for name in ("jane", "joe")}


def context(task_id: str) -> Any:
    of = {"dag_id": "erase", "run_id": "run 1", "task_id": task_id, "map_index": -1, "max_tries": 0}
    return {"ti": SimpleNamespace(**of, xcom_push=lambda **_: None)}


def plan(**arguments: Any) -> list[dict[str, Any]]:
    operator = DeletionPlanOperator(task_id="plan", profiles=PEOPLE, **{"suppress_first": True, **arguments})
    return operator.execute(context("plan"))


def release(references: Any, **arguments: Any) -> None:
    DeletionPlanReleaseOperator(task_id="release", plan=references, **arguments).execute(context("release"))


def test_who_is_planned_is_suppressed_and_then_deleted(emulator: Emulator, known: set[str], ledger: Any) -> None:
    (reference,) = plan()
    assert emulator.suppressed == known
    assert emulator.deletion_requests == []
    assert {one for (one,) in ledger.rows("SELECT profile_id FROM klaviyo_events WHERE event = 'suppressed'")} == known
    ProfileDeletionOperator(task_id="delete", batch=reference).execute(context("delete"))
    assert [profile.email for profile in emulator.profiles()] == ["bystander@example.com"]


def test_by_default_nobody_is(emulator: Emulator, known: set[str]) -> None:
    release(plan(suppress_first=False))
    assert (emulator.suppressed, emulator.calls("suppress_profiles")) == (set(), 0)


def test_run_again_it_leaves_those_who_are(emulator: Emulator, known: set[str]) -> None:
    references = plan()
    assert plan() == references
    assert emulator.calls("suppress_profiles") == 1


def test_run_again_when_they_are_deleted_it_brings_nobody_back(emulator: Emulator, known: set[str]) -> None:
    (reference,) = plan(suppress_first=False)
    ProfileDeletionOperator(task_id="delete", batch=reference).execute(context("delete"))
    plan()
    assert [profile.email for profile in emulator.profiles()] == ["bystander@example.com"]
    assert emulator.suppressed == set()


def test_while_a_plan_is_held_nobody_is_and_when_it_is_released_everyone_is(
    emulator: Emulator, known: set[str]
) -> None:
    references = plan(max_profiles=0, fail_when_held=False)
    assert emulator.suppressed == set()
    release(references, suppress_first=True)
    assert emulator.suppressed == known
    release(references, suppress_first=True)
    assert emulator.calls("suppress_profiles") == 1


def test_a_plan_that_is_held_and_fails_suppresses_nobody(emulator: Emulator, known: set[str]) -> None:
    with pytest.raises(AirflowFailException, match="is held"):
        plan(max_profiles=0)
    assert emulator.suppressed == set()


@pytest.mark.parametrize("fault", ["suppression_cancelled", "suppression_never_finishes"])
def test_when_it_fails_the_plan_stays_and_the_retry_goes_on(
    emulator: Emulator, known: set[str], ledger: Any, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppression.until_complete, "__kwdefaults__", {"patience_seconds": 0.3})
    emulator.fault(fault)
    with pytest.raises(KlaviyoUnavailableError, match=r"a retry asks for it.* a retry goes on with the others"):
        plan()
    registered = ledger.rows("SELECT plan_id, state FROM klaviyo_plans")
    assert [state for _, state in registered] == ["ready"]
    emulator.clear_faults()
    (reference,) = plan()
    assert ledger.rows("SELECT plan_id, state FROM klaviyo_plans") == registered == [(reference["plan_id"], "ready")]
    assert emulator.suppressed == known


def test_a_released_plan_stays_released_when_it_fails(
    emulator: Emulator, known: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    references = plan(max_profiles=0, fail_when_held=False)
    emulator.fault("suppression_cancelled")
    with pytest.raises(KlaviyoUnavailableError):
        release(references, suppress_first=True)
    emulator.clear_faults()
    release(references, suppress_first=True)
    assert emulator.suppressed == known


def test_a_missing_scope_fails_for_good_with_the_plan_registered(
    emulator: Emulator, known: set[str], ledger: Any
) -> None:
    emulator.fault("scope_missing", scope="subscriptions:write")
    with pytest.raises(AirflowFailException, match="subscriptions:write"):
        plan()
    assert ledger.rows("SELECT state FROM klaviyo_plans") == [("ready",)]


def test_no_output_shows_an_address(
    emulator: Emulator, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    emulator.add_profile("canary.tweet@example.com")
    operator = DeletionPlanOperator(task_id="plan", profiles=["canary.tweet@example.com"], suppress_first=True)
    operator.execute(context("plan"))
    assert len(emulator.suppressed) == 1
    assert "canary" not in f"{caplog.text} {''.join(capfd.readouterr())}"
