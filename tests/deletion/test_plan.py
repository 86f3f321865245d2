"""A list is looked up, sorted by what was found, and guarded; nobody is deleted by a plan."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from records import KEYS

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.errors import KlaviyoAuthenticationError, KlaviyoPermissionError
from airflow_provider_klaviyo.deletion.identifiers import IdentifierKindError
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.plan import PlanTooLargeError, make_plan
from airflow_provider_klaviyo.emulator import Emulator


def counts_of(plan: Any) -> dict[str, int]:
    return {
        name: number
        for name, number in plan.work(datetime.now(UTC), KEYS).result(None).items()
        if isinstance(number, int) and number
    }


def test_who_is_there_is_planned_and_who_is_not_is_absent(emulator: Emulator, client: KlaviyoClient) -> None:
    ada = emulator.add_profile("ada@example.com")
    plan = make_plan(["ada@example.com", "nobody@example.com", "?"], client)
    assert list(plan.profile_ids) == [ada]
    assert counts_of(plan) == {"listed": 3, "planned": 1, "absent": 1, "invalid": 1}
    assert emulator.calls("profile_deletion") == 0


def test_a_row_that_repeats_another_is_a_duplicate(emulator: Emulator, client: KlaviyoClient) -> None:
    emulator.add_profile("ada@example.com")
    plan = make_plan(["ada@example.com", " ADA@example.com", {"email": "Ada@Example.com"}], client)
    assert counts_of(plan) == {"listed": 3, "duplicates": 2, "planned": 1}


def test_two_identifiers_of_one_profile_are_one_deletion(emulator: Emulator, client: KlaviyoClient) -> None:
    ada = emulator.add_profile("ada@example.com", "+15005550001", "customer-1")
    rows: list[object] = ["ada@example.com", "+1 500 555 0001", {"external_id": "customer-1"}, ada]
    plan = make_plan(rows, client)
    assert list(plan.profile_ids) == [ada]
    assert counts_of(plan) == {"listed": 4, "planned": 4}


def test_an_identifier_of_several_profiles_is_several_deletions(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = emulator.add_profiles([{"external_id": "family"}] * 5)
    plan = make_plan([{"external_id": "family"}], client, max_profiles_per_identifier=5)
    assert list(plan.profile_ids) == ids
    assert counts_of(plan) == {"listed": 1, "planned": 1}


def test_an_identifier_of_too_many_profiles_is_held(
    emulator: Emulator, client: KlaviyoClient, caplog: pytest.LogCaptureFixture
) -> None:
    ids = emulator.add_profiles([{"external_id": "canary-0"}] * 250)
    ada = emulator.add_profile("ada@example.com")
    plan = make_plan([{"external_id": "canary-0"}, "ada@example.com"], client, max_profiles_per_identifier=5)
    assert list(plan.profile_ids) == [ada]
    assert counts_of(plan) == {"listed": 2, "planned": 1, "held": 1}
    assert "matches 250 profiles" in caplog.text
    assert ids[0] in caplog.text
    assert "canary" not in caplog.text


def test_a_profile_that_is_held_by_one_identifier_is_planned_by_another(
    emulator: Emulator, client: KlaviyoClient
) -> None:
    emulator.add_profiles([{"external_id": "0"}] * 9)
    ada = emulator.add_profile("ada@example.com", external_id="0")
    plan = make_plan([{"external_id": "0"}, "ada@example.com"], client, max_profiles_per_identifier=5)
    assert list(plan.profile_ids) == [ada]


def test_a_profile_that_was_not_asked_for_is_left_alone(
    emulator: Emulator, client: KlaviyoClient, caplog: pytest.LogCaptureFixture
) -> None:
    stranger = emulator.add_profile("stranger@example.com", "+15005550009", "stranger")
    ada = emulator.add_profile("ada@example.com", "+15005550001", "customer-1")
    emulator.fault("unasked_profile")
    for row in ("ada@example.com", "+15005550001", {"external_id": "customer-1"}, ada):
        plan = make_plan([row], client)
        assert list(plan.profile_ids) == [ada]
        assert stranger not in plan.profile_ids
    assert "1 profiles that do not match the filter; they are ignored" in caplog.text
    assert "stranger" not in caplog.text


def test_a_profile_that_was_not_asked_for_makes_nobody_present_and_nobody_absent(
    emulator: Emulator, client: KlaviyoClient
) -> None:
    emulator.add_profile("stranger@example.com")
    emulator.fault("unasked_profile")
    plan = make_plan(["nobody@example.com"], client)
    assert counts_of(plan) == {"listed": 1, "held": 1}
    assert not plan.profile_ids


def test_a_list_that_matches_too_many_is_refused_as_a_whole(emulator: Emulator, client: KlaviyoClient) -> None:
    emulator.add_profiles({"email": f"{number}@example.com"} for number in range(11))
    rows = [f"{number}@example.com" for number in range(11)]
    with pytest.raises(PlanTooLargeError, match=r"more than 10 Klaviyo profiles.*raise max_profiles"):
        make_plan(rows, client, max_profiles=10)
    assert len(make_plan(rows, client, max_profiles=11).profile_ids) == 11


def test_none_may_be_the_most(emulator: Emulator, client: KlaviyoClient) -> None:
    emulator.add_profile("ada@example.com")
    assert make_plan(["nobody@example.com"], client, max_profiles=0).profile_ids == {}
    with pytest.raises(PlanTooLargeError):
        make_plan(["ada@example.com"], client, max_profiles=0)


def test_a_list_that_is_refused_is_read_no_further(emulator: Emulator, client: KlaviyoClient) -> None:
    emulator.add_profiles({"email": f"{number}@example.com"} for number in range(100))
    read: list[int] = []

    def source() -> Iterator[object]:
        for number in range(1_000_000):
            read.append(number)
            yield f"{number}@example.com"

    with pytest.raises(PlanTooLargeError):
        make_plan(source(), client, max_profiles=50)
    assert len(read) < 4_000


def test_a_value_that_klaviyo_will_not_look_up_is_refused_and_the_rest_is_not(
    connect: Callable[..., KlaviyoClient],
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if b"odd" in request.url.query:
            return httpx.Response(400, json={"errors": [{"code": "invalid", "source": {"parameter": "filter"}}]})
        return httpx.Response(200, json={"data": [{"id": "01H", "attributes": {"email": "ada@example.com"}}]})

    plan = make_plan(["ada@example.com", "odd@example.com", "eve@example.com"], connect(handler=answer))
    assert counts_of(plan) == {"listed": 3, "planned": 1, "refused": 1, "absent": 1}


def test_a_mapping_that_names_no_kind_stops_the_list(client: KlaviyoClient) -> None:
    with pytest.raises(IdentifierKindError):
        make_plan(["ada@example.com", {"mail": "bob@example.com"}], client)


def test_trouble_during_a_look_up_is_no_outcome(emulator: Emulator, client: KlaviyoClient) -> None:
    emulator.fault("key_revoked")
    with pytest.raises(KlaviyoAuthenticationError):
        make_plan(["ada@example.com"], client)
    emulator.clear_faults()
    emulator.fault("scope_missing", scope="profiles:read")
    with pytest.raises(KlaviyoPermissionError):
        make_plan(["ada@example.com"], client)


def test_twenty_invalid_rows_are_logged_by_number_and_reason_and_then_no_more(
    client: KlaviyoClient, caplog: pytest.LogCaptureFixture
) -> None:
    plan = make_plan((f"canary {number}" for number in range(100)), client)
    assert counts_of(plan) == {"listed": 100, "invalid": 100}
    assert len(caplog.records) == 22
    assert "Row 20 cannot be an identifier" in caplog.text
    assert "Row 21" not in caplog.text
    assert "None of the 100 rows can be an identifier: is it the right column?" in caplog.text
    assert "canary" not in caplog.text


def test_ten_thousand_identifiers_take_a_hundred_calls(emulator: Emulator, client: KlaviyoClient) -> None:
    emulator.add_profiles({"email": f"{number}@example.com"} for number in range(0, 10_000, 20))
    plan = make_plan((f"{number}@example.com" for number in range(10_000)), client)
    assert counts_of(plan) == {"listed": 10_000, "planned": 500, "absent": 9_500}
    assert emulator.calls("get_profiles") == 100


def test_a_source_may_be_a_database_of_this_thread(client: KlaviyoClient) -> None:
    """Rows are read in the caller's thread, where a database's connection belongs."""
    with closing(sqlite3.connect(":memory:")) as connection:
        rows = (row[0] for row in connection.execute("SELECT 'ada@example.com' UNION SELECT 'bob@example.com'"))
        assert make_plan(rows, client).listed == 2


def test_nothing_personal_is_logged(
    emulator: Emulator, client: KlaviyoClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    emulator.add_profile("canary@example.com", "+15005550001", "canary")
    emulator.fault("unasked_profile")
    rows: list[object] = ["canary@example.com", "+15005550001", {"external_id": "canary"}, "canary@", 15005550001]
    plan = make_plan(rows, client, max_profiles_per_identifier=0)
    assert plan.outcomes[Outcome.HELD] == 3
    logged = "\n".join(f"{record.getMessage()} {record.args}" for record in caplog.records)
    assert "canary" not in logged
    assert "5005550001" not in logged
    assert "canary" not in repr(plan.matches)
