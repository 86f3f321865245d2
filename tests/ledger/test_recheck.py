"""Weeks later: who of those who were erased has come back?"""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from airflow_provider_klaviyo.api.errors import KlaviyoAuthenticationError
from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.ledger.recheck import recheck
from airflow_provider_klaviyo.sources.lists import list_entries

# What SQL has no part in is tried on the quicker database only.
on_sqlite = pytest.mark.parametrize("ledger_connection", ["sqlite"], indirect=True)

AT_ONCE = [timedelta()]


def look_again(shop: Any, people: list[Any], after: list[timedelta] = AT_ONCE) -> dict[str, int]:
    with shop.open("rechecker") as (ledger, hook), closing(list_entries(people, Entry)) as entries:
        return recheck(entries, hook.get_conn(), ledger, after)


def age(shop: Any, days: int, column: str = "outcome_at") -> None:
    at = datetime.now(UTC) - timedelta(days=days)
    shop.run(f"UPDATE klaviyo_requests SET {column} = '{at:%Y-%m-%d %H:%M:%S.%f}'")


def test_who_came_back_is_found_written_down_and_deleted_again(shop: Any) -> None:
    people = ["jane@example.com", "joe@example.com", "nobody@example.com", "junk", "+15005550006"]
    jane = shop.emulator.add_profile(email="jane@example.com")
    joe = shop.emulator.add_profile(email="joe@example.com", phone_number="+15005550006")
    shop.erase(people)
    new = shop.emulator.add_profile(email="jane@example.com")
    age(shop, 40)
    before = datetime.now(UTC)

    assert look_again(shop, people) == {"listed": 5, "rechecked": 3, "reappeared": 1}

    rows = {row["number"]: row for row in shop.rows("requests")}
    assert [rows[number]["outcome"] for number in (1, 2, 3, 5)] == ["reappeared", "confirmed", "absent", "confirmed"]
    assert rows[1]["outcome_at"] >= before, "she came back now, not when she had gone"
    assert rows[2]["outcome_at"] < before
    assert [rows[number]["checked_at"] is None for number in (1, 2, 3, 5)] == [False, False, True, False]
    again = [event for event in shop.events() if event[0] in ("reappeared", "rechecked")]
    assert sorted(again) == sorted([("reappeared", jane), ("rechecked", joe), ("rechecked", joe)])
    assert look_again(shop, ["jane@example.com"])["rechecked"] == 0

    shop.erase(people, run="tomorrow")
    assert shop.emulator.deletion_requests[-1] == new


@on_sqlite
@pytest.mark.parametrize(
    ("gone", "checked", "is_due"),
    [(29, None, False), (31, None, True), (31, 0, False), (89, 58, False), (91, 58, True), (91, 0, False)],
)
def test_everybody_is_looked_up_once_for_each_time_span(
    shop: Any, gone: int, checked: int | None, is_due: bool
) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    shop.erase(["jane@example.com"])
    age(shop, gone)
    if checked is not None:
        age(shop, checked, "checked_at")
    shop.emulator.reset_counts()
    counts = look_again(shop, ["jane@example.com"], [timedelta(days=30), timedelta(days=90)])
    assert counts["rechecked"] == is_due
    assert shop.emulator.calls("get_profiles") == is_due


@on_sqlite
def test_nobody_else_is_looked_up(slow_shop: Any) -> None:
    shop = slow_shop
    shop.emulator.add_profile(email="waiting@example.com")
    shop.emulator.add_profile(email="planned@example.com")
    shop.drain(shop.batches(shop.plan(["waiting@example.com"])))
    shop.plan(["planned@example.com", "absent@example.com"], run="run 2")
    shop.emulator.reset_counts()
    people = ["waiting@example.com", "planned@example.com", "absent@example.com", "never.listed@example.com", "junk"]
    assert look_again(shop, people) == {"listed": 5, "rechecked": 0, "reappeared": 0}
    assert shop.emulator.calls() == 0


def test_a_person_of_several_profiles_and_requests_is_one(shop: Any) -> None:
    for _ in range(2):
        shop.emulator.add_profile(external_id="twice")
    shop.erase([{"external_id": "twice", "request_id": one} for one in ("R1", "R2")])
    shop.emulator.add_profile(external_id="twice")
    people = [{"external_id": "twice", "request_id": one} for one in ("R1", "R2")]
    assert look_again(shop, people) == {"listed": 2, "rechecked": 1, "reappeared": 1}
    assert {row["outcome"] for row in shop.rows("requests")} == {"reappeared"}


def test_a_long_list_repeats_nobody(shop: Any) -> None:
    people = [f"{number}@example.com" for number in range(1_200)]
    for email in people[::100]:
        shop.emulator.add_profile(email=email)
    shop.erase(people)
    assert look_again(shop, [*people, *people]) == {"listed": 2_400, "rechecked": 12, "reappeared": 0}


def test_people_known_by_an_old_key_are_found(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    shop.erase(["jane@example.com"])
    shop.account(fingerprint_key=f"{'new' * 16},a key that is long enough for a fingerprint")
    shop.emulator.add_profile(email="jane@example.com")
    assert look_again(shop, ["jane@example.com"])["reappeared"] == 1


@on_sqlite
def test_an_answer_that_leaves_it_open_is_asked_for_again(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    shop.emulator.add_profile(email="decoy@example.com")
    shop.erase(["jane@example.com"])
    shop.emulator.fault("unasked_profile")
    assert look_again(shop, ["jane@example.com"])["rechecked"] == 0
    shop.emulator.clear_faults()
    assert look_again(shop, ["jane@example.com"])["rechecked"] == 1


@on_sqlite
def test_trouble_writes_nothing_wrong(shop: Any) -> None:
    shop.emulator.add_profile(email="jane@example.com")
    shop.erase(["jane@example.com"])
    before = shop.everything()
    shop.emulator.fault("key_revoked")
    with pytest.raises(KlaviyoAuthenticationError):
        look_again(shop, ["jane@example.com"])
    assert shop.everything() == before
