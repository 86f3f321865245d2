"""What is to happen at which time.

Pure: the time is an argument.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

Act = Callable[[float], None]
"""Does what is due; is told the time for which it was put down."""


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """Something that happens at a time; of two at the same time, the one that was put down first."""

    at: float
    number: int
    act: Act = field(compare=False)


class Agenda:
    """What is still to happen, and what a fault keeps from happening."""

    def __init__(self) -> None:
        self._due: list[Due] = []
        self._held: dict[str, list[Due]] = {}
        self._numbers = itertools.count()

    def put(self, at: float, act: Act) -> None:
        """Put something down for a time."""
        heapq.heappush(self._due, Due(at, next(self._numbers), act))

    def due(self, now: float) -> Iterator[Due]:
        """Yield, and strike out, everything up to now, in order."""
        while self._due and self._due[0].at <= now:
            yield heapq.heappop(self._due)

    def hold(self, fault: str, at: float, act: Act) -> None:
        """Keep something from happening until `release`."""
        self._held.setdefault(fault, []).append(Due(at, next(self._numbers), act))

    def release(self, fault: str | None) -> None:
        """Let happen what a fault held, or all faults."""
        for name in list(self._held) if fault is None else [fault]:
            for due in self._held.pop(name, ()):
                heapq.heappush(self._due, due)
