"""Whoever waits for deletion is suppressed first: once, on the record, and nobody who may be on the way out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_klaviyo.api import suppression
from airflow_provider_klaviyo.api.errors import KlaviyoUnavailableError
from airflow_provider_klaviyo.deletion.identifiers import Identifier
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.ledger.ledger import Ledger
from airflow_provider_klaviyo.ledger.planning import withdraw_plan
from airflow_provider_klaviyo.ledger.questions import what_became_of
from airflow_provider_klaviyo.ledger.suppression import suppress_planned


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A Klaviyo whose jobs are quick."""
    with Emulator(limit_factor=1_000, deletion_seconds=0, suppression_seconds=0.01) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at jobs often, and give them up soon."""
    monkeypatch.setattr(suppression, "FIRST_PAUSE_SECONDS", 0.02)
    monkeypatch.setattr(suppression.until_complete, "__kwdefaults__", {"patience_seconds": 0.3})


@pytest.fixture
def suppress(shop: Any) -> Callable[..., None]:
    """Suppress who is planned."""

    def suppress(plan: dict[str, Any]) -> None:
        with shop.open() as (ledger, hook):
            suppress_planned(ledger, plan["plan_id"], hook.get_conn())

    return suppress


def noted(shop: Any) -> list[str]:
    return [profile_id for event, profile_id in shop.events() if event == "suppressed"]


def test_everyone_planned_is_suppressed_and_it_is_on_the_record(shop: Any, suppress: Callable[..., None]) -> None:
    jane, joe = (shop.emulator.add_profile(f"{name}@example.com") for name in ("jane", "joe"))
    phone = shop.emulator.add_profile(None, "+15005550001")
    shop.emulator.add_profile("bystander@example.com")
    plan = shop.plan(["jane@example.com", "joe@example.com", "+15005550001", "absent@example.com"])
    suppress(plan)
    assert shop.emulator.suppressed == {jane, joe} == set(noted(shop))
    assert shop.counts(plan) == {"planned": 3, "absent": 1}
    assert phone not in noted(shop)
    assert len(shop.emulator.profiles()) == 4
    with shop.open() as (ledger, _):
        steps = what_became_of(ledger, Identifier.parse("jane@example.com"))
    assert [(step.event, step.profile_id) for step in steps] == [("registered", jane), ("suppressed", jane)]


def test_a_second_time_nobody_is(shop: Any, suppress: Callable[..., None]) -> None:
    shop.emulator.add_profile("jane@example.com")
    plan = shop.plan(["jane@example.com"])
    suppress(plan)
    suppress(plan)
    assert shop.emulator.calls("suppress_profiles") == len(noted(shop)) == 1


def test_what_failed_half_way_goes_on(
    shop: Any, suppress: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_klaviyo.ledger.suppression.PROFILES_AT_ONCE", 2)
    people = [f"{number}@example.com" for number in range(5)]
    ids = shop.emulator.add_profiles({"email": email} for email in people)
    plan = shop.plan(people)
    note = Ledger.note

    def note_and_break(self: Ledger, *step: Any) -> None:
        note(self, *step)
        shop.emulator.fault("suppression_cancelled")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Ledger, "note", note_and_break)
        with pytest.raises(KlaviyoUnavailableError, match="cancelled"):
            suppress(plan)
    assert noted(shop) == ids[:2]
    shop.emulator.clear_faults()
    suppress(plan)
    assert noted(shop) == ids
    assert shop.emulator.suppressed == set(ids)
    assert shop.emulator.calls("suppress_profiles") == 4


def test_while_it_is_held_nobody_is(shop: Any, suppress: Callable[..., None]) -> None:
    jane = shop.emulator.add_profile("jane@example.com")
    plan = shop.plan(["jane@example.com"], max_profiles=0)
    suppress(plan)
    assert shop.emulator.suppressed == set()
    with shop.open() as (ledger, _):
        ledger.release(plan["plan_id"])
    suppress(plan)
    assert shop.emulator.suppressed == {jane}


def test_of_a_plan_that_was_withdrawn_nobody_is(shop: Any, suppress: Callable[..., None]) -> None:
    shop.emulator.add_profile("jane@example.com")
    plan = shop.plan(["jane@example.com"])
    with shop.open() as (ledger, _):
        withdraw_plan(ledger, plan["plan_id"])
    suppress(plan)
    assert shop.emulator.calls("suppress_profiles") == 0


def test_who_was_deleted_already_does_not_come_back(shop: Any, suppress: Callable[..., None]) -> None:
    people = [f"{number}@example.com" for number in range(4)]
    shop.emulator.add_profiles({"email": email} for email in people)
    plan = shop.plan(people, batch_size=2)
    first, _ = shop.batches(plan)
    shop.drain([first])
    suppress(plan)
    assert len(shop.emulator.profiles()) == len(shop.emulator.suppressed) == 2
    assert set(noted(shop)) == shop.emulator.suppressed


def test_who_is_on_the_way_out_by_another_plan_is_left_alone(slow_shop: Any) -> None:
    """A job would make a new profile of the address, as soon as the old one is gone."""
    jane = slow_shop.emulator.add_profile("jane@example.com", "+15005550001")
    first = slow_shop.plan(["jane@example.com"])
    slow_shop.drain(slow_shop.batches(first))
    second = slow_shop.plan(["+15005550001"], run="another")
    assert slow_shop.counts(second) == {"planned": 1}
    with slow_shop.open() as (ledger, hook):
        suppress_planned(ledger, second["plan_id"], hook.get_conn())
    assert slow_shop.emulator.calls("suppress_profiles") == 0
    assert jane not in slow_shop.emulator.suppressed


def test_who_may_have_been_asked_for_is_left_alone(shop: Any, suppress: Callable[..., None]) -> None:
    """Its worker was killed in the middle of the call: the deletion may have been accepted."""
    shop.emulator.add_profile("jane@example.com")
    plan = shop.plan(["jane@example.com"])
    shop.run("UPDATE klaviyo_requests SET claimed_by = 'a worker', claimed_at = '2026-11-22 00:00:00'")
    suppress(plan)
    assert shop.emulator.calls("suppress_profiles") == 0


def test_whoever_is_taken_up_meanwhile_is_left_to_that_worker(
    shop: Any, suppress: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "airflow_provider_klaviyo.ledger.suppression"
    monkeypatch.setattr(f"{module}.PROFILES_AT_ONCE", 1)
    people = [f"{number}@example.com" for number in range(2)]
    first, second = shop.emulator.add_profiles({"email": email} for email in people)
    plan = shop.plan(people)
    from airflow_provider_klaviyo.restriction import suppress as room

    def suppress_and_drain(*of: Any, **how: Any) -> Any:
        suppressed = room.suppress(*of, **how)
        shop.drain(shop.batches(plan))
        return suppressed

    monkeypatch.setattr(f"{module}.suppress", suppress_and_drain)
    suppress(plan)
    assert noted(shop) == [first]
    assert shop.emulator.calls("suppress_profiles") == 1
    assert shop.emulator.deleted == {first, second}
    assert shop.emulator.profiles() == []
