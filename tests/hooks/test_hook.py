"""The hook turns a connection into clients and calls, and refuses a key of another account before anything changes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_klaviyo.api.calls import get_account, get_profile, request_profile_deletion
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAccountError,
    KlaviyoAuthenticationError,
    KlaviyoConfigurationError,
    KlaviyoNotFoundError,
    KlaviyoPermissionError,
)
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook

Connect = Callable[..., str]


def erase_blocking(conn_id: str, profile_id: str) -> None:
    with KlaviyoHook(conn_id) as hook:
        hook.get_conn().run(request_profile_deletion("id", profile_id))


def erase_async(conn_id: str, profile_id: str) -> None:
    async def erase() -> None:
        async with await KlaviyoHook(conn_id).get_async_conn() as client:
            await client.run(request_profile_deletion("id", profile_id))

    asyncio.run(erase())


both = pytest.mark.parametrize("erase", [erase_blocking, erase_async])


@both
def test_a_profile_is_deleted(emulator: Emulator, connect: Connect, erase: Any) -> None:
    ada = emulator.add_profile("ada@example.com")
    erase(connect(account_id=emulator.account.id), ada)
    assert emulator.deletion_requests == [ada]


@both
def test_a_key_of_another_account_is_refused_before_anything_changes(
    emulator: Emulator, connect: Connect, erase: Any
) -> None:
    ada = emulator.add_profile("ada@example.com")
    with pytest.raises(KlaviyoAccountError) as caught:
        erase(connect(account_id="Other1"), ada)
    assert emulator.deletion_requests == []
    assert emulator.calls() == emulator.calls("get_account") == 1
    assert emulator.account.id in str(caught.value)
    assert "account_id says Other1. Nothing was changed" in str(caught.value)
    assert emulator.account.key not in str(caught.value)


@both
def test_an_account_that_cannot_be_told_is_refused_too(emulator: Emulator, connect: Connect, erase: Any) -> None:
    ada = emulator.add_profile("ada@example.com")
    emulator.fault("scope_missing", scope="accounts:read")
    with pytest.raises(KlaviyoPermissionError, match="accounts:read"):
        erase(connect(account_id=emulator.account.id), ada)
    assert emulator.deletion_requests == []


@both
def test_the_account_of_a_key_is_asked_for_once(emulator: Emulator, connect: Connect, erase: Any) -> None:
    conn_id = connect(account_id=emulator.account.id)
    for number in range(3):
        erase(conn_id, emulator.add_profile(f"{number}@example.com"))
    assert emulator.calls("get_account") == 1


@both
def test_another_key_is_checked_again(emulator: Emulator, connect: Connect, erase: Any) -> None:
    account_id = emulator.account.id
    erase(connect(account_id=account_id), emulator.add_profile("ada@example.com"))
    other = emulator.add_account("Another Example Shop")
    bob = emulator.add_profile("bob@example.com", account=other)
    with pytest.raises(KlaviyoAccountError):
        erase(connect(password=other.key, account_id=account_id), bob)
    assert bob not in emulator.deletion_requests


@both
def test_a_key_that_was_right_is_refused_for_another_account(emulator: Emulator, connect: Connect, erase: Any) -> None:
    ada = emulator.add_profile("ada@example.com")
    erase(connect(account_id=emulator.account.id), ada)
    bob = emulator.add_profile("bob@example.com")
    with pytest.raises(KlaviyoAccountError):
        erase(connect(account_id="Other1"), bob)
    assert emulator.deletion_requests == [ada]


@both
def test_without_an_account_id_nothing_is_asked_first(emulator: Emulator, connect: Connect, erase: Any) -> None:
    erase(connect(), emulator.add_profile("ada@example.com"))
    assert emulator.calls("get_account") == 0


def test_a_hook_has_one_client_until_it_is_closed(connect: Connect) -> None:
    hook = KlaviyoHook(connect())
    client = hook.get_conn()
    assert hook.get_conn() is client
    hook.close()
    with pytest.raises(RuntimeError, match="closed"):
        client.run(get_account())
    assert hook.get_conn() is not client
    hook.close()
    hook.close()


def test_a_hook_does_nothing_until_it_is_asked() -> None:
    with KlaviyoHook("no_such_shop"):
        pass


def test_the_account(emulator: Emulator, connect: Connect) -> None:
    with KlaviyoHook(connect()) as hook:
        assert hook.get_account().id == emulator.account.id


def test_profiles_are_found_by_each_identifier(emulator: Emulator, connect: Connect) -> None:
    ada = emulator.add_profile("ada@example.com", "+15005550001", "customer-1")
    with KlaviyoHook(connect()) as hook:
        assert hook.get_profile(ada).email == "ada@example.com"
        for kind, value in {"id": ada, "email": "ada@example.com", "external_id": "customer-1"}.items():
            assert [profile.id for profile in hook.find_profiles(kind, [value])] == [ada]
        with pytest.raises(KlaviyoNotFoundError):
            hook.get_profile("01HNOBODY")


@pytest.mark.parametrize("by", ["profile_id", "email", "phone_number"])
def test_a_deletion_by_each_identifier(emulator: Emulator, connect: Connect, by: str) -> None:
    ada = emulator.add_profile("ada@example.com", "+15005550001")
    emulator.add_profile("bob@example.com", "+15005550002")
    value = {"profile_id": ada, "email": "ada@example.com", "phone_number": "+15005550001"}[by]
    with KlaviyoHook(connect()) as hook:
        hook.request_profile_deletion(**{by: value})
    assert emulator.deletion_requests == [ada]


@pytest.mark.parametrize(
    "named", [{}, {"email": ""}, {"email": "ada@example.com", "profile_id": "01H"}, {"phone_number": None}]
)
def test_a_deletion_of_nobody_or_of_two_is_refused(emulator: Emulator, connect: Connect, named: dict[str, Any]) -> None:
    with KlaviyoHook(connect()) as hook, pytest.raises(KlaviyoConfigurationError, match="exactly one") as caught:
        hook.request_profile_deletion(**named)
    assert "ada@" not in str(caught.value)
    assert emulator.calls() == 0


def test_an_address_given_as_an_id_is_not_sent_and_so_not_logged(emulator: Emulator, connect: Connect) -> None:
    with KlaviyoHook(connect()) as hook, pytest.raises(ValueError, match="not a Klaviyo profile id"):
        hook.get_profile("ada@example.com")
    assert emulator.calls() == 0


def test_no_log_shows_an_address_or_the_key(
    emulator: Emulator, connect: Connect, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    ada = emulator.add_profile("canary@example.com")
    with KlaviyoHook(connect(account_id=emulator.account.id)) as hook:
        hook.find_profiles("email", ["canary@example.com"])
        hook.request_profile_deletion(email="canary@example.com")
        with pytest.raises(KlaviyoNotFoundError):
            hook.request_profile_deletion(email="no.canary@example.com")
    printed = capsys.readouterr()
    logged = f"{caplog.text} {[record.args for record in caplog.records]} {printed.out} {printed.err}"
    assert emulator.deleted == {ada}
    assert "canary" not in logged
    assert emulator.account.key not in logged


def test_a_client_that_was_refused_is_closed(
    emulator: Emulator, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.fault("key_revoked")
    hook = KlaviyoHook(connect(account_id=emulator.account.id))
    with pytest.raises(KlaviyoAuthenticationError):
        hook.get_conn()
    emulator.clear_faults()
    assert hook.get_conn().run(get_account()).id == emulator.account.id
    hook.close()


def test_an_async_client_looks_up_as_well(emulator: Emulator, connect: Connect) -> None:
    ada = emulator.add_profile("ada@example.com")
    conn_id = connect()

    async def look_up() -> str | None:
        async with await KlaviyoHook(conn_id).get_async_conn() as client:
            return (await client.run(get_profile(ada))).email

    assert asyncio.run(look_up()) == "ada@example.com"


def test_a_profile_that_was_not_asked_for_is_not_handed_out(emulator: Emulator, connect: Callable[..., str]) -> None:
    ada = emulator.add_profile(email="ada@example.com")
    emulator.add_profile(email="bob@example.com")
    emulator.fault("unasked_profile")
    with KlaviyoHook(connect()) as hook:
        assert [profile.id for profile in hook.find_profiles("email", ["ada@example.com"])] == [ada]
