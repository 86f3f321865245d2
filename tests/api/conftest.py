"""Two ways to have a conversation: on a stage with its own time, and for real, by each of the two clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import httpx
import hypothesis
import pytest

from airflow_provider_klaviyo.api import conversation as api_conversation
from airflow_provider_klaviyo.api.client import AsyncKlaviyoClient, KlaviyoClient
from airflow_provider_klaviyo.api.conversation import (
    Conversation,
    Heed,
    Hold,
    Identify,
    NoAnswer,
    Renew,
    Reserve,
    Send,
    Sleep,
)
from airflow_provider_klaviyo.api.credentials import PRIVATE_KEY
from airflow_provider_klaviyo.api.endpoints import ENDPOINTS, Endpoint
from airflow_provider_klaviyo.api.pace import Limit, Paces
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.api.wire import Answer, Request
from airflow_provider_klaviyo.emulator import Emulator

# An example takes as long as the machine makes it take.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

Script = Callable[[Request], Answer | NoAnswer] | Iterable[Answer | NoAnswer]


class Stage:
    """Plays conversations by a script of answers, on a clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.paces = Paces(lambda: self.now)
        self.sent: list[Request] = []
        self.sent_at: list[float] = []
        self.slept: list[float] = []
        self.credential = PRIVATE_KEY
        self.can_renew = False
        self.renewals = 0

    def play(self, conversation: Conversation[Any], script: Script) -> Any:
        answers = script if callable(script) else _by_turns(script)
        outcome: Any = None
        try:
            while True:
                step = conversation.send(outcome)
                outcome = None
                match step:
                    case Reserve(endpoint, slot, longest):
                        outcome = self.paces.reserve("", endpoint.name, self.interval_seconds(endpoint), slot, longest)
                    case Sleep(seconds):
                        self.slept.append(seconds)
                        self.now += seconds
                    case Send(request):
                        self.sent.append(request)
                        self.sent_at.append(self.now)
                        outcome = answers(request)
                    case Identify():
                        outcome = self.credential
                    case Renew():
                        outcome, self.renewals = self.can_renew, self.renewals + 1
                    case Hold(endpoint, seconds):
                        self.paces.hold("", endpoint.name, seconds)
                    case Heed(endpoint, rate_limit):
                        seconds = rate_limit.hold_seconds(self.interval_seconds(endpoint))
                        self.paces.hold("", endpoint.name, seconds)
        except StopIteration as stop:
            return stop.value

    @staticmethod
    def interval_seconds(endpoint: Endpoint) -> float:
        return endpoint.limit.interval_seconds(0.97)


def _by_turns(script: Iterable[Answer | NoAnswer]) -> Callable[[Request], Answer | NoAnswer]:
    answers = iter(script)
    return lambda _request: next(answers)


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture
def fast() -> dict[str, Limit]:
    """Limits of a connection that are not in the way."""
    return dict.fromkeys(ENDPOINTS, Limit(1e6, 6e7))


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    with Emulator(limit_factor=100_000, deletion_seconds=0, seed=7) as emulator:
        yield emulator


@pytest.fixture
def settings(emulator: Emulator, fast: dict[str, Limit]) -> Settings:
    return Settings(api_key=emulator.account.key, base_url=emulator.url, limits=fast)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the pauses begin at a hundredth of a second, and believe soon that the host is wrong."""
    monkeypatch.setattr(api_conversation, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(api_conversation, "WRONG_SUCCESS_PATIENCE_SECONDS", 0.05)


@pytest.fixture(params=["blocking", "asyncio"])
def run(request: pytest.FixtureRequest, settings: Settings) -> Callable[..., Any]:
    """Carry a conversation out, once with each client; `handler` answers instead of the emulator."""

    def run(
        conversation: Conversation[Any],
        handler: Callable[[httpx.Request], httpx.Response] | None = None,
        paces: Paces | None = None,
        **changes: Any,
    ) -> Any:
        options: dict[str, Any] = {
            "settings": replace(settings, **changes),
            "paces": paces or Paces(),
            "transport": httpx.MockTransport(handler) if handler else None,
        }
        if request.param == "blocking":
            with KlaviyoClient(**options) as client:
                return client.run(conversation)

        async def talk() -> Any:
            async with AsyncKlaviyoClient(**options) as client:
                return await client.run(conversation)

        return asyncio.run(talk())

    return run


@pytest.fixture
def client(settings: Settings) -> Iterator[KlaviyoClient]:
    with KlaviyoClient(settings, paces=Paces()) as client:
        yield client
