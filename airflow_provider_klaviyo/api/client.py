"""Two drivers of the same conversations, one blocking and one for asyncio."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from typing import Any, Final, Self, TypeVar

import httpx

from airflow_provider_klaviyo.api.conversation import (
    Conversation,
    Heed,
    Hold,
    Identify,
    NoAnswer,
    NotSent,
    Renew,
    Reserve,
    Send,
    Sleep,
    Step,
)
from airflow_provider_klaviyo.api.credentials import Credential
from airflow_provider_klaviyo.api.deadline import limit_transport, time_limit
from airflow_provider_klaviyo.api.errors import KlaviyoConfigurationError, KlaviyoError, KlaviyoStoppedError
from airflow_provider_klaviyo.api.pace import Pacing, Slot, paces_of_this_process
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.api.tokens import AccessTokens
from airflow_provider_klaviyo.api.transport import (
    AsyncQueryTransport,
    QueryTransport,
    answer_from,
    client_options,
    failure,
    is_packed,
    request_options,
    transport_options,
)
from airflow_provider_klaviyo.api.wire import Answer, Request

__all__ = ["AsyncKlaviyoClient", "KlaviyoClient"]

# 750 look-ups a minute at 300 ms each keep four of these busy.
CONCURRENCY: Final = 8
# A hundred profiles are 50 kB. What goes on beyond this is no answer of Klaviyo's, and is cut off.
LARGEST_ANSWER: Final = 20_000_000
LOGGED_WAIT_SECONDS: Final = 5.0
# How soon a wait sees that its client was told to stop.
SLICE_SECONDS: Final = 1.0

log = logging.getLogger(__name__)

T = TypeVar("T")


class KlaviyoClient:
    """Talks to one Klaviyo account. May be used by several threads; to be closed, or used as a context manager.

    :param settings: account, key and pace.
    :param paces: shared by everything that must share a pace; by default everything in this process.
    :param tokens: of an OAuth app, in place of a private key; closed with the client.
    :param transport: instead of the network, for tests.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        paces: Pacing = paces_of_this_process,
        tokens: AccessTokens | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.settings = settings
        self._is_stopped = False
        self._paces = paces
        self._tokens = tokens
        self._http = httpx.Client(
            **client_options(settings),
            transport=QueryTransport(transport or limit_transport(httpx.HTTPTransport(**transport_options(settings)))),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()
        if self._tokens is not None:
            self._tokens.close()

    def stop(self) -> None:
        """Begin nothing more: whatever runs ends before its next step. May be called from a signal handler."""
        self._is_stopped = True
        if self._tokens is not None:
            self._tokens.stop()

    def run(self, conversation: Conversation[T]) -> T:
        """Carry a conversation out and return its result."""
        return self._run(conversation, threading.Event())

    def run_each(self, conversations: Iterable[Conversation[T]]) -> Iterator[T]:
        """Carry many conversations out, eight at a time, and yield the results in their order.

        The conversations are taken from the iterable as they are needed, in the caller's thread.
        """
        stopped = threading.Event()
        running: deque[Future[T]] = deque()
        with ThreadPoolExecutor(CONCURRENCY, thread_name_prefix="klaviyo") as pool:
            try:
                for conversation in conversations:
                    running.append(pool.submit(self._run, conversation, stopped))
                    if len(running) == 2 * CONCURRENCY:
                        yield running.popleft().result()
                while running:
                    yield running.popleft().result()
            finally:
                stopped.set()
                pool.shutdown(wait=False, cancel_futures=True)

    def _run(self, conversation: Conversation[T], stopped: threading.Event) -> T:
        outcome: Any = None
        token: str | None = None
        try:
            while not stopped.is_set():
                step = conversation.send(outcome)
                if self._is_stopped:
                    raise KlaviyoStoppedError("the task is being killed, so nothing more is sent")
                outcome = None
                match step:
                    case Send(request):
                        try:
                            token = self._token(request)
                        except KlaviyoError as error:
                            outcome = NotSent(copy(error))
                        else:
                            outcome = self._send(request, token)
                    case Sleep(seconds, reason):
                        _log_wait(seconds, reason)
                        self._sleep(seconds, stopped)
                    case Renew():
                        outcome = _refuse(self._tokens, token)
                    case _:
                        outcome = _pace(self._paces, self.settings, step)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        except KlaviyoError as error:
            # Without the frames of the conversation, whose variables are addresses: some reporters show variables.
            raise error.with_traceback(None) from None
        raise _StoppedError

    def _sleep(self, seconds: float, stopped: threading.Event) -> None:
        """Wait, until somebody says stop: a signal handler may only set a flag, so that has to be looked at."""
        while seconds > 0 and not self._is_stopped and not stopped.wait(min(seconds, SLICE_SECONDS)):
            seconds -= SLICE_SECONDS

    def _token(self, request: Request) -> str | None:
        """Return the access token to send a request with, if it is not the client's key or the request's own secret."""
        tokens = _tokens_for(request, self.settings, self._tokens)
        if tokens is None:
            return None
        return tokens.held() or tokens.obtain().result()

    def _send(self, request: Request, token: str | None) -> Answer | NoAnswer:
        method, path, options = request.endpoint.method, request.path, request_options(request, token)
        body = bytearray()
        try:
            with (
                time_limit(self.settings.response_seconds, lambda: self._is_stopped),
                self._http.stream(method, path, **options) as response,
            ):
                if not is_packed(response):
                    for chunk in response.iter_bytes():
                        body += chunk
                        if len(body) > LARGEST_ANSWER:
                            break
        except httpx.RequestError as exc:
            return NoAnswer(failure(exc))
        return answer_from(response, body)


class AsyncKlaviyoClient:
    """Talks to one Klaviyo account from asyncio. To be closed, or used as an async context manager.

    It belongs to the event loop that first uses it, but can be made in any thread.

    :param settings: account, key and pace.
    :param paces: shared by everything that must share a pace; by default everything in this process.
    :param tokens: of an OAuth app, in place of a private key; closed with the client.
    :param transport: instead of the network, for tests.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        paces: Pacing = paces_of_this_process,
        tokens: AccessTokens | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.settings = settings
        self._paces = paces
        self._tokens = tokens
        self._http = httpx.AsyncClient(
            **client_options(settings),
            transport=AsyncQueryTransport(transport or httpx.AsyncHTTPTransport(**transport_options(settings))),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()
        if self._tokens is not None:
            await asyncio.to_thread(self._tokens.close)

    async def run(self, conversation: Conversation[T]) -> T:
        """Carry a conversation out and return its result."""
        outcome: Any = None
        token: str | None = None
        try:
            while True:
                step = conversation.send(outcome)
                outcome = None
                match step:
                    case Send(request):
                        try:
                            token = await self._token(request)
                        except KlaviyoError as error:
                            outcome = NotSent(copy(error))
                        else:
                            outcome = await self._send(request, token)
                    case Sleep(seconds, reason):
                        _log_wait(seconds, reason)
                        await asyncio.sleep(seconds)
                    case Renew():
                        outcome = _refuse(self._tokens, token)
                    case _:
                        outcome = _pace(self._paces, self.settings, step)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        except KlaviyoError as error:
            raise error.with_traceback(None) from None

    async def _token(self, request: Request) -> str | None:
        tokens = _tokens_for(request, self.settings, self._tokens)
        if tokens is None:
            return None
        token = tokens.held()
        if token is None:
            # Shielded: others wait for the same one.
            token = await asyncio.shield(asyncio.wrap_future(tokens.obtain()))
        return token

    async def _send(self, request: Request, token: str | None) -> Answer | NoAnswer:
        method, path, options = request.endpoint.method, request.path, request_options(request, token)
        body = bytearray()
        try:
            async with (
                asyncio.timeout(self.settings.response_seconds),
                self._http.stream(method, path, **options) as response,
            ):
                if not is_packed(response):
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > LARGEST_ANSWER:
                            break
        except TimeoutError:
            return NoAnswer("the response took too long")
        except httpx.RequestError as exc:
            return NoAnswer(failure(exc))
        return answer_from(response, body)


class _StoppedError(Exception):
    """Another conversation of the same `run_each` failed, so this one was given up. Nobody waits for its result."""


def _tokens_for(request: Request, settings: Settings, tokens: AccessTokens | None) -> AccessTokens | None:
    """Return where the access token for a request comes from; None where it needs none."""
    if settings.oauth is None or "authorization" in request.headers:
        return None
    if tokens is None:
        raise KlaviyoConfigurationError("there is an OAuth app, but nothing that keeps its tokens")
    return tokens


def _refuse(tokens: AccessTokens | None, token: str | None) -> bool:
    """Have the access token of the last request replaced before the next, if it was sent with one."""
    if tokens is None or token is None:
        return False
    tokens.refuse(token)
    return True


def _pace(paces: Pacing, settings: Settings, step: Step) -> Slot | Credential | None:
    """Carry out the steps that concern the pace, or what there is to know."""
    match step:
        case Identify():
            return settings.credential
        case Reserve(endpoint, slot, longest):
            return paces.reserve(settings.quota, endpoint.name, settings.interval_seconds(endpoint), slot, longest)
        case Hold(endpoint, seconds, reason):
            _log_wait(seconds, reason, "Keeping off for")
            paces.hold(settings.quota, endpoint.name, seconds)
        case Heed(endpoint, rate_limit):
            seconds = rate_limit.hold_seconds(settings.interval_seconds(endpoint))
            if seconds > 0:
                paces.hold(settings.quota, endpoint.name, seconds)
        case _:
            raise TypeError(f"not a step of a conversation: {type(step).__name__}")
    return None


def _log_wait(seconds: float, reason: str, words: str = "Waiting") -> None:
    """Say why nothing seems to happen."""
    if reason and seconds >= LOGGED_WAIT_SECONDS:
        log.warning("%s %.0f s: %s", words, seconds, reason)
