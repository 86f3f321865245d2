"""OAuth: tokens for refresh tokens and for codes, what they are good for, and when they are dead."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator, ManualClock
from airflow_provider_klaviyo.emulator.tenants import SCOPES

Ask = Callable[..., httpx.Response]
Take = Callable[[httpx.Response], Any]

DAY = 24 * 3600


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


def test_a_refresh_token_that_rotates_can_be_used_once(emulator: Emulator, refresh: Ask, refused: Take) -> None:
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


def test_a_lost_answer_takes_the_refresh_token_with_it(emulator: Emulator, refresh: Ask, refused: Take) -> None:
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
    emulator: Emulator, refresh: Ask, clock: ManualClock, refused: Take
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
    emulator: Emulator, refresh: Ask, exchange: Ask, with_token: Any, refused: Take, agree: Any
) -> None:
    app = emulator.add_installation()
    answer = refresh(emulator, app)
    client = with_token(emulator, answer)
    emulator.revoke_installation(app)
    assert client.get("/api/profiles").status_code == 401
    assert refused(refresh(emulator, app, answer.json()["refresh_token"])) == (400, "invalid_grant")
    again = exchange(emulator, app, agree(emulator, app))
    assert with_token(emulator, again).get("/api/profiles").status_code == 200
    assert refresh(emulator, app, again.json()["refresh_token"]).status_code == 200


def test_a_code_is_worth_tokens_once(
    emulator: Emulator, refresh: Ask, exchange: Ask, with_token: Any, refused: Take, agree: Any
) -> None:
    app = emulator.add_installation()
    code = agree(emulator, app)
    answer = exchange(emulator, app, code)
    assert with_token(emulator, answer).get("/api/profiles").status_code == 200
    assert refused(exchange(emulator, app, code)) == (400, "invalid_grant")
    assert refused(refresh(emulator, app)) == (400, "invalid_grant"), "the one before is dead"
    assert refresh(emulator, app, answer.json()["refresh_token"]).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [
        {"code_verifier": "x" * 43},
        {"code_verifier": "too short"},
        {"redirect_uri": "https://app.example.com/callback/"},
        {"code": "nonsense"},
    ],
)
def test_a_code_is_worth_nothing_to_somebody_else(
    emulator: Emulator, exchange: Ask, wrong: dict[str, str], refused: Take, agree: Any
) -> None:
    app, other = emulator.add_installation(), emulator.add_installation()
    code = agree(emulator, app)
    assert refused(exchange(emulator, app, **{"code": code, **wrong})) == (400, "invalid_grant")
    assert refused(exchange(emulator, other, code)) == (400, "invalid_grant")
    assert exchange(emulator, app, code).status_code == 200


def test_a_code_is_worth_something_for_five_minutes(
    emulator: Emulator, exchange: Ask, clock: ManualClock, refused: Take, agree: Any
) -> None:
    app = emulator.add_installation()
    codes = [agree(emulator, app) for _ in range(2)]
    clock.advance(299)
    assert exchange(emulator, app, codes[0]).status_code == 200
    clock.advance(1)
    assert refused(exchange(emulator, app, codes[1])) == (400, "invalid_grant")


@pytest.mark.parametrize("authorization", [None, "", "Basic", "Basic !", "Basic /w=="])
def test_an_app_that_says_nothing_is_a_401(emulator: Emulator, authorization: str | None, refused: Take) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    answer = httpx.post(f"{emulator.url}/oauth/token", headers=headers, trust_env=False)
    assert refused(answer) == (401, "invalid_client")
    assert answer.headers["www-authenticate"] == "Basic"


@pytest.mark.parametrize("wrong", [{"client_id": "nobody"}, {"client_secret": "nonsense"}, {"client_secret": ""}])
def test_an_app_that_nobody_knows_is_a_401(
    emulator: Emulator, refresh: Ask, wrong: dict[str, str], refused: Take
) -> None:
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
    emulator: Emulator, ask_for_tokens: Ask, fields: dict[str, Any], code: str, refused: Take
) -> None:
    assert refused(ask_for_tokens(emulator, emulator.add_installation(), **fields)) == (400, code)


@pytest.mark.parametrize("content", [b"grant_type=%ff&refresh_token=x", b"\xff", b'{"grant_type": "refresh_token"}'])
def test_a_body_has_to_be_a_form(emulator: Emulator, content: bytes, refused: Take) -> None:
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
