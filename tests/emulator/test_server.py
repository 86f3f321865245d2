"""Starting, stopping, and where it may listen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

import airflow_provider_klaviyo.emulator as package
from airflow_provider_klaviyo.emulator import Emulator, ManualClock


def test_the_exported_names_are_sorted_and_there() -> None:
    assert package.__all__ == sorted(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.com", ""])
def test_nobody_else_can_reach_it(host: str) -> None:
    with pytest.raises(ValueError, match="loopback"):
        Emulator(host=host)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "127.0.0.2"])
def test_it_listens_on_loopback(start: Callable[..., Emulator], connect: Any, host: str) -> None:
    assert connect(start(host=host)).get("/api/accounts").status_code == 200


def test_it_has_no_url_before_and_after() -> None:
    emulator = Emulator()
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.url
    with emulator:
        url = emulator.url
        with pytest.raises(RuntimeError, match="running already"):
            emulator.start()
    with pytest.raises(RuntimeError, match="not running"):
        _ = emulator.url
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    assert "klaviyo-emulator" not in {thread.name for thread in threading.enumerate()}


def test_a_port_that_is_taken_is_an_error(emulator: Emulator) -> None:
    taken = Emulator(port=int(emulator.url.rpartition(":")[2]))
    with pytest.raises(OSError, match="in use"):
        taken.start()


def test_it_stops_while_answers_are_under_way(connect: Any, caplog: pytest.LogCaptureFixture) -> None:
    began = time.perf_counter()
    with ThreadPoolExecutor() as pool:
        with Emulator(latency_seconds=60) as emulator:
            waiting = pool.submit(connect(emulator).get, "/api/accounts")
            while not emulator.calls("get_account"):
                time.sleep(0.005)
        with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
            waiting.result(timeout=5)
    assert time.perf_counter() - began < 5
    assert [record for record in caplog.records if record.name.startswith("uvicorn")] == []


def test_the_same_seed_makes_the_same_account() -> None:
    accounts = [Emulator(seed=seed).account for seed in (1, 1, 2)]
    assert accounts[0] == accounts[1] != accounts[2]
    given = Emulator(account_id="AbC123", key="pk_given", organization_name="Given Shop").account
    assert (given.id, given.key, given.organization_name) == ("AbC123", "pk_given", "Given Shop")


def test_an_unknown_endpoint_has_no_limit_to_set() -> None:
    with pytest.raises(ValueError, match="get_everything"):
        Emulator(limits={"get_everything": (1, 1)})


def test_threads_can_change_it_while_it_answers(emulator: Emulator, api: httpx.Client) -> None:
    def add(number: int) -> str:
        return emulator.add_profile(f"{number}@example.com")

    with ThreadPoolExecutor(4) as pool:
        adding = [pool.submit(add, number) for number in range(200)]
        while not all(future.done() for future in adding):
            assert api.get("/api/profiles").status_code == 200
    assert len({future.result() for future in adding}) == len(emulator.profiles()) == 200


def test_time_never_runs_backwards() -> None:
    with pytest.raises(ValueError, match="backwards"):
        ManualClock().advance(-1)
