"""How requests travel: what httpx is told, and what is kept from it, because it logs whole URLs."""

from __future__ import annotations

import socket
import ssl
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from airflow_provider_klaviyo import __version__
from airflow_provider_klaviyo.api.settings import Settings, is_loopback
from airflow_provider_klaviyo.api.silence import unlogged_headers
from airflow_provider_klaviyo.api.wire import MEDIA_TYPE, Answer, Request

__all__ = [
    "AsyncQueryTransport",
    "QueryTransport",
    "answer_from",
    "client_options",
    "failure",
    "is_packed",
    "request_options",
    "transport_options",
]

QUERY: Final = "klaviyo_query"
CAUSES: Final = {
    socket.gaierror: "the host name is not known",
    ssl.SSLError: "no TLS, or a certificate that is not trusted",
    ConnectionRefusedError: "nothing listens there",
}


class QueryTransport(httpx.BaseTransport):
    """Adds the query where httpx cannot see it: httpx logs every URL, and the filters in ours hold addresses."""

    def __init__(self, transport: httpx.BaseTransport) -> None:
        self._transport = transport

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request with its query."""
        with unlogged_headers():
            return self._transport.handle_request(_with_query(request))

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()


class AsyncQueryTransport(httpx.AsyncBaseTransport):
    """The same for asyncio."""

    def __init__(self, transport: httpx.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request with its query."""
        with unlogged_headers():
            return await self._transport.handle_async_request(_with_query(request))

    async def aclose(self) -> None:
        """Close all connections."""
        await self._transport.aclose()


def client_options(settings: Settings) -> dict[str, Any]:
    """Return the options of httpx's clients: what all requests have in common."""
    return {
        "base_url": settings.base_url,
        "timeout": settings.timeout_seconds,
        "follow_redirects": False,
        "headers": {
            **({"authorization": f"Klaviyo-API-Key {settings.api_key}"} if settings.oauth is None else {}),
            "revision": settings.revision,
            "accept": MEDIA_TYPE,
            "accept-encoding": "identity",
            "user-agent": f"airflow-provider-klaviyo/{__version__}",
        },
    }


def transport_options(settings: Settings) -> dict[str, Any]:
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


def request_options(request: Request, access_token: str | None) -> dict[str, Any]:
    """Return the options of one request.

    :param access_token: to send it with, where that is not what all requests are sent with.
    """
    headers = dict(request.headers)
    if access_token is not None:
        headers["authorization"] = f"Bearer {access_token}"
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


def failure(exc: BaseException) -> str:
    """Return the kind of failure in words of our own: the text of an exception may be anybody's."""
    kind, cause = type(exc).__name__, exc.__cause__ or exc.__context__
    while cause is not None:
        for known, words in CAUSES.items():
            if isinstance(cause, known):
                return f"{kind}: {words}"
        cause = cause.__cause__ or cause.__context__
    return kind


def is_packed(response: httpx.Response) -> bool:
    """Tell whether an answer is compressed, which is not asked for: a few kilobytes of gzip can be gigabytes."""
    return bool(response.headers.get("content-encoding", "identity") != "identity")


def answer_from(response: httpx.Response, body: bytearray) -> Answer:
    """Return an answer as a plain value."""
    return Answer(response.status_code, dict(response.headers.items()), bytes(body))
