"""Triggers that measure, for the script beside this one: how late an event loop is and why, and what it holds."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import os
import resource
import sys
import threading
import time
import traceback
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

from airflow.triggers.base import BaseTrigger, TriggerEvent

BEAT_SECONDS: Final = 0.01
STANDS_STILL_SECONDS: Final = 0.05
OPENED_AFTER_SECONDS: Final = 15


class Sleeper(BaseTrigger):
    """Does nothing for so long."""

    def __init__(self, seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seconds = seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores."""
        return "heartbeat.Sleeper", {"seconds": self.seconds}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Sleep."""
        await asyncio.sleep(self.seconds)
        yield TriggerEvent({"status": "gone"})


class Opener(BaseTrigger):
    """Makes one client for https, with the certificates that belong to it, and lets nothing be sent."""

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores."""
        return "heartbeat.Opener", {}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Make it, when all is calm."""
        await asyncio.sleep(OPENED_AFTER_SECONDS)
        # As `ClientShare` does, or this very import would be what holds the loop up.
        await asyncio.to_thread(importlib.import_module, "airflow_provider_klaviyo.hooks.klaviyo")
        from airflow_provider_klaviyo.api.settings import Settings
        from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook

        async with await KlaviyoHook().open_async_conn(Settings(api_key="pk_nobody")):
            yield TriggerEvent({"status": "gone"})


class Heartbeat(BaseTrigger):
    """Measures the event loop that it runs in, and tells the file `path` every second, until there is a file `until`.

    A beat that comes late may have waited for code in the loop, for the garbage collector or for the machine. So a
    thread looks at what the loop's thread is at when it stands still, the processor time of that thread is taken at
    every beat, and the collector's pauses are taken as well.
    """

    def __init__(self, path: str, until: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = path
        self.until = until

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Return what Airflow stores."""
        return "heartbeat.Heartbeat", {"path": self.path, "until": self.until}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Beat."""
        self.loops_thread = threading.get_ident()
        self.beat_at = self.began = time.monotonic()
        self.stacks: list[list[str]] = []
        self.pauses: list[float] = []
        self.late: list[dict[str, Any]] = []
        self.counts = {"clients": 0, "connections": 0}
        self.over = False
        self._count()
        gc.callbacks.append(self._collecting)
        watcher = threading.Thread(target=self._watch, daemon=True)
        watcher.start()
        told = 0.0
        while not self._is_over():
            await self._beat()
            if self.beat_at - told > 1:
                told = self.beat_at
                self._tell()
        self.over = True
        self._tell()
        yield TriggerEvent({"status": "beaten"})

    def _is_over(self) -> bool:
        return Path(self.until).exists()

    async def _beat(self) -> None:
        self.stacks, self.pauses = [], []
        busy, due = time.thread_time(), time.monotonic() + BEAT_SECONDS
        await asyncio.sleep(BEAT_SECONDS)
        self.beat_at = time.monotonic()
        late, busy = self.beat_at - due, time.thread_time() - busy
        if late > STANDS_STILL_SECONDS or busy > STANDS_STILL_SECONDS:
            self.late.append(
                {
                    "at": round(self.beat_at - self.began, 2),
                    "late": late,
                    "busy": busy,
                    "collector": sum(self.pauses),
                    "stacks": self.stacks[:9],
                }
            )

    def _watch(self) -> None:
        while not self.over:
            time.sleep(BEAT_SECONDS)
            if time.monotonic() - self.beat_at > BEAT_SECONDS + STANDS_STILL_SECONDS:
                frame = sys._current_frames().get(self.loops_thread)
                stack = traceback.extract_stack(frame)
                self.stacks.append([f"{each.filename.rpartition('site-packages/')[2]}:{each.name}" for each in stack])

    def _collecting(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self.collecting_since = time.monotonic()
        elif threading.get_ident() == self.loops_thread:
            self.pauses.append(time.monotonic() - self.collecting_since)

    def _count(self) -> None:
        """Count the clients that are made and the connections that are opened from now on."""
        import anyio
        import httpx

        make, connect = httpx.AsyncClient.__init__, anyio.connect_tcp

        def counted_make(*arguments: Any, **options: Any) -> None:
            self.counts["clients"] += 1
            make(*arguments, **options)

        async def counted_connect(*arguments: Any, **options: Any) -> Any:
            self.counts["connections"] += 1
            return await connect(*arguments, **options)

        httpx.AsyncClient.__init__ = counted_make  # type: ignore[method-assign]
        anyio.connect_tcp = counted_connect

    def _tell(self) -> None:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        told = {
            "at": self.beat_at - self.began,
            "bytes": pages * resource.getpagesize(),
            "sockets": sum("socket:" in os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()),
            "late": self.late,
            **self.counts,
        }
        with Path(self.path).open("a") as file:
            file.write(json.dumps(told) + "\n")
        self.late = []
