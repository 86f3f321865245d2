"""Clocks for the emulator: one that runs, one that a test moves."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


def steady_clock() -> Callable[[], float]:
    """Return a clock that tells Unix time and is not disturbed when somebody sets it."""
    offset = time.time() - time.monotonic()
    return lambda: offset + time.monotonic()


class ManualClock:
    """Time that stands still until it is moved on: `Emulator(clock=ManualClock())`.

    Rate limits and deletions go by it; `latency_seconds` is waited for in real time.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._now = now
        self._lock = threading.Lock()

    def __call__(self) -> float:
        """Return the time, in Unix seconds."""
        with self._lock:
            return self._now

    def advance(self, seconds: float) -> None:
        """Move on; time never runs backwards."""
        if seconds < 0:
            raise ValueError("Time never runs backwards.")
        with self._lock:
            self._now += seconds
