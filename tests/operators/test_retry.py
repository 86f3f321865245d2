"""A retry goes on where the try before it stopped, on an Airflow that has a task state store."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.providers.common.compat.version_compat import AIRFLOW_V_3_3_PLUS

from airflow_provider_klaviyo.deletion.checkpoint import Checkpoint
from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.work import Work
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import ProfileDeletionOperator


class Store:
    """Airflow's task state store as far as it is used: JSON under keys, kept from try to try."""

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get(self, key: str, default: Any = None) -> Any:
        return json.loads(self.kept[key]) if key in self.kept else default

    def set(self, key: str, value: Any) -> None:
        self.kept[key] = json.dumps(value)

    def delete(self, key: str) -> None:
        self.kept.pop(key, None)


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def listed(emulator: Emulator, connect: Callable[..., None]) -> list[str]:
    """Six people, five of whom are in Klaviyo."""
    connect(emulator)
    emails = [f"person.{number}@example.com" for number in range(6)]
    for email in emails[:5]:
        emulator.add_profile(email=email)
    return emails


class KilledError(Exception):
    """The worker is gone."""


class DyingStore(Store):
    """Kills the task when so many deletions are recorded."""

    def __init__(self, store: Store, after: int) -> None:
        self.kept = store.kept
        self.after = after

    def set(self, key: str, value: Any) -> None:
        super().set(key, value)
        if key == "klaviyo_deletions" and value["number"] == self.after:
            raise KilledError


def delete(listed: list[str], store: Store, max_tries: int = 3, **arguments: Any) -> dict[str, Any]:
    context: Any = {"task_state_store": store, "ti": SimpleNamespace(max_tries=max_tries)}
    return ProfileDeletionOperator(task_id="delete", profiles=listed, **arguments).execute(context)


def die_after(number: int, listed: list[str], store: Store) -> None:
    with pytest.raises(KilledError):
        delete(listed, DyingStore(store, number))


def test_a_retry_neither_looks_up_nor_deletes_again(emulator: Emulator, listed: list[str], store: Store) -> None:
    die_after(2, listed, store)
    assert len(emulator.deletion_requests) == 2
    look_ups = emulator.calls("get_profiles")

    result = delete(listed, store)

    assert emulator.calls("get_profiles") == look_ups
    assert len(emulator.deletion_requests) == len(set(emulator.deletion_requests)) == 5
    assert (result["requested"], result["absent"]) == (5, 1)
    assert sorted(result["profile_ids"]) == sorted(emulator.deletion_requests)


def test_a_list_that_was_looked_up_yesterday_is_read_anew(emulator: Emulator, listed: list[str], store: Store) -> None:
    die_after(2, listed, store)
    kept = store.get("klaviyo_work")
    kept["work"]["began_at"] = "2026-01-01T00:00:00+00:00"
    store.set("klaviyo_work", kept)
    assert delete(listed[:3], store)["requested"] == 1, "two of the three are gone, and the others no longer listed"


@pytest.mark.parametrize("change", [{"max_tries": 7}, {"max_profiles": 1}])
def test_a_task_that_was_cleared_or_corrected_does_not_go_on_with_the_list_that_was_wrong(
    emulator: Emulator, listed: list[str], store: Store, change: dict[str, int]
) -> None:
    right = emulator.add_profile(email="right@example.com")
    die_after(1, listed, store)
    delete(["right@example.com"], store, **change)
    assert emulator.deletion_requests[1:] == [right]


def test_an_absent_and_a_refused_profile_keep_their_outcomes(store: Store) -> None:
    work = Work(datetime.now(UTC), 3, 0, {}, (("A",), ("B",), ("C",)), ("a", "b", "c"))
    how: dict[str, Any] = {"keys": FingerprintKeys((b"a key",)), "look_up": lambda: work, "max_profiles": None}
    before = Checkpoint(store, "now", **how)
    before.start(work)
    for profile_id, outcome in zip("ABC", (Outcome.ABSENT, Outcome.REQUESTED, Outcome.REFUSED), strict=True):
        before.end(profile_id, outcome)
    after = Checkpoint(store, "now", **how)
    assert after.resume()
    assert after.work == work
    assert after.done == {"A": Outcome.ABSENT, "B": Outcome.REQUESTED, "C": Outcome.REFUSED}


def test_nothing_personal_is_kept(emulator: Emulator, listed: list[str], store: Store) -> None:
    die_after(2, listed, store)
    assert store.kept
    assert "example.com" not in json.dumps(store.kept)


def test_a_task_that_is_cleared_after_it_succeeded_looks_its_list_up_anew(
    emulator: Emulator, listed: list[str], store: Store
) -> None:
    delete(listed, store)
    assert store.kept == {}
    emulator.add_profile(email=listed[0])
    assert delete(listed, store)["requested"] == 1


@pytest.mark.parametrize("kept", [None, 7, "x", [], {}, {"version": 0}, {"version": 1}, {"version": 1, "matches": 3}])
def test_what_another_version_has_kept_is_left_alone(
    kept: Any, emulator: Emulator, listed: list[str], store: Store
) -> None:
    store.set("klaviyo_work", kept)
    assert delete(listed, store)["requested"] == 5


def test_a_real_retry_goes_on(
    airflow: Any, warehouse: Callable[..., Path], connection: Callable[[Emulator], str]
) -> None:
    listed = [f"person.{number}@example.com" for number in range(6)]
    path = warehouse(*listed)
    with Emulator(limit_factor=1_000, deletion_seconds=0) as emulator:
        present = {emulator.add_profile(email=email) for email in listed}
        emulator.fault("deletion_refused", times=1)
        airflow.environment = {
            "AIRFLOW_CONN_WAREHOUSE": json.dumps({"conn_type": "sqlite", "host": str(path)}),
            "AIRFLOW_CONN_KLAVIYO_DEFAULT": connection(emulator),
            "RETRIES": "1",
        }
        run = airflow.run("people_in_a_warehouse")
        assert run.returncode == 0, run.stdout + run.stderr
        assert emulator.deleted == present
    assert airflow.results("confirm") == [{"confirmed": 6, "reappeared": 0}]
    assert ("An earlier try got to 0 of 6 deletions" in run.stdout) == AIRFLOW_V_3_3_PLUS
