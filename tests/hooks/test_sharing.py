"""One asyncio client for all who reach Klaviyo the same way in one event loop, and nothing left of it afterwards."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import Any

import pytest

from airflow_provider_klaviyo.api.calls import find_profiles, get_account
from airflow_provider_klaviyo.api.client import AsyncKlaviyoClient
from airflow_provider_klaviyo.api.errors import KlaviyoAccountError, KlaviyoConfigurationError
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks import klaviyo, sharing
from airflow_provider_klaviyo.hooks.sharing import ClientShare

Connect = Callable[..., str]


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[AsyncKlaviyoClient]]:
    """Collect the clients that are made, which is never in the event loop; in the end each is closed and forgotten."""
    clients: list[AsyncKlaviyoClient] = []
    in_a_loop: list[bool] = []

    def make(settings: Settings, **options: Any) -> AsyncKlaviyoClient:
        in_a_loop.append(asyncio._get_running_loop() is not None)
        clients.append(AsyncKlaviyoClient(settings, **options))
        return clients[-1]

    monkeypatch.setattr(klaviyo, "AsyncKlaviyoClient", make)
    yield clients
    assert [client for client in clients if not is_closed(client)] == []
    assert sharing._all_shared == []
    assert not any(in_a_loop)


def is_closed(client: AsyncKlaviyoClient) -> bool:
    return client._http.is_closed


async def hold(conn_id: str, over: asyncio.Event) -> AsyncKlaviyoClient:
    """Take a share, and keep it until it is over."""
    async with ClientShare(conn_id) as share:
        client = await seen(share)
        await over.wait()
        return client


async def seen(share: ClientShare) -> AsyncKlaviyoClient:
    """Return the client that a share lends now."""
    async with share.client() as client:
        return client


def holders() -> int:
    return sum(shared.holders for shared in sharing._all_shared)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - the emulator tells nobody what it was asked
            await asyncio.sleep(0.005)


def test_a_crowd_has_one_client_and_asks_once_for_the_account_and_fifty_look_at_once(
    emulator: Emulator, connect: Connect, made: list[AsyncKlaviyoClient]
) -> None:
    conn_id = connect(account_id=emulator.account.id)
    within: list[int] = [0]

    async def look() -> AsyncKlaviyoClient:
        async with ClientShare(conn_id) as share:
            async with share.client() as client:
                within.append(within[-1] + 1)
                await until(lambda: max(within) >= sharing.AT_ONCE)
                await client.run(find_profiles("id", ["0" * 26]))
                within.append(within[-1] - 1)
            assert await seen(share) is client
            return client

    async def crowd() -> list[AsyncKlaviyoClient]:
        return await asyncio.gather(*(look() for _ in range(200)))

    assert set(asyncio.run(crowd())) == set(made)
    assert len(made) == 1
    assert max(within) == sharing.AT_ONCE
    assert emulator.calls("get_account") == 1
    assert emulator.calls("get_profiles") == 200


def test_the_client_is_closed_with_the_last_share_and_not_before(
    connect: Connect, made: list[AsyncKlaviyoClient]
) -> None:
    conn_id = connect()

    async def talk() -> None:
        async with ClientShare(conn_id) as last:
            async with ClientShare(conn_id) as first:
                client = await seen(last)
                assert await seen(first) is client
            await client.run(get_account())
        assert is_closed(client)
        async with ClientShare(conn_id) as later:
            await (await seen(later)).run(get_account())

    asyncio.run(talk())
    assert len(made) == 2


def test_two_connections_that_say_the_same_share_a_client(
    connect: Connect, made: list[AsyncKlaviyoClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = connect()
    monkeypatch.setenv("AIRFLOW_CONN_SAME_SHOP", os.environ["AIRFLOW_CONN_SHOP"])

    async def talk() -> None:
        async with ClientShare(shop) as first, ClientShare("same_shop") as second:
            assert await seen(first) is await seen(second)

    asyncio.run(talk())
    assert len(made) == 1


def test_a_share_that_was_never_used_has_no_client(made: list[AsyncKlaviyoClient]) -> None:
    async def talk() -> None:
        async with ClientShare("no_such_shop"):
            pass

    asyncio.run(talk())
    assert made == []


def test_a_changed_key_is_used_from_the_next_look_on(
    emulator: Emulator, connect: Connect, made: list[AsyncKlaviyoClient]
) -> None:
    other = emulator.add_account("Another Example Shop")

    async def talk() -> None:
        conn_id = connect()
        async with ClientShare(conn_id) as early, ClientShare(conn_id) as late:
            before = await seen(early)
            assert await seen(late) is before
            connect(password=other.key)
            after = await seen(early)
            assert (await after.run(get_account())).id == other.id
            assert (await before.run(get_account())).id == emulator.account.id
            assert await seen(late) is after
            assert is_closed(before)

    asyncio.run(talk())
    assert len(made) == 2


def test_who_is_cancelled_while_the_client_is_made_does_not_take_it_from_the_others(
    emulator: Emulator, connect: Connect, made: list[AsyncKlaviyoClient]
) -> None:
    emulator.fault("throttled", retry_after=1, times=1)
    conn_id = connect(account_id=emulator.account.id)

    async def talk() -> None:
        over = asyncio.Event()
        first, second = (asyncio.create_task(hold(conn_id, over)) for _ in range(2))
        await until(lambda: holders() == 2 and emulator.calls("get_account", status=429))
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        over.set()
        assert [await second] == made

    asyncio.run(talk())
    assert emulator.calls("get_account") == 2


def test_if_all_are_cancelled_while_the_client_is_made_nothing_is_left(
    emulator: Emulator, connect: Connect, made: list[AsyncKlaviyoClient]
) -> None:
    emulator.fault("throttled", retry_after=60)
    conn_id = connect(account_id=emulator.account.id)

    async def talk() -> None:
        waiting = [asyncio.create_task(hold(conn_id, asyncio.Event())) for _ in range(3)]
        await until(lambda: holders() == 3 and emulator.calls("get_account"))
        for one in waiting:
            one.cancel()
        await asyncio.wait(waiting)
        assert sharing._all_shared == []
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(talk())
    assert len(made) == 1


def test_a_wrong_account_is_told_to_all_who_wait_and_looked_at_anew_the_next_time(
    emulator: Emulator, connect: Connect, made: list[AsyncKlaviyoClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    conn_id = connect(account_id="OthEr1")
    open_it = klaviyo.KlaviyoHook.open_async_conn

    async def open_when_all_wait(*arguments: Any, **options: Any) -> AsyncKlaviyoClient:
        await until(lambda: holders() == 20)
        return await open_it(*arguments, **options)

    monkeypatch.setattr(klaviyo.KlaviyoHook, "open_async_conn", open_when_all_wait)

    async def talk() -> None:
        async with AsyncExitStack() as stack:
            shares = [await stack.enter_async_context(ClientShare(conn_id)) for _ in range(20)]
            told = await asyncio.gather(*(seen(share) for share in shares), return_exceptions=True)
            assert {type(one) for one in told} == {KlaviyoAccountError}
            assert emulator.calls("get_account") == 1
            with pytest.raises(KlaviyoAccountError, match=emulator.account.id):
                await seen(shares[0])
            assert emulator.calls("get_account") == 2
            connect(account_id=emulator.account.id)
            assert len({await seen(share) for share in shares}) == 1

    asyncio.run(talk())
    assert len(made) == 3


def test_a_missing_connection_is_told_and_may_be_made_meanwhile(
    emulator: Emulator, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_SHOP", raising=False)

    async def talk() -> None:
        async with ClientShare("shop") as share:
            with pytest.raises(KlaviyoConfigurationError, match="does not exist"):
                await seen(share)
            connect()
            assert (await (await seen(share)).run(get_account())).id == emulator.account.id

    asyncio.run(talk())


def test_event_loops_share_nothing(connect: Connect, made: list[AsyncKlaviyoClient]) -> None:
    conn_id = connect()
    both = threading.Barrier(2)

    def talk() -> None:
        async def talk() -> None:
            async with ClientShare(conn_id) as share:
                client = await seen(share)
                await asyncio.to_thread(both.wait, 30)
                await client.run(get_account())

        asyncio.run(talk())

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(talk) for _ in range(2)]:
            done.result()
    assert len(made) == 2


def test_it_is_light_to_import() -> None:
    """Airflow imports a trigger in the event loop, where all others wait for it."""
    program = (
        "import sys, airflow.triggers.base as _; before = set(sys.modules); "
        "import airflow_provider_klaviyo.triggers.klaviyo; print(*sorted(set(sys.modules) - before))"
    )
    command = [sys.executable, "-W", "ignore", "-c", program]
    added = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert "airflow_provider_klaviyo.hooks.sharing" in added
    assert {"httpx", "airflow_provider_klaviyo.api.client", "airflow_provider_klaviyo.hooks.klaviyo"}.isdisjoint(added)
