"""A list becomes a plan: who is deleted, who is not, in which order, and what a second look at the list changes."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest

from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion import resolve
from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.ledger.errors import HeldPlanError, LedgerSetupError
from airflow_provider_klaviyo.ledger.planning import Rules, register_plan, withdraw_plan
from airflow_provider_klaviyo.ledger.questions import outstanding
from airflow_provider_klaviyo.ledger.registration import Registration
from airflow_provider_klaviyo.ledger.work import LedgerBatch
from airflow_provider_klaviyo.sources.lists import list_entries

# What SQL has no part in is tried on the quicker database only.
on_sqlite = pytest.mark.parametrize("ledger_connection", ["sqlite"], indirect=True)


def add_up(shop: Any, plan: dict[str, Any]) -> bool:
    """Tell whether each row of the list is in one place, and in one only."""
    return bool(plan["listed"] == plan["duplicates"] + plan["known"] + sum(shop.counts(plan).values()))


def test_a_list_of_everything_ends_with_each_row_in_one_place(shop: Any) -> None:
    jane = shop.emulator.add_profile(email="jane@example.com", phone_number="+15005550006")
    pair = {shop.emulator.add_profile(external_id="twice") for _ in range(2)}
    by_id = shop.emulator.add_profile(email="by.id@example.com")
    other = shop.emulator.add_profile(email="other@example.com")
    people = [
        " Jane@Example.com",
        "jane@example.com",
        "+1 500 555-0006",
        {"external_id": "twice"},
        {"id": by_id},
        {"email": "nobody@example.com"},
        "nobody@example.com",
        "no mail",
        "no mail",
        None,
    ]
    plan = shop.plan(people)
    assert (plan["listed"], plan["duplicates"], plan["known"], plan["profiles"]) == (10, 3, 0, 4)
    assert shop.counts(plan) == {"planned": 4, "absent": 1, "invalid": 2}
    assert shop.emulator.calls("profile_deletion") == 0

    shop.drain(shop.batches(plan))

    assert sorted(shop.emulator.deletion_requests) == sorted({jane, by_id, *pair})
    assert shop.look(plan) == {"confirmed": 4, "absent": 1, "invalid": 2}
    assert add_up(shop, plan)
    assert shop.emulator.has_profile(other)
    assert {row["identifier"] for row in shop.rows("requests")} == {None}


def test_a_long_list_is_a_stream_and_duplicates_are_found_at_any_distance(shop: Any) -> None:
    """Of 5,000 people at most 2,000 are in memory, and someone may be written between a look and the next row."""
    in_memory: list[int] = []
    emails = [f"person.{number}@example.com" for number in range(5_000)]
    present = {shop.emulator.add_profile(email=email) for email in emails[::300]}

    def people(registrations: list[Registration]) -> Iterator[object]:
        for number, email in enumerate(emails):
            yield email
            in_memory.extend(len(one.rows) + len(one.unsaved) + len(one.waiting) for one in registrations)
            for distance in (number % 97, 1_650, 1_700, 1_900, 2_500):
                if number % 7 == 0 and distance <= number:
                    yield emails[number - distance]

    registrations: list[Registration] = []
    with shop.open("planner") as (ledger, hook), pytest.MonkeyPatch.context() as patch:
        remember(registrations, patch)
        patch.setattr(resolve, "MOST_ABSENT", 1_000)
        plan = register_plan(
            lambda: list_entries(people(registrations), Entry), hook.get_conn(), ledger, Rules(), origin="o", recipe="r"
        )

    assert plan["listed"] == plan["duplicates"] + 5_000
    assert plan["duplicates"] > 2_000
    assert shop.counts(plan) == {"planned": len(present), "absent": 5_000 - len(present)}
    assert max(in_memory) < 3 * 3_000
    assert not registrations[0].unsaved
    assert not registrations[0].waiting
    assert "person" not in repr(registrations[0])


def remember(registrations: list[Registration], patch: pytest.MonkeyPatch) -> None:
    """Let the registrations that are made be looked into."""
    made = Registration.__post_init__

    def note(self: Registration) -> None:
        made(self)
        registrations.append(self)

    patch.setattr(Registration, "__post_init__", note)


def test_rows_that_name_nobody_are_written_as_they_come(shop: Any) -> None:
    """Nothing has to be looked up, so that nothing else would make them be."""
    waiting: list[int] = []

    def people(registrations: list[Registration]) -> Iterator[object]:
        for number in range(5_000):
            waiting.extend(len(one.rows) for one in registrations)
            yield number

    registrations: list[Registration] = []
    with shop.open() as (ledger, hook), pytest.MonkeyPatch.context() as patch:
        remember(registrations, patch)
        patch.setattr(resolve, "MOST_ABSENT", 1_000)
        plan = register_plan(
            lambda: list_entries(people(registrations), Entry), hook.get_conn(), ledger, Rules(), origin="o", recipe="r"
        )

    assert shop.counts(plan) == {"invalid": 5_000}
    assert max(waiting) <= 1_000


@on_sqlite
@pytest.mark.parametrize("people", [[None] * 3, [15005550006, 15005550007], ["a", "b", "a"]])
def test_a_list_of_the_wrong_column_is_said_to_be_one(
    shop: Any, caplog: pytest.LogCaptureFixture, people: list[object]
) -> None:
    plan = shop.plan(people)
    assert add_up(shop, plan)
    assert f"None of the {len(people)} rows can be an identifier" in caplog.text


def test_batches_are_earliest_due_first_and_a_profile_is_in_one_only(shop: Any) -> None:
    start = datetime(2026, 11, 1, tzinfo=UTC)
    ids = {}
    people: list[Any] = []
    for number in range(9):
        ids[number] = shop.emulator.add_profile(email=f"{number}@example.com", phone_number=f"+1500555000{number}")
        received = (start - timedelta(days=number)).isoformat()
        people.append({"email": f"{number}@example.com", "received_at": received})
    people += [{"phone_number": "+15005550000", "received_at": "2026-10-01"}, {"phone_number": "+15005550001"}]
    plan = shop.plan(people, batch_size=2, regulation="ccpa")
    references = shop.batches(plan)
    assert [reference.size for reference in references] == [2, 2, 2, 2, 1]
    assert (plan["batches"], plan["batch_size"]) == (5, 2)
    batches: dict[str, set[int]] = {}
    for row in shop.rows("requests"):
        batches.setdefault(row["profile_id"], set()).add(row["batch"])
    assert all(len(numbers) == 1 for numbers in batches.values())

    shop.drain(references)

    # The first has a phone number that was to be deleted earlier than its address.
    assert shop.emulator.deletion_requests == [ids[number] for number in (0, 8, 7, 6, 5, 4, 3, 2, 1)]


@on_sqlite
def test_batches_grow_rather_than_become_too_many(shop: Any, caplog: pytest.LogCaptureFixture) -> None:
    people = [f"{number}@example.com" for number in range(11)]
    for email in people:
        shop.emulator.add_profile(email=email)
    plan = shop.plan(people, batch_size=2, most_batches=3)
    assert [reference.size for reference in shop.batches(plan)] == [4, 4, 3]
    assert "Batches hold 4 profiles, not 2: a task maps to 3 at most" in caplog.text
    assert max(row["batch"] for row in shop.rows("requests")) == plan["batches"] - 1


def test_more_profiles_than_are_numbered_at_once(shop: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_klaviyo.ledger.planning.PROFILES_AT_ONCE", 4)
    people = [f"{number}@example.com" for number in range(11)]
    for email in people:
        shop.emulator.add_profile(email=email)
    plan = shop.plan(people, batch_size=2)
    assert [(one.batch, one.size) for one in shop.batches(plan)] == [(0, 2), (1, 2), (2, 2), (3, 2), (4, 2), (5, 1)]


def test_the_same_plan_again_changes_nothing_at_any_stage(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    people = ["jane@example.com", "nobody@example.com", "junk", "jane@example.com"]
    plan = shop.plan(people)
    references = shop.batches(plan)
    for step in (lambda: None, lambda: shop.drain(references), lambda: shop.look(plan)):
        step()
        before, calls = shop.everything(), shop.emulator.calls()
        assert shop.plan(people) == plan
        assert shop.batches(plan) == references
        assert shop.everything() == before
        assert shop.emulator.calls() == calls


def test_a_list_that_holds_others_now_replaces_what_it_held_before(shop: Any) -> None:
    """A view was mended, or a file: the query and the path are the same."""
    wrong = shop.emulator.add_profile(email="wrong@example.com")
    right = shop.emulator.add_profile(email="right@example.com")
    earlier = shop.plan(["wrong@example.com", "right@example.com"])
    later = shop.plan(["right@example.com"])
    assert later["plan_id"] != earlier["plan_id"]
    shop.drain(shop.batches(later))
    assert shop.emulator.deletion_requests == [right]
    assert shop.emulator.has_profile(wrong)
    again = shop.plan(["right@example.com", "wrong@example.com"], run="run 2")
    assert shop.plan(["wrong@example.com", "right@example.com"], run="run 2") == again


def test_a_corrected_list_withdraws_the_earlier_plan(shop: Any, caplog: pytest.LogCaptureFixture) -> None:
    jane, joe, ada = (shop.emulator.add_profile(email=f"{name}@example.com") for name in ("jane", "joe", "ada"))
    wrong = shop.plan(["jane@example.com", "joe@example.com"], batch_size=1)
    old = shop.batches(wrong)
    shop.drain(old[:1])
    right = shop.plan(["ada@example.com"], recipe="another list")

    assert f"Plan {wrong['plan_id']} of planner is withdrawn: 1 requests had not been sent" in caplog.text
    assert shop.drain(old[1:]) == {"held": 1}
    assert f"Plan {wrong['plan_id']} was withdrawn, or replaced by a newer one" in caplog.text
    assert shop.look(wrong) == {"confirmed": 1, "held": 1}
    shop.drain(shop.batches(right))
    assert shop.emulator.deleted == {jane, ada}
    assert shop.emulator.has_profile(joe)
    by_profile = {row["profile_id"]: row for row in shop.rows("requests")}
    assert (by_profile[joe]["outcome"], by_profile[joe]["identifier"]) == ("held", None)
    assert ("withdrawn", None) in shop.events()


def test_a_withdrawn_plan_is_not_worked_off_by_who_has_it_open(shop: Any) -> None:
    ids = [shop.emulator.add_profile(email=f"{number}@example.com") for number in range(3)]
    plan = shop.plan([f"{number}@example.com" for number in range(3)])
    with shop.open("drainer") as (ledger, _):
        batch = LedgerBatch(ledger, shop.batches(plan)[0])
        assert batch.begin(Profile(ids[0], email="0@example.com"))
        batch.end(ids[0], Outcome.REQUESTED)
        shop.plan([], recipe="another list")
        assert not batch.begin(Profile(ids[1], email="1@example.com"))
    assert [row["outcome"] for row in shop.rows("requests")] == ["requested", "held", "held"]


@on_sqlite
def test_somebody_whom_a_withdrawn_plan_lists_too_is_deleted_by_the_new_one(shop: Any) -> None:
    jane = shop.emulator.add_profile(email="jane@example.com")
    shop.plan(["jane@example.com", "joe@example.com"])
    plan = shop.plan(["jane@example.com"], recipe="another list")
    shop.drain(shop.batches(plan))
    assert shop.emulator.deleted == {jane}


def test_too_many_profiles_are_held_until_somebody_releases_them(shop: Any) -> None:
    jane, joe = (shop.emulator.add_profile(email=f"{name}@example.com") for name in ("jane", "joe"))
    plan = shop.plan(["jane@example.com", "joe@example.com"], max_profiles=1)
    assert plan["state"] == "held"
    (reference,) = shop.batches(plan)
    message = rf"plan {plan['plan_id']} is held: it matches 2 profiles.*raise max_profiles.*ReleaseOperator"
    with pytest.raises(HeldPlanError, match=message):
        shop.drain([reference])
    with pytest.raises(HeldPlanError, match=message):
        shop.look(plan)
    assert shop.emulator.calls("profile_deletion") == 0

    with shop.open("the boss") as (ledger, _):
        ledger.release(plan["plan_id"])
        ledger.release(plan["plan_id"])
    shop.drain([reference])
    assert shop.emulator.deleted == {jane, joe}
    assert [row["actor"] for row in shop.rows("events") if row["event"] == "released"] == ["the boss"]


@on_sqlite
def test_a_held_plan_is_replaced_by_one_that_may_be_larger(shop: Any) -> None:
    ids = {shop.emulator.add_profile(email=f"{name}@example.com") for name in ("jane", "joe")}
    people = ["jane@example.com", "joe@example.com"]
    held = shop.plan(people, max_profiles=1)
    ready = shop.plan(people, max_profiles=2, recipe="larger")
    assert ready["state"] == "ready"
    shop.drain(shop.batches(ready))
    assert shop.emulator.deleted == ids
    with (
        pytest.raises(LedgerSetupError, match="was replaced by a newer one"),
        shop.open() as (ledger, _),
    ):
        ledger.release(held["plan_id"])


@on_sqlite
def test_a_plan_that_is_held_stays_outstanding_until_it_is_withdrawn(shop: Any) -> None:
    shop.emulator.add_profile(email="monday@example.com")
    held = shop.plan(["monday@example.com"], max_profiles=0)
    shop.plan(["tuesday@example.com"], run="run 2")
    with shop.open() as (ledger, _):
        assert outstanding(ledger).planned == 1
        withdraw_plan(ledger, held["plan_id"])
        assert outstanding(ledger).planned == 0
        with pytest.raises(LedgerSetupError, match="was replaced"):
            ledger.release(held["plan_id"])
    assert [row["identifier"] for row in shop.rows("requests") if row["outcome"] == "held"] == [None]


def test_nobody_of_a_held_plan_counts_as_in_work(shop: Any) -> None:
    ids = {shop.emulator.add_profile(email=f"{name}@example.com") for name in ("jane", "joe")}
    people = ["jane@example.com", "joe@example.com"]
    shop.plan(people, max_profiles=1)
    plan = shop.plan(people, run="another run")
    assert (plan["known"], plan["profiles"]) == (0, 2)
    shop.drain(shop.batches(plan))
    assert shop.emulator.deleted == ids


@on_sqlite
def test_an_identifier_of_too_many_profiles_is_held_back(shop: Any) -> None:
    for _ in range(3):
        shop.emulator.add_profile(external_id="0")
    pair = {shop.emulator.add_profile(external_id="twice") for _ in range(2)}
    people = [{"external_id": "0"}, {"external_id": "twice"}]
    plan = shop.plan(people, max_profiles_per_identifier=2)
    assert shop.counts(plan) == {"planned": 1, "held": 1}
    shop.drain(shop.batches(plan))
    assert shop.emulator.deleted == pair
    again = shop.plan(people, run="run 2", max_profiles_per_identifier=2)
    assert (again["known"], shop.counts(again)) == (1, {"held": 1}), "every list that names it hears of it"
    assert add_up(shop, again)


def test_what_an_earlier_plan_has_left_is_handed_to_the_next_one_first(shop: Any) -> None:
    ids = {}
    for number in range(6):
        ids[number] = shop.emulator.add_profile(email=f"{number}@example.com")
    late = shop.plan([f"{number}@example.com" for number in (0, 1, 2)], batch_size=2)
    urgent = [{"email": "3@example.com", "received_at": "2026-01-01"}]
    other = shop.plan(urgent, run="run 2")
    shop.drain(shop.batches(late)[:1])
    new = shop.plan(["4@example.com", "5@example.com", "2@example.com"], run="run 3", leftovers="all")
    assert new["known"] == 1
    with shop.open() as (ledger, _):
        left = ledger.outstanding_batches(but=new["plan_id"], most=10)
        assert [(one.plan_id, one.batch, one.size) for one in left] == [
            (other["plan_id"], 0, 1),
            (late["plan_id"], 1, 1),
        ]
        assert ledger.outstanding_batches(but=new["plan_id"], most=1) == left[:1]
        assert ledger.outstanding_batches(but=new["plan_id"], most=0) == []
    shop.drain([*left, *shop.batches(new)])
    assert shop.emulator.deletion_requests[2:] == [ids[3], ids[2], ids[4], ids[5]]
    with shop.open() as (ledger, _):
        assert ledger.outstanding_batches(but="", most=10) == []


def test_who_was_erased_and_is_still_gone_is_known(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com", phone_number="+15005550006")
    people = ["jane@example.com", "+15005550006", "nobody@example.com", "junk", 7]
    shop.erase(people)
    before, asked = shop.rows("requests"), list(shop.emulator.deletion_requests)
    plan = shop.plan(people, run="tomorrow")
    assert (plan["listed"], plan["known"], plan["profiles"], plan["batches"]) == (5, 3, 0, 0)
    assert shop.counts(plan) == {"invalid": 2}, "every list that holds them hears of them"
    assert shop.batches(plan) == []
    assert shop.rows("requests") == before
    assert shop.emulator.deletion_requests == asked
    assert shop.look(plan) == {"invalid": 2}
    assert add_up(shop, plan)


@on_sqlite
def test_who_came_back_is_deleted_again(shop: Any) -> None:
    first = shop.emulator.add_profile(email="jane@example.com")
    shop.erase(["jane@example.com"])
    second = shop.emulator.add_profile(email="jane@example.com")
    plan = shop.erase(["jane@example.com"], run="tomorrow")
    assert plan["profiles"] == 1
    assert shop.emulator.deletion_requests == [first, second]


@on_sqlite
def test_who_is_in_work_is_not_asked_for_twice(slow_shop: Any) -> None:
    jane = slow_shop.emulator.add_profile(email="jane@example.com")
    plan = slow_shop.plan(["jane@example.com"])
    assert slow_shop.plan(["jane@example.com"], run="while planned", leftovers="none")["known"] == 1
    other = slow_shop.plan(["jane@example.com"], run="while planned, and listed there")
    assert (other["known"], other["profiles"]) == (0, 1), "either of them may be withdrawn"
    slow_shop.drain(slow_shop.batches(plan))
    slow_shop.drain(slow_shop.batches(other))
    assert slow_shop.plan(["jane@example.com"], run="while requested")["known"] == 1
    assert slow_shop.emulator.calls("profile_deletion") == 1
    assert slow_shop.emulator.deletion_requests == [jane]
    assert slow_shop.counts(plan, other) == {"requested": 2}


@on_sqlite
@pytest.mark.parametrize(("days", "profiles"), [(13, 0), (15, 1)])
def test_a_deletion_that_klaviyo_never_carried_out_is_asked_for_again(
    slow_shop: Any, monkeypatch: pytest.MonkeyPatch, days: int, profiles: int
) -> None:
    slow_shop.emulator.add_profile(email="jane@example.com")
    plan = slow_shop.plan(["jane@example.com"])
    slow_shop.drain(slow_shop.batches(plan))
    accepted = datetime.now(UTC) - timedelta(days=days)
    slow_shop.run(f"UPDATE klaviyo_requests SET outcome_at = '{accepted:%Y-%m-%d %H:%M:%S.%f}'")
    assert slow_shop.plan(["jane@example.com"], run="later")["profiles"] == profiles


def test_a_new_request_of_somebody_erased_is_written_down(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    row = {"email": "jane@example.com", "received_at": "2026-11-01"}
    shop.erase([row | {"request_id": "R1"}])
    plan = shop.plan([row | {"request_id": "R2"}, row | {"request_id": "R1"}, row], run="tomorrow")
    assert (plan["known"], plan["duplicates"], plan["profiles"]) == (1, 1, 0)
    assert shop.counts(plan) == {"absent": 1}
    assert [(one["request_id"], one["outcome"]) for one in sorted_by_id(shop)] == [
        ("R1", "confirmed"),
        ("R2", "absent"),
    ]
    assert shop.plan([row | {"request_id": "R2"}], run="the day after")["known"] == 1


def sorted_by_id(shop: Any) -> list[dict[str, Any]]:
    return sorted(shop.rows("requests"), key=lambda row: row["request_id"])


def test_two_requests_of_one_person_are_two_rows_and_one_deletion(shop: Any) -> None:
    jane = shop.emulator.add_profile(email="jane@example.com")
    uuid = UUID("12345678-1234-5678-1234-567812345678")
    ids = [17, "17", Decimal(17), uuid, str(uuid), " R3 ", None, ""]
    plan = shop.plan([{"email": "jane@example.com", "request_id": one} for one in ids])
    assert [one["request_id"] for one in sorted_by_id(shop)] == [str(uuid), "17", "R3"]
    assert (plan["duplicates"], plan["profiles"]) == (5, 1)
    shop.drain(shop.batches(plan))
    assert shop.emulator.deletion_requests == [jane]
    assert shop.look(plan) == {"confirmed": 3}


def test_each_row_is_due_by_its_own_law(shop: Any) -> None:
    people: list[dict[str, Any]] = [
        {"email": "a@example.com", "received_at": "2026-01-31", "regulation": "GDPR"},
        {"email": "b@example.com", "received_at": "2026-11-01T12:00:00+02:00", "regulation": " ccpa "},
        {"email": "c@example.com", "received_at": datetime(2026, 11, 1, tzinfo=UTC), "regulation": 10},
        {"email": "d@example.com", "received_at": "2026-11-01", "regulation": Decimal(10)},
        {"email": "e@example.com", "received_at": "2026-11-01"},
        {"email": "f@example.com", "received_at": "2026-11-01", "regulation": ""},
    ]
    shop.plan(people, regulation="7")
    due = [(row["regulation"], row["due_at"]) for row in shop.rows("requests")]
    assert due == [
        ("gdpr", datetime(2026, 2, 28, tzinfo=UTC)),
        ("ccpa", datetime(2026, 12, 16, 10, tzinfo=UTC)),
        ("10", datetime(2026, 11, 11, tzinfo=UTC)),
        ("10", datetime(2026, 11, 11, tzinfo=UTC)),
        ("7", datetime(2026, 11, 8, tzinfo=UTC)),
        ("7", datetime(2026, 11, 8, tzinfo=UTC)),
    ]


@on_sqlite
def test_a_future_request_was_received_now(shop: Any) -> None:
    before = datetime.now(UTC)
    shop.plan([{"email": "a@example.com", "received_at": "9999-12-31T23:59:59"}])
    (row,) = shop.rows("requests")
    assert before <= row["received_at"] <= datetime.now(UTC)


def test_what_a_row_says_and_nobody_understands_costs_nothing_else_of_it(
    shop: Any, caplog: pytest.LogCaptureFixture
) -> None:
    shop.emulator.add_profile(email="a@example.com")
    odd = "canary \x00 of a request"
    people = [
        {"email": "a@example.com", "request_id": odd, "received_at": "2026-11-01", "regulation": "ccpa"},
        {"email": "b@example.com", "request_id": "R2", "received_at": "01/11/canary", "regulation": "10"},
        {"email": "c@example.com", "request_id": "R3", "received_at": "2026-11-01", "regulation": "canary law"},
        {"email": "d@example.com", "request_id": "R4" * 200, "received_at": "canary", "regulation": "0000000013" * 9},
    ]
    before = datetime.now(UTC)
    with caplog.at_level(logging.INFO):
        plan = shop.plan(people)
    a, b, c, d = shop.rows("requests")
    assert (a["request_id"], a["regulation"], a["received_at"]) == (None, "ccpa", datetime(2026, 11, 1, tzinfo=UTC))
    assert (b["request_id"], b["regulation"]) == ("R2", "10")
    assert before <= b["received_at"] <= datetime.now(UTC)
    assert (c["request_id"], c["regulation"], c["received_at"]) == ("R3", "gdpr", datetime(2026, 11, 1, tzinfo=UTC))
    assert (d["request_id"], d["regulation"]) == (None, "gdpr")
    assert add_up(shop, plan)
    for number in (1, 2, 3, 4):
        assert f"Row {number} is not understood in full" in caplog.text
    assert "canary" not in caplog.text
    shop.drain(shop.batches(plan))
    assert len(shop.emulator.deleted) == 1


def test_odd_letters_survive_every_database(shop: Any) -> None:
    odd = [
        {"external_id": "O'Brien \"; DROP TABLE \\ %s :x {} 😀 ü"},
        {"external_id": ":any_of"},
        {"email": "üñï😀@exämple.com"},
        {"external_id": " led by a space"},
    ]
    ids = {shop.emulator.add_profile(**row) for row in odd}
    plan = shop.erase([row | {"request_id": "Ünï'\\😀:x%s"} for row in odd])
    assert plan["profiles"] == 4
    assert shop.emulator.deleted == ids
    assert {row["request_id"] for row in shop.rows("requests")} == {"Ünï'\\😀:x%s"}


@on_sqlite
def test_an_empty_list_is_a_plan_too(shop: Any) -> None:
    plan = shop.plan([])
    assert (plan["listed"], plan["state"], plan["batches"]) == (0, "ready", 0)
    assert shop.batches(plan) == []
    assert shop.look(plan) == {}


@pytest.mark.parametrize("age", [timedelta(), timedelta(days=2)])
def test_a_profile_that_is_somebody_elses_by_now_is_not_deleted(shop: Any, age: timedelta) -> None:
    """Since the plan, however old it is, one has changed the address, and another has taken it."""
    jane, joe, ann = (shop.emulator.add_profile(email=f"{name}@example.com") for name in ("jane", "joe", "ann"))
    plan = shop.plan([f"{name}@example.com" for name in ("jane", "joe", "ann")])
    shop.emulator.forget_people()
    shop.emulator.add_profile(email="ann@example.com", profile_id=ann)
    shop.emulator.add_profile(email="married@example.com", profile_id=jane)
    shop.emulator.add_profile(email="other@example.com", profile_id=joe)
    new_joe = shop.emulator.add_profile(email="joe@example.com")
    shop.run(f"UPDATE klaviyo_plans SET began_at = '{datetime.now(UTC) - age:%Y-%m-%d %H:%M:%S}'")
    shop.drain(shop.batches(plan))
    assert shop.emulator.deletion_requests == [ann, new_joe], "joe is found in another profile, which joins the plan"
    assert shop.counts(plan) == {"absent": 1, "requested": 2}
    assert {row["identifier"] for row in shop.rows("requests") if row["outcome"] == "absent"} == {None}


def test_an_identifier_is_counted_in_one_batch_only(shop: Any) -> None:
    for number in range(2):
        shop.emulator.add_profile(email=f"{number}@example.com", external_id="twice")
    plan = shop.plan([{"external_id": "twice"}], batch_size=1)
    with shop.open() as (ledger, _):
        planned = [ledger.counts([plan["plan_id"]], batch)["planned"] for batch in range(2)]
    assert sorted(planned) == [0, 1]
