"""Who is gone, who is still there, and who came back under another profile; looked at until nobody is outstanding."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_klaviyo.api.errors import KlaviyoAuthenticationError
from airflow_provider_klaviyo.deletion.identifiers import Identifier
from airflow_provider_klaviyo.ledger import confirmation as module
from airflow_provider_klaviyo.ledger.confirmation import LedgerConfirmation, confirm_leftovers
from airflow_provider_klaviyo.ledger.rows import OpenRequest

# What SQL has no part in is tried on the quicker database only.
on_sqlite = pytest.mark.parametrize("ledger_connection", ["sqlite"], indirect=True)


def requested(shop: Any, *people: Any, run: str = "run 1", **rules: Any) -> dict[str, Any]:
    """Have the deletion of these people requested; return the plan."""
    plan: dict[str, Any] = shop.plan(list(people), run=run, **rules)
    shop.drain(shop.batches(plan))
    return plan


def outcomes(shop: Any) -> list[str]:
    return [row["outcome"] for row in shop.rows("requests")]


def test_it_waits_until_the_last_is_gone_and_writes_it_down(slow_shop: Any) -> None:
    shop = slow_shop
    ids = [shop.emulator.add_profile(email=f"{number}@example.com") for number in range(3)]
    plan = requested(shop, *(f"{number}@example.com" for number in range(3)))
    assert shop.look(plan) is None
    assert outcomes(shop) == ["requested"] * 3
    shop.emulator.clear_faults()
    before = datetime.now(UTC)
    assert shop.look(plan) == {"confirmed": 3}
    rows = shop.rows("requests")
    assert [row["identifier"] for row in rows] == [None] * 3
    assert all(before <= row["outcome_at"] <= datetime.now(UTC) for row in rows)
    assert [event for event in shop.events() if event[0] == "confirmed"] == [("confirmed", one) for one in ids]
    asked = shop.emulator.calls()
    assert shop.look(plan) == {"confirmed": 3}
    assert shop.emulator.calls() == asked


def test_only_the_outstanding_are_asked_for_a_hundred_a_call(slow_shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = slow_shop
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 120)
    people = [f"{number}@example.com" for number in range(250)]
    ids = shop.emulator.add_profiles({"email": email} for email in people)
    plan = shop.plan(people)
    shop.run("UPDATE klaviyo_requests SET outcome = 'requested'")
    shop.emulator.reset_counts()
    assert shop.look(plan) is None
    assert shop.emulator.calls("get_profiles") == 5, "two for each page of 120 rows, one for the last ten"
    shop.emulator.forget_people()
    shop.emulator.add_profile(email=people[7], profile_id=ids[7])
    assert shop.look(plan) is None
    assert shop.counts(plan) == {"confirmed": 249, "requested": 1}
    shop.emulator.reset_counts()
    assert shop.look(plan) is None
    assert shop.emulator.calls("get_profiles") == 1


def test_the_number_outstanding_is_of_profiles_each_once(slow_shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = slow_shop
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 1)
    shop.emulator.add_profile(email="jane@example.com", phone_number="+15005550006")
    shop.emulator.add_profile(email="joe@example.com")
    first = requested(shop, "jane@example.com", "joe@example.com", "+15005550006")
    second = requested(shop, {"email": "jane@example.com", "request_id": "R2"}, run="run 2")
    with shop.open("watcher") as (ledger, hook):
        confirmation = LedgerConfirmation(ledger, [first["plan_id"], second["plan_id"], first["plan_id"]])
        assert confirmation.outstanding is None
        assert confirmation.look(hook.get_conn()) is None
        assert confirmation.outstanding == 2
        assert len(confirmation.sample) == 2


def test_a_sample_is_small_and_of_the_last(slow_shop: Any) -> None:
    shop = slow_shop
    people = [f"{number}@example.com" for number in range(130)]
    ids = shop.emulator.add_profiles({"email": email} for email in people)
    plan = shop.plan(people)
    shop.run("UPDATE klaviyo_requests SET outcome = 'requested'")
    with shop.open("watcher") as (ledger, _):
        assert LedgerConfirmation(ledger, [plan["plan_id"]]).sample == ids[:29:-1]


def test_several_plans_and_single_batches(slow_shop: Any) -> None:
    shop = slow_shop
    for number in range(4):
        shop.emulator.add_profile(email=f"{number}@example.com")
    first = requested(shop, "0@example.com", "1@example.com", batch_size=1)
    second = requested(shop, "2@example.com", run="run 2")
    requested(shop, "3@example.com", run="run 3")
    assert shop.look(first, second) is None
    shop.emulator.clear_faults()
    assert shop.look(first, batch=1) == {"confirmed": 1}
    assert outcomes(shop).count("confirmed") == 1
    assert shop.look(first, second) == {"confirmed": 3}
    assert outcomes(shop).count("requested") == 1


def test_who_came_back_is_told_from_who_is_still_there(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    shop.emulator.add_profile(email="joe@example.com", phone_number="+15005550006")
    plan = requested(shop, "jane@example.com", "joe@example.com", "+15005550006")
    shop.emulator.add_profile(email="jane@example.com")
    shop.emulator.add_profile(phone_number="+15005550006")
    assert shop.look(plan) == {"confirmed": 1, "reappeared": 2}
    assert outcomes(shop) == ["reappeared", "confirmed", "reappeared"]
    assert [row["identifier"] for row in shop.rows("requests")] == [None] * 3
    assert [event for event, _ in shop.events()].count("reappeared") == 2


@on_sqlite
def test_one_of_several_profiles_of_an_identifier_is_no_newcomer(slow_shop: Any) -> None:
    """They go one after the other, and those that have not gone yet hold the identifier too."""
    shop = slow_shop
    pair = [shop.emulator.add_profile(external_id="twice") for _ in range(2)]
    plan = requested(shop, {"external_id": "twice"})
    shop.emulator.forget_people()
    shop.emulator.add_profile(external_id="twice", profile_id=pair[1])
    assert shop.look(plan) is None
    assert sorted(outcomes(shop)) == ["confirmed", "requested"]
    shop.emulator.forget_people()
    assert shop.look(plan) == {"confirmed": 1}


@on_sqlite
def test_a_profile_that_one_index_has_lost_is_still_there(slow_shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Gone by its id and still found by its address: nobody is confirmed on the word of one of them."""
    shop = slow_shop
    shop.emulator.add_profile(email="jane@example.com")
    plan = requested(shop, "jane@example.com")

    def nobody(_: Any) -> Any:
        return []
        yield

    with monkeypatch.context() as patch:
        patch.setattr(module, "still_there", nobody)
        assert shop.look(plan) is None
    assert outcomes(shop) == ["requested"]
    shop.emulator.clear_faults()
    assert shop.look(plan) == {"confirmed": 1}


@on_sqlite
def test_an_answer_that_leaves_it_open_confirms_nobody(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    shop.emulator.add_profile(email="decoy@example.com")
    plan = requested(shop, "jane@example.com")
    assert len(shop.emulator.deleted) == 1
    shop.emulator.fault("unasked_profile")
    assert shop.look(plan) is None
    shop.emulator.clear_faults()
    assert shop.look(plan) == {"confirmed": 1}


@on_sqlite
def test_listed_by_profile_id_nobody_can_come_back(shop: Any) -> None:
    jane = shop.emulator.add_profile(email="jane@example.com")
    plan = requested(shop, {"id": jane})
    shop.emulator.add_profile(email="jane@example.com")
    assert shop.look(plan) == {"confirmed": 1}


def test_trouble_in_the_middle_of_a_look_keeps_what_was_seen(slow_shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = slow_shop
    monkeypatch.setattr(module, "ROWS_AT_ONCE", 2)
    for number in range(4):
        shop.emulator.add_profile(email=f"{number}@example.com")
    plan = requested(shop, *(f"{number}@example.com" for number in range(4)))
    shop.emulator.clear_faults()
    look_at = LedgerConfirmation._look_at

    def then_trouble(self: LedgerConfirmation, *arguments: Any) -> None:
        look_at(self, *arguments)
        shop.emulator.fault("key_revoked")

    monkeypatch.setattr(LedgerConfirmation, "_look_at", then_trouble)
    with pytest.raises(KlaviyoAuthenticationError):
        shop.look(plan)
    assert outcomes(shop) == ["confirmed", "confirmed", "requested", "requested"]
    shop.emulator.clear_faults()
    monkeypatch.setattr(LedgerConfirmation, "_look_at", look_at)
    assert shop.look(plan) == {"confirmed": 4}


def test_it_says_since_when_the_oldest_is_waited_for(slow_shop: Any) -> None:
    shop = slow_shop
    shop.emulator.add_profile(email="jane@example.com")
    before = datetime.now(UTC)
    plan = requested(shop, "jane@example.com")
    with shop.open("watcher") as (ledger, _):
        since = LedgerConfirmation(ledger, [plan["plan_id"]]).since
        assert since is not None
        assert timedelta() <= since - before <= timedelta(minutes=1)
        assert LedgerConfirmation(ledger, []).since is None


def test_what_it_keeps_in_mind_shows_nobody() -> None:
    identifier = Identifier.parse("canary@example.com")
    row = OpenRequest("f" * 32, 1, 0, "a" * 64, "01H", datetime.now(UTC), None, identifier)
    assert "canary" not in repr(row)


def test_what_no_sensor_watches_any_more_is_confirmed_by_the_next_plan(slow_shop: Any) -> None:
    shop = slow_shop
    for name in ("jane", "joe"):
        shop.emulator.add_profile(email=f"{name}@example.com")
    earlier = shop.plan(["jane@example.com"])
    later = shop.plan(["joe@example.com"], run="run 2")
    shop.drain(shop.batches(earlier) + shop.batches(later))
    two_days_ago = datetime.now(UTC) - timedelta(days=2)
    shop.run(
        f"UPDATE klaviyo_requests SET outcome_at = '{two_days_ago:%Y-%m-%d %H:%M:%S}' "
        f"WHERE plan_id = '{earlier['plan_id']}'"
    )
    with shop.open("planner") as (ledger, hook):
        confirm_leftovers(ledger, hook.get_conn())
        assert shop.counts(earlier, later) == {"requested": 2}
        shop.emulator.clear_faults()
        confirm_leftovers(ledger, hook.get_conn())
        assert shop.counts(earlier) == {"confirmed": 1}
        assert shop.counts(later) == {"requested": 1}


def leftovers(shop: Any, *, days: float) -> None:
    """Look for what was requested so many days ago, and is watched by nobody."""
    at = datetime.now(UTC) - timedelta(days=days)
    shop.run(f"UPDATE klaviyo_requests SET outcome_at = '{at:%Y-%m-%d %H:%M:%S.%f}' WHERE outcome = 'requested'")
    with shop.open("planner") as (ledger, hook):
        confirm_leftovers(ledger, hook.get_conn())


def test_what_no_sensor_watches_is_confirmed_after_a_day(slow_shop: Any) -> None:
    shop = slow_shop
    shop.emulator.add_profile(email="jane@example.com")
    plan = requested(shop, "jane@example.com")
    asked = shop.emulator.calls()
    leftovers(shop, days=0.9)
    assert shop.emulator.calls() == asked
    leftovers(shop, days=1.1)
    assert outcomes(shop) == ["requested"]
    shop.emulator.clear_faults()
    leftovers(shop, days=1.1)
    assert shop.counts(plan) == {"confirmed": 1}
    assert [row["identifier"] for row in shop.rows("requests")] == [None]


@on_sqlite
def test_what_was_requested_by_a_plan_that_was_replaced_is_confirmed_too(shop: Any) -> None:
    """No sensor may look at it any more, and the address would be kept for ever."""
    shop.emulator.add_profile(email="jane@example.com")
    requested(shop, "jane@example.com")
    shop.plan(["jane@example.com"], recipe="another list")
    assert outcomes(shop) == ["requested"]
    leftovers(shop, days=2)
    assert outcomes(shop) == ["confirmed"]
    assert [row["identifier"] for row in shop.rows("requests")] == [None]


@on_sqlite
def test_what_another_account_has_left_is_not_looked_at(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    requested(shop, "jane@example.com")
    shop.run("UPDATE klaviyo_requests SET account_id = 'OthEr1'", "UPDATE klaviyo_plans SET account_id = 'OthEr1'")
    leftovers(shop, days=2)
    assert outcomes(shop) == ["requested"]
