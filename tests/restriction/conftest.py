"""A Klaviyo whose jobs are quick, and a client that does not dawdle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.api import conversation, suppression
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.endpoints import ENDPOINTS
from airflow_provider_klaviyo.api.pace import Limit, Paces
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.emulator import Emulator


@pytest.fixture(scope="module")
def one_emulator() -> Iterator[Emulator]:
    """One for all tests; each forgets the people of the one before."""
    with Emulator(limit_factor=100_000, suppression_seconds=0.02, deletion_seconds=0, seed=7) as emulator:
        yield emulator


@pytest.fixture
def emulator(one_emulator: Emulator) -> Emulator:
    one_emulator.forget_people()
    one_emulator.clear_faults()
    one_emulator.reset_counts()
    return one_emulator


@pytest.fixture
def connect() -> Iterator[Callable[..., KlaviyoClient]]:
    """Open clients of an emulator, perhaps with something between that sees each request."""
    with ExitStack() as stack:

        def connect(emulator: Emulator, seen: Callable[[httpx.Request], None] | None = None) -> KlaviyoClient:
            class Between(httpx.BaseTransport):
                def __init__(self) -> None:
                    self._network = httpx.HTTPTransport()

                def handle_request(self, request: httpx.Request) -> httpx.Response:
                    if seen is not None:
                        seen(request)
                    return self._network.handle_request(request)

                def close(self) -> None:
                    self._network.close()

            fast: dict[str, Any] = {"limits": dict.fromkeys(ENDPOINTS, Limit(1e6, 6e7))}
            settings = Settings(api_key=emulator.account.key, base_url=emulator.url, **fast)
            return stack.enter_context(KlaviyoClient(settings, paces=Paces(), transport=Between()))

        yield connect


@pytest.fixture
def client(emulator: Emulator, connect: Callable[..., KlaviyoClient]) -> KlaviyoClient:
    return connect(emulator)


@pytest.fixture(scope="module")
def lasting_client(one_emulator: Emulator) -> Iterator[KlaviyoClient]:
    """One for all examples of a law."""
    fast = dict.fromkeys(ENDPOINTS, Limit(1e6, 6e7))
    settings = Settings(api_key=one_emulator.account.key, base_url=one_emulator.url, limits=fast)
    with KlaviyoClient(settings, paces=Paces()) as client:
        yield client


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pauses begin at a hundredth of a second, and jobs be given up soon."""
    monkeypatch.setattr(conversation, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(suppression, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(suppression, "LONGEST_PAUSE_SECONDS", 0.05)
