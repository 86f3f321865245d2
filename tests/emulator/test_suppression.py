"""Suppression jobs: who is suppressed, who is made for it, and which bodies are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator, ManualClock

Ask = Callable[..., httpx.Response]
Take = Callable[[httpx.Response], dict[str, Any]]

JOBS = "/api/profile-suppression-bulk-create-jobs"
TYPE = "profile-suppression-bulk-create-job"
PROFILES = "/data/attributes/profiles/data"


@pytest.fixture
def post(request: pytest.FixtureRequest) -> Ask:
    """Send a body, by the client `api` or another one."""

    def post(body: object, client: httpx.Client | None = None, **parameters: str) -> httpx.Response:
        client = client or request.getfixturevalue("api")
        headers = {"Content-Type": "application/vnd.api+json"}
        return client.post(JOBS, json=body, params=parameters, headers=headers)

    return post


@pytest.fixture
def suppress(post: Ask) -> Ask:
    """Suppress addresses."""
    return lambda *emails, client=None: post(job([person(email) for email in emails]), client)


@pytest.fixture
def job_of(api: httpx.Client) -> Callable[..., dict[str, Any]]:
    """Return the attributes of the job that was answered."""

    def job_of(response: httpx.Response) -> dict[str, Any]:
        assert response.status_code == 202, response.text
        shown = api.get(f"{JOBS}/{response.json()['data']['id']}")
        attributes: dict[str, Any] = shown.json()["data"]["attributes"]
        return attributes

    return job_of


def job(profiles: object) -> dict[str, Any]:
    return {"data": {"type": TYPE, "attributes": {"profiles": {"data": profiles}}}}


def person(email: object) -> dict[str, Any]:
    return {"type": "profile", "attributes": {"email": email}}


def test_a_job_takes_a_while_and_suppresses_everybody_with_the_address(
    emulator: Emulator, api: httpx.Client, suppress: Ask, job_of: Any, clock: ManualClock
) -> None:
    twins = {emulator.add_profile("ada@example.com"), emulator.add_profile("ada@example.com")}
    emulator.add_profile("bob@example.com")
    response = suppress("Ada@example.com")
    data = response.json()["data"]
    assert (response.status_code, data["type"], len(data["id"])) == (202, TYPE, 26)
    assert response.json()["links"] == data["links"] == {"self": f"{emulator.url}{JOBS}/{data['id']}/"}
    assert data["attributes"] == {
        "status": "queued",
        "created_at": "2027-01-15T08:00:00+00:00",
        "total_count": 1,
        "completed_count": 0,
        "completed_at": None,
        "skipped_count": 0,
    }
    assert emulator.suppressed == set()
    clock.advance(0.15)
    assert job_of(response)["status"] == "processing"
    clock.advance(0.05)
    done = job_of(response)
    assert (done["status"], done["completed_count"], done["skipped_count"]) == ("complete", 1, 0)
    assert done["completed_at"] is not None
    assert emulator.suppressed == twins
    assert len(emulator.profiles()) == 3
    for profile_id in twins:
        parameters = {"additional-fields[profile]": "subscriptions"}
        shown = api.get(f"/api/profiles/{profile_id}", params=parameters).json()["data"]["attributes"]
        marketing = shown["subscriptions"]["email"]["marketing"]
        assert marketing["can_receive_email_marketing"] is False
        assert marketing["suppression"] == [{"reason": "USER_SUPPRESSED", "timestamp": done["completed_at"]}]


def test_an_unknown_address_becomes_a_profile(
    emulator: Emulator, suppress: Ask, job_of: Any, clock: ManualClock
) -> None:
    response = suppress("ada@example.com", "ADA@example.com")
    assert emulator.profiles() == [], "not before the job is done"
    clock.advance(1)
    (made,) = emulator.profiles()
    assert (made.email, emulator.suppressed) == ("ada@example.com", {made.id})
    assert (job_of(response)["completed_count"], job_of(response)["skipped_count"]) == (1, 1)


def test_who_is_suppressed_already_is_skipped(
    emulator: Emulator, suppress: Ask, job_of: Any, clock: ManualClock
) -> None:
    emulator.add_profile("ada@example.com")
    suppress("ada@example.com")
    clock.advance(1)
    before = emulator.profiles()
    response = suppress("ada@example.com")
    clock.advance(1)
    assert (job_of(response)["completed_count"], job_of(response)["skipped_count"]) == (0, 1)
    assert emulator.profiles() == before


def test_who_goes_before_the_job_is_done_is_back_by_it(
    start: Callable[..., Emulator], connect: Any, suppress: Ask, erase: Ask, clock: ManualClock
) -> None:
    emulator = start(deletion_seconds=5, suppression_seconds=10)
    client = connect(emulator)
    ada = emulator.add_profile("ada@example.com")
    suppress("ada@example.com", client=client)
    erase(client, id=ada)
    clock.advance(20)
    (back,) = emulator.profiles()
    assert emulator.deleted == {ada} != {back.id}
    assert emulator.suppressed == {back.id}


def test_a_suppression_goes_with_the_profile(emulator: Emulator, suppress: Ask, erase: Ask, clock: ManualClock) -> None:
    ada = emulator.add_profile("ada@example.com")
    suppress("ada@example.com")
    erase(id=ada)
    clock.advance(1)
    assert (emulator.suppressed, emulator.profiles()) == (set(), [])


def test_a_hundred_can_be_suppressed_at_a_time(emulator: Emulator, post: Ask, clock: ManualClock) -> None:
    response = post(job([person(f"{number}@example.com") for number in range(100)]))
    assert response.json()["data"]["attributes"]["total_count"] == 100
    clock.advance(1)
    assert len(emulator.profiles()) == 100


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (job([person(f"{number}@example.com") for number in range(101)]), PROFILES),
        (job([]), PROFILES),
        (job(person("a@example.com")), PROFILES),
        (job([person("a@example.com"), person("example.com")]), f"{PROFILES}/1/attributes/email"),
        (job([person(None)]), f"{PROFILES}/0/attributes/email"),
        (job([{"type": "profile", "attributes": {}}]), f"{PROFILES}/0/attributes/email"),
        (job([{"type": "person", "attributes": {"email": "a@example.com"}}]), f"{PROFILES}/0/type"),
        (job([{**person("a@example.com"), "id": "X"}]), f"{PROFILES}/0/id"),
        ({"data": {"type": "job", "attributes": {"profiles": {"data": []}}}}, "/data/type"),
        ({"data": {"type": TYPE, "attributes": {}}}, "/data/attributes/profiles"),
        ({}, "/data"),
    ],
)
def test_a_body_with_anything_but_addresses_is_refused(
    emulator: Emulator, post: Ask, error: Take, body: object, pointer: str, clock: ManualClock
) -> None:
    problem = error(post(body))
    assert (problem["status"], problem["source"]) == (400, {"pointer": pointer})
    clock.advance(1)
    assert emulator.profiles() == []


def test_a_job_is_shown_to_its_own_account_as_far_as_is_asked_for(
    emulator: Emulator, api: httpx.Client, post: Ask, suppress: Ask, connect: Any, error: Take
) -> None:
    path = f"{JOBS}/{suppress('ada@example.com').json()['data']['id']}"
    fields = {f"fields[{TYPE}]": "status"}
    assert api.get(path, params=fields).json()["data"]["attributes"] == {"status": "queued"}
    assert post(job([person("b@example.com")]), **fields).json()["data"]["attributes"] == {"status": "queued"}
    assert error(api.get(path, params={"fields[job]": "status"}))["source"] == {"parameter": "fields[job]"}
    assert error(api.get(f"{JOBS}/X"))["code"] == "not_found"
    other = connect(emulator, emulator.add_account("Other Shop").key)
    assert error(other.get(path))["code"] == "not_found"


def test_a_job_does_not_finish_until_the_fault_is_cleared(
    emulator: Emulator, suppress: Ask, job_of: Any, clock: ManualClock
) -> None:
    emulator.fault("suppression_never_finishes", times=1)
    responses = [suppress("ada@example.com"), suppress("bob@example.com")]
    clock.advance(100_000)
    assert [job_of(response)["status"] for response in responses] == ["processing", "complete"]
    emulator.clear_faults("suppression_cancelled")
    assert job_of(responses[0])["status"] == "processing"
    emulator.clear_faults("suppression_never_finishes")
    assert job_of(responses[0])["status"] == "complete"
    assert {profile.email for profile in emulator.profiles()} == {"ada@example.com", "bob@example.com"}


def test_a_job_is_cancelled_and_does_nothing(
    emulator: Emulator, suppress: Ask, job_of: Any, clock: ManualClock
) -> None:
    emulator.fault("suppression_cancelled", endpoint="suppress_profiles", times=1)
    response = suppress("ada@example.com")
    assert job_of(response)["status"] == "queued"
    clock.advance(1)
    cancelled = job_of(response)
    assert (cancelled["status"], cancelled["completed_count"], cancelled["completed_at"]) == ("cancelled", 0, None)
    assert emulator.profiles() == []


def test_people_who_are_forgotten_are_not_suppressed(emulator: Emulator, suppress: Ask, clock: ManualClock) -> None:
    suppress("ada@example.com")
    emulator.forget_people()
    clock.advance(1)
    assert (emulator.profiles(), emulator.suppressed) == ([], set())
