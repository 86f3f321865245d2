"""A response that comes in drips ends in time, and when the client is told to stop; so does a long wait."""

from __future__ import annotations

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import httpcore
import pytest

from airflow_provider_klaviyo.api import deadline, oauth
from airflow_provider_klaviyo.api.calls import get_account
from airflow_provider_klaviyo.api.client import AsyncKlaviyoClient, KlaviyoClient
from airflow_provider_klaviyo.api.conversation import Conversation, Sleep
from airflow_provider_klaviyo.api.deadline import LimitedBackend, time_limit
from airflow_provider_klaviyo.api.endpoints import ENDPOINTS
from airflow_provider_klaviyo.api.errors import KlaviyoConnectionError, KlaviyoStoppedError
from airflow_provider_klaviyo.api.pace import Limit, Paces
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.hooks import tokens
from airflow_provider_klaviyo.ledger.tokens import LEASE_SECONDS

IN_THE_HEAD = b"HTTP/1.1 200 OK\r\nX-Drip: "
IN_THE_BODY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n"


@contextmanager
def dripping(beginning: bytes) -> Iterator[tuple[str, threading.Event]]:
    """A server that begins a response and goes on with a byte every few milliseconds; and whether somebody called."""
    over, called = threading.Event(), threading.Event()

    def serve(listener: socket.socket) -> None:
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except TimeoutError:
                continue
            with connection:
                called.set()
                try:
                    connection.recv(65_536)
                    connection.sendall(beginning)
                    while not over.wait(0.02):
                        connection.sendall(b"a")
                except OSError:
                    continue

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.1)
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", called
        finally:
            over.set()
            thread.join()


def stop_after(event: threading.Event, client: KlaviyoClient) -> None:
    event.wait(30)
    client.stop()


def settings(url: str, timeout_seconds: float = 0.2) -> Settings:
    limits = dict.fromkeys(ENDPOINTS, Limit(1e6, 6e7))
    return Settings(api_key="pk_x", base_url=url, limits=limits, timeout_seconds=timeout_seconds)


@pytest.mark.parametrize("beginning", [IN_THE_HEAD, IN_THE_BODY])
def test_a_drip_of_bytes_ends_in_time(beginning: bytes) -> None:
    with (
        dripping(beginning) as (url, _),
        KlaviyoClient(settings(url), paces=Paces()) as client,
        pytest.raises(KlaviyoConnectionError),
    ):
        client.run(get_account(patience_seconds=0.0))


@pytest.mark.parametrize("beginning", [IN_THE_HEAD, IN_THE_BODY])
def test_for_asyncio_too(beginning: bytes) -> None:
    async def run(url: str) -> None:
        async with AsyncKlaviyoClient(settings(url), paces=Paces()) as client:
            await client.run(get_account(patience_seconds=0.0))

    with dripping(beginning) as (url, _), pytest.raises(KlaviyoConnectionError):
        asyncio.run(run(url))


@pytest.mark.parametrize("beginning", [IN_THE_HEAD, IN_THE_BODY])
def test_a_client_that_is_told_to_stop_reads_no_further(beginning: bytes) -> None:
    with dripping(beginning) as (url, called), KlaviyoClient(settings(url, 600.0), paces=Paces()) as client:
        stopping = threading.Thread(target=stop_after, args=(called, client))
        stopping.start()
        with pytest.raises(KlaviyoStoppedError):
            client.run(get_account())
        stopping.join()


def test_a_client_that_is_told_to_stop_ends_its_wait() -> None:
    begun = threading.Event()

    def wait() -> Conversation[None]:
        begun.set()
        yield Sleep(600.0)
        yield Sleep(600.0)

    with KlaviyoClient(settings("http://127.0.0.1:9"), paces=Paces()) as client:
        stopping = threading.Thread(target=stop_after, args=(begun, client))
        stopping.start()
        with pytest.raises(KlaviyoStoppedError):
            client.run(wait())
        stopping.join()


class Recorded(httpcore.NetworkBackend, httpcore.NetworkStream):
    """A connection, and what opens it, that notes the time-outs it is given."""

    def __init__(self) -> None:
        self.noted: list[tuple[str, float | None]] = []

    def connect_tcp(self, host: str, port: int, timeout: float | None = None, *_: Any) -> httpcore.NetworkStream:
        self.noted.append(("connect", timeout))
        return self

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        self.noted.append(("encrypt", timeout))
        return self

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.noted.append(("write", timeout))


def connect_and_write(backend: httpcore.NetworkBackend) -> None:
    stream = backend.connect_tcp("klaviyo.invalid", 443, 60.0)
    stream = stream.start_tls(ssl.create_default_context(), "klaviyo.invalid", 60.0)
    stream.write(b"a refresh token", 60.0)


def test_what_goes_before_a_response_counts_too() -> None:
    recorded = Recorded()
    with time_limit(50.0, lambda: False):
        connect_and_write(LimitedBackend(recorded))
    assert [name for name, _ in recorded.noted] == ["connect", "encrypt", "write"]
    assert all(timeout is not None and timeout <= 50 for _, timeout in recorded.noted)
    connect_and_write(LimitedBackend(recorded))
    assert recorded.noted[3:] == [("connect", 60.0), ("encrypt", 60.0), ("write", 60.0)]


@pytest.mark.parametrize("place", ["connect", "encrypt", "write"])
@pytest.mark.parametrize("is_stopped", [True, False])
def test_nothing_is_sent_when_the_time_is_over(place: str, is_stopped: bool) -> None:
    class Slow(Recorded):
        """Takes all the time there is, at one of the steps before."""

        def connect_tcp(self, *arguments: Any, **how: Any) -> httpcore.NetworkStream:
            over.extend([None] * (place == "encrypt"))
            return super().connect_tcp(*arguments, **how)

        def start_tls(self, *arguments: Any, **how: Any) -> httpcore.NetworkStream:
            over.extend([None] * (place == "write"))
            return super().start_tls(*arguments, **how)

    over: list[None] = [None] * (place == "connect")
    recorded = Slow()
    with pytest.MonkeyPatch.context() as patch, time_limit(50.0, lambda: bool(over) and is_stopped):
        begun = time.monotonic()
        patch.setattr(deadline, "time", SimpleNamespace(monotonic=lambda: begun + 100 * len(over) * (not is_stopped)))
        with pytest.raises(httpcore.TimeoutException):
            connect_and_write(LimitedBackend(recorded))
    assert place not in [name for name, _ in recorded.noted]


def test_a_refresh_of_tokens_ends_before_its_lease() -> None:
    longest = replace(settings("https://a.klaviyo.com"), timeout_seconds=tokens.LONGEST_TIMEOUT_SECONDS)
    assert longest.response_seconds + oauth.LONGEST_TURN_SECONDS < LEASE_SECONDS
