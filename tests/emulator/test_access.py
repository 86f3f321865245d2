"""Keys, scopes, and the form of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.emulator.tenants import SCOPES

Ask = Callable[..., httpx.Response]
Take = Callable[[httpx.Response], dict[str, Any]]


def test_the_account_of_the_key_is_told(emulator: Emulator, api: httpx.Client) -> None:
    response = api.get("/api/accounts")
    (account,) = response.json()["data"]
    assert account["id"] == emulator.account.id
    assert len(emulator.account.id) == 6
    assert account["attributes"]["contact_information"]["organization_name"] == "Example Shop"
    assert account["attributes"]["test_account"] is True
    trimmed = api.get("/api/accounts", params={"fields[account]": "timezone"}).json()["data"][0]
    assert trimmed["attributes"] == {"timezone": "UTC"}


def test_each_key_leads_to_its_own_account(emulator: Emulator, connect: Any) -> None:
    other = emulator.add_account("Other Shop", account_id="Oth3r1", key="pk_other")
    second = emulator.add_key(other)
    for key in ("pk_other", second):
        (account,) = connect(emulator, key).get("/api/accounts").json()["data"]
        assert account["id"] == "Oth3r1"
    assert [account.id for account in emulator.accounts] == [emulator.account.id, "Oth3r1"]


@pytest.mark.parametrize(
    "authorization", [None, "", "Klaviyo-API-Key pk_wrong", "Bearer {key}", "Klaviyo-API-Key", "{key}"]
)
@pytest.mark.parametrize("path", ["/api/accounts", "/api/profiles", "/api/profiles/X"])
def test_a_wrong_key_is_a_401(
    emulator: Emulator, api: httpx.Client, error: Take, authorization: str | None, path: str
) -> None:
    del api.headers["Authorization"]
    headers = {} if authorization is None else {"Authorization": authorization.format(key=emulator.account.key)}
    problem = error(api.get(path, headers=headers))
    assert (problem["status"], problem["code"]) == (401, "authentication_failed")


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/api/accounts", "accounts:read"),
        ("GET", "/api/profiles", "profiles:read"),
        ("GET", "/api/profiles/X", "profiles:read"),
        ("GET", "/api/profiles/X/lists", "lists:read"),
        ("GET", "/api/profiles/X/lists", "profiles:read"),
        ("GET", "/api/profiles/X/segments", "segments:read"),
        ("GET", "/api/profiles/X/segments", "profiles:read"),
        ("GET", "/api/events", "events:read"),
        ("PATCH", "/api/profiles/X", "profiles:write"),
        ("POST", "/api/profile-suppression-bulk-create-jobs", "profiles:write"),
        ("POST", "/api/profile-suppression-bulk-create-jobs", "subscriptions:write"),
        ("GET", "/api/profile-suppression-bulk-create-jobs/X", "subscriptions:read"),
        ("POST", "/api/data-privacy-deletion-jobs", "data-privacy:write"),
    ],
)
def test_a_missing_scope_is_a_403_and_uses_no_quota(
    emulator: Emulator, connect: Any, error: Take, method: str, path: str, scope: str
) -> None:
    client = connect(emulator, emulator.add_key(scopes=SCOPES - {scope}))
    first, second = client.request(method, path), client.request(method, path)
    assert error(first)["code"] == "permission_denied"
    assert first.status_code == 403
    assert first.headers["ratelimit-remaining"] == second.headers["ratelimit-remaining"]


@pytest.mark.parametrize("revision", ["2026-04-15", "2026-10-15.pre"])
def test_a_revision_may_have_a_suffix(api: httpx.Client, revision: str) -> None:
    assert api.get("/api/accounts", headers={"revision": revision}).status_code == 200


@pytest.mark.parametrize("revision", [None, "", "latest", "2026-4-15", "2026-13-15", "20260415", "2026-04-15."])
def test_a_revision_is_required(api: httpx.Client, error: Take, revision: str | None) -> None:
    del api.headers["revision"]
    problem = error(api.get("/api/accounts", headers={} if revision is None else {"revision": revision}))
    assert (problem["status"], problem["code"]) == (400, "invalid")


@pytest.mark.parametrize("media_type", ["application/json", "text/plain", ""])
def test_a_body_has_to_be_json_api(emulator: Emulator, erase: Ask, post_job: Ask, error: Take, media_type: str) -> None:
    assert error(post_job({}, **{"Content-Type": media_type}))["status"] == 415


def test_other_paths_and_methods_are_refused(api: httpx.Client, error: Take) -> None:
    assert error(api.get("/api/nothing"))["status"] == 404
    assert error(api.delete("/api/profiles"))["status"] == 405
    assert api.get("/api/accounts/").status_code == 200, "Klaviyo's own links end with a slash"


@pytest.mark.parametrize(
    "wrong",
    [
        {"key": "sk_other"},
        {"scopes": ["profiles:everything"]},
        {"account_id": "none"},
    ],
)
def test_an_impossible_account_is_refused_whole(emulator: Emulator, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"scope|pk_|already"):
        emulator.add_account(**wrong)
    assert emulator.accounts == [emulator.account]
    with pytest.raises(ValueError, match="such a key"):
        emulator.add_key(key=emulator.account.key)
    with pytest.raises(ValueError, match="no such account"):
        emulator.add_key("nobody")
