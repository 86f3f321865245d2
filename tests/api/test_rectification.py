"""A change of identifiers: what is sent, what is read, and what is left alone."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.api.errors import (
    KlaviyoAnswerError,
    KlaviyoDuplicateProfileError,
    KlaviyoInvalidRequestError,
    KlaviyoNotFoundError,
    KlaviyoPermissionError,
)
from airflow_provider_klaviyo.api.rectification import update_profile, update_request
from airflow_provider_klaviyo.emulator import Emulator

Run = Callable[..., Any]
JANE = "01HZZZZZZZZZZZZZZZZZZZZZZZ"


def test_only_what_changes_is_sent() -> None:
    request = update_request(JANE, {"email": "new@example.com"})
    assert (request.endpoint.method, request.path) == ("PATCH", f"/api/profiles/{JANE}")
    assert json.loads(request.body or b"") == {
        "data": {"type": "profile", "id": JANE, "attributes": {"email": "new@example.com"}}
    }
    assert "example" not in f"{request!r} {request.path} {request.query}"


@pytest.mark.parametrize(
    ("profile_id", "identifiers"),
    [
        ("jane@example.com", {"email": "new@example.com"}),
        ("../accounts", {"email": "new@example.com"}),
        ("", {"email": "new@example.com"}),
        (JANE, {}),
        (JANE, {"email": ""}),
        (JANE, {"first_name": "Jane"}),
        (JANE, {"email": "new@example.com", "phone_number": None}),
    ],
)
def test_what_would_be_logged_or_would_take_something_away_is_refused(profile_id: str, identifiers: Any) -> None:
    with pytest.raises(ValueError, match=r"profile id|an update has") as caught:
        update_request(profile_id, identifiers)
    assert "@" not in str(caught.value)


def test_a_profile_has_its_new_identifiers_and_keeps_the_rest(emulator: Emulator, run: Run) -> None:
    jane = emulator.add_profile("jane@example.com", "+15005550001", "customer-1", first_name="Jane")
    bystander = emulator.add_profile("bystander@example.com")
    profile = run(update_profile(jane, {"email": "new@example.com", "external_id": "customer-2"}))
    assert (profile.id, profile.email, profile.phone_number, profile.external_id) == (
        jane,
        "new@example.com",
        "+15005550001",
        "customer-2",
    )
    kept, other = emulator.profiles()
    assert (kept.email, kept.external_id, kept.first_name) == ("new@example.com", "customer-2", "Jane")
    assert (other.id, other.email) == (bystander, "bystander@example.com")


def test_an_identifier_of_somebody_else_says_whose(emulator: Emulator, run: Run) -> None:
    jane = emulator.add_profile("jane@example.com")
    other = emulator.add_profile("new@example.com")
    with pytest.raises(KlaviyoDuplicateProfileError) as caught:
        run(update_profile(jane, {"email": "new@example.com"}))
    assert caught.value.duplicate_profile_id == other
    assert f"Profile {other} holds it" in str(caught.value)
    assert [profile.email for profile in emulator.profiles()] == ["jane@example.com", "new@example.com"]


def test_a_profile_that_is_gone_is_not_found(run: Run) -> None:
    with pytest.raises(KlaviyoNotFoundError):
        run(update_profile(JANE, {"email": "new@example.com"}))


def test_what_klaviyo_will_not_take_is_refused(emulator: Emulator, run: Run) -> None:
    jane = emulator.add_profile("jane@example.com")
    with pytest.raises(KlaviyoInvalidRequestError) as caught:
        run(update_profile(jane, {"email": "no address"}))
    assert caught.value.status == 400


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "fault",
    ["connection_dropped_before", "connection_dropped_after", "server_error_html", "throttled_with_retry_after_zero"],
)
def test_trouble_is_waited_out_and_the_change_is_made_once(emulator: Emulator, run: Run, fault: str) -> None:
    jane = emulator.add_profile("jane@example.com")
    emulator.fault(fault, endpoint="update_profile", times=1)
    assert run(update_profile(jane, {"email": "new@example.com"})).email == "new@example.com"
    assert emulator.calls("update_profile") == 2


def test_a_missing_scope_is_named(emulator: Emulator, run: Run) -> None:
    emulator.fault("scope_missing", scope="profiles:write")
    with pytest.raises(KlaviyoPermissionError, match="profiles:write"):
        run(update_profile(JANE, {"email": "new@example.com"}))


@pytest.mark.parametrize("fault", ["truncated_json", "wrong_types", "gzip_bomb"])
def test_an_answer_that_is_none_is_not_believed(emulator: Emulator, run: Run, fault: str) -> None:
    jane = emulator.add_profile("jane@example.com")
    emulator.fault(fault, endpoint="update_profile")
    with pytest.raises(KlaviyoAnswerError):
        run(update_profile(jane, {"email": "new@example.com"}, patience_seconds=0))


def test_an_answer_about_somebody_else_is_not_believed(run: Run) -> None:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"data": {"id": "01HOTHER", "attributes": {"email": "canary@example.com"}}})

    with pytest.raises(KlaviyoAnswerError, match="with another profile") as caught:
        run(update_profile(JANE, {"email": "new@example.com"}, patience_seconds=0), handler)
    assert "canary" not in str(caught.value)
