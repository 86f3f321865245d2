"""Deletions that were accepted, and the moment at which each is done.

Pure: the time is an argument.
"""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from airflow_provider_klaviyo.emulator.profiles import Profile


@dataclass(frozen=True, slots=True, order=True)
class Due:
    """Something that happens to a profile at a time: it goes, or it comes back."""

    at: float
    number: int
    what: Literal["gone", "back"] = field(compare=False)
    account_id: str = field(compare=False)
    profile: Profile = field(compare=False)


class Deletions:
    """The exact facts: who was asked for, how often, and who is gone."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        # Profile ids and the accounts that they belong to.
        self.gone: dict[str, str] = {}
        self.pending: dict[str, str] = {}
        self._due: list[Due] = []
        self._stuck: list[Due] = []
        self._numbers = itertools.count()

    def request(self, account_id: str, profile: Profile, *, finished_at: float) -> None:
        """Accept a deletion; one that is pending already keeps its time."""
        self.requests.append(profile.id)
        if profile.id not in self.pending:
            self.pending[profile.id] = account_id
            self.schedule("gone", finished_at, account_id, profile)

    def schedule(self, what: Literal["gone", "back"], at: float, account_id: str, profile: Profile) -> None:
        """Put something on the calendar."""
        heapq.heappush(self._due, Due(at, next(self._numbers), what, account_id, profile))

    def due(self, now: float) -> Iterator[Due]:
        """Yield, and take off the calendar, everything up to now, in order."""
        while self._due and self._due[0].at <= now:
            yield heapq.heappop(self._due)

    def finish(self, profile_id: str, account_id: str) -> None:
        """Note that a profile is gone."""
        self.pending.pop(profile_id, None)
        self.gone[profile_id] = account_id

    def hold(self, due: Due) -> None:
        """Keep a deletion from finishing until `release`."""
        self._stuck.append(due)

    def release(self) -> None:
        """Let the deletions finish that were held."""
        for due in self._stuck:
            heapq.heappush(self._due, due)
        self._stuck.clear()
