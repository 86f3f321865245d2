"""A response that comes in drips ends in time, and when the client is told to stop; so does a long wait."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from airflow_provider_klaviyo.api.calls import get_account
from airflow_provider_klaviyo.api.client import AsyncKlaviyoClient, KlaviyoClient
from airflow_provider_klaviyo.api.conversation import Conversation, Sleep
from airflow_provider_klaviyo.api.endpoints import ENDPOINTS
from airflow_provider_klaviyo.api.errors import KlaviyoConnectionError, KlaviyoStoppedError
from airflow_provider_klaviyo.api.pace import Limit, Paces
from airflow_provider_klaviyo.api.settings import Settings

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
