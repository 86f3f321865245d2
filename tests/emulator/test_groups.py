"""GET /api/profiles/{id}/lists and /segments: pages of ten, and who is in what."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator, ManualClock

Ask = Callable[..., httpx.Response]
Take = Callable[[httpx.Response], dict[str, Any]]

both = pytest.mark.parametrize("kind", ["list", "segment"])


def made(emulator: Emulator, kind: str, number: int, profile_id: str) -> list[str]:
    """Make so many lists or segments that somebody is in."""
    add, join = {
        "list": (emulator.add_list, emulator.add_to_list),
        "segment": (emulator.add_segment, emulator.add_to_segment),
    }[kind]
    ids = [add(f"{kind} {count}") for count in range(number)]
    for group_id in ids:
        join(profile_id, group_id)
    return ids


def ids(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [group["id"] for group in response.json()["data"]]


def test_a_list_and_a_segment_look_as_klaviyo_shows_them(emulator: Emulator, api: httpx.Client) -> None:
    ada = emulator.add_profile("ada@example.com")
    newsletter, buyers = emulator.add_list("Newsletter"), emulator.add_segment("Buyers")
    emulator.add_to_list(ada, newsletter)
    emulator.add_to_list(ada, newsletter)
    emulator.add_to_segment(ada, buyers)
    created = "2027-01-15T08:00:00+00:00"

    (shown,) = api.get(f"/api/profiles/{ada}/lists").json()["data"]
    assert (shown["type"], shown["id"], len(newsletter)) == ("list", newsletter, 6)
    assert shown["links"]["self"] == f"{emulator.url}/api/lists/{newsletter}/"
    assert shown["attributes"] == {
        "name": "Newsletter",
        "created": created,
        "updated": created,
        "opt_in_process": "single_opt_in",
    }
    (shown,) = api.get(f"/api/profiles/{ada}/segments/").json()["data"]
    assert (shown["type"], shown["id"]) == ("segment", buyers)
    assert shown["attributes"] == {
        "name": "Buyers",
        "created": created,
        "updated": created,
        "is_active": True,
        "is_processing": False,
        "is_starred": False,
    }


@both
def test_pages_hold_ten_and_follow_each_other(emulator: Emulator, api: httpx.Client, kind: str) -> None:
    ada, bob = emulator.add_profile("ada@example.com"), emulator.add_profile("bob@example.com")
    everything = made(emulator, kind, 23, ada)
    made(emulator, kind, 2, bob)
    response = api.get(f"/api/profiles/{ada}/{kind}s", params={f"fields[{kind}]": "name"})
    sizes, found = [], []
    while True:
        sizes.append(len(ids(response)))
        found += ids(response)
        assert all(data["attributes"].keys() == {"name"} for data in response.json()["data"])
        following = response.json()["links"]["next"]
        if following is None:
            break
        assert "page%5Bcursor%5D=" in following
        response = api.get(following)
    assert (sizes, found) == ([10, 10, 3], everything)
    assert ids(api.get(f"/api/profiles/{ada}/{kind}s", params={"page[size]": "3"})) == everything[:3]


@both
@pytest.mark.parametrize(
    ("parameter", "value"),
    [("page[size]", "11"), ("page[cursor]", "nonsense"), ("filter", 'equals(name,"a")'), ("fields[{}]", "colour")],
)
def test_a_bad_parameter_is_named(
    emulator: Emulator, api: httpx.Client, error: Take, kind: str, parameter: str, value: str
) -> None:
    ada, name = emulator.add_profile("ada@example.com"), parameter.format(kind)
    problem = error(api.get(f"/api/profiles/{ada}/{kind}s", params={name: value}))
    assert (problem["status"], problem["source"]) == (400, {"parameter": name})


@both
def test_nobody_is_in_anything_at_first_and_strangers_are_a_404(
    emulator: Emulator, api: httpx.Client, connect: Any, error: Take, kind: str
) -> None:
    ada = emulator.add_profile("ada@example.com")
    assert ids(api.get(f"/api/profiles/{ada}/{kind}s")) == []
    other = connect(emulator, emulator.add_account("Other Shop").key)
    assert error(other.get(f"/api/profiles/{ada}/{kind}s"))["code"] == "not_found"


@both
def test_who_is_deleted_leaves(
    emulator: Emulator, api: httpx.Client, erase: Ask, clock: ManualClock, kind: str
) -> None:
    ada = emulator.add_profile("ada@example.com")
    (group,) = made(emulator, kind, 1, ada)
    erase(id=ada)
    assert ids(api.get(f"/api/profiles/{ada}/{kind}s")) == [group], "not gone yet"
    clock.advance(1)
    assert api.get(f"/api/profiles/{ada}/{kind}s").status_code == 404
    emulator.add_profile("ada@example.com", profile_id=ada)
    assert ids(api.get(f"/api/profiles/{ada}/{kind}s")) == [], "who comes back begins anew"


def test_only_what_there_is_can_be_joined(emulator: Emulator) -> None:
    ada = emulator.add_profile("ada@example.com")
    elsewhere = emulator.add_list("Elsewhere", emulator.add_account("Other Shop"))
    newsletter = emulator.add_list("Newsletter")
    for profile_id, list_id in [("nobody", newsletter), (ada, elsewhere), (ada, "nothing")]:
        with pytest.raises(ValueError, match="no such"):
            emulator.add_to_list(profile_id, list_id)
    with pytest.raises(ValueError, match="no such segment"):
        emulator.add_to_segment(ada, newsletter)


@both
def test_the_faults_of_listings_strike_here_too(emulator: Emulator, api: httpx.Client, kind: str) -> None:
    ada = emulator.add_profile("ada@example.com")
    (group,) = made(emulator, kind, 1, ada)
    emulator.fault("endless_pages", endpoint=f"get_profile_{kind}s")
    following = f"/api/profiles/{ada}/{kind}s"
    for _ in range(3):
        page = api.get(following)
        assert ids(page) == [group]
        following = page.json()["links"]["next"]
    emulator.clear_faults()
    emulator.fault("foreign_next_link")
    following = api.get(f"/api/profiles/{ada}/{kind}s").json()["links"]["next"]
    assert following.startswith(f"https://elsewhere.example.com/api/profiles/{ada}/{kind}s?page")
