"""The button "Test" tells what is wrong, in words that say what to do."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_provider_klaviyo.api import conversation
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook

Connect = Callable[..., str]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_klaviyo.hooks.klaviyo.TEST_PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(conversation, "FIRST_PAUSE_SECONDS", 0.02)


def test_a_good_connection_names_its_account_and_what_it_cannot_tell(emulator: Emulator, connect: Connect) -> None:
    works, message = KlaviyoHook(connect(account_id=emulator.account.id)).test_connection()
    assert works
    assert emulator.account.id in message
    assert "Example Shop" in message
    assert "data-privacy:write shows at the first deletion only" in message
    assert emulator.calls("profile_deletion") == 0


def test_a_bad_key(connect: Connect) -> None:
    works, message = KlaviyoHook(connect(password="pk_wrong")).test_connection()
    assert not works
    assert "answered 401 authentication_failed" in message
    assert "the key was revoked, or is mistyped" in message
    assert "'Private API key'" in message
    assert "pk_wrong" not in message


@pytest.mark.parametrize("scope", ["accounts:read", "profiles:read"])
def test_a_missing_scope(emulator: Emulator, connect: Connect, scope: str) -> None:
    emulator.fault("scope_missing", scope=scope)
    works, message = KlaviyoHook(connect(account_id=emulator.account.id)).test_connection()
    assert not works
    assert f"lacks the scope {scope}" in message


def test_a_key_need_not_name_its_account_unless_the_connection_does(emulator: Emulator, connect: Connect) -> None:
    emulator.fault("scope_missing", scope="accounts:read")
    works, message = KlaviyoHook(connect()).test_connection()
    assert works
    assert "lacks the scope accounts:read" in message


def test_an_unreachable_host(connect: Connect) -> None:
    with Emulator() as gone:
        url = gone.url
    works, message = KlaviyoHook(connect(host=url)).test_connection()
    assert not works
    assert "no answer to GET /api/accounts (ConnectError: nothing listens there)" in message
    assert "connection's host" in message


def test_a_host_that_sends_one_elsewhere(emulator: Emulator, connect: Connect) -> None:
    emulator.fault("redirect")
    works, message = KlaviyoHook(connect()).test_connection()
    assert not works
    assert "a redirect, which is not followed because the key would go along. Check the connection's host" in message


def test_a_host_that_is_not_klaviyos(emulator: Emulator, connect: Connect) -> None:
    emulator.fault("truncated_json")
    works, message = KlaviyoHook(connect()).test_connection()
    assert not works
    assert "is not JSON" in message


def test_the_wrong_account(emulator: Emulator, connect: Connect) -> None:
    works, message = KlaviyoHook(connect(account_id="Other1")).test_connection()
    assert not works
    assert f"belongs to test account {emulator.account.id} (Example Shop), but account_id says Other1" in message
    assert "Correct the key or the field 'Account id'" in message


def test_an_empty_key(connection: Connect) -> None:
    assert KlaviyoHook(connection()).test_connection() == (
        False,
        "Connection 'shop': the field 'Private API key' (password) is empty. Make a private key in Klaviyo under "
        "Settings > API keys with the scopes data-privacy:write, profiles:read and accounts:read",
    )


def test_a_missing_connection() -> None:
    works, message = KlaviyoHook("no_such_shop").test_connection()
    assert not works
    assert "'no_such_shop' does not exist" in message


def test_klaviyo_in_trouble(emulator: Emulator, connect: Connect) -> None:
    emulator.fault("throttled", retry_after=60)
    works, message = KlaviyoHook(connect()).test_connection()
    assert not works
    assert "too many calls for this account" in message
