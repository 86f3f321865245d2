"""What Klaviyo keeps of one person: all of it, nothing else, and nobody else's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.api.access import (
    Event,
    Record,
    export_profile,
    get_events,
    get_profile_lists,
    get_profile_segments,
    get_whole_profile,
)
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAnswerError,
    KlaviyoNotFoundError,
    KlaviyoPermissionError,
)
from airflow_provider_klaviyo.api.resources import NOBODY
from airflow_provider_klaviyo.emulator import Emulator

pytestmark = pytest.mark.usefixtures("impatient")
JANE = "01JANE00000000000000000000"


@pytest.fixture
def jane(emulator: Emulator) -> str:
    """Somebody with names, properties, more lists than a page holds, segments and events; and a stranger with some."""
    stranger = emulator.add_profile(email="stranger@example.com", properties={"secret": "stranger"})
    profile_id = emulator.add_profile(
        email="jane@example.com",
        phone_number="+15005550006",
        first_name="Jane",
        properties={"shoe size": 39, "nested": {"likes": ["tea", None]}},
    )
    for number in range(23):
        list_id = emulator.add_list(f"List {number}")
        emulator.add_to_list(profile_id if number % 2 == 0 else stranger, list_id)
        segment_id = emulator.add_segment(f"Segment {number}")
        emulator.add_to_segment(stranger if number % 2 == 0 else profile_id, segment_id)
    for number in range(5):
        emulator.add_event(profile_id, "Placed Order", {"number": number}, at=1_000_000 - number)
        emulator.add_event(stranger, "Placed Order", {"number": "stranger"}, at=1_000_000)
    emulator.add_event(profile_id, "Opened Email", at=2_000_000)
    return profile_id


def test_a_profile_is_had_whole(run: Callable[..., Any], emulator: Emulator, jane: str) -> None:
    profile = run(get_whole_profile(jane))
    assert profile.id == jane
    attributes = profile.attributes
    assert attributes["email"] == "jane@example.com"
    assert attributes["properties"] == {"shoe size": 39, "nested": {"likes": ["tea", None]}}
    assert attributes["subscriptions"]["email"]["marketing"]["consent"] == "NEVER_SUBSCRIBED"
    assert "churn_probability" in attributes["predictive_analytics"]


def test_lists_and_segments_come_from_all_pages_and_are_nobody_elses(
    run: Callable[..., Any], emulator: Emulator, jane: str
) -> None:
    emulator.reset_counts()
    lists = run(get_profile_lists(jane))
    segments = run(get_profile_segments(jane))
    assert [one.attributes["name"] for one in lists] == [f"List {number}" for number in range(0, 23, 2)]
    assert [one.attributes["name"] for one in segments] == [f"Segment {number}" for number in range(1, 23, 2)]
    assert (emulator.calls("get_profile_lists", 200), emulator.calls("get_profile_segments", 200)) == (2, 2)


def test_events_come_from_all_pages_the_oldest_first_with_the_names_of_what_was_done(
    run: Callable[..., Any], emulator: Emulator, jane: str
) -> None:
    for number in range(400):
        emulator.add_event(jane, f"Metric {number % 7}", {"n": number}, at=3_000_000 + number)
    emulator.reset_counts()
    events = run(get_events(jane))
    assert len(events) == 406
    assert emulator.calls("get_events", 200) == 3
    times = [event.attributes["timestamp"] for event in events]
    assert times == sorted(times)
    assert [event.metric for event in events[:6]] == ["Placed Order"] * 5 + ["Opened Email"]
    assert [event.metric for event in events[6:20]] == [f"Metric {number % 7}" for number in range(14)]
    assert "stranger" not in str([event.attributes for event in events])


def test_an_export_is_what_is_there(run: Callable[..., Any], jane: str) -> None:
    export = run(export_profile(jane, events=True))
    assert list(export) == ["id", "attributes", "lists", "segments", "events"]
    assert export["id"] == jane
    assert export["attributes"]["first_name"] == "Jane"
    assert (len(export["lists"]), len(export["segments"]), len(export["events"])) == (12, 11, 6)
    assert list(export["lists"][0]) == ["id", "attributes"]
    assert list(export["events"][0]) == ["id", "metric", "attributes"]
    assert export["events"][0]["attributes"]["event_properties"] == {"number": 4}


def test_events_are_asked_for_only_if_they_are_wanted(run: Callable[..., Any], emulator: Emulator, jane: str) -> None:
    assert "events" not in run(export_profile(jane, events=False))
    assert emulator.calls("get_events") == 0


def test_nobody_is_not_found(run: Callable[..., Any]) -> None:
    for conversation in (get_whole_profile, get_profile_lists, get_profile_segments):
        with pytest.raises(KlaviyoNotFoundError):
            run(conversation(NOBODY))
    with pytest.raises(KlaviyoNotFoundError):
        run(export_profile(NOBODY, events=True))
    assert run(get_events(NOBODY)) == ()


@pytest.mark.parametrize("last", ["lists", "segments", "events"])
def test_who_goes_away_while_being_read_is_told_from_who_never_was(run: Callable[..., Any], last: str) -> None:
    paths = [f"/api/profiles/{JANE}/lists", f"/api/profiles/{JANE}/segments", "/api/events", f"/api/profiles/{JANE}"]
    there = paths[: ["lists", "segments", "events"].index(last) + 1]

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path in {*there, "/api/events"}:
            return httpx.Response(200, json={"data": []})
        return httpx.Response(404, json={"errors": [{"id": "1", "code": "not_found", "title": "", "detail": JANE}]})

    assert run(export_profile(JANE, events=True), answer) is None


def event_of(profile: Any) -> dict[str, Any]:
    return {
        "type": "event",
        "id": "E1",
        "attributes": {"event_properties": {"secret": "canary.tweet"}},
        "relationships": {"profile": profile, "metric": {"data": {"type": "metric", "id": "M1"}}},
    }


@pytest.mark.parametrize("profile", [{"data": {"type": "profile", "id": NOBODY}}, {"data": None}, {}, None, []])
def test_an_event_that_is_not_known_to_be_theirs_is_not_believed(run: Callable[..., Any], profile: Any) -> None:
    theirs = event_of({"data": {"type": "profile", "id": JANE}})
    with pytest.raises(KlaviyoAnswerError, match="not known to be of the profile asked for") as caught:
        run(get_events(JANE), lambda _: httpx.Response(200, json={"data": [theirs, event_of(profile)]}))
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("included", [None, 7, [], [None, 7, {}], [{"type": "metric", "id": "M1", "attributes": 7}]])
def test_an_event_without_a_name_is_an_event(run: Callable[..., Any], included: Any) -> None:
    theirs = event_of({"data": {"type": "profile", "id": JANE}})
    document = {"data": [theirs], "included": included}
    (event,) = run(get_events(JANE), lambda _: httpx.Response(200, json=document))
    assert (event.id, event.metric) == ("E1", None)


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        "text",
        {"type": "profile", "id": NOBODY, "attributes": {}},
        {"type": "list", "id": JANE, "attributes": {}},
        {"type": "profile", "id": JANE, "attributes": []},
        {"type": "profile", "attributes": {}},
    ],
)
def test_a_profile_that_was_not_asked_for_or_is_none_is_not_believed(run: Callable[..., Any], data: Any) -> None:
    with pytest.raises(KlaviyoAnswerError):
        run(get_whole_profile(JANE), lambda _: httpx.Response(200, json={"data": data}))


@pytest.mark.parametrize("get", [get_profile_lists, get_profile_segments, get_events])
@pytest.mark.parametrize(
    "data", [None, {}, "text", [None], [["id"]], [{"type": "thing", "id": "1", "attributes": {}}], [{"id": 7}]]
)
def test_a_list_of_something_else_is_not_believed(run: Callable[..., Any], get: Any, data: Any) -> None:
    with pytest.raises(KlaviyoAnswerError):
        run(get(JANE), lambda _: httpx.Response(200, json={"data": data}))


@pytest.mark.parametrize("get", [get_profile_lists, get_profile_segments, get_events])
def test_pages_that_do_not_end_are_not_read_for_ever(
    run: Callable[..., Any], emulator: Emulator, jane: str, get: Any
) -> None:
    emulator.fault("endless_pages")
    with pytest.raises(KlaviyoAnswerError, match="do not end"):
        run(get(jane))


@pytest.mark.parametrize("get", [get_profile_lists, get_profile_segments, get_events])
def test_a_link_to_elsewhere_is_not_followed(run: Callable[..., Any], emulator: Emulator, jane: str, get: Any) -> None:
    expected = run(get(jane))
    emulator.fault("foreign_next_link", times=1)
    # Only its cursor is read: of the next page, or of the first one again.
    assert run(get(jane)) == expected
    emulator.fault("foreign_next_link")
    with pytest.raises(KlaviyoAnswerError, match="do not end"):
        run(get(jane))


def test_what_is_cut_short_is_not_half_believed(run: Callable[..., Any], emulator: Emulator, jane: str) -> None:
    for endpoint in ("get_profile", "get_profile_lists", "get_profile_segments", "get_events"):
        emulator.fault("truncated_json", endpoint=endpoint)
        with pytest.raises(KlaviyoAnswerError, match="is not JSON"):
            run(export_profile(jane, events=True))
        emulator.clear_faults()


@pytest.mark.parametrize(
    ("endpoint", "scope"),
    [
        ("get_profile_lists", "lists:read"),
        ("get_profile_segments", "segments:read"),
        ("get_events", "events:read"),
    ],
)
def test_a_missing_scope_is_named(
    run: Callable[..., Any], emulator: Emulator, jane: str, endpoint: str, scope: str
) -> None:
    emulator.fault("scope_missing", endpoint=endpoint, scope=scope)
    with pytest.raises(KlaviyoPermissionError, match=scope):
        run(export_profile(jane, events=True))


@pytest.mark.parametrize("hostile", ["jane@example.com", "", "../accounts", "a/b", 'x"),any(id,["y'])
def test_what_is_no_profile_id_is_never_sent(run: Callable[..., Any], emulator: Emulator, hostile: str) -> None:
    for get in (get_whole_profile, get_profile_lists, get_profile_segments, get_events):
        with pytest.raises(ValueError, match="not a Klaviyo profile id"):
            run(get(hostile))
    assert emulator.calls() == 0


def test_a_repr_shows_no_more_than_an_id() -> None:
    assert repr(Record("R1", {"email": "canary.tweet"})) == "Record(id='R1')"
    assert repr(Event("E1", "canary.tweet", {"secret": "canary.tweet"})) == "Event(id='E1')"
