"""One asyncio client for everybody in an event loop who reaches Klaviyo the same way: a thousand triggers, one client.

Each of them holds a share for as long as it lives. The first to need the client has it made, the last to end closes it.
Light to import, because Airflow imports triggers in the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from airflow_provider_klaviyo.api.client import AsyncKlaviyoClient
    from airflow_provider_klaviyo.api.settings import Settings
    from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook

__all__ = ["ClientShare"]

# As many as 750 look-ups a minute keep busy if each takes 4 s.
AT_ONCE: Final = 50
# To read a connection keeps Airflow itself busy in the event loop, for milliseconds that add up if all come at once.
READING_AT_ONCE: Final = 8
PATIENCE_SECONDS: Final = 60.0


@dataclass(eq=False, slots=True)
class _Shared:
    """A client, or the task that makes it: all who want it meanwhile wait for the same task."""

    loop: asyncio.AbstractEventLoop
    settings: Settings
    opening: asyncio.Task[AsyncKlaviyoClient]
    holders: int = 0

    def is_for(self, settings: Settings) -> bool:
        """Tell whether this is the client for these settings in the running loop, or is about to be."""
        return self.loop is asyncio.get_running_loop() and self.settings == settings and not self._has_failed()

    async def leave(self) -> None:
        """Give a share back; after the last one the client is closed."""
        self.holders -= 1
        if self.holders == 0:
            _all_shared.remove(self)
            self.opening.cancel()
            await asyncio.wait({self.opening})
            if not self._has_failed():
                await self.opening.result().close()

    def _has_failed(self) -> bool:
        return self.opening.done() and (self.opening.cancelled() or self.opening.exception() is not None)


class _Door:
    """Lets in some of a crowd that wants the same connection; it is there for as long as anybody has a share."""

    def __init__(self) -> None:
        self.looking = asyncio.Semaphore(AT_ONCE)
        self.reading = asyncio.Semaphore(READING_AT_ONCE)


_all_shared: list[_Shared] = []
_doors: WeakValueDictionary[tuple[asyncio.AbstractEventLoop, str], _Door] = WeakValueDictionary()


class ClientShare:
    """A share in the client of a connection, whatever the connection says at the time. An async context manager.

    :param klaviyo_conn_id: of Klaviyo.
    """

    def __init__(self, klaviyo_conn_id: str) -> None:
        self._klaviyo_conn_id = klaviyo_conn_id
        self._held: _Shared | None = None

    async def __aenter__(self) -> Self:
        self._door = _doors.setdefault((asyncio.get_running_loop(), self._klaviyo_conn_id), _Door())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._held is not None:
            await self._held.leave()

    @asynccontextmanager
    async def client(self) -> AsyncIterator[AsyncKlaviyoClient]:
        """Lend the client for what the connection says now, checked to be on the right account.

        Of a crowd that wants it at once, most wait here. If all of them went on, each would do a little, and the event
        loop would stand still until the last one had; and the turns at Klaviyo that they took would reach further into
        the future than any of them has patience for.

        :raises KlaviyoError: as `KlaviyoHook.get_async_conn`; the same to all who wait for the same client.
        """
        async with self._door.looking:
            # In a thread: the first import takes a tenth of a second, for which the event loop would stand still.
            hook = await asyncio.to_thread(_hook, self._klaviyo_conn_id)
            async with self._door.reading:
                settings = await hook.get_async_settings()
            if self._held is None or not self._held.is_for(settings):
                before, self._held = self._held, _join(hook, settings)
                if before is not None:
                    await before.leave()
            await asyncio.wait({self._held.opening})
            yield self._held.opening.result()


def _hook(klaviyo_conn_id: str) -> KlaviyoHook:
    from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook

    return KlaviyoHook(klaviyo_conn_id)


def _join(hook: KlaviyoHook, settings: Settings) -> _Shared:
    """Return the client for these settings with one share more. The first to join has it made."""
    shared = next((one for one in _all_shared if one.is_for(settings)), None)
    if shared is None:
        opening = asyncio.create_task(hook.open_async_conn(settings, patience_seconds=PATIENCE_SECONDS))
        shared = _Shared(asyncio.get_running_loop(), settings, opening)
        _all_shared.append(shared)
    shared.holders += 1
    return shared
