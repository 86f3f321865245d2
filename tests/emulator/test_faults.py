"""Each fault does what its name says, where and as often as it is told to, and stops when cleared."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator, ManualClock
from airflow_provider_klaviyo.emulator.faults import FAULTS

Ask = Callable[..., httpx.Response]
Take = Callable[[httpx.Response], dict[str, Any]]


def test_the_incident_refuses_existing_profiles_only(
    emulator: Emulator, api: httpx.Client, erase: Ask, error: Take
) -> None:
    emulator.add_profile("ada@example.com")
    emulator.fault("deletion_refused")
    assert error(erase(email="ada@example.com"))["code"] == "authentication_failed"
    assert erase(email="no@example.com").status_code == 404
    assert api.get("/api/accounts").status_code == 200
    assert api.get("/api/profiles").status_code == 200
    assert emulator.deletion_requests == []
    emulator.clear_faults()
    assert erase(email="ada@example.com").status_code == 202


@pytest.mark.parametrize(
    ("name", "options", "retry_after"),
    [
        ("throttled", {"retry_after": 17}, "17"),
        ("throttled_without_retry_after", {}, None),
        ("throttled_with_retry_after_zero", {}, "0"),
    ],
)
def test_throttling_with_a_header_of_every_kind(
    emulator: Emulator,
    api: httpx.Client,
    error: Take,
    name: str,
    options: dict[str, Any],
    retry_after: str | None,
) -> None:
    before = int(api.get("/api/profiles").headers["ratelimit-remaining"])
    emulator.fault(name, times=2, **options)
    for _ in range(2):
        response = api.get("/api/profiles")
        assert error(response)["code"] == "throttled"
        assert response.headers.get("retry-after") == retry_after
    assert int(api.get("/api/profiles").headers["ratelimit-remaining"]) == before - 1, "a refusal is free"


@pytest.mark.parametrize("status", [500, 502, 503, 524])
def test_a_server_error_comes_as_html(emulator: Emulator, api: httpx.Client, status: int) -> None:
    emulator.fault("server_error_html", status=status)
    response = api.get("/api/profiles")
    assert response.status_code == status
    assert response.headers["content-type"].startswith("text/html")
    assert "<html>" in response.text


@pytest.mark.parametrize("name", ["connection_dropped_before", "connection_dropped_after"])
def test_a_dropped_connection_is_an_error_and_tells_nothing(
    emulator: Emulator, api: httpx.Client, erase: Ask, name: str
) -> None:
    profile_id = emulator.add_profile("ada@example.com")
    emulator.fault(name, endpoint="profile_deletion", times=1)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        erase(email="ada@example.com")
    took_effect = name == "connection_dropped_after"
    assert emulator.deletion_requests == [profile_id] * took_effect
    assert emulator.calls("profile_deletion", "dropped") == 1
    assert emulator.report()["accounts"][emulator.account.id]["deletions"]["accepted"] == took_effect
    assert erase(email="ada@example.com").status_code == 202


def test_a_revoked_key_fails_everywhere(emulator: Emulator, api: httpx.Client, erase: Ask, error: Take) -> None:
    emulator.fault("key_revoked")
    for response in (api.get("/api/accounts"), api.get("/api/profiles"), erase(email="a@example.com")):
        assert error(response)["code"] == "authentication_failed"


def test_a_fault_can_be_about_one_account(emulator: Emulator, api: httpx.Client, connect: Any) -> None:
    other = emulator.add_account("Other Shop")
    emulator.fault("key_revoked", account=other)
    assert api.get("/api/accounts").status_code == 200
    assert connect(emulator, other.key).get("/api/accounts").status_code == 401


def test_a_scope_is_missing_where_it_is_needed(emulator: Emulator, api: httpx.Client, erase: Ask, error: Take) -> None:
    emulator.fault("scope_missing", scope="data-privacy:write")
    assert error(erase(email="a@example.com"))["code"] == "permission_denied"
    assert api.get("/api/profiles").status_code == 200


def test_deletions_do_not_finish_until_the_fault_is_cleared(emulator: Emulator, erase: Ask, clock: ManualClock) -> None:
    profile_id = emulator.add_profile("ada@example.com")
    erase(email="ada@example.com")
    emulator.fault("deletions_never_finish")
    clock.advance(100_000)
    assert emulator.has_profile(profile_id)
    assert emulator.pending == {profile_id}
    emulator.clear_faults("deletions_never_finish")
    assert not emulator.has_profile(profile_id)


def test_some_deletions_do_not_finish(emulator: Emulator, erase: Ask, clock: ManualClock) -> None:
    everybody = [emulator.add_profile(f"{number}@example.com") for number in range(5)]
    emulator.fault("deletions_never_finish", times=2)
    for profile_id in everybody:
        erase(id=profile_id)
    clock.advance(1)
    assert emulator.pending == set(everybody[:2])
    assert emulator.deleted == set(everybody[2:])


def test_a_person_comes_back_as_somebody_new(emulator: Emulator, erase: Ask, clock: ManualClock) -> None:
    profile_id = emulator.add_profile("ada@example.com", "+15005550001", "customer-1")
    emulator.fault("profiles_return", after_seconds=10)
    erase(email="ada@example.com")
    clock.advance(10.1)
    assert emulator.profiles() == []
    clock.advance(0.2)
    (back,) = emulator.profiles()
    assert back.id != profile_id
    assert (back.email, back.phone_number, back.external_id) == ("ada@example.com", "+15005550001", "customer-1")
    assert back.created == pytest.approx(1_800_000_010.2)
    assert emulator.deleted == {profile_id}


def test_somebody_else_eats_the_quota_evenly(
    start: Callable[..., Emulator], connect: Any, erase: Ask, clock: ManualClock
) -> None:
    emulator = start()
    client = connect(emulator)
    emulator.fault("quota_eaten", endpoint="profile_deletion", per_minute=30)
    answers = []
    for _ in range(240):
        answers.append(erase(client, email="no@example.com").status_code)
        clock.advance(0.5)
    part = emulator.report()["accounts"][emulator.account.id]["endpoints"]["profile_deletion"]
    assert answers.count(429) > 0
    assert part["eaten_by_others"] >= 30
    assert part["most_in_one_window"]["60"] <= 60


def test_somebody_else_eats_the_quota_in_bursts(
    start: Callable[..., Emulator], connect: Any, erase: Ask, clock: ManualClock
) -> None:
    emulator = start()
    client = connect(emulator)
    emulator.fault("quota_eaten", endpoint="profile_deletion", per_minute=30, burst=3)
    assert erase(client, email="no@example.com").status_code == 429, "three were taken at once"
    clock.advance(1)
    assert erase(client, email="no@example.com").status_code == 404


def test_an_unasked_profile_is_a_real_one(emulator: Emulator, find: Ask) -> None:
    stranger = emulator.add_profile("stranger@example.com")
    ada = emulator.add_profile("ada@example.com")
    emulator.fault("unasked_profile")
    found = [data["id"] for data in find('equals(email,"ada@example.com")').json()["data"]]
    assert found == [ada, stranger]


def test_an_unasked_profile_is_made_up_where_there_is_none(emulator: Emulator, find: Ask) -> None:
    emulator.fault("unasked_profile")
    (data,) = find('equals(email,"ada@example.com")').json()["data"]
    assert data["attributes"]["email"] == "stranger@example.com"


def test_json_is_cut_off(emulator: Emulator, api: httpx.Client) -> None:
    emulator.fault("truncated_json")
    response = api.get("/api/profiles")
    assert response.status_code == 200
    with pytest.raises(json.JSONDecodeError):
        response.json()


def test_resources_are_of_another_type(emulator: Emulator, api: httpx.Client) -> None:
    profile_id = emulator.add_profile("ada@example.com")
    emulator.fault("wrong_resources")
    (found,) = api.get("/api/profiles").json()["data"]
    assert (found["type"], found["id"]) == ("tag", profile_id)
    one = api.get(f"/api/profiles/{profile_id}").json()["data"]
    assert (one["type"], one["id"]) == ("tag", profile_id)


def test_a_success_has_errors_in_it(emulator: Emulator, api: httpx.Client, find: Ask) -> None:
    emulator.add_profile("ada@example.com")
    emulator.fault("errors_in_ok", times=1)
    response = find('equals(email,"ada@example.com")')
    assert response.status_code == 200
    assert response.json()["data"] == []
    assert [error["code"] for error in response.json()["errors"]] == ["invalid"]
    assert len(api.get("/api/profiles").json()["data"]) == 1


def test_a_body_comes_slowly_and_whole(emulator: Emulator, api: httpx.Client) -> None:
    emulator.add_profile("ada@example.com")
    expected = api.get("/api/profiles").content
    emulator.fault("slow_body", bytes_per_second=50_000)
    with api.stream("GET", "/api/profiles") as response:
        assert response.headers["content-type"] == "application/vnd.api+json"
        chunks = list(response.iter_raw())
    assert len(chunks) > 1
    assert b"".join(chunks) == expected


@pytest.mark.parametrize("status", [200, 202, 400, 401, 403, 404, 429])
def test_the_edge_answers_whatever_it_likes(emulator: Emulator, api: httpx.Client, erase: Ask, status: int) -> None:
    emulator.add_profile("ada@example.com")
    emulator.fault("server_error_html", status=status)
    for response in (api.get("/api/profiles"), erase(email="ada@example.com")):
        assert (response.status_code, "<html>" in response.text) == (status, True)
    assert emulator.deletion_requests == []


def test_the_next_link_leads_elsewhere(emulator: Emulator, find: Ask) -> None:
    emulator.fault("foreign_next_link", to="https://attacker.example.com")
    following = find('equals(email,"ada@example.com")').json()["links"]["next"]
    assert following.startswith("https://attacker.example.com/api/profiles?filter=equals")
    assert "page%5Bcursor%5D=" in following


def test_pages_never_end(emulator: Emulator, api: httpx.Client) -> None:
    profile_id = emulator.add_profile("ada@example.com")
    emulator.fault("endless_pages")
    following = "/api/profiles"
    for _ in range(5):
        page = api.get(following).json()
        assert [data["id"] for data in page["data"]] == [profile_id]
        following = page["links"]["next"]


def test_a_redirect_leads_elsewhere(emulator: Emulator, api: httpx.Client) -> None:
    emulator.fault("redirect")
    response = api.get("/api/profiles/X")
    assert response.status_code == 307
    assert response.headers["location"] == "https://elsewhere.example.com/api/profiles/X"


def test_a_fault_strikes_as_often_as_its_dice_say(emulator: Emulator, api: httpx.Client) -> None:
    emulator.fault("server_error_html", endpoint="get_profiles", probability=0.5)
    found = [api.get("/api/profiles").status_code for _ in range(100)]
    assert 25 < found.count(503) < 75
    assert api.get("/api/accounts").status_code == 200
    (fault,) = emulator.faults
    assert fault["struck"] == found.count(503)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("thrown_out", {}),
        ("throttled", {"seconds": 1}),
        ("throttled", {"endpoint": "get_everything"}),
        ("deletion_refused", {"endpoint": "get_profiles"}),
        ("endless_pages", {"endpoint": "get_account"}),
        ("suppression_cancelled", {"endpoint": "get_suppression_job"}),
        ("throttled", {"probability": 2}),
        ("throttled", {"times": 0}),
        ("scope_missing", {}),
        ("quota_eaten", {"per_minute": 0}),
        ("slow_body", {"bytes_per_second": 0}),
    ],
)
def test_a_fault_that_could_never_strike_is_refused(emulator: Emulator, name: str, options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w+"):
        emulator.fault(name, **options)
    assert emulator.faults == []


def test_every_fault_can_be_switched_on_and_off(emulator: Emulator, api: httpx.Client) -> None:
    for name, options in FAULTS.items():
        needed: dict[str, Any] = {"scope": "profiles:read"} if "scope" in options else {}
        emulator.fault(name, **needed)
    assert {fault["name"] for fault in emulator.faults} == set(FAULTS)
    emulator.clear_faults()
    assert api.get("/api/profiles").status_code == 200
