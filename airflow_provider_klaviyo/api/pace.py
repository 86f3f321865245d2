"""How far apart the calls to one endpoint of one account are kept.

Klaviyo counts in fixed windows whose phase nobody knows. Counting along (token buckets, sliding logs) sends
bursts, and a little jitter then moves one call too many into a window. Calls one even interval apart never do,
so a pace is just the time of the next free turn (GCRA with a burst of one). `reserve` and `hold` are pure: a
pace goes in, a new one comes out, so that a pace can live in memory or in a row of a database.

Source: https://developers.klaviyo.com/en/docs/rate_limits_and_error_handling
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

__all__ = ["Limit", "Pace", "Paces", "Pacing", "RateLimit", "Slot", "hold", "paces_of_this_process", "reserve"]

LONGEST_BURST_WINDOW_SECONDS: Final = 1.0
LONGEST_WINDOW_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Limit:
    """What Klaviyo allows at one endpoint: ``burst`` calls a second and ``steady`` calls a minute."""

    burst: float
    steady: float

    @property
    def is_possible(self) -> bool:
        """Whether both are numbers above 0."""
        return 0 < self.burst < math.inf and 0 < self.steady < math.inf

    def interval_seconds(self, utilisation: float) -> float:
        """Return the seconds between two calls that use this share of the limit (0 to 1)."""
        return max(60 / self.steady, 1 / self.burst) / utilisation


@dataclass(frozen=True, slots=True)
class RateLimit:
    """What an answer's headers say of the window that binds: calls left, and seconds until it starts anew."""

    remaining: int
    reset_seconds: float

    def hold_seconds(self, interval_seconds: float) -> float:
        """Return how long everyone should stay off the endpoint; 0 when the even pace is slow enough.

        What is left of the window is spread over what is left of its time, so that somebody else's traffic on the
        same account slows us down before it gets us refused. Nothing here ever speeds a pace up.
        """
        if not 0 < self.reset_seconds <= LONGEST_WINDOW_SECONDS:
            return 0.0
        gap = self.reset_seconds / max(1, self.remaining)
        return gap if self.remaining <= 0 or gap > interval_seconds else 0.0


@dataclass(frozen=True, slots=True)
class Pace:
    """The next free turn, and the time before which nobody may call. Seconds on any one clock."""

    next_at: float
    held_until: float = float("-inf")

    @classmethod
    def starting(cls, now: float, interval_seconds: float) -> Pace:
        """Return the pace of a process that just started.

        It begins with a wait, because the process before this one may have called a moment ago.
        """
        return cls(next_at=now + min(interval_seconds, LONGEST_BURST_WINDOW_SECONDS))


@dataclass(frozen=True, slots=True)
class Slot:
    """A turn: due at ``at``, which is ``wait_seconds`` from when it was handed out."""

    at: float
    wait_seconds: float


def reserve(
    pace: Pace, now: float, interval_seconds: float, slot: Slot | None = None, longest_seconds: float = math.inf
) -> tuple[Pace, Slot]:
    """Return the pace after one more turn is taken, and that turn.

    :param slot: a turn reserved earlier. It is handed back, with what is left to wait, unless a hold has come
        between, or it has passed by a second or more: then it is void and a new one is taken, as all who were stalled
        by the same trouble would go at once.
    :param longest_seconds: for how long it will be waited for. A turn further away is not taken: those who come again
        and again meanwhile would push it ever further.
    """
    late = now - max(interval_seconds, LONGEST_BURST_WINDOW_SECONDS)
    if slot is not None and slot.at >= pace.held_until and slot.at > late:
        return pace, Slot(slot.at, max(0.0, slot.at - now))
    at = max(now, pace.next_at, pace.held_until)
    if at - now > longest_seconds:
        return pace, Slot(at, at - now)
    return replace(pace, next_at=at + interval_seconds), Slot(at, at - now)


def hold(pace: Pace, until: float) -> Pace:
    """Return the pace with everybody kept off until then; turns handed out for earlier become void."""
    if until <= pace.held_until:
        return pace
    return Pace(next_at=max(pace.next_at, until), held_until=until)


class Pacing(Protocol):
    """Hands out turns at the endpoints of accounts, to everything that shares a pace."""

    def reserve(
        self,
        account: str,
        endpoint: str,
        interval_seconds: float,
        slot: Slot | None = None,
        longest_seconds: float = math.inf,
    ) -> Slot:
        """Take the next turn at an endpoint of an account, or look again at one taken earlier.

        A turn further away than ``longest_seconds`` is not taken.
        """

    def hold(self, account: str, endpoint: str, seconds: float) -> None:
        """Keep everybody off an endpoint of an account for so long from now."""


class Paces:
    """The paces of everything in this process, one for each account and endpoint. Safe between threads.

    :param clock: seconds that never run backwards.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._paces: dict[tuple[str, str], Pace] = {}

    def reserve(
        self,
        account: str,
        endpoint: str,
        interval_seconds: float,
        slot: Slot | None = None,
        longest_seconds: float = math.inf,
    ) -> Slot:
        """Take the next turn at an endpoint of an account, or look again at one taken earlier.

        A turn further away than ``longest_seconds`` is not taken.
        """
        with self._lock:
            now = self._clock()
            pace = self._paces.get((account, endpoint)) or Pace.starting(now, interval_seconds)
            self._paces[account, endpoint], slot = reserve(pace, now, interval_seconds, slot, longest_seconds)
            return slot

    def hold(self, account: str, endpoint: str, seconds: float) -> None:
        """Keep everybody off an endpoint of an account for so long from now."""
        with self._lock:
            now = self._clock()
            pace = self._paces.get((account, endpoint)) or Pace(next_at=now)
            self._paces[account, endpoint] = hold(pace, now + seconds)


paces_of_this_process: Final = Paces()
