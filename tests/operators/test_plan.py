"""`DeletionPlanOperator`: what it returns and pushes, what it refuses, and what a second run of it changes."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException

from airflow_provider_klaviyo.api.errors import KlaviyoAuthenticationError
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.ledger.errors import LedgerUnavailableError
from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator, ProfileDeletionOperator

KEY = "a key that is long enough for a fingerprint"
CANARY = "canary.tweet"


@pytest.fixture(autouse=True)
def ledger(emulator: Emulator, connect: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A ledger in a file, behind the usual connection."""
    path = tmp_path / "ledger.db"
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(path)}))
    connect(emulator, account_id=emulator.account.id, fingerprint_key=KEY)
    return path


class Pushed(dict[str, Any]):
    """The XComs of a task instance, each as Airflow keeps it."""

    def xcom_push(self, key: str, value: Any) -> None:
        self[key] = json.loads(json.dumps(value))


def context(run_id: str, pushed: Pushed | None = None, map_index: int = -1) -> Any:
    pushed = Pushed() if pushed is None else pushed
    of = {"dag_id": "erase", "run_id": run_id, "task_id": "a_task", "map_index": map_index, "max_tries": 0}
    return {"ti": SimpleNamespace(**of, xcom_push=pushed.xcom_push)}


def plan(*, run_id: str = "run 1", **arguments: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Run the operator; return what it returns, and what it pushes as ``plan``."""
    pushed = Pushed()
    try:
        references = DeletionPlanOperator(task_id="plan", **arguments).execute(context(run_id, pushed))
    except AirflowFailException as error:
        error.pushed = pushed  # type: ignore[attr-defined]
        raise
    return references, pushed["plan"]


def delete(references: list[dict[str, Any]]) -> list[dict[str, Any]]:
    results = []
    for index, reference in enumerate(references):
        of_run = context("run 1", map_index=index)
        results.append(ProfileDeletionOperator(task_id="delete", batch=reference).execute(of_run))
    return results


def test_it_returns_references_and_pushes_counts(emulator: Emulator, capfd: pytest.CaptureFixture[str]) -> None:
    ids = [emulator.add_profile(email=f"{CANARY}.{number}@example.com") for number in range(3)]
    people = [f"{CANARY}.{number}@example.com" for number in range(5)]
    references, summary = plan(profiles=[*people, people[0], "junk"], batch_size=2)
    plan_id = summary["plan_id"]
    assert references == [
        {"plan_id": plan_id, "batch": 0, "size": 2},
        {"plan_id": plan_id, "batch": 1, "size": 1},
    ]
    expected = {"listed": 7, "duplicates": 1, "known": 0, "profiles": 3, "batches": 2, "seconds": 0, "state": "ready"}
    counts = {"planned": 3, "absent": 2, "invalid": 1, "requested": 0, "confirmed": 0, "reappeared": 0, "refused": 0}
    left = {"left_over": 0, "left_over_listed": 0}
    assert summary == {"plan_id": plan_id, "account_id": emulator.account.id, "held": 0, **expected, **counts, **left}
    assert CANARY not in "".join(capfd.readouterr())
    assert emulator.calls("profile_deletion") == 0
    delete(references)
    assert emulator.deletion_requests == ids


def test_a_query_brings_what_belongs_to_a_request(emulator: Emulator, warehouse: Callable[..., Path]) -> None:
    jane = emulator.add_profile(email="jane@example.com")
    warehouse("jane@example.com", "joe@example.com")
    sql = "SELECT request_id, email, '2026-11-01' AS received_at, 'ccpa' AS regulation FROM suppression_list"
    references, summary = plan(sql=sql, sql_conn_id="warehouse")
    assert (summary["listed"], summary["profiles"]) == (2, 1)
    delete(references)
    assert emulator.deleted == {jane}


def test_run_again_it_returns_the_same(emulator: Emulator) -> None:
    emulator.add_profile(email="jane@example.com")
    first = plan(profiles=["jane@example.com"])
    calls = emulator.calls()
    assert plan(profiles=["jane@example.com"]) == first
    assert emulator.calls() == calls
    _, summary = plan(profiles=["jane@example.com"], run_id="run 2")
    assert (summary["planned"], summary["left_over"], summary["left_over_listed"]) == (1, 1, 1)
    _, summary = plan(profiles=["jane@example.com"], run_id="run 3", leftovers="none")
    assert (summary["planned"], summary["known"]) == (0, 1)


def test_a_corrected_list_replaces_the_earlier_one(emulator: Emulator) -> None:
    jane, joe = (emulator.add_profile(email=f"{name}@example.com") for name in ("jane", "joe"))
    wrong, _ = plan(profiles=["jane@example.com"])
    right, _ = plan(profiles=["joe@example.com"])
    delete(wrong)
    assert emulator.deletion_requests == []
    delete(right)
    assert emulator.deleted == {joe}
    assert emulator.has_profile(jane)


@pytest.mark.parametrize("change", [{"max_profiles": 7}, {"max_profiles_per_identifier": 7}, {"regulation": "ccpa"}])
def test_a_corrected_limit_replaces_the_plan_and_nobody_is_asked_for_twice(
    emulator: Emulator, change: dict[str, Any]
) -> None:
    jane = emulator.add_profile(email="jane@example.com")
    first, _ = plan(profiles=["jane@example.com"])
    second, _ = plan(profiles=["jane@example.com"], **change)
    assert second[0]["plan_id"] != first[0]["plan_id"]
    delete(second)
    assert emulator.deletion_requests == [jane]


def test_each_mapped_instance_has_a_plan_of_its_own(emulator: Emulator) -> None:
    for name in ("jane", "joe"):
        emulator.add_profile(email=f"{name}@example.com")
    plans = []
    for index, name in enumerate(("jane", "joe")):
        operator = DeletionPlanOperator(task_id="plan", profiles=[f"{name}@example.com"])
        plans.append(operator.execute(context("run 1", map_index=index)))
    delete(plans[0])
    delete(plans[1])
    assert len(emulator.deletion_requests) == len(emulator.deleted) == 2


def test_what_is_left_comes_first(emulator: Emulator) -> None:
    ids = [emulator.add_profile(email=f"{number}@example.com") for number in range(4)]
    first, _ = plan(profiles=["0@example.com", "1@example.com", "2@example.com"], batch_size=2)
    delete(first[:1])
    second, summary = plan(profiles=["3@example.com"], run_id="run 2", leftovers="all")
    assert second[0] == first[1]
    assert second[1]["plan_id"] == summary["plan_id"]
    delete(second)
    assert emulator.deletion_requests == ids
    assert plan(profiles=[], run_id="run 3")[0] == []


def test_there_are_never_more_batches_than_airflow_maps_to(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "6")
    people = [f"{number}@example.com" for number in range(30)]
    for email in people:
        emulator.add_profile(email=email)
    first, _ = plan(profiles=people[:12], batch_size=1)
    assert len(first) == 6
    second, _ = plan(profiles=people[12:], batch_size=1, run_id="run 2", leftovers="all")
    assert len(second) == 6
    assert second[:3] == first[:3]
    assert [reference["size"] for reference in second[3:]] == [6, 6, 6]
    assert "a task maps to 3 at most" in caplog.text
    delete([*first, *second])
    assert len(emulator.deleted) == 30


def test_a_held_plan_fails_the_task_and_deletes_nobody(emulator: Emulator) -> None:
    ids = {emulator.add_profile(email=f"{number}@example.com") for number in range(3)}
    people = [f"{number}@example.com" for number in range(3)]
    message = "plan .* is held: it matches 3 profiles.*raise max_profiles on the plan's task and clear that task"
    with pytest.raises(AirflowFailException, match=message) as caught:
        plan(profiles=people, max_profiles=2)
    assert caught.value.pushed["plan"]["state"] == "held"  # type: ignore[attr-defined]
    assert emulator.calls("profile_deletion") == 0
    references, summary = plan(profiles=people, max_profiles=3)
    assert summary["state"] == "ready"
    delete(references)
    assert emulator.deleted == ids


def test_somebody_else_may_decide_about_a_held_plan(emulator: Emulator) -> None:
    emulator.add_profile(email="jane@example.com")
    references, summary = plan(profiles=["jane@example.com"], max_profiles=0, fail_when_held=False)
    assert summary["state"] == "held"
    with pytest.raises(AirflowFailException, match="is held"):
        delete(references)
    assert emulator.calls("profile_deletion") == 0


def test_what_is_left_of_a_held_plan_is_not_handed_to_the_next_run(emulator: Emulator) -> None:
    emulator.add_profile(email="jane@example.com")
    plan(profiles=["jane@example.com"], max_profiles=0, fail_when_held=False)
    assert plan(profiles=[], run_id="run 2")[0] == []


def test_a_batch_of_nobody_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        DeletionPlanOperator(task_id="plan", profiles=[], batch_size=0)


def shown(error: BaseException) -> str:
    return "".join([str(error), repr(error), *traceback.format_exception(error)])


def test_what_a_retry_can_mend_is_left_to_it(
    emulator: Emulator, ledger: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    people = [f"{CANARY}@example.com"]
    emulator.fault("key_revoked", endpoint="get_profiles")
    with pytest.raises(KlaviyoAuthenticationError) as refused:
        plan(profiles=people)
    emulator.clear_faults()
    connection = {"conn_type": "sqlite", "host": str(ledger.parent / "nowhere" / "ledger.db")}
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps(connection))
    with pytest.raises(LedgerUnavailableError, match=r"Ledger 'klaviyo_ledger': .*unable to open") as closed:
        plan(profiles=people)
    for error in (refused.value, closed.value):
        assert not isinstance(error, AirflowFailException)
        assert CANARY not in shown(error)
    assert CANARY not in caplog.text


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({}, "Account id"),
        ({"account_id": "mine"}, "fingerprint_key"),
        ({"account_id": "mine", "fingerprint_key": "short canary.tweet"}, "shorter than 32"),
    ],
)
def test_what_no_retry_can_mend_fails_for_good(
    emulator: Emulator, connect: Callable[..., None], extra: dict[str, str], message: str
) -> None:
    connect(emulator, **{name: emulator.account.id if value == "mine" else value for name, value in extra.items()})
    with pytest.raises(AirflowFailException, match=message) as caught:
        plan(profiles=[f"{CANARY}@example.com"])
    assert CANARY not in shown(caught.value)


def test_another_key_fails_for_good(emulator: Emulator, connect: Callable[..., None]) -> None:
    plan(profiles=[])
    connect(emulator, account_id=emulator.account.id, fingerprint_key=f"{CANARY}{KEY}")
    with pytest.raises(AirflowFailException, match="fingerprint_key is another one") as caught:
        plan(profiles=[f"{CANARY}@example.com"], run_id="run 2")
    assert CANARY not in shown(caught.value)


def test_a_ledger_that_is_not_there_fails_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_KLAVIYO_LEDGER")
    with pytest.raises(AirflowFailException, match="Ledger 'klaviyo_ledger': there is no such connection"):
        plan(profiles=[])
