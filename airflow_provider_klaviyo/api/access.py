"""All that Klaviyo keeps of one person, as Klaviyo has it: the profile, its lists, its segments, its events.

What is read here is the person's own data, whatever shape it has. So attributes are taken as they are; what is not
believed is an answer that is about somebody else, or does not say about whom it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, TypeVar

from airflow_provider_klaviyo.api.conversation import PATIENCE_SECONDS, Conversation
from airflow_provider_klaviyo.api.diagnosis import ask
from airflow_provider_klaviyo.api.endpoints import (
    GET_EVENTS,
    GET_PROFILE,
    GET_PROFILE_LISTS,
    GET_PROFILE_SEGMENTS,
    Endpoint,
)
from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError, KlaviyoNotFoundError
from airflow_provider_klaviyo.api.paging import all_pages
from airflow_provider_klaviyo.api.resources import checked_profile_id, profile_path
from airflow_provider_klaviyo.api.wire import (
    Answer,
    Page,
    Request,
    at,
    is_text,
    next_cursor,
    query_string,
    quote_string,
    read_document,
)

__all__ = [
    "Event",
    "Record",
    "export_profile",
    "get_events",
    "get_profile_lists",
    "get_profile_segments",
    "get_whole_profile",
]

# The reference says 200 at most in its text and 1,000 in its schema; 200 are within both.
EVENTS_A_PAGE: Final = 200


@dataclass(frozen=True, slots=True)
class Record:
    """One of Klaviyo's resources with all its attributes, as Klaviyo gives them. Its repr shows the id only."""

    id: str
    attributes: dict[str, Any] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"id": self.id, "attributes": self.attributes}


@dataclass(frozen=True, slots=True)
class Event:
    """Something that a person did. Its repr shows the id only.

    :param metric: the name of what was done, such as ``Placed Order``; None where Klaviyo does not say it.
    """

    id: str
    metric: str | None = field(repr=False)
    attributes: dict[str, Any] = field(repr=False)

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {"id": self.id, "metric": self.metric, "attributes": self.attributes}


R = TypeVar("R", Record, Event)


def export_profile(
    profile_id: str, *, events: bool, patience_seconds: float = PATIENCE_SECONDS
) -> Conversation[dict[str, Any] | None]:
    """Return all that Klaviyo keeps of one profile as JSON values: ``id``, ``attributes``, ``lists``, ``segments``.

    :param events: add ``events``, the oldest first.
    :returns: None when the profile went away while it was being read.
    :raises KlaviyoNotFoundError: there is no such profile, or there was none any more from the start.

    Scopes ``profiles:read``, ``lists:read`` and ``segments:read``, and for events ``events:read``; 60 profiles a minute
    for the whole account, because that is what lists and segments allow.
    """
    parts = {"lists": get_profile_lists, "segments": get_profile_segments}
    read: dict[str, Any] = {}
    try:
        for name, get in parts.items():
            records = yield from get(profile_id, patience_seconds=patience_seconds)
            read[name] = [record.to_json() for record in records]
        if events:
            happened = yield from get_events(profile_id, patience_seconds=patience_seconds)
            read["events"] = [event.to_json() for event in happened]
        # Last, because events of nobody are an empty list: only this says that the person was there to the end.
        profile = yield from get_whole_profile(profile_id, patience_seconds=patience_seconds)
    except KlaviyoNotFoundError:
        if not read:
            raise
        return None
    return profile.to_json() | read


def get_whole_profile(profile_id: str, *, patience_seconds: float = PATIENCE_SECONDS) -> Conversation[Record]:
    """Look one profile up by its id, with all its attributes, subscriptions and predictive analytics.

    :raises KlaviyoNotFoundError: there is no such profile, or no longer.

    Scope ``profiles:read``; 75 a second and 750 a minute for the whole account.
    Source: https://developers.klaviyo.com/en/reference/get_profile
    """
    request = _request(GET_PROFILE, profile_id, {"additional-fields[profile]": "subscriptions,predictive_analytics"})
    read = partial(_read_whole_profile, profile_id=profile_id)
    return (yield from ask(request, read, patience_seconds=patience_seconds))


def get_profile_lists(
    profile_id: str, *, patience_seconds: float = PATIENCE_SECONDS
) -> Conversation[tuple[Record, ...]]:
    """Return the lists that a profile is in; all pages.

    :raises KlaviyoNotFoundError: there is no such profile, or no longer.

    Scopes ``lists:read`` and ``profiles:read``; 3 a second and 60 a minute for the whole account.
    Source: https://developers.klaviyo.com/en/reference/get_lists_for_profile
    """
    return _groups(GET_PROFILE_LISTS, "list", profile_id, patience_seconds)


def get_profile_segments(
    profile_id: str, *, patience_seconds: float = PATIENCE_SECONDS
) -> Conversation[tuple[Record, ...]]:
    """Return the segments that a profile is in; all pages.

    :raises KlaviyoNotFoundError: there is no such profile, or no longer.

    Scopes ``profiles:read`` and ``segments:read``; 3 a second and 60 a minute for the whole account.
    Source: https://developers.klaviyo.com/en/reference/get_segments_for_profile
    """
    return _groups(GET_PROFILE_SEGMENTS, "segment", profile_id, patience_seconds)


def get_events(profile_id: str, *, patience_seconds: float = PATIENCE_SECONDS) -> Conversation[tuple[Event, ...]]:
    """Return what somebody did, the oldest first; all pages. Of a profile that there is not, that is nothing.

    :raises KlaviyoAnswerError: when an event is not of this profile.

    Scope ``events:read``; 350 a second and 3,500 a minute for the whole account.
    Source: https://developers.klaviyo.com/en/reference/get_events
    """
    query = {
        "filter": f"equals(profile_id,{quote_string(checked_profile_id(profile_id))})",
        "include": "metric",
        "sort": "datetime",
        "page[size]": str(EVENTS_A_PAGE),
    }
    pages = _pages(GET_EVENTS, profile_id, query)
    read = partial(_read_events, profile_id=profile_id)
    return _each_once((yield from all_pages(pages, read, patience_seconds=patience_seconds)))


def _groups(
    endpoint: Endpoint, kind: str, profile_id: str, patience_seconds: float
) -> Conversation[tuple[Record, ...]]:
    # Without page[size], which the reference does not know here.
    pages = _pages(endpoint, profile_id, {})
    read = partial(_read_groups, endpoint=endpoint, kind=kind)
    return _each_once((yield from all_pages(pages, read, patience_seconds=patience_seconds)))


def _each_once(records: Iterable[R]) -> tuple[R, ...]:
    """Return what has come on two pages, because it moved between the calls, once."""
    return tuple({record.id: record for record in records}.values())


def _pages(endpoint: Endpoint, profile_id: str, query: dict[str, str]) -> Callable[[str | None], Request]:
    def page(cursor: str | None) -> Request:
        return _request(endpoint, profile_id, query if cursor is None else query | {"page[cursor]": cursor})

    return page


def _request(endpoint: Endpoint, profile_id: str, query: dict[str, str]) -> Request:
    return Request(endpoint, profile_path(endpoint, profile_id), query=query_string(query))


def _read_whole_profile(answer: Answer, *, profile_id: str) -> Record:
    record = _record(read_document(answer, GET_PROFILE).get("data"), "profile")
    if record.id != profile_id:
        raise KlaviyoAnswerError("Klaviyo answered with another profile than the one asked for")
    return record


def _read_groups(answer: Answer, *, endpoint: Endpoint, kind: str) -> Page[Record]:
    document = read_document(answer, endpoint)
    return Page(tuple(_record(item, kind) for item in _listed(document, endpoint)), next_cursor(document))


def _read_events(answer: Answer, *, profile_id: str) -> Page[Event]:
    document = read_document(answer, GET_EVENTS)
    included = document.get("included")
    names = {
        at(item, "id"): at(item, "attributes", "name")
        for item in (included if isinstance(included, list) else ())
        if at(item, "type") == "metric" and is_text(at(item, "id"))
    }
    events = [_event(item, names, profile_id) for item in _listed(document, GET_EVENTS)]
    return Page(tuple(events), next_cursor(document))


def _event(item: object, names: dict[str, Any], profile_id: str) -> Event:
    record = _record(item, "event")
    if at(item, "relationships", "profile", "data", "id") != profile_id:
        raise KlaviyoAnswerError("Klaviyo answered with events that are not known to be of the profile asked for")
    metric_id = at(item, "relationships", "metric", "data", "id")
    name = names.get(metric_id) if is_text(metric_id) else None
    return Event(record.id, name if is_text(name) else None, record.attributes)


def _listed(document: dict[str, Any], endpoint: Endpoint) -> list[Any]:
    data = document.get("data")
    if not isinstance(data, list):
        raise KlaviyoAnswerError(f"the answer to {endpoint} has no list in it")
    return data


def _record(item: object, kind: str) -> Record:
    """Return a resource of a kind with an id and attributes, and refuse anything else."""
    record_id, attributes = at(item, "id"), at(item, "attributes")
    if at(item, "type") != kind or not is_text(record_id) or not isinstance(attributes, dict):
        raise KlaviyoAnswerError(f"Klaviyo's answer has something else where a {kind} with an id should be")
    return Record(record_id, attributes)
