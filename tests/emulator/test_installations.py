"""Apps that are installed: what they may do, how often, in which accounts, and how they are reported."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.emulator import Emulator, ManualClock
from airflow_provider_klaviyo.emulator.report import table

Ask = Callable[..., httpx.Response]
Take = Callable[[httpx.Response], Any]

DAY = 24 * 3600


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


def test_faults_strike_who_asks_for_tokens(emulator: Emulator, refresh: Ask, refused: Take) -> None:
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


def test_an_app_can_be_in_several_accounts(
    emulator: Emulator, refresh: Ask, exchange: Ask, with_token: Any, agree: Any
) -> None:
    other = emulator.add_account("Other Shop")
    here = emulator.add_installation(client_id="the-app", client_secret="its-secret")
    there = emulator.add_installation(other, client_id="the-app")
    assert there.client_secret == "its-secret"
    for app in (here, there):
        (account,) = with_token(emulator, refresh(emulator, app)).get("/api/accounts").json()["data"]
        assert account["id"] == app.account_id
    code = agree(emulator, there)
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
        emulator.authorize("nobody", "x" * 43, "https://app.example.com")
    with pytest.raises(ValueError, match="code challenge"):
        emulator.authorize(emulator.add_installation().client_id, "x" * 42, "https://app.example.com")
    with pytest.raises(ValueError, match="scope"):
        emulator.add_installation(scopes=["profiles:everything"])
    assert len(emulator.installations) == 1
