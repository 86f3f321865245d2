"""Every fault that is about no endpoint in particular strikes at each of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.emulator.endpoints import ENDPOINTS, TOKEN_ENDPOINT

Ask = Callable[[], httpx.Response]

ADA = "ada"
MEDIA_TYPE = "application/vnd.api+json"
BODIES = {
    "profile_deletion": {
        "type": "data-privacy-deletion-job",
        "attributes": {"profile": {"data": {"type": "profile", "id": ADA, "attributes": {}}}},
    },
    "update_profile": {"type": "profile", "id": ADA, "attributes": {"first_name": "Ada"}},
    "suppress_profiles": {
        "type": "profile-suppression-bulk-create-job",
        "attributes": {"profiles": {"data": [{"type": "profile", "attributes": {"email": "ada@example.com"}}]}},
    },
}
BY_NAME = {endpoint.name: endpoint for endpoint in ENDPOINTS if endpoint is not TOKEN_ENDPOINT}

everywhere = pytest.mark.parametrize("name", sorted(BY_NAME))
with_a_body = pytest.mark.parametrize("name", sorted(set(BY_NAME) - {"profile_deletion"}))


@pytest.fixture
def ask(emulator: Emulator, api: httpx.Client, name: str) -> Ask:
    """Ask an endpoint for something that it has."""
    emulator.add_profile("ada@example.com", profile_id=ADA)
    headers = {"Content-Type": MEDIA_TYPE}

    def send(name: str, path: str) -> httpx.Response:
        body = BODIES.get(name)
        return api.request(BY_NAME[name].method, path, json=body and {"data": body}, headers=headers)

    job_id = ""
    if name == "get_suppression_job":
        job_id = send("suppress_profiles", BY_NAME["suppress_profiles"].path).json()["data"]["id"]
    path = BY_NAME[name].path.format(id=ADA, job_id=job_id)
    return lambda: send(name, path)


@everywhere
def test_all_is_well(ask: Ask, name: str) -> None:
    assert ask().is_success


@everywhere
@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ("throttled", 429),
        ("throttled_without_retry_after", 429),
        ("throttled_with_retry_after_zero", 429),
        ("server_error_html", 503),
        ("key_revoked", 401),
        ("redirect", 307),
    ],
)
def test_it_refuses(emulator: Emulator, ask: Ask, name: str, fault: str, status: int) -> None:
    emulator.fault(fault, endpoint=name, times=1)
    assert ask().status_code == status
    assert ask().is_success


@everywhere
def test_a_scope_is_missing(emulator: Emulator, ask: Ask, name: str) -> None:
    for scope in BY_NAME[name].scopes:
        emulator.fault("scope_missing", scope=scope)
        assert ask().status_code == 403
        emulator.clear_faults()


@everywhere
@pytest.mark.parametrize("fault", ["connection_dropped_before", "connection_dropped_after"])
def test_it_says_nothing(emulator: Emulator, ask: Ask, name: str, fault: str) -> None:
    emulator.fault(fault, endpoint=name, times=1)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        ask()
    assert emulator.calls(name, "dropped") == 1


@with_a_body
def test_its_answer_is_spoiled(emulator: Emulator, ask: Ask, name: str) -> None:
    whole = ask().json()
    emulator.fault("truncated_json", times=1)
    with pytest.raises(json.JSONDecodeError):
        ask().json()
    emulator.fault("wrong_types", times=1)
    mistyped: dict[str, Any] = ask().json()
    assert mistyped.keys() == whole.keys()
    assert mistyped != whole
    emulator.fault("gzip_bomb", times=1, megabytes=1)
    assert len(ask().content) >= 1_000_000


@everywhere
def test_somebody_else_eats_its_quota(start: Callable[..., Emulator], connect: Any, name: str) -> None:
    emulator = start()
    emulator.fault("quota_eaten", endpoint=name, per_minute=4000, burst=4000)
    path = BY_NAME[name].path.format(id=ADA, job_id=ADA)
    assert connect(emulator).request(BY_NAME[name].method, path).status_code == 429
