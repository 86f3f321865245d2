"""GET /api/profiles and /api/profiles/{id}: filters, pages, sparse fields, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator

Ask = Callable[..., httpx.Response]
Take = Callable[[httpx.Response], dict[str, Any]]


def ids(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [profile["id"] for profile in response.json()["data"]]


def test_every_field_finds_all_who_hold_the_value(emulator: Emulator, find: Ask) -> None:
    ada = emulator.add_profile("ada+x@example.com", "+15005550001", 'a"b\\c')
    twin = emulator.add_profile("ada+x@example.com", None, 'a"b\\c')
    bob = emulator.add_profile("bob@example.com", "+15005550002")
    assert ids(find('equals(email,"ada+x@example.com")')) == [ada, twin]
    assert ids(find('any(email,["bob@example.com","ada+x@example.com","no@example.com"])')) == [ada, twin, bob]
    assert ids(find('any(phone_number,["+15005550002"])')) == [bob]
    assert ids(find('equals(external_id,"a\\"b\\\\c")')) == [ada, twin]
    assert ids(find(f'any(id,["{bob}","{bob}","{ada}"])')) == [ada, bob]
    assert ids(find('equals(email,"ADA+x@example.com")')) == []


def test_a_profile_looks_as_klaviyo_shows_it(emulator: Emulator, api: httpx.Client) -> None:
    profile_id = emulator.add_profile("ada@example.com", "+15005550001", "customer-1")
    assert len(profile_id) == 26
    response = api.get(f"/api/profiles/{profile_id}")
    assert response.headers["content-type"] == "application/vnd.api+json"
    data = response.json()["data"]
    assert (data["type"], data["id"]) == ("profile", profile_id)
    assert data["attributes"]["email"] == "ada@example.com"
    assert data["attributes"]["created"] == "2027-01-15T08:00:00+00:00"
    assert data["attributes"].keys() >= {"phone_number", "external_id", "updated", "properties"}


def test_a_profile_has_a_name_and_properties(emulator: Emulator, api: httpx.Client) -> None:
    ada = emulator.add_profile("ada@example.com", first_name="Ada", last_name="Doe", properties={"vip": True})
    shown = api.get(f"/api/profiles/{ada}").json()["data"]["attributes"]
    assert (shown["first_name"], shown["last_name"], shown["properties"]) == ("Ada", "Doe", {"vip": True})
    bob = emulator.add_profile("bob@example.com")
    shown = api.get(f"/api/profiles/{bob}").json()["data"]["attributes"]
    assert (shown["first_name"], shown["last_name"], shown["properties"]) == (None, None, {})


@pytest.mark.parametrize("path", ["/api/profiles", "/api/profiles/{}"])
def test_subscriptions_are_shown_to_who_asks_for_them(emulator: Emulator, api: httpx.Client, path: str) -> None:
    ada = emulator.add_profile("ada@example.com")

    def attributes(**parameters: str) -> dict[str, Any]:
        data = api.get(path.format(ada), params=parameters).json()["data"]
        shown: dict[str, Any] = (data[0] if isinstance(data, list) else data)["attributes"]
        return shown

    assert not attributes().keys() & {"subscriptions", "predictive_analytics"}
    both = attributes(**{"additional-fields[profile]": "subscriptions,predictive_analytics"})
    marketing = both["subscriptions"]["email"]["marketing"]
    assert (marketing["can_receive_email_marketing"], marketing["consent"]) == (True, "NEVER_SUBSCRIBED")
    assert (marketing["suppression"], marketing["list_suppressions"]) == ([], [])
    assert both["subscriptions"]["sms"]["marketing"]["can_receive_sms_marketing"] is False
    assert both["predictive_analytics"]["total_clv"] is None
    some = {"additional-fields[profile]": "subscriptions", "fields[profile]": "email,subscriptions"}
    assert attributes(**some).keys() == {"email", "subscriptions"}
    assert attributes(**{"fields[profile]": "email,subscriptions"}).keys() == {"email"}


def test_fields_trim_the_answer(emulator: Emulator, api: httpx.Client, find: Ask) -> None:
    profile_id = emulator.add_profile("ada@example.com")
    (data,) = find('equals(email,"ada@example.com")', parameters={"fields[profile]": "email,created"}).json()["data"]
    assert data["attributes"].keys() == {"email", "created"}
    one = api.get(f"/api/profiles/{profile_id}", params={"fields[profile]": "email"}).json()["data"]
    assert one["attributes"] == {"email": "ada@example.com"}


def test_pages_follow_each_other_with_the_filter_kept(emulator: Emulator, api: httpx.Client, find: Ask) -> None:
    everybody = [emulator.add_profile("same+one@example.com") for _ in range(45)]
    emulator.add_profile("other@example.com")
    response = find('equals(email,"same+one@example.com")', parameters={"fields[profile]": "email"})
    found = ids(response)
    assert len(found) == 20, "the default size"
    while (following := response.json()["links"]["next"]) is not None:
        assert following.startswith(emulator.url)
        response = api.get(following)
        assert all(data["attributes"].keys() == {"email"} for data in response.json()["data"])
        found += ids(response)
    assert found == everybody


def test_a_deletion_between_two_pages_neither_skips_nor_repeats(
    emulator: Emulator, api: httpx.Client, erase: Ask, clock: Any
) -> None:
    everybody = [emulator.add_profile(f"{number}@example.com") for number in range(10)]
    first = api.get("/api/profiles", params={"page[size]": "5"})
    for gone in (everybody[0], everybody[5]):
        erase(id=gone)
    clock.advance(1)
    second = api.get(first.json()["links"]["next"])
    assert ids(first) + ids(second) == [*everybody[:5], *everybody[6:]]
    assert second.json()["links"]["next"] is None


def test_an_absent_profile_is_a_404(api: httpx.Client, error: Take) -> None:
    assert error(api.get("/api/profiles/01J00000000000000000000000"))["code"] == "not_found"


@pytest.mark.parametrize(
    ("parameters", "parameter"),
    [
        ({"filter": "equals(email,'a')"}, "filter"),
        ({"filter": ""}, "filter"),
        ({"page[size]": "0"}, "page[size]"),
        ({"page[size]": "101"}, "page[size]"),
        ({"page[size]": "ten"}, "page[size]"),
        ({"page[cursor]": "nonsense"}, "page[cursor]"),
        ({"page[cursor]": "bm9uc2Vuc2U="}, "page[cursor]"),
        ({"page[cursor]": "é"}, "page[cursor]"),
        ({"fields[profile]": "email,shoe_size"}, "fields[profile]"),
        ({"additional-fields[profile]": "subscriptions,shoe_size"}, "additional-fields[profile]"),
        ({"page_size": "5"}, "page_size"),
        ({"page[size]": ["5", "6"]}, "page[size]"),
    ],
)
def test_a_bad_parameter_is_named(api: httpx.Client, error: Take, parameters: dict[str, Any], parameter: str) -> None:
    problem = error(api.get("/api/profiles", params=parameters))
    assert (problem["status"], problem["code"]) == (400, "invalid")
    assert problem["source"] == {"parameter": parameter}


def test_too_many_values_are_refused_pointing_at_the_filter(
    start: Callable[..., Emulator], connect: Any, find: Ask, error: Take
) -> None:
    client = connect(start(max_values_per_filter=2))
    assert find('any(id,["a","b"])', client).status_code == 200
    assert error(find('any(id,["a","b","c"])', client))["source"] == {"parameter": "filter"}


def test_a_target_that_is_too_long_is_refused_by_the_edge_in_html(
    start: Callable[..., Emulator], connect: Any, find: Ask
) -> None:
    emulator = start(max_target_bytes=500)
    response = find(f'equals(email,"{"a" * 500}")', connect(emulator))
    assert response.status_code == 414
    assert response.headers["content-type"].startswith("text/html")
    assert "ratelimit-limit" not in response.headers


def test_the_default_takes_a_hundred_long_addresses(find: Ask) -> None:
    values = ",".join(f'"{number:03}{"ü" * 85}@example.com"' for number in range(100))
    assert find(f"any(email,[{values}])").status_code == 200


def test_many_profiles_are_found_in_milliseconds(emulator: Emulator, find: Ask) -> None:
    loaded = time.perf_counter()
    emulator.add_profiles({"email": f"person-{number}@example.com"} for number in range(100_000))
    assert time.perf_counter() - loaded < 10
    values = ",".join(f'"person-{number}@example.com"' for number in range(0, 100_000, 1000))
    began = time.perf_counter()
    for _ in range(10):
        assert len(ids(find(f"any(email,[{values}])", parameters={"page[size]": "100"}))) == 100
    assert (time.perf_counter() - began) / 10 < 0.1
