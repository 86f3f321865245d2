"""Two drivers of the same conversations, one blocking and one for asyncio; the only module that does HTTP."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final, Self, TypeVar
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from airflow_provider_klaviyo import __version__
from airflow_provider_klaviyo.api.conversation import (
    Conversation,
    Heed,
    Hold,
    NoAnswer,
    Reserve,
    Send,
    Sleep,
    Step,
)
from airflow_provider_klaviyo.api.errors import KlaviyoError, KlaviyoStoppedError
from airflow_provider_klaviyo.api.pace import Pacing, Slot, paces_of_this_process
from airflow_provider_klaviyo.api.settings import Settings, is_loopback
from airflow_provider_klaviyo.api.wire import MEDIA_TYPE, Answer, Request

__all__ = ["AsyncKlaviyoClient", "KlaviyoClient"]

# 750 look-ups a minute at 300 ms each keep four of these busy.
CONCURRENCY: Final = 8
QUERY: Final = "klaviyo_query"
# A hundred profiles are 50 kB. What goes on beyond this is no answer of Klaviyo's, and is cut off.
LARGEST_ANSWER: Final = 20_000_000
LOGGED_WAIT_SECONDS: Final = 5.0
CAUSES: Final = {
    socket.gaierror: "the host name is not known",
    ssl.SSLError: "no TLS, or a certificate that is not trusted",
    ConnectionRefusedError: "nothing listens there",
}

log = logging.getLogger(__name__)

T = TypeVar("T")


class KlaviyoClient:
    """Talks to one Klaviyo account. May be used by several threads; to be closed, or used as a context manager.

    :param settings: account, key and pace.
    :param paces: shared by everything that must share a pace; by default everything in this process.
    :param transport: instead of the network, for tests.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        paces: Pacing = paces_of_this_process,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.settings = settings
        self._is_stopped = False
        self._paces = paces
        self._http = httpx.Client(
            **_client_options(settings),
            transport=_QueryTransport(transport or httpx.HTTPTransport(**_transport_options(settings))),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def stop(self) -> None:
        """Begin nothing more: whatever runs ends before its next step. May be called from a signal handler."""
        self._is_stopped = True

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
        try:
            while not stopped.is_set():
                step = conversation.send(outcome)
                if self._is_stopped:
                    raise KlaviyoStoppedError("the task is being killed, so nothing more is sent")
                outcome = None
                match step:
                    case Send(request):
                        outcome = self._send(request)
                    case Sleep(seconds, reason):
                        _log_wait(seconds, reason)
                        stopped.wait(seconds)
                    case _:
                        outcome = _pace(self._paces, self.settings, step)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        except KlaviyoError as error:
            # Without the frames of the conversation, whose variables are addresses: some reporters show variables.
            raise error.with_traceback(None) from None
        raise _StoppedError

    def _send(self, request: Request) -> Answer | NoAnswer:
        method, path, options = request.endpoint.method, request.path, _request_options(request)
        body = bytearray()
        try:
            with self._http.stream(method, path, **options) as response:
                if not _is_packed(response):
                    for chunk in response.iter_bytes():
                        body += chunk
                        if len(body) > LARGEST_ANSWER:
                            break
        except httpx.RequestError as exc:
            return NoAnswer(_reason(exc))
        return _answer(response, body)


class AsyncKlaviyoClient:
    """Talks to one Klaviyo account from asyncio. To be closed, or used as an async context manager.

    It belongs to the event loop that first uses it, but can be made in any thread.

    :param settings: account, key and pace.
    :param paces: shared by everything that must share a pace; by default everything in this process.
    :param transport: instead of the network, for tests.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        paces: Pacing = paces_of_this_process,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.settings = settings
        self._paces = paces
        self._http = httpx.AsyncClient(
            **_client_options(settings),
            transport=_AsyncQueryTransport(transport or httpx.AsyncHTTPTransport(**_transport_options(settings))),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def run(self, conversation: Conversation[T]) -> T:
        """Carry a conversation out and return its result."""
        outcome: Any = None
        try:
            while True:
                step = conversation.send(outcome)
                outcome = None
                match step:
                    case Send(request):
                        outcome = await self._send(request)
                    case Sleep(seconds, reason):
                        _log_wait(seconds, reason)
                        await asyncio.sleep(seconds)
                    case _:
                        outcome = _pace(self._paces, self.settings, step)
        except StopIteration as stop:
            return stop.value  # type: ignore[no-any-return]
        except KlaviyoError as error:
            raise error.with_traceback(None) from None

    async def _send(self, request: Request) -> Answer | NoAnswer:
        method, path, options = request.endpoint.method, request.path, _request_options(request)
        body = bytearray()
        try:
            async with self._http.stream(method, path, **options) as response:
                if not _is_packed(response):
                    async for chunk in response.aiter_bytes():
                        body += chunk
                        if len(body) > LARGEST_ANSWER:
                            break
        except httpx.RequestError as exc:
            return NoAnswer(_reason(exc))
        return _answer(response, body)


class _StoppedError(Exception):
    """Another conversation of the same `run_each` failed, so this one was given up. Nobody waits for its result."""


class _QueryTransport(httpx.BaseTransport):
    """Adds the query where httpx cannot see it: httpx logs every URL, and the filters in ours hold addresses."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self._transport.handle_request(_with_query(request))

    def close(self) -> None:
        self._transport.close()


class _AsyncQueryTransport(httpx.AsyncBaseTransport):
    """The same for asyncio."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        return await self._transport.handle_async_request(_with_query(request))

    async def aclose(self) -> None:
        await self._transport.aclose()


def _pace(paces: Pacing, settings: Settings, step: Step) -> Slot | None:
    """Carry out the steps that concern the pace."""
    match step:
        case Reserve(endpoint, slot):
            return paces.reserve(settings.quota, endpoint.name, settings.interval_seconds(endpoint), slot)
        case Hold(endpoint, seconds, reason):
            _log_wait(seconds, reason)
            paces.hold(settings.quota, endpoint.name, seconds)
        case Heed(endpoint, rate_limit):
            seconds = rate_limit.hold_seconds(settings.interval_seconds(endpoint))
            if seconds > 0:
                paces.hold(settings.quota, endpoint.name, seconds)
        case _:
            raise TypeError(f"not a step of a conversation: {type(step).__name__}")
    return None


def _log_wait(seconds: float, reason: str) -> None:
    """Say why nothing seems to happen."""
    if reason and seconds >= LOGGED_WAIT_SECONDS:
        log.warning("Waiting %.0f s: %s", seconds, reason)


def _client_options(settings: Settings) -> dict[str, Any]:
    return {
        "base_url": settings.base_url,
        "timeout": settings.timeout_seconds,
        "follow_redirects": False,
        "headers": {
            "authorization": f"Klaviyo-API-Key {settings.api_key}",
            "revision": settings.revision,
            "accept": MEDIA_TYPE,
            "accept-encoding": "identity",
            "user-agent": f"airflow-provider-klaviyo/{__version__}",
        },
    }


def _transport_options(settings: Settings) -> dict[str, Any]:
    """Return the options of httpx's own transport: the proxy that the environment names, if any.

    A client that is given a transport no longer looks for proxies itself.
    """
    url = urlsplit(settings.base_url)
    host = url.hostname or ""
    proxy = None if is_loopback(host) or proxy_bypass(host) else getproxies().get(url.scheme) or getproxies().get("all")
    if proxy is not None and "://" not in proxy:
        proxy = f"http://{proxy}"
    # Without TLS there are no certificates to be checked, nor to be read first, which takes 50 ms.
    return {"proxy": proxy, "verify": url.scheme == "https"}


def _request_options(request: Request) -> dict[str, Any]:
    headers = dict(request.headers)
    options: dict[str, Any] = {"extensions": {QUERY: request.query.encode("ascii")}, "headers": headers}
    if request.body is not None:
        options["content"] = request.body
        headers.setdefault("content-type", MEDIA_TYPE)
    return options


class _QueriedURL(httpx.URL):
    """A URL with a query that is sent as it is: httpx would look at each of its thousands of characters, twice."""

    def __init__(self, url: httpx.URL, query: bytes) -> None:
        super().__init__(url)
        self._query = query

    @property
    def query(self) -> bytes:
        return self._query

    @property
    def raw_path(self) -> bytes:
        return super().raw_path + b"?" + self._query


def _with_query(request: httpx.Request) -> httpx.Request:
    query = request.extensions.get(QUERY)
    queried = httpx.Request(
        request.method, request.url, headers=request.headers, stream=request.stream, extensions=request.extensions
    )
    if query:
        queried.url = _QueriedURL(request.url, query)
    return queried


def _reason(exc: BaseException) -> str:
    """Return the kind of failure in words of our own: the text of an exception may be anybody's."""
    kind, cause = type(exc).__name__, exc.__cause__ or exc.__context__
    while cause is not None:
        for known, words in CAUSES.items():
            if isinstance(cause, known):
                return f"{kind}: {words}"
        cause = cause.__cause__ or cause.__context__
    return kind


def _is_packed(response: httpx.Response) -> bool:
    """Tell whether an answer is compressed, which is not asked for: a few kilobytes of gzip can be gigabytes."""
    return bool(response.headers.get("content-encoding", "identity") != "identity")


def _answer(response: httpx.Response, body: bytearray) -> Answer:
    return Answer(response.status_code, dict(response.headers.items()), bytes(body))
