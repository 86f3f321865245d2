"""A Klaviyo with people in it, and a client that does not dawdle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import hypothesis
import pytest

from airflow_provider_klaviyo.api import conversation
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.endpoints import ENDPOINTS
from airflow_provider_klaviyo.api.pace import Limit, Paces
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.emulator import Emulator

# An example takes as long as the machine makes it take.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="module")
def one_emulator() -> Iterator[Emulator]:
    """One for all tests and examples; each forgets the people of the one before."""
    with Emulator(limit_factor=100_000, seed=7) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def connect() -> Iterator[Callable[..., KlaviyoClient]]:
    """Open clients of an emulator, or of a function that answers in its place."""
    with ExitStack() as stack:

        def connect(
            emulator: Emulator | None = None, handler: Callable[[httpx.Request], httpx.Response] | None = None
        ) -> KlaviyoClient:
            where: dict[str, Any] = {"base_url": emulator.url, "api_key": emulator.account.key} if emulator else {}
            settings = Settings(**{"api_key": "pk_x", **where}, limits=dict.fromkeys(ENDPOINTS, Limit(1e6, 6e7)))
            transport = httpx.MockTransport(handler) if handler else None
            return stack.enter_context(KlaviyoClient(settings, paces=Paces(), transport=transport))

        yield connect


@pytest.fixture(scope="module")
def client(one_emulator: Emulator, connect: Callable[..., KlaviyoClient]) -> KlaviyoClient:
    return connect(one_emulator)


@pytest.fixture
def emulator(one_emulator: Emulator) -> Emulator:
    one_emulator.forget_people()
    one_emulator.clear_faults()
    one_emulator.reset_counts()
    return one_emulator


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pauses begin at a hundredth of a second."""
    monkeypatch.setattr(conversation, "FIRST_PAUSE_SECONDS", 0.01)
