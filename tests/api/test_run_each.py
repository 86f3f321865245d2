"""Many conversations at once: in order, eight at a time, no further ahead than needed, and stopped at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import httpx
import pytest

from airflow_provider_klaviyo.api.calls import Found, find_profiles, get_account
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.conversation import Conversation, Sleep
from airflow_provider_klaviyo.api.errors import KlaviyoAuthenticationError
from airflow_provider_klaviyo.api.pace import Paces
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.emulator import Emulator


def nap(number: int, seconds: float = 0.0) -> Conversation[int]:
    yield Sleep(seconds)
    return number


def failing(seconds: float = 0.0) -> Conversation[int]:
    yield Sleep(seconds)
    raise KlaviyoAuthenticationError("no")


def own_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("klaviyo_")]


def test_results_come_in_the_order_of_the_conversations(client: KlaviyoClient) -> None:
    lazy = (nap(number, 0.02 * (number % 3)) for number in range(40))
    assert list(client.run_each(lazy)) == list(range(40))


def test_there_may_be_nothing_to_do(client: KlaviyoClient) -> None:
    assert list(client.run_each(())) == []


def test_eight_are_had_at_a_time(settings: Settings) -> None:
    lock = threading.Lock()
    under_way = most = 0

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.03)
        with lock:
            under_way -= 1
        return httpx.Response(200, json={"data": [{"id": "AbC123"}]})

    with KlaviyoClient(settings, paces=Paces(), transport=httpx.MockTransport(answer)) as client:
        assert len(list(client.run_each(get_account() for _ in range(40)))) == 40
    assert most == 8


def test_the_list_is_read_no_further_ahead_than_needed(client: KlaviyoClient) -> None:
    read: list[int] = []

    def source() -> Iterator[Conversation[int]]:
        for number in range(1_000):
            read.append(number)
            yield nap(number)

    results = client.run_each(source())
    assert read == []
    for _ in range(5):
        next(results)
    assert len(read) <= 5 + 16
    results.close()  # type: ignore[attr-defined]


def test_the_list_is_read_in_the_thread_of_the_caller(client: KlaviyoClient) -> None:
    readers: set[int] = set()

    def source() -> Iterator[Conversation[int]]:
        for number in range(50):
            readers.add(threading.get_ident())
            yield nap(number)

    list(client.run_each(source()))
    assert readers == {threading.get_ident()}


def test_after_an_error_nobody_waits_for_the_others(client: KlaviyoClient) -> None:
    started = time.monotonic()
    with pytest.raises(KlaviyoAuthenticationError):
        list(client.run_each([nap(0), failing(), *(nap(number, 60) for number in range(30))]))
    assert time.monotonic() - started < 1
    assert own_threads() == []


def test_results_before_an_error_are_had(client: KlaviyoClient) -> None:
    results = client.run_each([nap(0), nap(1), failing(0.05), nap(3)])
    assert (next(results), next(results)) == (0, 1)
    with pytest.raises(KlaviyoAuthenticationError):
        next(results)


def test_a_consumer_that_stops_stops_everything(client: KlaviyoClient) -> None:
    started = time.monotonic()
    for number in client.run_each([nap(0), *(nap(number, 60) for number in range(1, 30))]):
        assert number == 0
        break
    assert time.monotonic() - started < 1
    assert own_threads() == []


def test_a_list_that_fails_half_way_stops_everything(client: KlaviyoClient) -> None:
    def source() -> Iterator[Conversation[int]]:
        yield nap(0, 60)
        raise OSError("the database is gone")

    started = time.monotonic()
    with pytest.raises(OSError, match="the database is gone"):
        list(client.run_each(source()))
    assert time.monotonic() - started < 1
    assert own_threads() == []


def test_nothing_is_sent_any_more_after_an_error(emulator: Emulator, client: KlaviyoClient) -> None:
    emulator.fault("key_revoked")
    look_ups: list[Conversation[Found]] = [find_profiles("email", [f"{n}@example.com"]) for n in range(500)]
    with pytest.raises(KlaviyoAuthenticationError):
        list(client.run_each(look_ups))
    sent = emulator.calls("get_profiles")
    assert sent <= 16 + 8
    time.sleep(0.05)
    assert emulator.calls("get_profiles") == sent


def test_a_429_of_one_is_waited_out_by_all(emulator: Emulator, client: KlaviyoClient) -> None:
    emulator.add_profiles({"email": f"{n}@example.com"} for n in range(100))
    emulator.fault("throttled", times=1, retry_after=1)
    started = time.monotonic()
    found = list(client.run_each(find_profiles("email", [f"{n}@example.com"]) for n in range(100)))
    assert [one.profiles[0].email for one in found] == [f"{n}@example.com" for n in range(100)]
    assert time.monotonic() - started >= 1
    assert emulator.calls("get_profiles", 429) == 1
