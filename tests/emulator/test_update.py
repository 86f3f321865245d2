"""PATCH /api/profiles/{id}: what changes, what stays, and which bodies are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator, ManualClock

Ask = Callable[..., httpx.Response]
Take = Callable[[httpx.Response], dict[str, Any]]

ATTRIBUTES = "/data/attributes"


@pytest.fixture
def patch(request: pytest.FixtureRequest) -> Ask:
    """Send a body, by the client `api` or another one."""

    def patch(profile_id: str, body: object, client: httpx.Client | None = None) -> httpx.Response:
        client = client or request.getfixturevalue("api")
        headers = {"Content-Type": "application/vnd.api+json"}
        return client.patch(f"/api/profiles/{profile_id}", json=body, headers=headers)

    return patch


@pytest.fixture
def change(patch: Ask) -> Ask:
    """Change attributes of a profile."""

    def change(profile_id: str, client: httpx.Client | None = None, **attributes: object) -> httpx.Response:
        return patch(profile_id, {"data": profile(profile_id, attributes)}, client)

    return change


def profile(profile_id: object, attributes: object) -> dict[str, object]:
    return {"type": "profile", "id": profile_id, "attributes": attributes}


def test_what_is_named_changes_and_the_rest_stays(
    emulator: Emulator, change: Ask, find: Ask, clock: ManualClock
) -> None:
    ada = emulator.add_profile("ada@example.com", "+15005550001", "customer-1", first_name="Ada")
    clock.advance(60)
    response = change(ada, email="Ada.Doe@example.com", last_name="Doe", location={"city": "Bonn"})
    assert response.status_code == 200
    data = response.json()["data"]
    assert (data["type"], data["id"], response.json()["links"]) == ("profile", ada, data["links"])
    expected = {
        "email": "ada.doe@example.com",
        "phone_number": "+15005550001",
        "external_id": "customer-1",
        "first_name": "Ada",
        "last_name": "Doe",
        "title": None,
        "location": {"city": "Bonn"},
        "properties": {},
        "created": "2027-01-15T08:00:00+00:00",
        "updated": "2027-01-15T08:01:00+00:00",
    }
    assert data["attributes"].items() >= expected.items()
    (found,) = find('equals(email,"ada.doe@example.com")').json()["data"]
    assert found == data
    assert find('equals(email,"ada@example.com")').json()["data"] == []
    assert find('equals(phone_number,"+15005550001")').json()["data"] == [data]


def test_null_clears(emulator: Emulator, change: Ask, find: Ask) -> None:
    ada = emulator.add_profile("ada@example.com", "+15005550001", first_name="Ada", properties={"vip": True})
    assert change(ada, phone_number=None, first_name=None, properties=None).status_code == 200
    (left,) = emulator.profiles()
    assert (left.email, left.phone_number, left.first_name, left.properties) == ("ada@example.com", None, None, {})
    assert find('equals(phone_number,"+15005550001")').json()["data"] == []


def test_properties_that_are_not_named_stay(emulator: Emulator, change: Ask) -> None:
    ada = emulator.add_profile("ada@example.com", properties={"vip": True, "shoes": 40})
    change(ada, properties={"shoes": 41, "hat": None})
    assert emulator.profiles()[0].properties == {"vip": True, "shoes": 41, "hat": None}


def test_a_listing_keeps_its_order(emulator: Emulator, change: Ask, api: httpx.Client) -> None:
    everybody = [emulator.add_profile(f"{number}@example.com") for number in range(3)]
    change(everybody[0], email="new@example.com")
    assert [data["id"] for data in api.get("/api/profiles").json()["data"]] == everybody


@pytest.mark.parametrize(
    "attributes",
    [{"email": "BOB@example.com"}, {"phone_number": "+15005550002"}, {"external_id": "customer-2"}],
)
def test_an_identifier_of_somebody_else_is_a_409_that_says_whose(
    emulator: Emulator, change: Ask, error: Take, attributes: dict[str, str]
) -> None:
    ada = emulator.add_profile("ada@example.com")
    bob = emulator.add_profile("bob@example.com", "+15005550002", "customer-2")
    before = emulator.profiles()
    problem = error(change(ada, first_name="Ada", **attributes))
    assert (problem["status"], problem["code"]) == (409, "duplicate_profile")
    assert problem["meta"] == {"duplicate_profile_id": bob}
    assert emulator.profiles() == before, "all or nothing"
    assert change(bob, **attributes).status_code == 200, "its own"


def test_an_identifier_in_another_account_is_free(emulator: Emulator, change: Ask, connect: Any, error: Take) -> None:
    other = emulator.add_account("Other Shop")
    ada, bob = emulator.add_profile("ada@example.com"), emulator.add_profile("bob@example.com", account=other)
    assert change(ada, email="bob@example.com").status_code == 200
    assert error(change(ada, connect(emulator, other.key), email="eve@example.com"))["code"] == "not_found"
    assert [one.id for one in emulator.profiles(other)] == [bob]


def test_who_is_to_go_can_be_changed_and_goes(
    emulator: Emulator, change: Ask, erase: Ask, clock: ManualClock, error: Take
) -> None:
    ada = emulator.add_profile("ada@example.com")
    erase(email="ada@example.com")
    assert change(ada, email="new@example.com").status_code == 200
    clock.advance(1)
    assert emulator.deleted == {ada}
    assert emulator.profiles() == []
    assert error(change(ada, email="new@example.com"))["code"] == "not_found"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("email", "example.com"),
        ("email", "a" * 89 + "@example.com"),
        ("email", 7),
        ("phone_number", "15005550006"),
        ("external_id", ""),
        ("external_id", "x" * 256),
        ("first_name", ["Ada"]),
        ("properties", "vip"),
        ("location", "Bonn"),
        ("shoe_size", 40),
        ("created", "2027-01-15T08:00:00+00:00"),
    ],
)
def test_a_value_that_cannot_be_is_refused(
    emulator: Emulator, change: Ask, error: Take, name: str, value: object
) -> None:
    ada = emulator.add_profile("ada@example.com")
    before = emulator.profiles()
    problem = error(change(ada, last_name="Doe", **{name: value}))
    assert (problem["status"], problem["code"]) == (400, "invalid")
    assert problem["source"] == {"pointer": f"{ATTRIBUTES}/{name}"}
    assert emulator.profiles() == before


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"data": profile("somebody", {})}, "/data/id"),
        ({"data": profile(None, {})}, "/data/id"),
        ({"data": {"type": "profile", "attributes": {}}}, "/data/id"),
        ({"data": {"type": "profile", "id": "ada"}}, ATTRIBUTES),
        ({"data": {"type": "person", "id": "ada", "attributes": {}}}, "/data/type"),
        ({"data": {**profile("ada", {}), "meta": {}}}, "/data/meta"),
        ({"data": profile("ada", {"location": {"planet": "Earth"}})}, f"{ATTRIBUTES}/location/planet"),
        ({}, "/data"),
    ],
)
def test_a_body_that_is_not_of_this_profile_is_refused(
    emulator: Emulator, patch: Ask, error: Take, body: object, pointer: str
) -> None:
    ada = emulator.add_profile("ada@example.com", profile_id="ada")
    problem = error(patch(ada, body))
    assert (problem["status"], problem["source"]) == (400, {"pointer": pointer})


def test_the_answer_can_be_trimmed(emulator: Emulator, api: httpx.Client) -> None:
    ada = emulator.add_profile("ada@example.com")
    response = api.patch(
        f"/api/profiles/{ada}",
        params={"fields[profile]": "first_name"},
        json={"data": profile(ada, {"first_name": "Ada"})},
        headers={"Content-Type": "application/vnd.api+json"},
    )
    assert response.json()["data"]["attributes"] == {"first_name": "Ada"}


def test_changing_has_a_quota_of_its_own(start: Callable[..., Emulator], connect: Any, change: Ask) -> None:
    client = connect(start())
    assert change("X", client).headers["ratelimit-limit"] == "75, 75;w=1, 750;w=60"
    assert client.get("/api/profiles/X").headers["ratelimit-remaining"] == "74"


def test_a_lost_answer_has_changed_what_it_was_to_change(emulator: Emulator, change: Ask) -> None:
    ada = emulator.add_profile("ada@example.com")
    emulator.fault("connection_dropped_after", endpoint="update_profile")
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        change(ada, first_name="Ada")
    assert emulator.profiles()[0].first_name == "Ada"
