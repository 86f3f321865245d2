"""Each deletion is decided directly before it is sent: only a profile that itself holds what was listed is deleted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks.ledger import open_ledger
from airflow_provider_klaviyo.ledger.planning import withdraw_plan
from airflow_provider_klaviyo.operators.klaviyo import (
    DeletionPlanOperator,
    DeletionPlanReleaseOperator,
    ProfileDeletionOperator,
)
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor

JANE, JOE = "jane@example.com", "joe@example.com"
PHONE = "+15005550006"


@pytest.fixture(autouse=True)
def ledger(emulator: Emulator, account: Callable[[Emulator], str], ledger: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A ledger behind the usual connection."""
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_DEFAULT", account(emulator))
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", ledger.connection)
    return ledger


def context(task_id: str, *, dag_id: str = "erase", run_id: str = "run 1", map_index: int = -1) -> Any:
    pushed: dict[str, Any] = {}
    of = {"dag_id": dag_id, "run_id": run_id, "task_id": task_id, "map_index": map_index, "max_tries": 0}
    ti = SimpleNamespace(**of, xcom_push=lambda *, key, value: pushed.update({key: value}))
    return {"ti": ti, "pushed": pushed}


def plan(people: Any, *, dag_id: str = "erase", run_id: str = "run 1", **arguments: Any) -> list[dict[str, Any]]:
    operator = DeletionPlanOperator(task_id="plan", profiles=people, absent_looks=1, **arguments)
    return operator.execute(context("plan", dag_id=dag_id, run_id=run_id))


def delete(batches: list[dict[str, Any]], **where: Any) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for number, batch in enumerate(batches):
        operator = ProfileDeletionOperator(task_id="delete", batch=batch)
        result = operator.execute(context("delete", map_index=number, **where))
    return result


def confirm(batches: list[dict[str, Any]]) -> Any:
    return DeletionConfirmedSensor(task_id="confirm", plan=batches, mode="poke").poke(context("confirm"))


def withdraw(plan_id: str) -> Any:
    with open_ledger("klaviyo_ledger", "klaviyo_default", "the privacy team") as (ledger, _):
        return withdraw_plan(ledger, plan_id)


def named(emulator: Emulator) -> set[str | None]:
    return {profile.email or profile.phone_number for profile in emulator.profiles()}


def test_a_profile_that_changed_hands_is_not_deleted_and_the_person_is_found_elsewhere(emulator: Emulator) -> None:
    before = emulator.add_profile(JANE)
    batches = plan([JANE])
    emulator.update_profile(before, email="a.stranger@example.com")
    now = emulator.add_profile(JANE)
    assert delete(batches)["requested"] == 1
    assert emulator.deletion_requests == [now]
    assert confirm(batches).xcom_value["confirmed"] == 1


def test_a_profile_that_changed_hands_is_left_alone_if_the_person_is_nowhere(emulator: Emulator) -> None:
    profile_id = emulator.add_profile(JANE)
    batches = plan([JANE])
    emulator.update_profile(profile_id, email="a.stranger@example.com")
    assert delete(batches)["absent"] == 1
    assert emulator.calls("profile_deletion") == 0


def test_a_merged_profile_is_found_under_the_listed_address(emulator: Emulator) -> None:
    jane, other = emulator.add_profile(JANE), emulator.add_profile(None, PHONE)
    batches = plan([JANE])
    emulator.merge_profiles(jane, other)
    assert delete(batches)["requested"] == 1
    assert emulator.deletion_requests == [other]
    assert confirm(batches).xcom_value["confirmed"] == 1
    assert named(emulator) == set()


def test_a_profile_merged_into_one_that_is_listed_too_is_deleted_once(emulator: Emulator) -> None:
    jane, phone = emulator.add_profile(JANE), emulator.add_profile(None, PHONE)
    batches = plan([JANE, PHONE])
    emulator.merge_profiles(jane, phone)
    assert delete(batches)["requested"] == 2
    assert emulator.deletion_requests == [phone]


def test_of_two_identifiers_of_a_profile_one_has_moved_on(emulator: Emulator) -> None:
    jane = emulator.add_profile(JANE, PHONE)
    batches = plan([JANE, PHONE])
    emulator.update_profile(jane, phone_number=None)
    other = emulator.add_profile(None, PHONE)
    assert delete(batches)["requested"] == 2
    assert emulator.deletion_requests == [jane, other]


def test_profiles_that_join_are_under_the_guards_of_the_plan(emulator: Emulator) -> None:
    jane, joe = emulator.add_profile(JANE), emulator.add_profile(JOE)
    batches = plan([JANE, JOE], max_profiles=2, max_profiles_per_identifier=2)
    emulator.remove_profile(jane)
    strangers = [emulator.add_profile(JANE) for _ in range(3)]
    result = delete(batches)
    assert (result["requested"], result["held"]) == (1, 1)
    assert emulator.deletion_requests == [joe]
    assert {profile.id for profile in emulator.profiles()} == set(strangers)


def test_more_profiles_than_the_plan_may_match_do_not_join(emulator: Emulator) -> None:
    jane, joe = emulator.add_profile(JANE), emulator.add_profile(JOE)
    batches = plan([JANE, JOE], max_profiles=2)
    emulator.remove_profile(jane)
    for _ in range(2):
        emulator.add_profile(JANE)
    result = delete(batches)
    assert (result["requested"], result["held"]) == (1, 1)
    assert emulator.deletion_requests == [joe]


def test_a_search_that_lags_behind_deletes_nobody_else(emulator: Emulator) -> None:
    """The search still finds the profile under the listed address; the profile itself holds another one."""
    profile_id = emulator.add_profile(JANE)
    batches = plan([JANE])
    emulator.update_profile(profile_id, email="a.stranger@example.com")
    emulator.fault("late_index", seconds=3_600.0)
    delete(batches)
    assert emulator.calls("profile_deletion") == 0


def test_a_claim_of_a_dead_worker_exempts_nobody(emulator: Emulator, ledger: Any) -> None:
    profile_id = emulator.add_profile(JANE)
    batches = plan([JANE])
    emulator.fault("redirect", endpoint="profile_deletion")
    with pytest.raises(Exception, match="nothing is lost"):
        delete(batches)
    assert ledger.rows("SELECT count(*) FROM klaviyo_requests WHERE claimed_at IS NOT NULL") == [(1,)]
    emulator.clear_faults()
    emulator.update_profile(profile_id, email="a.stranger@example.com")
    delete(batches)
    assert emulator.deletion_requests == []


@pytest.fixture
def throttled(emulator: Emulator) -> Iterator[None]:
    """Every deletion is refused for a second at a time."""
    emulator.fault("throttled", endpoint="profile_deletion", retry_after=1)
    yield
    emulator.clear_faults()


def meanwhile(act: Callable[[], object], is_time: Callable[[], bool]) -> threading.Thread:
    """Do something in another thread as soon as it is time."""

    def wait() -> None:
        deadline = time.monotonic() + 30
        while not is_time() and time.monotonic() < deadline:
            time.sleep(0.01)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


@pytest.mark.usefixtures("throttled")
def test_a_withdrawal_stops_a_call_that_is_being_retried(emulator: Emulator, ledger: Any) -> None:
    emulator.add_profile(JANE)
    batches = plan([JANE])

    def act() -> None:
        withdraw(batches[0]["plan_id"])
        emulator.clear_faults()

    thread = meanwhile(act, lambda: emulator.calls("profile_deletion", 429) > 0)
    result = delete(batches)
    thread.join()
    assert emulator.deletion_requests == []
    assert result["held"] == 1, "Klaviyo refused all that was sent, so nothing is watched"
    assert ledger.rows("SELECT count(*) FROM klaviyo_requests WHERE identifier IS NOT NULL") == [(0,)]


@pytest.mark.usefixtures("throttled")
def test_hands_that_change_while_a_call_is_retried_stop_it(emulator: Emulator) -> None:
    profile_id = emulator.add_profile(JANE)
    batches = plan([JANE])

    def act() -> None:
        emulator.update_profile(profile_id, email="a.stranger@example.com")
        emulator.clear_faults()

    thread = meanwhile(act, lambda: emulator.calls("profile_deletion", 429) > 0)
    result = delete(batches)
    thread.join()
    assert (emulator.deletion_requests, result["absent"]) == ([], 1)


def test_calls_that_were_never_made_are_not_on_the_record(emulator: Emulator, ledger: Any) -> None:
    profile_id = emulator.add_profile(JANE)
    batches = plan([JANE])
    emulator.remove_profile(profile_id)
    delete(batches)
    assert ledger.rows("SELECT count(*) FROM klaviyo_events WHERE event = 'asked'") == [(0,)]


@pytest.mark.parametrize("spoil", [lambda one: one[:8], str.upper, lambda _: "", lambda _: " ", lambda _: "0" * 32])
def test_a_plan_that_does_not_exist_is_not_withdrawn(emulator: Emulator, spoil: Callable[[str], str]) -> None:
    emulator.add_profile(JANE)
    plan_id = plan([JANE])[0]["plan_id"]
    spoilt = spoil(plan_id)
    if spoilt == plan_id:
        spoilt = plan_id.replace(plan_id[0], "0" if plan_id[0] != "0" else "1")
    with pytest.raises(ValueError, match="plan"):
        withdraw(spoilt)


def test_another_accounts_plan_is_not_withdrawn(
    emulator: Emulator, connection: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.add_profile(JANE)
    batches = plan([JANE])
    other = emulator.add_account()
    settings = connection(emulator, account_id=other.id, fingerprint_key="another key that is long enough for it")
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_DEFAULT", settings.replace(emulator.account.key, other.key))
    with pytest.raises(ValueError, match="account"):
        withdraw(batches[0]["plan_id"])


def test_another_dag_works_off_nobody_whom_its_list_does_not_name(emulator: Emulator) -> None:
    """A DAG that is paused stays stopped, whatever other DAGs run on the same ledger."""
    people = [f"person.{number}@example.com" for number in range(4)]
    ids = [emulator.add_profile(one) for one in people]
    plan(people)
    batches = plan(people[:1], dag_id="another", max_profiles=1)
    delete(batches, dag_id="another")
    assert emulator.deletion_requests == ids[:1]


def test_a_new_run_with_a_corrected_list_deletes_nobody_else(emulator: Emulator) -> None:
    people = [f"person.{number}@example.com" for number in range(4)]
    ids = [emulator.add_profile(one) for one in people]
    first = plan(people)
    second = plan(people[:3], run_id="run 2")
    delete(second, run_id="run 2")
    assert emulator.deletion_requests == ids[:3]
    assert first[0]["plan_id"] != second[0]["plan_id"]


@pytest.mark.parametrize(("leftovers", "deleted"), [("listed", {0}), ("all", {0, 1, 2}), ("none", set())])
def test_what_other_plans_left_is_worked_off_as_leftovers_says(
    emulator: Emulator, leftovers: str, deleted: set[int]
) -> None:
    people = [f"person.{number}@example.com" for number in range(3)]
    ids = [emulator.add_profile(one) for one in people]
    plan(people)
    delete(plan(people[:1], run_id="run 2", leftovers=leftovers), run_id="run 2")
    assert set(emulator.deletion_requests) == {ids[one] for one in deleted}


def test_all_leftovers_count_against_max_profiles(emulator: Emulator) -> None:
    people = [f"person.{number}@example.com" for number in range(4)]
    for one in people:
        emulator.add_profile(one)
    plan(people[:3])
    with pytest.raises(Exception, match="held"):
        plan(people[3:], run_id="run 2", leftovers="all", max_profiles=3)
    assert emulator.deletion_requests == []


def test_to_correct_one_list_loses_nobody_whom_another_names(emulator: Emulator) -> None:
    jane, joe = emulator.add_profile(JANE), emulator.add_profile(JOE)
    plan([JANE, JOE])
    second = plan([JANE], dag_id="another")
    corrected = plan([JOE])
    delete(corrected)
    assert emulator.deletion_requests == [joe]
    delete(second, dag_id="another")
    assert emulator.deletion_requests == [joe, jane]


def test_several_plans_that_list_the_same_people_delete_each_once(emulator: Emulator, ledger: Any) -> None:
    people = [f"person.{number}@example.com" for number in range(5)]
    ids = [emulator.add_profile(one) for one in people]
    made = [plan(people, dag_id=f"dag {number}") for number in range(4)]
    for number, batches in enumerate(made):
        assert delete(batches, dag_id=f"dag {number}")["requested"] == 5
    assert sorted(emulator.deletion_requests) == sorted(ids)
    for batches in made:
        assert confirm(batches).xcom_value["confirmed"] == 5
    assert ledger.rows("SELECT count(*) FROM klaviyo_requests WHERE identifier IS NOT NULL") == [(0,)]


def test_an_address_in_the_ledger_is_encrypted(emulator: Emulator, ledger: Any) -> None:
    emulator.add_profile(JANE)
    plan([JANE])
    assert JANE.encode() not in ledger.path.read_bytes()


def test_what_is_held_is_counted_every_night(emulator: Emulator, ledger: Any) -> None:
    for _ in range(3):
        emulator.add_profile(JANE)
    listed = [JANE, "not an address", {"email": "x@y@z"}]
    for night in range(3):
        operator = DeletionPlanOperator(
            task_id="plan", profiles=listed, max_profiles_per_identifier=2, absent_looks=1, max_invalid=1.0
        )
        where = context("plan", run_id=f"night {night}")
        operator.execute(where)
        summary = where["pushed"]["plan"]
        assert (summary["held"], summary["invalid"], summary["known"]) == (1, 2, 0)
    assert ledger.rows("SELECT count(*) FROM klaviyo_requests") == [(3,)], "each has one row"


def test_an_open_request_keeps_its_date_from_night_to_night(emulator: Emulator, ledger: Any) -> None:
    emulator.add_profile(JANE)
    plan([JANE])
    plan([JANE], run_id="run 2")
    assert len(set(ledger.rows("SELECT received_at, due_at FROM klaviyo_requests"))) == 1


def test_what_other_plans_left_is_said(emulator: Emulator, caplog: pytest.LogCaptureFixture) -> None:
    people = [f"person.{number}@example.com" for number in range(4)]
    for one in people:
        emulator.add_profile(one)
    plan(people)
    where = context("plan", run_id="run 2")
    DeletionPlanOperator(task_id="plan", profiles=people[:3], absent_looks=1).execute(where)
    assert (where["pushed"]["plan"]["left_over"], where["pushed"]["plan"]["left_over_listed"]) == (4, 3)


def test_release_with_suppress_first_suppresses_nobody_else(emulator: Emulator, monkeypatch: Any) -> None:
    profile_id, joe = emulator.add_profile(JANE), emulator.add_profile(JOE)
    batches = plan([JANE, JOE], max_profiles=1, fail_when_held=False)
    emulator.update_profile(profile_id, email="a.stranger@example.com")
    DeletionPlanReleaseOperator(task_id="release", plan=batches, suppress_first=True).execute(context("release"))
    assert emulator.suppressed == {joe}
