"""OAuth: tokens for refresh tokens and for codes, what they are good for, and when they are dead."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator, Installation, ManualClock
from airflow_provider_klaviyo.emulator.report import table
from airflow_provider_klaviyo.emulator.tenants import SCOPES

Ask = Callable[..., httpx.Response]
Take = Callable[[httpx.Response], dict[str, Any]]

DAY = 24 * 3600
VERIFIER = "a-verifier_of.forty~three-characters-or-more"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REDIRECT = "https://app.example.com/callback"


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


def refused(answer: httpx.Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/json"
    body = answer.json()
    assert body.keys() == {"error"}
    return answer.status_code, body["error"]


def test_a_refresh_token_is_worth_a_pair_of_tokens(emulator: Emulator, refresh: Ask, with_token: Any) -> None:
    app = emulator.add_installation(expires_in=600)
    answer = refresh(emulator, app)
    pair = answer.json()
    assert pair.keys() == {"access_token", "refresh_token", "token_type", "expires_in", "scope"}
    assert (pair["token_type"], pair["expires_in"]) == ("Bearer", 600)
    assert pair["scope"].split(" ") == sorted(SCOPES)
    assert not [name for name in answer.headers if name.startswith("ratelimit")]
    (account,) = with_token(emulator, answer).get("/api/accounts").json()["data"]
    assert account["id"] == emulator.account.id == app.account_id
    assert emulator.calls("oauth_token", 200) == 1


def test_a_refresh_token_that_rotates_can_be_used_once(emulator: Emulator, refresh: Ask) -> None:
    app = emulator.add_installation()
    following = refresh(emulator, app).json()["refresh_token"]
    assert following != app.refresh_token
    assert refused(refresh(emulator, app)) == (400, "invalid_grant")
    assert refresh(emulator, app, following).status_code == 200
    assert (emulator.calls("oauth_token", 200), emulator.calls("oauth_token", 400)) == (2, 1)
    assert emulator.installations[0].refresh_token not in {app.refresh_token, following}


def test_a_refresh_token_that_does_not_rotate_can_be_used_again(
    emulator: Emulator, refresh: Ask, with_token: Any
) -> None:
    app = emulator.add_installation(rotates=False)
    answers = [refresh(emulator, app) for _ in range(2)]
    assert [answer.json()["refresh_token"] for answer in answers] == [app.refresh_token] * 2
    for answer in answers:
        assert with_token(emulator, answer).get("/api/profiles").status_code == 200, "both are good"


def test_a_lost_answer_takes_the_refresh_token_with_it(emulator: Emulator, refresh: Ask) -> None:
    app = emulator.add_installation()
    emulator.fault("connection_dropped_after", endpoint="oauth_token", times=1)
    with pytest.raises((httpx.RemoteProtocolError, httpx.ReadError)):
        refresh(emulator, app)
    assert refused(refresh(emulator, app)) == (400, "invalid_grant")


def test_an_access_token_is_good_until_it_expires(
    emulator: Emulator, refresh: Ask, with_token: Any, clock: ManualClock, error: Take
) -> None:
    client = with_token(emulator, refresh(emulator, emulator.add_installation(expires_in=600)))
    clock.advance(599)
    assert client.get("/api/profiles").status_code == 200
    clock.advance(1)
    problem = error(client.get("/api/profiles"))
    assert (problem["status"], problem["code"]) == (401, "authentication_failed")


def test_a_refresh_token_that_is_not_used_for_ninety_days_is_dead(
    emulator: Emulator, refresh: Ask, clock: ManualClock
) -> None:
    app = emulator.add_installation(rotates=False)
    for _ in range(2):
        clock.advance(90 * DAY - 1)
        assert refresh(emulator, app).status_code == 200
    clock.advance(90 * DAY)
    assert refused(refresh(emulator, app)) == (400, "invalid_grant")


def test_access_tokens_can_be_made_to_expire(emulator: Emulator, refresh: Ask, with_token: Any, error: Take) -> None:
    app, other = emulator.add_installation(rotates=False), emulator.add_installation()
    clients = [with_token(emulator, refresh(emulator, one)) for one in (app, app, other)]
    emulator.expire_access_tokens(app)
    assert [client.get("/api/profiles").status_code for client in clients] == [401, 401, 200]
    assert error(clients[0].get("/api/profiles"))["code"] == "authentication_failed"
    assert with_token(emulator, refresh(emulator, app)).get("/api/profiles").status_code == 200


def test_an_installation_can_be_revoked_and_made_again(
    emulator: Emulator, refresh: Ask, exchange: Ask, with_token: Any
) -> None:
    app = emulator.add_installation()
    answer = refresh(emulator, app)
    client = with_token(emulator, answer)
    emulator.revoke_installation(app)
    assert client.get("/api/profiles").status_code == 401
    assert refused(refresh(emulator, app, answer.json()["refresh_token"])) == (400, "invalid_grant")
    again = exchange(emulator, app, emulator.authorize(app.client_id, CHALLENGE, REDIRECT))
    assert with_token(emulator, again).get("/api/profiles").status_code == 200
    assert refresh(emulator, app, again.json()["refresh_token"]).status_code == 200


def test_a_code_is_worth_tokens_once(emulator: Emulator, refresh: Ask, exchange: Ask, with_token: Any) -> None:
    app = emulator.add_installation()
    code = emulator.authorize(app.client_id, CHALLENGE, REDIRECT)
    answer = exchange(emulator, app, code)
    assert with_token(emulator, answer).get("/api/profiles").status_code == 200
    assert refused(exchange(emulator, app, code)) == (400, "invalid_grant")
    assert refused(refresh(emulator, app)) == (400, "invalid_grant"), "the one before is dead"
    assert refresh(emulator, app, answer.json()["refresh_token"]).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"code_verifier": "x" + VERIFIER[1:]},
        {"code_verifier": "too short"},
        {"code_verifier": CHALLENGE},
        {"redirect_uri": f"{REDIRECT}/"},
        {"code": "nonsense"},
    ],
)
def test_a_code_is_worth_nothing_to_somebody_else(emulator: Emulator, exchange: Ask, wrong: dict[str, str]) -> None:
    app, other = emulator.add_installation(), emulator.add_installation()
    code = emulator.authorize(app.client_id, CHALLENGE, REDIRECT)
    assert refused(exchange(emulator, app, **{"code": code, **wrong})) == (400, "invalid_grant")
    assert refused(exchange(emulator, other, code)) == (400, "invalid_grant")
    assert exchange(emulator, app, code).status_code == 200


def test_a_code_is_worth_something_for_five_minutes(emulator: Emulator, exchange: Ask, clock: ManualClock) -> None:
    app = emulator.add_installation()
    codes = [emulator.authorize(app.client_id, CHALLENGE, REDIRECT) for _ in range(2)]
    clock.advance(299)
    assert exchange(emulator, app, codes[0]).status_code == 200
    clock.advance(1)
    assert refused(exchange(emulator, app, codes[1])) == (400, "invalid_grant")


@pytest.mark.parametrize("authorization", [None, "", "Basic", "Basic !", "Basic /w=="])
def test_an_app_that_says_nothing_is_a_401(emulator: Emulator, authorization: str | None) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = httpx.post(f"{emulator.url}/oauth/token", headers=headers, trust_env=False)
    assert refused(answer) == (401, "invalid_client")
    assert answer.headers["www-authenticate"] == "Basic"


@pytest.mark.parametrize("wrong", [{"client_id": "nobody"}, {"client_secret": "nonsense"}, {"client_secret": ""}])
def test_an_app_that_nobody_knows_is_a_401(emulator: Emulator, refresh: Ask, wrong: dict[str, str]) -> None:
    app = emulator.add_installation()
    assert refused(refresh(emulator, replace(app, **wrong))) == (401, "invalid_client")
    assert emulator.report()["without_account"]["endpoints"]["oauth_token"]["by_status"] == {"401": 1}
    assert refresh(emulator, app).status_code == 200, "its token is as it was"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "invalid_request"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": "refresh_token"}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": ""}, "invalid_request"),
        ({"grant_type": "refresh_token", "refresh_token": "nonsense"}, "invalid_grant"),
        ({"grant_type": "authorization_code", "code": "nonsense"}, "invalid_request"),
        ({"grant_type": ["refresh_token", "refresh_token"], "refresh_token": "nonsense"}, "invalid_request"),
    ],
)
def test_a_form_that_asks_for_nothing_is_refused(
    emulator: Emulator, ask_for_tokens: Ask, fields: dict[str, Any], code: str
) -> None:
    assert refused(ask_for_tokens(emulator, emulator.add_installation(), **fields)) == (400, code)


@pytest.mark.parametrize("content", [b"grant_type=%ff&refresh_token=x", b"\xff", b'{"grant_type": "refresh_token"}'])
def test_a_body_has_to_be_a_form(emulator: Emulator, content: bytes) -> None:
    app = emulator.add_installation()
    media_type = "application/json" if content.startswith(b"{") else "application/x-www-form-urlencoded"
    answer = httpx.post(
        f"{emulator.url}/oauth/token",
        content=content,
        auth=(app.client_id, app.client_secret),
        headers={"Content-Type": media_type},
        trust_env=False,
    )
    assert refused(answer) == (400, "invalid_request")


def test_scopes_are_those_of_the_installation(emulator: Emulator, refresh: Ask, with_token: Any, error: Take) -> None:
    answer = refresh(emulator, emulator.add_installation(scopes=["profiles:read", "accounts:read"]))
    assert answer.json()["scope"] == "accounts:read profiles:read"
    client = with_token(emulator, answer)
    assert client.get("/api/profiles").status_code == 200
    assert error(client.get("/api/events"))["code"] == "permission_denied"


def test_each_installation_has_its_own_quota(
    start: Callable[..., Emulator], refresh: Ask, connect: Any, with_token: Any
) -> None:
    emulator = start()
    apps = [emulator.add_installation(rotates=False) for _ in range(2)]
    clients = [connect(emulator), *(with_token(emulator, refresh(emulator, app)) for app in apps)]
    for client in clients:
        assert [client.get("/api/accounts").status_code for _ in range(2)] == [200, 429]
    again = with_token(emulator, refresh(emulator, apps[0]))
    assert again.get("/api/accounts").status_code == 429, "a new token is no new quota"


def test_somebody_else_eats_the_quota_of_the_keys_only(
    start: Callable[..., Emulator], refresh: Ask, connect: Any, with_token: Any
) -> None:
    emulator = start()
    emulator.fault("quota_eaten", endpoint="get_account", per_minute=15)
    client = with_token(emulator, refresh(emulator, emulator.add_installation()))
    assert client.get("/api/accounts").status_code == 200
    assert connect(emulator).get("/api/accounts").status_code == 429


def test_tokens_can_be_asked_for_ten_times_a_second(
    start: Callable[..., Emulator], refresh: Ask, clock: ManualClock
) -> None:
    emulator = start()
    app, other = emulator.add_installation(rotates=False), emulator.add_installation()
    assert {refresh(emulator, app).status_code for _ in range(10)} == {200}
    assert refresh(emulator, app).headers["retry-after"] == "1"
    assert refresh(emulator, other).status_code == 200
    clock.advance(1)
    assert refresh(emulator, app).status_code == 200


def test_faults_strike_who_asks_for_tokens(emulator: Emulator, refresh: Ask) -> None:
    app = emulator.add_installation(rotates=False)
    emulator.fault("server_error_html", endpoint="oauth_token", times=1)
    emulator.fault("throttled", endpoint="oauth_token", times=1, retry_after=7)
    emulator.fault("truncated_json", endpoint="oauth_token", times=1)
    emulator.fault("key_revoked", endpoint="oauth_token", account=app.account_id)
    assert refresh(emulator, app).status_code == 503
    assert refused(refresh(emulator, app)) == (401, "invalid_client")
    emulator.clear_faults("key_revoked")
    assert refresh(emulator, app).headers["retry-after"] == "7"
    with pytest.raises(ValueError, match=r"Expecting|Unterminated"):
        refresh(emulator, app).json()
    assert refresh(emulator, app).status_code == 200


def test_calls_are_reported_under_the_app(emulator: Emulator, refresh: Ask, with_token: Any, api: httpx.Client) -> None:
    app = emulator.add_installation(client_id="the-app")
    client = with_token(emulator, refresh(emulator, app))
    client.get("/api/profiles")
    api.get("/api/profiles")
    report = emulator.report()
    account = report["accounts"][emulator.account.id]
    assert account["endpoints"]["get_profiles"]["calls"] == 1
    reported = account["installations"]["the-app"]["endpoints"]
    assert {name: part["calls"] for name, part in reported.items()} == {"get_profiles": 1, "oauth_token": 1}
    assert reported["get_profiles"]["most_in_one_window"] == {"1": 1, "60": 1}
    assert f"{emulator.account.id}/the-app  get_profiles" in table(report)
    secrets = (app.client_secret, app.refresh_token, client.headers["Authorization"].removeprefix("Bearer "))
    assert not [secret for secret in secrets if secret in f"{report}{table(report)}{app!r}{emulator.installations!r}"]
    emulator.reset_counts()
    assert emulator.report()["accounts"][emulator.account.id]["installations"]["the-app"] == {"endpoints": {}}


def test_an_app_can_be_in_several_accounts(emulator: Emulator, refresh: Ask, exchange: Ask, with_token: Any) -> None:
    other = emulator.add_account("Other Shop")
    here = emulator.add_installation(client_id="the-app", client_secret="its-secret")
    there = emulator.add_installation(other, client_id="the-app")
    assert there.client_secret == "its-secret"
    for app in (here, there):
        (account,) = with_token(emulator, refresh(emulator, app)).get("/api/accounts").json()["data"]
        assert account["id"] == app.account_id
    code = emulator.authorize("the-app", CHALLENGE, REDIRECT, other)
    (account,) = with_token(emulator, exchange(emulator, here, code)).get("/api/accounts").json()["data"]
    assert account["id"] == other.id
    with pytest.raises(ValueError, match="installed"):
        emulator.add_installation(client_id="the-app")
    with pytest.raises(ValueError, match="another secret"):
        emulator.add_installation(emulator.add_account(), client_id="the-app", client_secret="another")


def test_an_installation_that_is_not_there_is_an_error(emulator: Emulator, start: Callable[..., Emulator]) -> None:
    elsewhere = start(seed=8).add_installation()
    for act in (emulator.expire_access_tokens, emulator.revoke_installation):
        with pytest.raises(ValueError, match="no such installation"):
            act(elsewhere)
    with pytest.raises(ValueError, match="no such installation"):
        emulator.authorize("nobody", CHALLENGE, REDIRECT)
    with pytest.raises(ValueError, match="code challenge"):
        emulator.authorize(emulator.add_installation().client_id, VERIFIER, REDIRECT)
    with pytest.raises(ValueError, match="scope"):
        emulator.add_installation(scopes=["profiles:everything"])
    assert len(emulator.installations) == 1
