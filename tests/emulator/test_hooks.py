"""The helper that acts before a call is answered: at that moment, once, and never unnoticed."""

from __future__ import annotations

import httpx
import pytest
from emulator_hooks import before_call

from airflow_provider_klaviyo.emulator import Emulator


def get(emulator: Emulator, profile_id: str) -> httpx.Response:
    headers = {"authorization": f"Klaviyo-API-Key {emulator.account.key}", "revision": "2026-07-15"}
    return httpx.get(f"{emulator.url}/api/profiles/{profile_id}", headers=headers)


@pytest.mark.parametrize("number", [1, 2])
def test_it_acts_once_before_that_call(emulator: Emulator, number: int) -> None:
    jane = emulator.add_profile("jane@example.com")
    with before_call(
        emulator, "get_profile", lambda: emulator.update_profile(jane, email="x@example.com"), number=number
    ):
        seen = [get(emulator, jane).json()["data"]["attributes"]["email"] for _ in range(3)]
    assert seen.index("x@example.com") == number - 1
    emulator.update_profile(jane, email="jane@example.com")
    assert get(emulator, jane).json()["data"]["attributes"]["email"] == "jane@example.com"


def test_a_call_that_did_not_come_fails_the_test(emulator: Emulator) -> None:
    with (
        pytest.raises(AssertionError, match="get_profile was called 0 times"),
        before_call(emulator, "get_profile", lambda: None),
    ):
        pass
    with pytest.raises(ValueError, match="No endpoint"), before_call(emulator, "get_person", lambda: None):
        pass


def test_an_error_in_it_reaches_the_test(emulator: Emulator) -> None:
    with (
        pytest.raises(ValueError, match="no such profile"),
        before_call(emulator, "get_profile", lambda: emulator.update_profile("0" * 26, email=None)),
    ):
        assert get(emulator, "0" * 26).status_code == 404
