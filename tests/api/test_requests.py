"""Each request is written as Klaviyo documents it, and shows nobody."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest

from airflow_provider_klaviyo.api.resources import account_request, deletion_request, profile_request, profiles_request
from airflow_provider_klaviyo.api.wire import Request

PROFILE_ID = "01HZZZZZZZZZZZZZZZZZZZZZZZ"


def body_of(request: Request) -> Any:
    assert request.body is not None
    return json.loads(request.body)


@pytest.mark.parametrize(
    ("kind", "value", "profile"),
    [
        ("id", PROFILE_ID, {"id": PROFILE_ID, "attributes": {}}),
        ("email", "ada@example.com", {"attributes": {"email": "ada@example.com"}}),
        ("phone_number", "+15005550006", {"attributes": {"phone_number": "+15005550006"}}),
    ],
)
def test_a_deletion_names_exactly_one_identifier(kind: str, value: str, profile: dict[str, Any]) -> None:
    request = deletion_request(kind, value)
    assert (request.endpoint.method, request.path, request.query) == ("POST", "/api/data-privacy-deletion-jobs", "")
    assert body_of(request) == {
        "data": {
            "type": "data-privacy-deletion-job",
            "attributes": {"profile": {"data": {"type": "profile", **profile}}},
        }
    }


@pytest.mark.parametrize("kind", ["external_id", "", "Email", "profile_id"])
def test_klaviyo_does_not_delete_by_anything_else(kind: str) -> None:
    with pytest.raises(ValueError, match="id, email or phone_number") as caught:
        deletion_request(kind, "customer-1")
    assert "customer-1" not in str(caught.value)


def test_a_look_up_asks_for_full_pages_and_for_the_fields_that_are_needed() -> None:
    request = profiles_request("email", ["ada@example.com"])
    assert (request.endpoint.method, request.path, request.body) == ("GET", "/api/profiles", None)
    assert parse_qs(request.query) == {
        "filter": ['any(email,["ada@example.com"])'],
        "fields[profile]": ["email,phone_number,external_id,created"],
        "page[size]": ["100"],
    }


def test_one_profile_is_asked_for_by_its_path() -> None:
    assert profile_request(PROFILE_ID).path == f"/api/profiles/{PROFILE_ID}"


@pytest.mark.parametrize("text", ["ada@example.com", "", "..", "a/b", "a?b", "A" * 65, f"{PROFILE_ID}\n"])
def test_only_a_profile_id_gets_into_a_path(text: str) -> None:
    with pytest.raises(ValueError, match="not a Klaviyo profile id") as caught:
        profile_request(text)
    assert not text or text not in str(caught.value)


def test_the_account_is_asked_for_without_more() -> None:
    assert (account_request().path, account_request().query, account_request().body) == ("/api/accounts", "", None)
