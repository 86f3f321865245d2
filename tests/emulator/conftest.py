"""An emulator on a clock that the test moves, and ways to ask it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator, Installation, ManualClock

JOBS = "/api/data-privacy-deletion-jobs"
MEDIA_TYPE = "application/vnd.api+json"

# What an app proves by S256 that it is the one that began, and where its codes are sent.
VERIFIER = "a-verifier_of.forty~three-characters-or-more"
REDIRECT = "https://app.example.com/callback"

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


@pytest.fixture
def ask_for_tokens() -> Iterator[Ask]:
    """Send a form to the token endpoint, as the app that is installed."""
    with ExitStack() as stack:
        client = stack.enter_context(httpx.Client(trust_env=False))

        def ask_for_tokens(emulator: Emulator, app: Installation, **fields: str) -> httpx.Response:
            return client.post(f"{emulator.url}/oauth/token", data=fields, auth=(app.client_id, app.client_secret))

        yield ask_for_tokens


@pytest.fixture
def refresh(ask_for_tokens: Ask) -> Ask:
    """Ask for tokens with a refresh token, by default the first one."""

    def refresh(emulator: Emulator, app: Installation, token: str | None = None) -> httpx.Response:
        return ask_for_tokens(emulator, app, grant_type="refresh_token", refresh_token=token or app.refresh_token)

    return refresh


@pytest.fixture
def agree() -> Callable[[Emulator, Installation], str]:
    """Have somebody agree to an app, and return the code."""
    challenge = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
    return lambda emulator, app: emulator.authorize(app.client_id, challenge, REDIRECT, app.account_id)


@pytest.fixture
def exchange(ask_for_tokens: Ask) -> Ask:
    """Ask for tokens with a code."""

    def exchange(emulator: Emulator, app: Installation, code: str, **fields: str) -> httpx.Response:
        given = {"code": code, "code_verifier": VERIFIER, "redirect_uri": REDIRECT, **fields}
        return ask_for_tokens(emulator, app, grant_type="authorization_code", **given)

    return exchange


@pytest.fixture
def with_token(connect: Any) -> Callable[..., httpx.Client]:
    """Open a client that has the access token of an answer."""

    def with_token(emulator: Emulator, answer: httpx.Response) -> httpx.Client:
        assert answer.status_code == 200, answer.text
        client: httpx.Client = connect(emulator)
        client.headers["Authorization"] = f"Bearer {answer.json()['access_token']}"
        return client

    return with_token


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


@pytest.fixture
def begin(start: Callable[..., Emulator], journal: Path) -> Callable[..., Emulator]:
    """Start an emulator with the journal."""
    return lambda **options: start(journal=journal, seed=None, limit_factor=1_000, **options)


@pytest.fixture
def refused() -> Callable[[httpx.Response], tuple[int, str]]:
    """Take an answer apart that must be an error of OAuth."""

    def refused(response: httpx.Response) -> tuple[int, str]:
        assert response.headers["content-type"] == "application/json"
        body = response.json()
        assert body.keys() == {"error"}
        return response.status_code, body["error"]

    return refused
