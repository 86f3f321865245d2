"""Fixed windows: how many calls an endpoint still takes, and when it takes the next one.

Pure: the time is an argument, in seconds, and never runs backwards.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Literal

HeaderForm = Literal["windows", "minute"]

BURST_SECONDS = 1
STEADY_SECONDS = 60
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Limit:
    """How many calls an account may make to one endpoint: `burst` a second, `steady` a minute."""

    burst: int
    steady: int

    def scaled(self, factor: float) -> Limit:
        """Return the limit with `factor` times as many calls per window, at least one."""
        return Limit(max(1, round(self.burst * factor)), max(1, round(self.steady * factor)))


def microseconds(seconds: float) -> int:
    """Return a time as a whole number, so that no window ends a rounding error late."""
    return round(seconds * _MICROSECONDS)


@dataclass(slots=True)
class FixedWindow:
    """One window after another, each `seconds` long and good for `limit` calls.

    `phase` is how many seconds after a round time a window begins. `own` are the calls of the clients
    of the emulator; the rest of `used` was taken by the made-up integration of the fault `quota_eaten`.
    """

    limit: int
    seconds: int
    phase: float = 0.0
    used: int = 0
    own: int = 0
    most_own: int = 0
    _number: int = -1

    def advance(self, now: int) -> None:
        """Begin a new window when the last one is over."""
        number = (now - microseconds(self.phase)) // (self.seconds * _MICROSECONDS)
        if number != self._number:
            self._number, self.used, self.own = number, 0, 0

    def ends_in(self, now: int) -> int:
        """Return the microseconds until the window that holds `now` is over."""
        length = self.seconds * _MICROSECONDS
        return length - (now - microseconds(self.phase)) % length

    @property
    def remaining(self) -> int:
        """How many calls the current window still takes."""
        return self.limit - self.used

    def add(self, *, own: bool) -> None:
        """Use one call."""
        self.used += 1
        self.own += own
        self.most_own = max(self.most_own, self.own)


@dataclass(slots=True)
class Quota:
    """What one account may still do with one endpoint: a window of a second and one of a minute."""

    limit: Limit
    burst_phase: float = 0.0
    steady_phase: float = 0.0
    accepted: int = 0
    eaten: int = 0
    most_in_any_minute: int = 0
    _windows: tuple[FixedWindow, FixedWindow] = field(init=False)
    _last_minute: deque[int] = field(init=False, default_factory=deque)

    def __post_init__(self) -> None:
        self._windows = (
            FixedWindow(self.limit.burst, BURST_SECONDS, self.burst_phase),
            FixedWindow(self.limit.steady, STEADY_SECONDS, self.steady_phase),
        )

    def take(self, now: float, *, own: bool = True) -> int | None:
        """Use one call and return None, or use nothing and return the whole seconds to wait."""
        at = microseconds(now)
        for window in self._windows:
            window.advance(at)
        full = [window.ends_in(at) for window in self._windows if window.remaining <= 0]
        if full:
            return math.ceil(max(full) / _MICROSECONDS)
        for window in self._windows:
            window.add(own=own)
        if own:
            self._count(at)
        else:
            self.eaten += 1
        return None

    def headers(self, now: float, form: HeaderForm) -> dict[str, str]:
        """Return the `RateLimit-*` headers of an answer given at `now`.

        `windows` is the form on the wire, about the window with the fewest calls left; `minute` is the
        form in the documentation, about the minute.
        """
        at = microseconds(now)
        burst, steady = self._windows
        for window in self._windows:
            window.advance(at)
        binding = steady if form == "minute" or steady.remaining < burst.remaining else burst
        limit = str(binding.limit)
        if form == "windows":
            limit += "".join(f", {window.limit};w={window.seconds}" for window in self._windows)
        return {
            "RateLimit-Limit": limit,
            "RateLimit-Remaining": str(max(0, binding.remaining)),
            "RateLimit-Reset": str(math.ceil(binding.ends_in(at) / _MICROSECONDS)),
        }

    @property
    def most_in_one_window(self) -> dict[int, int]:
        """The largest number of own calls accepted in any window, by its length in seconds."""
        return {window.seconds: window.most_own for window in self._windows}

    def reset_counts(self) -> None:
        """Forget the records, not the calls in the windows that are still open."""
        self.accepted = self.eaten = self.most_in_any_minute = 0
        self._last_minute.clear()
        for window in self._windows:
            window.most_own = 0

    def _count(self, at: int) -> None:
        self.accepted += 1
        self._last_minute.append(at)
        while self._last_minute[0] <= at - STEADY_SECONDS * _MICROSECONDS:
            self._last_minute.popleft()
        self.most_in_any_minute = max(self.most_in_any_minute, len(self._last_minute))
