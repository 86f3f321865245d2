"""Events: listed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from airflow_provider_klaviyo.emulator import documents
from airflow_provider_klaviyo.emulator.answers import Answer, invalid
from airflow_provider_klaviyo.emulator.endpoint import Asking
from airflow_provider_klaviyo.emulator.events import Event
from airflow_provider_klaviyo.emulator.filters import EVENT_FIELDS
from airflow_provider_klaviyo.emulator.paging import PageRequest

_PARAMETERS = {"filter", "fields[event]", "fields[metric]", "include", "page[size]", "page[cursor]", "sort"}
_NEWEST_FIRST = {"datetime": False, "timestamp": False, "-datetime": True, "-timestamp": True}


def get_events(asking: Asking) -> Answer:
    """List events, filtered, sorted and in pages; the newest first where nothing is said of it."""
    parameters = asking.asked.parameters(_PARAMETERS)
    fields = documents.sparse_fields(parameters, "event", documents.EVENT_FIELDS)
    metric_fields = documents.sparse_fields(parameters, "metric", documents.METRIC_FIELDS)
    wanted = asking.filter(parameters.get("filter"), fields=EVENT_FIELDS, operators=("equals",))
    page = PageRequest.parse(parameters, default=200, most=1000)
    newest_first = _NEWEST_FIRST.get(parameters.get("sort", "-datetime"))
    if newest_first is None:
        raise invalid(f"What can be sorted by is {', '.join(_NEWEST_FIRST)}.", parameter="sort")
    if parameters.get("include", "metric") != "metric":
        raise invalid("What can be included is metric.", parameter="include")
    events, following = asking.tenant.events.page(wanted, newest_first=newest_first, start=page.start, size=page.size)
    base_url = asking.asked.base_url
    data = [documents.event(event, base_url, fields) for event in events]
    more = {"included": _metrics(events, base_url, metric_fields)} if "include" in parameters else {}
    return asking.listing(page, data, following, **more)


def _metrics(events: Iterable[Event], base_url: str, fields: frozenset[str] | None) -> list[dict[str, Any]]:
    """Return each metric of the events once."""
    metrics = {event.metric.id: event.metric for event in events}
    return [documents.metric(metric, base_url, fields) for metric in metrics.values()]
