"""POST /api/data-privacy-deletion-jobs: who goes, when, and which bodies are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator, ManualClock

Ask = Callable[..., httpx.Response]
Take = Callable[[httpx.Response], dict[str, Any]]
PROFILE = "/data/attributes/profile/data"


@pytest.mark.parametrize("field", ["id", "email", "phone_number"])
def test_an_accepted_deletion_has_an_empty_answer_and_takes_a_while(
    emulator: Emulator, erase: Ask, clock: ManualClock, field: str
) -> None:
    profile_id = emulator.add_profile("ada@example.com", "+15005550006", "customer-1")
    identifiers = {"id": profile_id, "email": "ada@example.com", "phone_number": "+15005550006"}

    response = erase(**{field: identifiers[field]})

    assert (response.status_code, response.content) == (202, b"")
    assert "content-type" not in response.headers
    assert emulator.has_profile(profile_id)
    assert emulator.pending == {profile_id}
    clock.advance(0.19)
    assert emulator.has_profile(profile_id)
    clock.advance(0.02)
    assert not emulator.has_profile(profile_id)
    assert emulator.deleted == {profile_id}
    assert emulator.deletion_requests == [profile_id]
    assert erase(**{field: identifiers[field]}).status_code == 404


def test_everybody_with_the_identifier_goes(emulator: Emulator, erase: Ask, clock: ManualClock) -> None:
    twins = [emulator.add_profile("twin@example.com", external_id=str(number)) for number in range(3)]
    other = emulator.add_profile("other@example.com")
    assert erase(email="twin@example.com").status_code == 202
    late = emulator.add_profile("twin@example.com")
    clock.advance(1)
    assert emulator.deleted == set(twins)
    assert emulator.deletion_requests == twins
    assert [profile.id for profile in emulator.profiles()] == [other, late]


def test_nobody_there_is_a_404_that_repeats_the_address(emulator: Emulator, erase: Ask, error: Take) -> None:
    problem = error(erase(email="nobody@example.com"))
    assert (problem["status"], problem["code"]) == (404, "not_found")
    assert "nobody@example.com" in problem["detail"]


def test_emails_are_stored_in_lower_case_and_compared_with_case(emulator: Emulator, erase: Ask) -> None:
    emulator.add_profile("Ada@Example.com")
    assert erase(email="Ada@Example.com").status_code == 404
    assert erase(email="ada@example.com").status_code == 202


def test_a_pending_deletion_is_accepted_again_and_not_put_off(
    emulator: Emulator, erase: Ask, clock: ManualClock
) -> None:
    profile_id = emulator.add_profile("ada@example.com")
    erase(email="ada@example.com")
    clock.advance(0.15)
    assert erase(id=profile_id).status_code == 202
    assert emulator.deletion_requests == [profile_id, profile_id]
    clock.advance(0.06)
    assert not emulator.has_profile(profile_id)


def test_a_pending_deletion_can_be_a_404(start: Callable[..., Emulator], connect: Any, erase: Ask) -> None:
    emulator = start(pending_deletion_status=404)
    client = connect(emulator)
    emulator.add_profile("ada@example.com")
    assert erase(client, email="ada@example.com").status_code == 202
    assert erase(client, email="ada@example.com").status_code == 404


def test_how_long_a_deletion_takes_can_be_a_range(
    start: Callable[..., Emulator], connect: Any, erase: Ask, clock: ManualClock
) -> None:
    emulator = start(deletion_seconds=(10, 20), limit_factor=100)
    client = connect(emulator)
    for number in range(20):
        emulator.add_profile(f"{number}@example.com")
        erase(client, email=f"{number}@example.com")
    clock.advance(9.9)
    assert emulator.deleted == set()
    clock.advance(5.1)
    assert 0 < len(emulator.deleted) < 20
    clock.advance(5.1)
    assert len(emulator.deleted) == 20


def job(profile: object) -> dict[str, Any]:
    return {"data": {"type": "data-privacy-deletion-job", "attributes": {"profile": {"data": profile}}}}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        (job({"type": "profile", "attributes": {}}), PROFILE),
        (job({"type": "profile", "id": None, "attributes": {"email": None}}), PROFILE),
        (job({"type": "profile", "id": "X", "attributes": {"email": "a@example.com"}}), PROFILE),
        (
            job({"type": "profile", "attributes": {"email": "a@example.com", "phone_number": "+15005550006"}}),
            PROFILE,
        ),
        (job({"type": "profile", "id": "X"}), f"{PROFILE}/attributes"),
        (job({"id": "X", "attributes": {}}), f"{PROFILE}/type"),
        (job({"type": "person", "id": "X", "attributes": {}}), f"{PROFILE}/type"),
        (job({"type": "profile", "id": "", "attributes": {}}), f"{PROFILE}/id"),
        (job({"type": "profile", "id": 7, "attributes": {}}), f"{PROFILE}/id"),
        (
            job({"type": "profile", "attributes": {"external_id": "customer-1"}}),
            f"{PROFILE}/attributes/external_id",
        ),
        (
            job({"type": "profile", "attributes": {"email": "a@example.com", "note": ""}}),
            f"{PROFILE}/attributes/note",
        ),
        (job({"type": "profile", "attributes": {"email": "example.com"}}), f"{PROFILE}/attributes/email"),
        (
            job({"type": "profile", "attributes": {"email": "a" * 89 + "@example.com"}}),
            f"{PROFILE}/attributes/email",
        ),
        (
            job({"type": "profile", "attributes": {"phone_number": "15005550006"}}),
            f"{PROFILE}/attributes/phone_number",
        ),
        (job([]), PROFILE),
        ({"data": {"type": "data-privacy-deletion-job", "attributes": {}}}, "/data/attributes/profile"),
        ({"data": {"type": "job", "attributes": {"profile": {}}}}, "/data/type"),
        # The flat body of revisions up to 2023-06-15.
        (
            {"data": {"type": "data-privacy-deletion-job", "attributes": {"email": "a@example.com"}}},
            "/data/attributes/email",
        ),
        ({}, "/data"),
        ([], "/"),
    ],
)
def test_a_body_with_anything_but_one_identifier_is_refused(
    emulator: Emulator, post_job: Ask, error: Take, body: object, pointer: str
) -> None:
    problem = error(post_job(body))
    assert (problem["status"], problem["code"]) == (400, "invalid")
    assert problem["source"] == {"pointer": pointer}
    assert emulator.deletion_requests == []


def test_null_is_the_same_as_not_there(emulator: Emulator, erase: Ask) -> None:
    emulator.add_profile("ada@example.com")
    assert erase(id=None, email="ada@example.com", phone_number=None).status_code == 202


def test_a_body_that_is_not_json_is_refused(emulator: Emulator, api: httpx.Client, error: Take) -> None:
    response = api.post(
        "/api/data-privacy-deletion-jobs", content=b"{", headers={"Content-Type": "application/vnd.api+json"}
    )
    assert error(response)["code"] == "invalid"


def test_accounts_do_not_see_each_other(emulator: Emulator, connect: Any, erase: Ask) -> None:
    emulator.add_profile("ada@example.com")
    other = emulator.add_account("Other Shop")
    assert erase(connect(emulator, other.key), email="ada@example.com").status_code == 404
    assert emulator.deletion_requests == []
