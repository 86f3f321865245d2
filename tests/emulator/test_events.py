"""GET /api/events: what somebody did, sorted and in pages, and nobody's when they are gone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator, ManualClock

Ask = Callable[..., httpx.Response]
Take = Callable[[httpx.Response], dict[str, Any]]

NOW = 1_800_000_000


def of(profile_id: str, **parameters: str) -> dict[str, str]:
    """Return the parameters that ask for the events of somebody."""
    return {"filter": f'equals(profile_id,"{profile_id}")', **parameters}


def ids(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [event["id"] for event in response.json()["data"]]


def test_an_event_and_its_metric_look_as_klaviyo_shows_them(emulator: Emulator, api: httpx.Client) -> None:
    ada = emulator.add_profile("ada@example.com")
    first = emulator.add_event(ada, "Placed Order", {"total": 12.5}, at=NOW - 60.5)
    emulator.add_event(ada, "Placed Order")
    response = api.get("/api/events", params=of(ada, include="metric", sort="datetime"))
    shown, other = response.json()["data"]
    assert (shown["type"], shown["id"], len(shown["attributes"].pop("uuid"))) == ("event", first, 36)
    assert shown["attributes"] == {
        "timestamp": NOW - 61,
        "datetime": "2027-01-15T07:58:59+00:00",
        "event_properties": {"total": 12.5},
    }
    assert shown["links"]["self"] == f"{emulator.url}/api/events/{first}/"
    assert shown["relationships"]["profile"]["data"] == {"type": "profile", "id": ada}
    (metric,) = response.json()["included"]
    assert shown["relationships"]["metric"]["data"] == {"type": "metric", "id": metric["id"]}
    assert other["relationships"]["metric"]["data"]["id"] == metric["id"], "one name is one metric"
    assert metric["attributes"]["name"] == "Placed Order"
    assert "included" not in api.get("/api/events", params=of(ada)).json()


def test_only_those_asked_for_are_listed(emulator: Emulator, api: httpx.Client) -> None:
    ada, bob = emulator.add_profile("ada@example.com"), emulator.add_profile("bob@example.com")
    opened = emulator.add_event(ada, "Opened Email")
    ordered = emulator.add_event(ada, "Placed Order")
    others = emulator.add_event(bob, "Opened Email")
    assert set(ids(api.get("/api/events", params=of(ada)))) == {opened, ordered}
    assert ids(api.get("/api/events", params=of("nobody"))) == []
    assert set(ids(api.get("/api/events"))) == {opened, ordered, others}
    metrics = api.get("/api/events", params={"include": "metric"}).json()["included"]
    (metric_id,) = [metric["id"] for metric in metrics if metric["attributes"]["name"] == "Opened Email"]
    assert set(ids(api.get("/api/events", params={"filter": f'equals(metric_id,"{metric_id}")'}))) == {opened, others}


def test_fields_trim_the_answer(emulator: Emulator, api: httpx.Client) -> None:
    ada = emulator.add_profile("ada@example.com")
    emulator.add_event(ada, "Placed Order")
    fields = {"fields[event]": "datetime,uuid", "fields[metric]": "name", "include": "metric"}
    answer = api.get("/api/events", params=of(ada, **fields)).json()
    assert answer["data"][0]["attributes"].keys() == {"datetime", "uuid"}
    assert answer["included"][0]["attributes"] == {"name": "Placed Order"}


@pytest.mark.parametrize("sort", ["datetime", "timestamp", "-datetime", "-timestamp", None])
def test_pages_follow_each_other_in_the_order_that_was_asked_for(
    emulator: Emulator, api: httpx.Client, sort: str | None
) -> None:
    ada = emulator.add_profile("ada@example.com")
    times = [5, 1, 4, 4, 2, 3, 0]
    made = {emulator.add_event(ada, "Opened Email", at=at): at for at in times}
    parameters = of(ada, **{"page[size]": "3"}, **({"sort": sort} if sort else {}))
    response = api.get("/api/events", params=parameters)
    found = ids(response)
    while (following := response.json()["links"]["next"]) is not None:
        emulator.add_event(ada, "Opened Email", at=9 if (sort or "-").startswith("-") else -9)
        response = api.get(following)
        found += ids(response)
    assert [made[event_id] for event_id in found] == sorted(times, reverse=(sort or "-").startswith("-"))
    assert set(found) == set(made), "what came meanwhile lies before"


def test_a_page_is_of_two_hundred_and_of_a_thousand_at_most(emulator: Emulator, api: httpx.Client, error: Take) -> None:
    ada = emulator.add_profile("ada@example.com")
    for _ in range(1001):
        emulator.add_event(ada, "Opened Email")
    assert len(ids(api.get("/api/events", params=of(ada)))) == 200
    assert len(ids(api.get("/api/events", params=of(ada, **{"page[size]": "1000"})))) == 1000
    assert error(api.get("/api/events", params=of(ada, **{"page[size]": "1001"})))["status"] == 400


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("filter", 'any(profile_id,["a"])'),
        ("filter", 'equals(email,"a")'),
        ("filter", "equals(profile_id,a)"),
        ("sort", "id"),
        ("include", "profile"),
        ("fields[event]", "colour"),
        ("page[cursor]", "nonsense"),
        ("fields[profile]", "email"),
    ],
)
def test_a_bad_parameter_is_named(api: httpx.Client, error: Take, parameter: str, value: str) -> None:
    problem = error(api.get("/api/events", params={parameter: value}))
    assert (problem["status"], problem["source"]) == (400, {"parameter": parameter})


def test_the_events_of_who_is_deleted_are_nobodys(
    emulator: Emulator, api: httpx.Client, erase: Ask, clock: ManualClock
) -> None:
    ada = emulator.add_profile("ada@example.com")
    event_id = emulator.add_event(ada, "Placed Order", {"total": 12.5})
    erase(id=ada)
    assert ids(api.get("/api/events", params=of(ada))) == [event_id], "not gone yet"
    clock.advance(1)
    assert ids(api.get("/api/events", params=of(ada))) == []
    (left,) = api.get("/api/events").json()["data"]
    assert left["relationships"]["profile"]["data"] is None
    assert left["attributes"]["event_properties"] == {}
    with pytest.raises(ValueError, match="no such profile"):
        emulator.add_event(ada, "Placed Order")


def test_the_faults_of_listings_strike_here_too(emulator: Emulator, api: httpx.Client) -> None:
    ada = emulator.add_profile("ada@example.com")
    event_id = emulator.add_event(ada, "Placed Order")
    emulator.fault("endless_pages", endpoint="get_events")
    page = api.get("/api/events", params=of(ada))
    for _ in range(3):
        page = api.get(page.json()["links"]["next"])
        assert ids(page) == [event_id]
    emulator.fault("foreign_next_link")
    following = api.get("/api/events", params=of(ada)).json()["links"]["next"]
    assert following.startswith("https://elsewhere.example.com/api/events?filter=equals")
