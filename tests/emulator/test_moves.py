"""Profiles that are merged, changed or removed by somebody in Klaviyo, and a search index that is late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator, ManualClock

Ask = Callable[..., httpx.Response]


def ids(response: httpx.Response) -> list[str]:
    assert response.status_code == 200
    return [data["id"] for data in response.json()["data"]]


def test_merge_removes_the_source_and_carries_its_identifiers_over(
    emulator: Emulator, api: httpx.Client, find: Ask
) -> None:
    source = emulator.add_profile("ada@example.com", "+15005550001", first_name="Ada", properties={"vip": True})
    destination = emulator.add_profile("bob@example.com", external_id="customer-2", properties={"shoes": 40})

    emulator.merge_profiles(source, destination)

    assert api.get(f"/api/profiles/{source}").status_code == 404
    assert ids(find(f'equals(id,"{source}")')) == []
    assert ids(find('equals(email,"ada@example.com")')) == [destination]
    assert ids(find('equals(email,"bob@example.com")')) == []
    (left,) = emulator.profiles()
    assert left.identifiers == {
        "email": "ada@example.com",
        "phone_number": "+15005550001",
        "external_id": "customer-2",
    }
    assert (left.first_name, left.properties) == ("Ada", {"vip": True, "shoes": 40})
    assert emulator.deleted == set()


def test_merge_can_keep_the_identifiers_of_the_destination(emulator: Emulator, find: Ask) -> None:
    source = emulator.add_profile("ada@example.com", "+15005550001")
    destination = emulator.add_profile("bob@example.com")

    emulator.merge_profiles(source, destination, identifiers_win=False)

    (left,) = emulator.profiles()
    assert left.identifiers == {"email": "bob@example.com", "phone_number": "+15005550001"}
    assert ids(find('equals(email,"ada@example.com")')) == []


def test_merge_moves_events_lists_and_segments(emulator: Emulator, api: httpx.Client) -> None:
    source, destination = emulator.add_profile("ada@example.com"), emulator.add_profile("bob@example.com")
    events = [emulator.add_event(person, "Placed Order") for person in (source, destination, source)]
    newsletter, buyers = emulator.add_list("Newsletter"), emulator.add_segment("Buyers")
    emulator.add_to_list(source, newsletter)
    emulator.add_to_segment(destination, buyers)

    emulator.merge_profiles(source, destination)

    assert sorted(ids(api.get("/api/events", params={"filter": f'equals(profile_id,"{destination}")'}))) == sorted(
        events
    )
    assert ids(api.get("/api/events", params={"filter": f'equals(profile_id,"{source}")'})) == []
    assert ids(api.get(f"/api/profiles/{destination}/lists")) == [newsletter]
    assert ids(api.get(f"/api/profiles/{destination}/segments")) == [buyers]


@pytest.mark.parametrize("gone", ["merged", "removed"])
def test_a_pending_deletion_of_a_profile_that_went_another_way_takes_nobody(
    emulator: Emulator, erase: Ask, clock: ManualClock, gone: str
) -> None:
    source, destination = emulator.add_profile("ada@example.com"), emulator.add_profile("bob@example.com")
    erase(id=source)

    if gone == "merged":
        emulator.merge_profiles(source, destination)
    else:
        emulator.remove_profile(source)

    assert emulator.pending == set()
    clock.advance(10)
    assert [profile.id for profile in emulator.profiles()] == [destination]
    assert emulator.deleted == set()
    assert emulator.deletion_requests == [source]


def test_merge_needs_two_profiles_of_one_account(emulator: Emulator) -> None:
    other = emulator.add_account("Other Shop")
    ada, bob = emulator.add_profile("ada@example.com"), emulator.add_profile("bob@example.com", account=other)
    for destination in (ada, bob, "nobody"):
        with pytest.raises(ValueError, match="another profile of the same account"):
            emulator.merge_profiles(ada, destination)
    with pytest.raises(ValueError, match="no such profile"):
        emulator.merge_profiles("nobody", ada)


def test_an_identifier_changes_hands(emulator: Emulator, find: Ask) -> None:
    ada = emulator.add_profile("ada@example.com", "+15005550001")
    bob = emulator.add_profile("bob@example.com")

    emulator.update_profile(ada, email=None)
    emulator.update_profile(bob, email="Ada@example.com")

    assert ids(find('equals(email,"ada@example.com")')) == [bob]
    assert ids(find('equals(email,"bob@example.com")')) == []
    assert ids(find('equals(phone_number,"+15005550001")')) == [ada]


def test_a_removed_profile_is_found_nowhere(emulator: Emulator, api: httpx.Client, find: Ask) -> None:
    ada = emulator.add_profile("ada@example.com")
    emulator.remove_profile(ada)
    assert api.get(f"/api/profiles/{ada}").status_code == 404
    assert ids(find('equals(email,"ada@example.com")')) == []
    with pytest.raises(ValueError, match="no such profile"):
        emulator.remove_profile(ada)


def test_a_late_index_does_not_find_a_new_profile_that_is_there_by_id(
    emulator: Emulator, api: httpx.Client, find: Ask, clock: ManualClock
) -> None:
    old = emulator.add_profile("ada@example.com")
    clock.advance(60)
    emulator.fault("late_index", seconds=30)
    new = emulator.add_profile("ada@example.com")

    assert ids(find('equals(email,"ada@example.com")')) == [old]
    assert ids(find(f'any(id,["{old}","{new}"])')) == [old]
    assert api.get(f"/api/profiles/{new}").status_code == 200
    clock.advance(30)
    assert ids(find('equals(email,"ada@example.com")')) == [old, new]


def test_a_late_index_does_not_find_a_changed_profile(
    emulator: Emulator, api: httpx.Client, find: Ask, clock: ManualClock
) -> None:
    ada, bob = emulator.add_profile("ada@example.com"), emulator.add_profile("bob@example.com")
    clock.advance(60)
    emulator.fault("late_index")
    emulator.update_profile(ada, email="new@example.com")
    emulator.merge_profiles(bob, ada, identifiers_win=False)

    for email in ("ada@example.com", "new@example.com", "bob@example.com"):
        assert ids(find(f'equals(email,"{email}")')) == []
    assert api.get(f"/api/profiles/{ada}").json()["data"]["attributes"]["email"] == "new@example.com"
    clock.advance(5)
    assert ids(find('equals(email,"new@example.com")')) == [ada]


def test_a_journal_knows_what_moved(
    begin: Callable[..., Emulator], connect: Any, erase: Ask, clock: ManualClock
) -> None:
    first = begin(deletion_seconds=10)
    ada, bob, eve = (first.add_profile(f"{name}@example.com") for name in ("ada", "bob", "eve"))
    first.add_event(ada, "Placed Order")
    erase(connect(first), id=ada)
    clock.advance(1)
    first.update_profile(bob, email=None, phone_number="+15005550001")
    first.merge_profiles(ada, bob)
    first.remove_profile(eve)

    second = begin()

    assert second.profiles() == first.profiles()
    assert second.pending == set()
    filters = {"filter": f'equals(profile_id,"{bob}")'}
    assert len(ids(connect(second).get("/api/events", params=filters))) == 1
    clock.advance(10)
    assert [profile.id for profile in second.profiles()] == [bob]


def test_the_controls_are_there_over_http(emulator: Emulator, find: Ask) -> None:
    def act(path: str, **body: object) -> int:
        return httpx.post(f"{emulator.url}/_emulator/{path}", json=body, trust_env=False).status_code

    ada, bob, eve = (emulator.add_profile(f"{name}@example.com") for name in ("ada", "bob", "eve"))
    assert act("profiles/update", profile_id=bob, email=None, external_id="customer-2") == 200
    assert act("profiles/merge", source_id=ada, destination_id=bob, identifiers_win=False) == 200
    assert act("profiles/remove", profile_id=eve) == 200
    assert act("profiles/merge", source_id=ada, destination_id=bob) == 400
    (left,) = emulator.profiles()
    assert left.identifiers == {"email": "ada@example.com", "external_id": "customer-2"}
    assert act("faults", name="late_index", seconds=60) == 200
    assert ids(find('equals(email,"ada@example.com")')) == []
