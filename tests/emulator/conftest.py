"""An emulator on a clock that the test moves, and ways to ask it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator, ManualClock

JOBS = "/api/data-privacy-deletion-jobs"
MEDIA_TYPE = "application/vnd.api+json"

Ask = Callable[..., httpx.Response]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def start(clock: ManualClock) -> Iterator[Callable[..., Emulator]]:
    """Start emulators, by default on the clock of the test."""
    with ExitStack() as stack:

        def start(**options: Any) -> Emulator:
            return stack.enter_context(Emulator(**{"clock": clock, "seed": 7, **options}))

        yield start


@pytest.fixture
def connect() -> Iterator[Callable[..., httpx.Client]]:
    """Open clients of an emulator, by default with the key that may do everything."""
    with ExitStack() as stack:

        def connect(emulator: Emulator, key: str | None = None) -> httpx.Client:
            headers = {
                "Authorization": f"Klaviyo-API-Key {key or emulator.account.key}",
                "revision": "2026-04-15",
            }
            return stack.enter_context(httpx.Client(base_url=emulator.url, headers=headers, trust_env=False))

        yield connect


@pytest.fixture
def emulator(start: Callable[..., Emulator]) -> Emulator:
    """An emulator with limits that are not in the way."""
    return start(limit_factor=1000)


@pytest.fixture
def api(emulator: Emulator, connect: Callable[..., httpx.Client]) -> httpx.Client:
    return connect(emulator)


@pytest.fixture
def post_job(request: pytest.FixtureRequest) -> Ask:
    """Send a body to the deletion endpoint, by the client `api` or another one."""

    def post_job(body: object, client: httpx.Client | None = None, **headers: str) -> httpx.Response:
        client = client or request.getfixturevalue("api")
        return client.post(JOBS, json=body, headers={"Content-Type": MEDIA_TYPE, **headers})

    return post_job


@pytest.fixture
def erase(post_job: Ask) -> Ask:
    """Ask for the deletion of whoever has these identifiers."""

    def erase(client: httpx.Client | None = None, **identifiers: object) -> httpx.Response:
        profile: dict[str, object] = {"type": "profile", "attributes": identifiers}
        if "id" in identifiers:
            profile["id"] = identifiers.pop("id")
        job = {"type": "data-privacy-deletion-job", "attributes": {"profile": {"data": profile}}}
        return post_job({"data": job}, client)

    return erase


@pytest.fixture
def find(request: pytest.FixtureRequest) -> Ask:
    """Look profiles up by a filter."""

    def find(
        text: str, client: httpx.Client | None = None, parameters: Mapping[str, str] | None = None
    ) -> httpx.Response:
        client = client or request.getfixturevalue("api")
        return client.get("/api/profiles", params={"filter": text, **(parameters or {})})

    return find


@pytest.fixture
def error() -> Callable[[httpx.Response], dict[str, Any]]:
    """Take an answer apart that must be one error document."""

    def error(response: httpx.Response) -> dict[str, Any]:
        assert response.headers["content-type"] == MEDIA_TYPE
        (only,) = response.json()["errors"]
        assert set(only) == {"id", "status", "code", "title", "detail", "source", "links", "meta"}
        assert only["status"] == response.status_code
        assert len(only["id"]) == 36
        return dict(only)

    return error
