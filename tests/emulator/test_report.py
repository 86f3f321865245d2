"""The report: exact numbers, no identifiers, no keys."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator, ManualClock
from airflow_provider_klaviyo.emulator.report import table

Ask = Callable[..., httpx.Response]


def test_everything_asked_is_counted(
    start: Callable[..., Emulator], connect: Any, erase: Ask, clock: ManualClock
) -> None:
    emulator = start()
    client = connect(emulator)
    for number in range(2):
        emulator.add_profile(f"twin-{number}@example.com")
    emulator.add_profile("twin-1@example.com")
    for number in range(4):
        erase(client, email=f"twin-{number}@example.com")
    connect(emulator, "pk_wrong").get("/api/accounts")
    clock.advance(1)

    assert emulator.calls() == 5
    assert emulator.calls("profile_deletion") == 4
    assert emulator.calls("profile_deletion", 202) == 2
    assert emulator.calls(status=401) == 1
    report = emulator.report()
    account = report["accounts"][emulator.account.id]
    assert account == {
        "organization_name": "Example Shop",
        "profiles": 0,
        "deletions": {"accepted": 2, "pending": 0, "gone": 3},
        "endpoints": {
            "profile_deletion": {
                "calls": 4,
                "by_status": {"202": 2, "404": 1, "429": 1},
                "accepted": 3,
                "most_in_one_window": {"1": 3, "60": 3},
                "most_in_any_60_seconds": 3,
                "eaten_by_others": 0,
            }
        },
        "installations": {},
    }
    assert report["without_account"]["endpoints"]["get_account"]["by_status"] == {"401": 1}
    assert "profile_deletion  4      3        3         3" in table(report)
    with pytest.raises(ValueError, match="get_everything"):
        emulator.calls("get_everything")


def test_counting_begins_again_and_the_facts_stay(emulator: Emulator, erase: Ask, api: httpx.Client) -> None:
    profile_id = emulator.add_profile("ada@example.com")
    erase(email="ada@example.com")
    emulator.reset_counts()
    assert emulator.calls() == 0
    assert emulator.report()["accounts"][emulator.account.id]["endpoints"] == {}
    assert emulator.deletion_requests == [profile_id]
    emulator.forget_people()
    assert emulator.deletion_requests == []
    assert emulator.profiles() == []


def test_no_identifier_and_no_key_is_reported_or_logged(
    emulator: Emulator, api: httpx.Client, erase: Ask, find: Ask, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    emulator.add_profile("canary@example.com", "+15005550001", "canary-external")
    emulator.fault("connection_dropped_after", endpoint="get_profiles", times=1)
    erase(email="canary@example.com")
    erase(email="canary2@example.com")
    with pytest.raises(httpx.HTTPError):
        find('equals(email,"canary@example.com")')
    find("equals(email,canary)")
    # httpx itself logs whole URLs; that is the client, and not the emulator's doing.
    own = [record.getMessage() for record in caplog.records if not record.name.startswith(("http",))]
    written = json.dumps([emulator.report(), table(emulator.report()), own, repr(emulator.account)])
    for secret in ("canary", "15005550001", emulator.account.key):
        assert secret not in written
