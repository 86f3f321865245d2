"""`Emulator`: a Klaviyo on a loopback port of this machine, in a thread of this process."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from airflow_provider_klaviyo.emulator.app import build_app
from airflow_provider_klaviyo.emulator.clock import steady_clock
from airflow_provider_klaviyo.emulator.controls import Controls
from airflow_provider_klaviyo.emulator.endpoints import ENDPOINT_NAMES
from airflow_provider_klaviyo.emulator.limits import HeaderForm, Limit
from airflow_provider_klaviyo.emulator.settings import Seconds, Settings

_START_SECONDS = 30.0
_STOP_SECONDS = 1.0
_LOOK_SECONDS = 0.001


class Emulator(Controls):
    """A Klaviyo to develop and test against; use it in a `with` block, or `start` and `stop` it.

    It answers as Klaviyo does, down to rate limits, and forgets everything when it stops, unless it has a journal.

    - `port`: 0 takes a free one. `host`: a loopback address; anything else is refused.
    - `latency_seconds`: how long an answer takes, a number or (shortest, longest). What the call does
      is done before the wait, so a client that gives up does not know the outcome.
    - `deletion_seconds`: how long an accepted deletion takes, a number or (shortest, longest).
    - `suppression_seconds`: how long a job takes that suppresses people, a number or (shortest, longest).
    - `limit_factor`: 1 is Klaviyo's own limits, 100 is 100 times as many calls per window.
    - `limits`: (calls a second, calls a minute) by endpoint name; not multiplied by `limit_factor`.
    - `header_form`: "windows" is what Klaviyo sends, `3, 3;w=1, 60;w=60`; "minute" what it documents, `60`.
    - `max_target_bytes`: a longer path and query is answered 414, with HTML.
    - `max_values_per_filter`: more of them are answered 400.
    - `pending_deletion_status`: 202 or 404 for a profile whose deletion is under way.
    - `account_id`, `key`, `organization_name`: of the default account, whose key has all scopes.
    - `seed`: the same seed gives the same ids, keys, window phases and dice; None is different each time.
    - `clock`: returns the time in Unix seconds, never running backwards; `ManualClock` is for tests that cannot wait.
    - `journal`: a file from which another emulator goes on after this one was stopped or killed. One that was begun
      already has the accounts, keys and installations, the people, their lists and events, the deletions and
      suppressions, and `resumed` is true; quotas, counts of calls and faults begin anew.
    """

    def __init__(
        self,
        *,
        latency_seconds: Seconds = 0.0,
        deletion_seconds: Seconds = 0.2,
        suppression_seconds: Seconds = 0.2,
        limit_factor: float = 1,
        limits: Mapping[str, tuple[int, int]] | None = None,
        header_form: HeaderForm = "windows",
        max_target_bytes: int = 64 * 1024,
        max_values_per_filter: int = 100,
        pending_deletion_status: Literal[202, 404] = 202,
        account_id: str | None = None,
        key: str | None = None,
        organization_name: str = "Example Shop",
        seed: int | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] | None = None,
        journal: Path | None = None,
    ) -> None:
        if unknown := set(limits or ()) - ENDPOINT_NAMES:
            raise ValueError(f"No endpoint is called {', '.join(sorted(unknown))}.")
        settings = Settings(
            latency_seconds=latency_seconds,
            deletion_seconds=deletion_seconds,
            suppression_seconds=suppression_seconds,
            limit_factor=limit_factor,
            limits={name: Limit(*limit) for name, limit in (limits or {}).items()},
            header_form=header_form,
            max_target_bytes=max_target_bytes,
            max_values_per_filter=max_values_per_filter,
            pending_deletion_status=pending_deletion_status,
        )
        super().__init__(settings, seed=seed, clock=clock or steady_clock(), journal=journal)
        self.resumed = bool(self.accounts)
        if self.resumed:
            self.account = self.accounts[0]
        else:
            self.account = self.add_account(organization_name, account_id=account_id, key=key)
        self._address = (_loopback(host), port)
        self._socket: socket.socket | None = None
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it listens: "http://127.0.0.1:PORT"."""
        if self._socket is None:
            raise RuntimeError("The emulator is not running.")
        host, port = self._address
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def start(self) -> None:
        """Listen; return when the first request can be sent."""
        if self._socket is not None:
            raise RuntimeError("The emulator is running already.")
        self._socket = _listen(self._address)
        self._address = (self._address[0], self._socket.getsockname()[1])
        self._server = _Server(_uvicorn_config(build_app(self), self._settings))
        self._thread = threading.Thread(
            target=self._server.run, args=([self._socket],), name="klaviyo-emulator", daemon=True
        )
        self._thread.start()
        if not self._server.ready.wait(_START_SECONDS):
            self.stop()
            raise RuntimeError("The emulator did not start.")

    def stop(self) -> None:
        """Finish the answers under way, for a second at most, and close every connection."""
        if self._server is not None and self._thread is not None:
            self._server.stop()
            self._thread.join()
        if self._socket is not None:
            self._socket.close()
        self._socket = self._server = self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()


class _Server(uvicorn.Server):
    """Starts and stops at once: uvicorn itself looks ten times a second whether it should, and then rests.

    A test suite that has an emulator for every test would spend most of its time on that.
    """

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._stopped: asyncio.Event
        self._loop: asyncio.AbstractEventLoop

    def stop(self) -> None:
        """Ask it to stop; from any thread."""
        if self.ready.is_set():
            self._loop.call_soon_threadsafe(self._stopped.set)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._stopped = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        await self._stopped.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        if not await self._idle():
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            await self._idle()

    async def _idle(self) -> bool:
        """Wait until there is nothing left to do, for a second at most."""
        state = self.server_state
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS):
                while state.connections or state.tasks:  # noqa: ASYNC110 - they tell nobody
                    await asyncio.sleep(_LOOK_SECONDS)
        return not (state.connections or state.tasks)


class _Protocol(H11Protocol):
    """Hands its connection on to the application, which may want to drop it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, "transport": transport}


def _uvicorn_config(app: Callable[..., object], settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=_Protocol,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",
        # URLs hold addresses.
        access_log=False,
        server_header=False,
        # uvicorn sets the date on its ticks, of which there are none.
        date_header=False,
        # A target that is too long has to be read before it can be answered with 414.
        h11_max_incomplete_event_size=16 * settings.max_target_bytes + 1024 * 1024,
    )


def _listen(address: tuple[str, int]) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    # asyncio turns Nagle's algorithm off only where the protocol is named: 40 ms an answer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def _loopback(host: str) -> str:
    """Return the address; refuse one that others can reach: there is no password on the controls."""
    address = "127.0.0.1" if host == "localhost" else host
    try:
        is_loopback = ipaddress.ip_address(address).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise ValueError(f"The emulator listens on loopback addresses only, not on {host}.")
    return address
