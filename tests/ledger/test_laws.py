"""For every list and everybody in Klaviyo: who is listed is deleted, nobody else, and each row is somewhere."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.identifiers import Identifier, InvalidIdentifierError, Kind
from airflow_provider_klaviyo.ledger.recheck import recheck
from airflow_provider_klaviyo.sources.lists import list_entries

EMAILS = ["a@example.com", "b@example.com", "c@example.com"]
PHONES = ["+15005550001", "+15005550002", "+15005550003"]
EXTERNAL = ["1", "2"]

profiles = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "email": st.sampled_from(EMAILS),
            "phone_number": st.sampled_from(PHONES),
            "external_id": st.sampled_from(EXTERNAL),
        },
    ),
    max_size=5,
)
identifiers = st.one_of(
    st.sampled_from([*EMAILS, "A@Example.com ", " B@example.com"]).map(lambda value: {"email": value}),
    st.sampled_from([*PHONES, "+1 500 555 0001"]).map(lambda value: {"phone_number": value}),
    st.sampled_from([*EXTERNAL, 1, 2]).map(lambda value: {"external_id": value}),
    st.sampled_from(["junk", None, 7, "a@b@c"]).map(lambda value: {"email": value}),
)
details = st.fixed_dictionaries(
    {},
    optional={
        "request_id": st.sampled_from(["R1", "R2", 3, None, "", "bad\n"]),
        "received_at": st.sampled_from(["2026-11-01", "2026-01-31", None, "", "yesterday", "9999-01-01"]),
        "regulation": st.sampled_from(["gdpr", "CCPA", 10, None, "", "law"]),
    },
)
rows = st.lists(st.builds(dict.__or__, identifiers, details), max_size=12)


def listed_in(shop: Any, people: list[dict[str, Any]]) -> set[str]:
    """Return who of those in Klaviyo now holds a listed identifier; worked out without the code under test."""
    wanted = set()
    for row in people:
        (kind,) = set(row) & set(Kind)
        try:
            wanted.add((kind, Identifier.of(Kind(kind), row[kind]).value))
        except InvalidIdentifierError:
            continue
    holds = ("email", "phone_number", "external_id")
    return {
        profile.id
        for profile in shop.emulator.profiles()
        if any((kind, getattr(profile, kind)) in wanted for kind in holds)
    }


def empty(shop: Any) -> None:
    shop.emulator.forget_people()
    for table in ("plans", "requests", "events"):
        shop.run(f"DELETE FROM klaviyo_{table}")


@pytest.mark.parametrize("ledger_connection", ["sqlite"], indirect=True)
def test_who_is_listed_is_deleted_and_nobody_else(shop: Any) -> None:
    with shop.open():
        pass

    @settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])
    @given(profiles=profiles, lists=st.lists(rows, min_size=1, max_size=3), size=st.integers(1, 3))
    def law(profiles: list[dict[str, str]], lists: list[list[dict[str, Any]]], size: int) -> None:
        empty(shop)
        shop.emulator.add_profiles(profiles)
        erased: set[str] = set()
        for day, people in enumerate(lists):
            there = listed_in(shop, people)
            plan = shop.plan(people, run=f"day {day}", batch_size=size, max_profiles_per_identifier=None)
            counts = shop.counts(plan)
            assert plan["listed"] == len(people) == plan["duplicates"] + plan["known"] + sum(counts.values())
            assert plan["profiles"] == len(there)
            assert [one.size for one in shop.batches(plan)] == [
                min(size, len(there) - start) for start in range(0, len(there), size)
            ]
            assert shop.emulator.deleted == erased
            shop.drain(shop.batches(plan))
            erased |= there
            assert shop.emulator.deleted == erased
            counts = shop.look(plan)
            assert set(counts) <= {"confirmed", "absent", "invalid"}
            assert plan["listed"] == plan["duplicates"] + plan["known"] + sum(counts.values())
            assert {row["identifier"] for row in shop.rows("requests")} <= {None}
        assert sorted(shop.emulator.deletion_requests) == sorted(erased), "each of them once"
        before = shop.rows("requests")
        again = shop.plan(lists[-1], run="the last day")
        counts = shop.counts(again)
        assert again["profiles"] == 0
        assert set(counts) <= {"invalid"}, "all others are known"
        assert again["listed"] == again["known"] + again["duplicates"] + sum(counts.values())
        assert shop.rows("requests") == before
        with shop.open() as (ledger, hook), closing(list_entries(lists[-1], Entry)) as entries:
            assert recheck(entries, hook.get_conn(), ledger, [timedelta()])["reappeared"] == 0

    law()
