"""What a journal knows of people and apps besides that they are there."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from typing import Any

import httpx

from airflow_provider_klaviyo.emulator import Emulator, ManualClock

Ask = Callable[..., httpx.Response]


def test_lists_and_segments_have_their_members_again(
    begin: Callable[..., Emulator], connect: Any, erase: Ask, clock: ManualClock
) -> None:
    first = begin()
    ada, bob = first.add_profile("ada@example.com"), first.add_profile("bob@example.com")
    newsletter, buyers = first.add_list("Newsletter"), first.add_segment("Buyers")
    first.add_to_list(ada, newsletter)
    first.add_to_list(bob, newsletter)
    first.add_to_segment(bob, buyers)
    erase(connect(first), id=ada)
    clock.advance(1)

    second = begin()

    client = connect(second)
    assert client.get(f"/api/profiles/{ada}/lists").status_code == 404
    for path, group_id in (("lists", newsletter), ("segments", buyers)):
        assert [one["id"] for one in client.get(f"/api/profiles/{bob}/{path}").json()["data"]] == [group_id]


def test_events_are_there_again_and_nobodys_where_they_were(
    begin: Callable[..., Emulator], connect: Any, erase: Ask, clock: ManualClock
) -> None:
    first = begin()
    ada, bob = first.add_profile("ada@example.com"), first.add_profile("bob@example.com")
    for profile_id in (ada, bob, bob):
        first.add_event(profile_id, "Placed Order", {"total": 1})
    erase(connect(first), id=ada)
    clock.advance(1)
    told = connect(first).get("/api/events", params={"include": "metric"}).text

    second = begin()

    assert connect(second).get("/api/events", params={"include": "metric"}).text == told.replace(first.url, second.url)


def test_who_was_changed_is_so_again(
    begin: Callable[..., Emulator], connect: Any, erase: Ask, clock: ManualClock
) -> None:
    first = begin(deletion_seconds=10)
    ada = first.add_profile("ada@example.com", properties={"vip": True})
    bob = first.add_profile("bob@example.com")
    erase(connect(first), id=bob)
    for profile_id in (ada, bob):
        attributes = {"email": f"new-{profile_id}@example.com", "properties": {"shoes": 40}}
        body = {"data": {"type": "profile", "id": profile_id, "attributes": attributes}}
        headers = {"Content-Type": "application/vnd.api+json"}
        assert connect(first).patch(f"/api/profiles/{profile_id}", json=body, headers=headers).status_code == 200

    second = begin()

    assert second.profiles() == first.profiles()
    assert second.pending == {bob}
    clock.advance(10)
    assert [profile.id for profile in second.profiles()] == [ada]


def test_suppressions_finish_when_they_were_due_unless_they_were_cancelled(
    begin: Callable[..., Emulator], connect: Any, clock: ManualClock
) -> None:
    def suppress(email: str) -> str:
        attributes = {"profiles": {"data": [{"type": "profile", "attributes": {"email": email}}]}}
        body = {"data": {"type": "profile-suppression-bulk-create-job", "attributes": attributes}}
        headers = {"Content-Type": "application/vnd.api+json"}
        path: str = connect(first).post(jobs, json=body, headers=headers).json()["data"]["links"]["self"]
        return path.removeprefix(first.url)

    jobs = "/api/profile-suppression-bulk-create-jobs"
    first = begin(suppression_seconds=10)
    first.fault("suppression_cancelled", times=1)
    paths = [suppress("eve@example.com"), suppress("ada@example.com")]
    clock.advance(10)
    (ada,) = first.profiles()
    paths.append(suppress("bob@example.com"))
    first.add_profile("late@example.com")

    second = begin()

    assert second.profiles() == first.profiles()
    assert second.suppressed == {ada.id}
    clock.advance(10)
    shown = [connect(second).get(path).json()["data"]["attributes"]["status"] for path in paths]
    assert shown == ["cancelled", "complete", "complete"]
    assert second.profiles() == first.profiles() == begin().profiles()
    assert len(second.suppressed) == 2


def test_tokens_are_as_good_as_they_were(begin: Callable[..., Emulator], connect: Any, clock: ManualClock) -> None:
    def ask(emulator: Emulator, **fields: str) -> httpx.Response:
        auth = (app.client_id, app.client_secret)
        return httpx.post(f"{emulator.url}/oauth/token", data=fields, auth=auth, trust_env=False)

    def refresh(emulator: Emulator, token: str) -> httpx.Response:
        return ask(emulator, grant_type="refresh_token", refresh_token=token)

    def status(emulator: Emulator, pair: dict[str, Any]) -> int:
        client: httpx.Client = connect(emulator)
        client.headers["Authorization"] = f"Bearer {pair['access_token']}"
        return client.get("/api/profiles").status_code

    verifier = "v" * 43
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    first = begin()
    app = first.add_installation(scopes=["profiles:read"])
    pair = refresh(first, app.refresh_token).json()
    code = first.authorize(app.client_id, challenge, "https://app.example.com")

    second = begin()

    assert second.installations == first.installations
    assert status(second, pair) == 200
    assert refresh(second, app.refresh_token).status_code == 400
    proof = {"code": code, "code_verifier": verifier, "redirect_uri": "https://app.example.com"}
    pairs = [pair, refresh(second, pair["refresh_token"]).json()]
    second.expire_access_tokens(app)
    pairs.append(ask(second, grant_type="authorization_code", **proof).json())

    third = begin()

    assert [status(third, one) for one in pairs] == [401, 401, 200]
    assert ask(third, grant_type="authorization_code", **proof).json() == {"error": "invalid_grant"}
    clock.advance(3600)
    assert status(third, pairs[-1]) == 401
    third.revoke_installation(app)
    assert refresh(begin(), pairs[-1]["refresh_token"]).json() == {"error": "invalid_grant"}
