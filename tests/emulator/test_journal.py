"""An emulator that was killed, and another that goes on from its journal."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator, ManualClock

Ask = Callable[..., httpx.Response]


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.fixture
def begin(start: Callable[..., Emulator], journal: Path) -> Callable[..., Emulator]:
    """Start an emulator with the journal."""
    return lambda **options: start(journal=journal, seed=None, limit_factor=1_000, **options)


def test_account_keys_and_people_are_there_again(begin: Callable[..., Emulator], connect: Any) -> None:
    first = begin()
    other = first.add_account("Another Shop", scopes=["accounts:read"])
    key = first.add_key(scopes=["profiles:read"])
    ada = first.add_profile("Ada@example.com", "+15005550006", "customer-1", first_name="Ada", properties={"vip": True})
    bob = first.add_profile("bob@example.com", account=other)
    assert not first.resumed

    second = begin(account_id="Ignore", key="pk_ignored", organization_name="Ignored")

    assert second.resumed
    assert second.accounts == first.accounts
    assert [profile.id for profile in second.profiles()] == [ada]
    assert second.profiles() == first.profiles()
    assert [profile.id for profile in second.profiles(other.id)] == [bob]
    assert connect(second).get("/api/profiles").status_code == 200
    assert connect(second, key).get("/api/accounts").status_code == 403
    assert connect(second, other.key).get("/api/profiles").status_code == 403


def test_deletions_are_counted_and_finish_when_they_were_due(
    begin: Callable[..., Emulator], connect: Any, erase: Ask, clock: ManualClock
) -> None:
    first = begin(deletion_seconds=10)
    ada, bob = first.add_profile("ada@example.com"), first.add_profile("bob@example.com")
    erase(connect(first), email="ada@example.com")
    clock.advance(5)
    erase(connect(first), email="ada@example.com")
    erase(connect(first), email="bob@example.com")
    first.stop()

    second = begin(deletion_seconds=10)

    assert second.deletion_requests == [ada, ada, bob]
    assert second.pending == {ada, bob}
    clock.advance(5)
    assert (second.deleted, second.pending) == ({ada}, {bob})
    assert erase(connect(second), email="ada@example.com").status_code == 404
    clock.advance(5)
    assert begin().deleted == {ada, bob}


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


def test_somebody_can_be_added_again_who_is_gone(
    begin: Callable[..., Emulator], connect: Any, erase: Ask, clock: ManualClock
) -> None:
    first = begin(deletion_seconds=1)
    first.add_profile("ada@example.com", profile_id="ada")
    erase(connect(first), email="ada@example.com")
    clock.advance(2)
    assert first.deleted == {"ada"}
    first.add_profile("ada@example.com", profile_id="ada")

    second = begin()

    assert second.has_profile("ada")
    assert second.deletion_requests == ["ada"]


def test_somebody_whom_a_fault_kept_goes(
    begin: Callable[..., Emulator], connect: Any, erase: Ask, clock: ManualClock
) -> None:
    first = begin(deletion_seconds=1)
    ada = first.add_profile("ada@example.com")
    first.fault("deletions_never_finish")
    for _ in range(2):
        erase(connect(first), email="ada@example.com")
        clock.advance(2)
    assert first.pending == {ada}

    assert begin().deleted == {ada}


def test_people_who_were_forgotten_stay_so(begin: Callable[..., Emulator]) -> None:
    first = begin()
    first.add_profile("ada@example.com")
    first.forget_people()
    bob = first.add_profile("bob@example.com")
    assert [profile.id for profile in begin().profiles()] == [bob]


def test_half_a_line_is_cut_off(begin: Callable[..., Emulator], journal: Path) -> None:
    first = begin()
    ada, bob = first.add_profile("ada@example.com"), first.add_profile("bob@example.com")
    journal.write_bytes(journal.read_bytes()[:-5])
    assert [profile.id for profile in begin().profiles()] == [ada]
    assert bob not in journal.read_text()
    eve = begin().add_profile("eve@example.com")
    assert [profile.id for profile in begin().profiles()] == [ada, eve]


def test_a_record_of_another_kind_is_refused(begin: Callable[..., Emulator], journal: Path) -> None:
    journal.write_text('{"what": "weather"}\n')
    with pytest.raises(ValueError, match="weather"):
        begin()


def test_a_process_that_is_killed_goes_on_where_it_listened(tmp_path: Path, journal: Path, erase: Ask) -> None:
    def run(port: int) -> tuple[subprocess.Popen[bytes], dict[str, str]]:
        ready = tmp_path / f"{time.monotonic_ns()}.json"
        options = ["--profiles", "3", "--deletion-seconds", "0", "--journal", str(journal)]
        options += ["--port", str(port), "--ready-file", str(ready)]
        command = [sys.executable, "-m", "airflow_provider_klaviyo.emulator", *options]
        process = stack.enter_context(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        stack.callback(process.kill)
        give_up = time.monotonic() + 30
        while not ready.exists():
            assert process.poll() is None
            assert time.monotonic() < give_up
            time.sleep(0.02)
        return process, json.loads(ready.read_text())

    with ExitStack() as stack:
        process, told = run(port=0)
        headers = {"Authorization": f"Klaviyo-API-Key {told['key']}", "revision": "2026-04-15"}
        client = stack.enter_context(httpx.Client(base_url=told["url"], headers=headers, trust_env=False))
        assert erase(client, email="person-2@example.com").status_code == 202
        process.kill()
        process.wait()
        with pytest.raises(httpx.TransportError):
            client.get("/api/profiles")

        _, again = run(port=client.base_url.port or 0)

        assert again == told
        there = [one["attributes"]["email"] for one in client.get("/api/profiles").json()["data"]]
        assert there == ["person-1@example.com", "person-3@example.com"]
