"""A time limit for a response as a whole: httpx limits each wait for data, and a drip of bytes outlives any of them.

The blocking client reads through `LimitedBackend`. For the asyncio client, `asyncio.timeout` does the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

import httpcore
import httpx

__all__ = ["limit_transport", "time_limit"]

# How soon a read sees that its client was told to stop.
SLICE_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class _Limit:
    """Until when to read, in seconds of `time.monotonic`, and what else ends it."""

    until: float
    is_stopped: Callable[[], bool]


_limit: ContextVar[_Limit | None] = ContextVar("klaviyo_time_limit", default=None)


@contextmanager
def time_limit(seconds: float, is_stopped: Callable[[], bool]) -> Iterator[None]:
    """End what is read from the network in the block after so many seconds, or when it is stopped.

    :raises httpcore.ReadTimeout: from the read, as for a wait that was too long.
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
    """Opens connections whose reads obey `time_limit`."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(self, *arguments: Any, **how: Any) -> httpcore.NetworkStream:
        """Open a connection to a host."""
        return _LimitedStream(self._backend.connect_tcp(*arguments, **how))

    def connect_unix_socket(self, *arguments: Any, **how: Any) -> httpcore.NetworkStream:
        """Open a connection to a socket of this machine."""
        return _LimitedStream(self._backend.connect_unix_socket(*arguments, **how))

    def sleep(self, seconds: float) -> None:
        """Wait."""
        self._backend.sleep(seconds)


class _LimitedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what there is, in slices of a second, until one of the limits is over."""
        limit = _limit.get()
        if limit is None:
            return self._stream.read(max_bytes, timeout)
        until = limit.until if timeout is None else min(limit.until, time.monotonic() + timeout)
        while (left := until - time.monotonic()) > 0 and not limit.is_stopped():
            try:
                return self._stream.read(max_bytes, min(left, SLICE_SECONDS))
            except httpcore.ReadTimeout:
                continue
        raise httpcore.ReadTimeout("the response took too long")

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it."""
        self._stream.write(buffer, timeout)

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(self, *arguments: Any, **how: Any) -> httpcore.NetworkStream:
        """Encrypt the connection."""
        return _LimitedStream(self._stream.start_tls(*arguments, **how))

    def get_extra_info(self, info: str) -> Any:
        """Return what is known of the connection."""
        return self._stream.get_extra_info(info)
