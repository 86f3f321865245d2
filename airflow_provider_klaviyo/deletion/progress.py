"""Say in the log how far a long job is, now and then."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

__all__ = ["EVERY_SECONDS", "Progress", "duration"]

EVERY_SECONDS: Final = 30.0

log = logging.getLogger(__name__)


class Progress:
    """Counts what is done and logs it at most every 30 seconds: done, of how many, rate, time left.

    :param what: the noun, such as ``deletions requested``.
    :param total: how many there will be; None while nobody knows.
    :param clock: seconds that never run backwards.
    """

    def __init__(self, what: str, total: int | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.done = 0
        self._what = what
        self._total = total
        self._clock = clock
        self._started = self._logged = clock()

    def advance(self, number: int = 1) -> None:
        """Count so many more."""
        self.done += number
        now = self._clock()
        if now - self._logged >= EVERY_SECONDS:
            self._logged = now
            log.info("%s", self.describe())

    def extend(self, number: int) -> None:
        """Expect so many more."""
        self._total = number if self._total is None else self._total + number

    def describe(self) -> str:
        """Return how far the job is, in words."""
        seconds = self._clock() - self._started
        rate = self.done / seconds if seconds > 0 else 0.0
        of = f" of {self._total:,}" if self._total is not None else ""
        text = f"{self.done:,}{of} {self._what} in {duration(seconds)}"
        if rate > 0:
            text += f" ({60 * rate:,.1f} a minute)"
            if self._total is not None and self.done < self._total:
                text += f", about {duration((self._total - self.done) / rate)} left"
        return text


def duration(seconds: float) -> str:
    """Return a time span in the two units that matter most: ``45 s``, ``18 min``, ``2 h 5 min``, ``3 d 4 h``."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 90:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60} h"
