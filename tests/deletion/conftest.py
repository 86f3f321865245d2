"""A Klaviyo with people in it, and clients that do not dawdle."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import hypothesis
import pytest

from airflow_provider_klaviyo.api import calls, conversation
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.endpoints import ENDPOINTS
from airflow_provider_klaviyo.api.pace import Limit, Paces
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.emulator import Emulator, ManualClock

# An example takes as long as the machine makes it take.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
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


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def emulator(clock: ManualClock) -> Iterator[Emulator]:
    with Emulator(limit_factor=100_000, deletion_seconds=60, clock=clock, seed=7) as emulator:
        yield emulator


@pytest.fixture
def client(emulator: Emulator, connect: Callable[..., KlaviyoClient]) -> KlaviyoClient:
    return connect(emulator)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pauses begin at a hundredth of a second."""
    monkeypatch.setattr(conversation, "FIRST_PAUSE_SECONDS", 0.01)


@pytest.fixture
def without_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every call of a drain give up at the first trouble."""
    for call in (calls.get_profile, calls.request_profile_deletion):
        monkeypatch.setitem(call.__kwdefaults__ or {}, "patience_seconds", 0.0)


@pytest.fixture(scope="module")
def lasting_emulator() -> Iterator[Emulator]:
    """One for all examples of a law; each forgets the people of the one before."""
    with Emulator(limit_factor=100_000, deletion_seconds=0, seed=7) as emulator:
        yield emulator


@pytest.fixture(scope="module")
def lasting_client(lasting_emulator: Emulator, connect: Callable[..., KlaviyoClient]) -> KlaviyoClient:
    return connect(lasting_emulator)
