"""What a regulator, a person, or the one on duty asks of a ledger."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow_provider_klaviyo.deletion.identifiers import Identifier
from airflow_provider_klaviyo.ledger.questions import Outstanding, counts_by_day, outstanding, what_became_of


def steps_of(shop: Any, raw: object) -> list[tuple[str, str | None, str]]:
    with shop.open() as (ledger, _):
        steps = what_became_of(ledger, Identifier.parse(raw))
    assert steps == sorted(steps, key=lambda step: step.at)
    assert all(step.at.tzinfo is UTC for step in steps)
    return [(step.event, step.request_id, step.actor) for step in steps]


def test_every_step_of_a_person_and_of_nobody_else(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com", phone_number="+15005550006")
    shop.emulator.add_profile(email="joe@example.com")
    shop.erase([{"email": "jane@example.com", "request_id": "R1"}, "joe@example.com", "absent@example.com"])
    assert steps_of(shop, "Jane@example.com") == [
        ("registered", "R1", "planner"),
        ("asked", "R1", "drainer"),
        ("requested", "R1", "drainer"),
        ("confirmed", "R1", "watcher"),
    ]
    assert steps_of(shop, "absent@example.com") == [("registered", None, "planner"), ("absent", None, "planner")]
    assert steps_of(shop, "+15005550006") == []
    assert steps_of(shop, "never.listed@example.com") == []


def test_several_requests_and_profiles_of_one_person(shop: Any) -> None:
    for _ in range(2):
        shop.emulator.add_profile(external_id="twice")
    shop.erase([{"external_id": "twice", "request_id": "R1"}])
    shop.plan([{"external_id": "twice", "request_id": "R2"}], run="tomorrow")
    events = [event for event, _, _ in steps_of(shop, {"external_id": "twice"})]
    assert events.count("registered") == 3
    assert events.count("asked") == events.count("requested") == events.count("confirmed") == 2
    assert events[-1] == "absent"


def test_a_person_known_by_an_old_key_is_found(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    shop.erase(["jane@example.com"])
    shop.account(fingerprint_key=f"{'new' * 16},a key that is long enough for a fingerprint")
    assert [event for event, _, _ in steps_of(shop, "jane@example.com")][-1] == "confirmed"


def test_who_is_withdrawn_was_not_deleted(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    shop.plan(["jane@example.com"])
    shop.plan([], recipe="another list")
    assert [event for event, _, _ in steps_of(shop, "jane@example.com")] == ["registered", "held"]


def ask_outstanding(shop: Any, now: datetime | None = None) -> Outstanding:
    with shop.open() as (ledger, _):
        return outstanding(ledger, now)


def test_what_is_outstanding_and_how_late(slow_shop: Any) -> None:
    shop = slow_shop
    for number in range(4):
        shop.emulator.add_profile(email=f"{number}@example.com")
    assert ask_outstanding(shop) == Outstanding(0, 0, 0, None)
    rows = [
        {"email": f"{number}@example.com", "received_at": f"2026-0{number + 1}-01", "regulation": 10}
        for number in range(4)
    ]
    plan = shop.plan([*rows[:3], "absent@example.com"], batch_size=1)
    shop.plan([rows[3]], run="held", max_profiles=0)
    shop.drain(shop.batches(plan)[:1])
    due = datetime(2026, 1, 11, tzinfo=UTC)
    assert ask_outstanding(shop) == Outstanding(planned=3, requested=1, overdue=4, due_at=due)
    assert ask_outstanding(shop, due).overdue == 0
    assert ask_outstanding(shop, due + timedelta(days=30)).overdue == 1
    shop.emulator.clear_faults()
    shop.drain(shop.batches(plan))
    shop.look(plan)
    assert ask_outstanding(shop) == Outstanding(1, 0, 1, datetime(2026, 4, 11, tzinfo=UTC))


def test_counts_by_day_and_plan(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    first = shop.erase(["jane@example.com", "absent@example.com", "junk"])
    second = shop.plan(["another@example.com"], run="run 2")
    shop.run(f"UPDATE klaviyo_requests SET outcome_at = '2026-11-20 23:59:59' WHERE plan_id = '{first['plan_id']}'")
    shop.run(f"UPDATE klaviyo_requests SET outcome_at = '2026-11-21 00:00:00' WHERE plan_id = '{second['plan_id']}'")
    with shop.open() as (ledger, _):
        counts = counts_by_day(ledger)
    assert [(one["day"], one["plan_id"], one["outcome"], one["requests"]) for one in counts] == [
        ("2026-11-20", first["plan_id"], "absent", 1),
        ("2026-11-20", first["plan_id"], "confirmed", 1),
        ("2026-11-20", first["plan_id"], "invalid", 1),
        ("2026-11-21", second["plan_id"], "absent", 1),
    ]
