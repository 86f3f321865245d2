"""An emulator that was killed, and another that goes on from its journal."""

from __future__ import annotations

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
