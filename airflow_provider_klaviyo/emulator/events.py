"""What the people of one account did, and when.

Pure: the time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from itertools import dropwhile
from typing import Any

from airflow_provider_klaviyo.emulator.filters import Filter
from airflow_provider_klaviyo.emulator.paging import first_page


@dataclass(frozen=True, slots=True)
class Metric:
    """A kind of event; `created` is a Unix time."""

    id: str
    name: str
    created: float


@dataclass(frozen=True, slots=True)
class Event:
    """Something that somebody did at a Unix time; `position` is the place among all events, from 1 on."""

    id: str
    uuid: str
    metric: Metric
    profile_id: str | None
    at: float
    position: int
    properties: Mapping[str, Any] = field(hash=False)


class Events:
    """Events in the order in which they came."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        # Indexes of the list.
        self._of: dict[str, list[int]] = {}
        self._metrics: dict[str, Metric] = {}

    def metric(self, name: str) -> Metric | None:
        """Return the metric with this name."""
        return self._metrics.get(name)

    def add(
        self, metric: Metric, event_id: str, uuid: str, profile_id: str, at: float, properties: Mapping[str, Any]
    ) -> None:
        """Store an event, and its metric if it is the first of it."""
        metric = self._metrics.setdefault(metric.name, metric)
        self._of.setdefault(profile_id, []).append(len(self._events))
        self._events.append(Event(event_id, uuid, metric, profile_id, at, len(self._events) + 1, properties))

    def lose(self, profile_id: str) -> None:
        """Keep the events of somebody who is gone, and nothing of theirs in them."""
        for index in self._of.pop(profile_id, ()):
            self._events[index] = replace(self._events[index], profile_id=None, properties={})

    def move(self, source_id: str, destination_id: str) -> None:
        """Give the events of one profile to another."""
        moved = self._of.pop(source_id, [])
        for index in moved:
            self._events[index] = replace(self._events[index], profile_id=destination_id)
        self._of[destination_id] = sorted([*self._of.get(destination_id, ()), *moved])

    def page(
        self, wanted: Filter | None, *, newest_first: bool, start: int, size: int
    ) -> tuple[list[Event], int | None]:
        """Return up to `size` events from position `start` on, 0 for all, and where the next page starts."""
        found = sorted(self._matching(wanted), key=lambda event: (event.at, event.position), reverse=newest_first)
        return first_page(dropwhile(lambda event: start not in {0, event.position}, found), size)

    def _matching(self, wanted: Filter | None) -> Iterable[Event]:
        if wanted is None:
            return self._events
        (value,) = wanted.values
        if wanted.field == "profile_id":
            return [self._events[index] for index in self._of.get(value, ())]
        return [event for event in self._events if event.metric.id == value]
