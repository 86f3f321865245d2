"""A time limit for a response as a whole: httpx limits each wait for data, and a drip of bytes outlives any of them.

Nothing is sent after it, either: a request with a refresh token must not go out when its lease has ended.

The blocking client connects, writes and reads through `LimitedBackend`. For the asyncio client, `asyncio.timeout` does
the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any, Final

import httpcore
import httpx

__all__ = ["LimitedBackend", "limit_transport", "time_limit"]

# How soon a read sees that its client was told to stop.
SLICE_SECONDS: Final = 1.0
# A time-out of 0 would have the socket not block at all.
SHORTEST_SECONDS: Final = 0.001


@dataclass(frozen=True, slots=True)
class _Limit:
    """Until when to read, in seconds of `time.monotonic`, and what else ends it."""

    until: float
    is_stopped: Callable[[], bool]

    @property
    def is_over(self) -> bool:
        """Whether nothing may be sent or read any more."""
        return self.is_stopped() or time.monotonic() >= self.until

    def left(self, timeout: float | None) -> float:
        """Return how long to wait for something that has a time-out of its own."""
        left = max(SHORTEST_SECONDS, self.until - time.monotonic())
        return left if timeout is None else min(left, timeout)


_limit: ContextVar[_Limit | None] = ContextVar("klaviyo_time_limit", default=None)


@contextmanager
def time_limit(seconds: float, is_stopped: Callable[[], bool]) -> Iterator[None]:
    """End what is sent and read in the block after so many seconds, or when it is stopped.

    :raises httpcore.TimeoutException: as for a wait that was too long.
    """
    token = _limit.set(_Limit(time.monotonic() + seconds, is_stopped))
    try:
        yield
    finally:
        _limit.reset(token)


def limit_transport(transport: httpx.HTTPTransport) -> httpx.HTTPTransport:
    """Have a transport's connections obey `time_limit`. httpx has no public way to set the backend of its pool."""
    pool = transport._pool  # noqa: SLF001
    pool._network_backend = LimitedBackend(pool._network_backend)  # noqa: SLF001
    return transport


class LimitedBackend(httpcore.NetworkBackend):
    """Opens connections that obey `time_limit`."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Open a connection to a host."""
        timeout = _time_left(timeout, httpcore.ConnectTimeout)
        return _LimitedStream(self._backend.connect_tcp(host, port, timeout, local_address, socket_options))

    def connect_unix_socket(self, *arguments: Any, **how: Any) -> httpcore.NetworkStream:
        """Open a connection to a socket of this machine."""
        return _LimitedStream(self._backend.connect_unix_socket(*arguments, **how))

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._backend.sleep(seconds)


def _time_left(timeout: float | None, over: type[httpcore.TimeoutException]) -> float | None:
    """Return how long to wait at most; raise if nothing may be sent any more."""
    limit = _limit.get()
    if limit is None:
        return timeout
    if limit.is_over:
        raise over("the response took too long")
    return limit.left(timeout)


class _LimitedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what there is, in slices of a second, until one of the limits is over."""
        limit = _limit.get()
        if limit is None:
            return self._stream.read(max_bytes, timeout)
        until = time.monotonic() + limit.left(timeout)
        while (left := until - time.monotonic()) > 0 and not limit.is_stopped():
            try:
                return self._stream.read(max_bytes, min(left, SLICE_SECONDS))
            except httpcore.ReadTimeout:
                continue
        raise httpcore.ReadTimeout("the response took too long")

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it, unless a limit is over."""
        self._stream.write(buffer, _time_left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Encrypt the connection."""
        timeout = _time_left(timeout, httpcore.ConnectTimeout)
        return _LimitedStream(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection."""
        return self._stream.get_extra_info(info)
