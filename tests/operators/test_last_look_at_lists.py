"""Without a ledger, too, only a profile that itself holds what was listed is deleted, and moved people are found."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException
from pytest_mock import MockerFixture

from airflow_provider_klaviyo.deletion import drain as drain_module
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import ProfileDeletionOperator
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor

JANE, JOE = "jane@example.com", "joe@example.com"
PHONE = "+15005550006"


@pytest.fixture(autouse=True)
def connection_to_emulator(emulator: Emulator, connect: Callable[..., None]) -> None:
    connect(emulator, account_id=emulator.account.id)


class Store(dict[str, Any]):
    """A task state store."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


def delete(people: list[Any], store: Store | None = None, **arguments: Any) -> dict[str, Any]:
    operator = ProfileDeletionOperator(task_id="delete", profiles=people, absent_looks=1, **arguments)
    ti = SimpleNamespace(dag_id="erase", run_id="run 1", task_id="delete", map_index=-1, max_tries=0)
    return operator.execute({"ti": ti, "task_state_store": store})  # type: ignore[typeddict-item]


@pytest.fixture
def before_draining(mocker: MockerFixture) -> Callable[[Callable[[], object]], None]:
    """Let something happen in Klaviyo between the look-up of a list and its first deletion."""

    def happen(act: Callable[[], object]) -> None:
        drain = drain_module.drain

        def act_and_drain(*arguments: Any, **how: Any) -> Any:
            act()
            return drain(*arguments, **how)

        mocker.patch.object(drain_module, "drain", act_and_drain)

    return happen


def test_a_profile_that_changed_hands_is_not_deleted(emulator: Emulator, before_draining: Any) -> None:
    jane = emulator.add_profile(JANE)
    before_draining(lambda: emulator.update_profile(jane, email="a.stranger@example.com"))
    result = delete([JANE])
    assert (result["absent"], result["profile_ids"]) == (1, [])
    assert emulator.calls("profile_deletion") == 0


def test_a_person_who_moved_is_found_and_deleted(emulator: Emulator, before_draining: Any) -> None:
    jane, other = emulator.add_profile(JANE), emulator.add_profile(None, PHONE)
    before_draining(lambda: emulator.merge_profiles(jane, other))
    result = delete([JANE])
    assert (result["requested"], result["profile_ids"]) == (1, [other])
    assert emulator.deletion_requests == [other]


def test_one_of_two_identifiers_that_moved_is_found(emulator: Emulator, before_draining: Any) -> None:
    jane = emulator.add_profile(JANE, PHONE)
    moved: list[str] = []

    def move() -> None:
        emulator.update_profile(jane, phone_number=None)
        moved.append(emulator.add_profile(None, PHONE))

    before_draining(move)
    assert delete([JANE, {"phone_number": PHONE}])["requested"] == 2
    assert emulator.deletion_requests == [jane, *moved]


def test_moved_people_are_under_the_guards_of_the_list(emulator: Emulator, before_draining: Any) -> None:
    jane, joe = emulator.add_profile(JANE), emulator.add_profile(JOE)

    def move() -> None:
        emulator.remove_profile(jane)
        for _ in range(2):
            emulator.add_profile(JANE)

    before_draining(move)
    result = delete([JANE, JOE], max_profiles=2)
    assert (result["requested"], result["held"]) == (1, 1)
    assert emulator.deletion_requests == [joe]


def test_looks_that_contradict_each_other_fail_the_task(emulator: Emulator, before_draining: Any) -> None:
    jane = emulator.add_profile(JANE)

    def lag() -> None:
        emulator.update_profile(jane, email="a.stranger@example.com")
        emulator.fault("late_index", seconds=3_600.0)

    emulator.add_profile(JOE)
    before_draining(lag)
    result = delete([JANE])
    assert result["requested"] == 0
    assert emulator.deletion_requests == []


def test_a_retry_decides_about_each_profile_too(emulator: Emulator) -> None:
    ids = [emulator.add_profile(JANE), emulator.add_profile(JOE)]
    store = Store()
    emulator.fault("deletion_refused")
    with pytest.raises(Exception, match="nothing is lost"):
        delete([JANE, JOE], store)
    assert JANE not in repr(store)
    emulator.clear_faults()
    emulator.update_profile(ids[0], email="a.stranger@example.com")
    moved = emulator.add_profile(JANE)
    assert delete([JANE, JOE], store)["requested"] == 2
    assert sorted(emulator.deletion_requests) == sorted([ids[1], moved])


def sense(result: dict[str, Any], people: list[str], warehouse: Callable[..., Any]) -> Any:
    warehouse(*people)
    sensor = DeletionConfirmedSensor(
        task_id="confirm",
        profiles=result,
        sql="SELECT email FROM suppression_list",
        sql_conn_id="warehouse",
        mode="poke",
    )
    ti = SimpleNamespace(dag_id="erase", run_id="run 1", task_id="confirm", map_index=-1, max_tries=0)
    return sensor.poke({"ti": ti})  # type: ignore[typeddict-item]


def test_an_older_profile_that_takes_an_address_over_is_not_confirmed(emulator: Emulator, warehouse: Any) -> None:
    emulator.add_profile(JANE)
    other = emulator.add_profile("other@example.com")
    result = delete([JANE])
    emulator.update_profile(other, email=JANE)
    with pytest.raises(AirflowFailException, match="Clear the deletion task") as caught:
        sense(result, [JANE], warehouse)
    assert JANE not in str(caught.value)


def test_what_the_deletion_held_back_is_no_reason_to_fail(emulator: Emulator, warehouse: Any) -> None:
    emulator.add_profile(JOE)
    for _ in range(3):
        emulator.add_profile(JANE)
    result = delete([JANE, JOE], max_profiles_per_identifier=2)
    counts = sense(result, [JANE, JOE], warehouse).xcom_value
    assert counts == {"confirmed": 1, "reappeared": 0, "held": 1}


def test_a_profile_that_one_search_does_not_find_is_not_confirmed(emulator: Emulator, warehouse: Any) -> None:
    emulator.fault("deletions_never_finish")
    jane = emulator.add_profile(JANE)
    result = delete([JANE])
    emulator.update_profile(jane, external_id="makes it invisible to a search that lags behind")
    emulator.fault("late_index", seconds=3_600.0)
    assert not sense(result, [JANE], warehouse).is_done
