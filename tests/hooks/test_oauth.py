"""A connection with an OAuth app: hooks, ledgers, operators, sensors and triggers work as with a key."""

from __future__ import annotations

import asyncio
import json
import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowFailException, TaskDeferred
from pytest_mock import MockerFixture

from airflow_provider_klaviyo.api import calls
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAccountError,
    KlaviyoConfigurationError,
    KlaviyoError,
    KlaviyoKeyError,
    KlaviyoTokenError,
    KlaviyoUnavailableError,
)
from airflow_provider_klaviyo.api.pace import Paces
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks import klaviyo, tokens
from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook
from airflow_provider_klaviyo.hooks.ledger import open_ledger
from airflow_provider_klaviyo.hooks.sharing import ClientShare
from airflow_provider_klaviyo.operators.klaviyo import DeletionPlanOperator, ProfileDeletionOperator
from airflow_provider_klaviyo.sensors.klaviyo import DeletionConfirmedSensor
from airflow_provider_klaviyo.triggers.klaviyo import DeletionConfirmedTrigger

FINGERPRINT_KEY = "a key that is long enough for a fingerprint"
CANARY = "canary"


@dataclass
class Shop:
    """An account with an app, and connections to it."""

    emulator: Emulator
    installation: Any
    set_connection: Callable[..., str]
    store: Path

    def connect(self, conn_id: str = "shop", **extra: Any) -> str:
        """Make a connection as the app."""
        app = {
            "oauth_client_id": self.installation.client_id,
            "oauth_client_secret": self.installation.client_secret,
            "oauth_refresh_token": self.installation.refresh_token,
        }
        return self.set_connection(conn_id, host=self.emulator.url, extra={**app, **extra})

    @property
    def refreshes(self) -> int:
        return self.emulator.calls("oauth_token", 200)

    @property
    def installed(self) -> dict[str, Any]:
        """What the emulator reports of the app."""
        account = self.emulator.report()["accounts"][self.emulator.account.id]
        return dict(account["installations"][self.installation.client_id]["endpoints"])


@pytest.fixture
def set_connection(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    endpoints = ("get_account", "get_profiles", "get_profile", "profile_deletion")
    fast = {name: {"burst": 1e6, "steady": 6e7} for name in endpoints}

    def set_connection(conn_id: str, *, extra: dict[str, Any], **fields: Any) -> str:
        value = {"conn_type": "klaviyo", "extra": {"limits": fast, **extra}, **fields}
        monkeypatch.setenv(f"AIRFLOW_CONN_{conn_id.upper()}", json.dumps(value))
        return conn_id

    return set_connection


@pytest.fixture
def shop(
    emulator: Emulator,
    set_connection: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mocker: MockerFixture,
) -> Shop:
    store = tmp_path / "ledger.db"
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps({"conn_type": "sqlite", "host": str(store)}))
    mocker.patch.object(klaviyo, "_checked_keys", set())
    shop = Shop(emulator, emulator.add_installation(client_secret=f"{CANARY}-secret"), set_connection, store)
    shop.connect(account_id=emulator.account.id, fingerprint_key=FINGERPRINT_KEY)
    return shop


@pytest.fixture
def on_postgresql(shop: Shop, postgres_connection: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", postgres_connection)


def expire(shop: Shop) -> None:
    """Let the token there is be good for nothing, and everybody know it by the clock."""
    with closing(sqlite3.connect(shop.store)) as connection, connection:
        connection.execute("UPDATE klaviyo_tokens SET renew_at = 0, expires_at = 0")
    shop.emulator.expire_access_tokens(shop.installation)


def test_a_hook_works_as_with_a_key(shop: Shop) -> None:
    ada = shop.emulator.add_profile("ada@example.com")
    with KlaviyoHook("shop") as hook:
        assert hook.get_account().id == shop.emulator.account.id
        assert [profile.id for profile in hook.find_profiles("email", ["ada@example.com"])] == [ada]
        hook.request_profile_deletion(profile_id=ada)
    assert shop.emulator.deleted == {ada}
    assert shop.refreshes == 1
    assert set(shop.installed) == {"oauth_token", "get_account", "get_profiles", "profile_deletion"}


def test_the_next_process_goes_on_with_the_same_token_and_the_one_after_with_what_rotated(shop: Shop) -> None:
    for _ in range(2):
        with KlaviyoHook("shop") as hook:
            hook.get_account()
    assert shop.refreshes == 1
    expire(shop)
    for _ in range(2):
        with KlaviyoHook("shop") as hook:
            hook.get_account()
    assert shop.refreshes == 2
    assert shop.emulator.calls("oauth_token") == 2
    assert shop.emulator.installations[0].refresh_token != shop.installation.refresh_token


@pytest.mark.usefixtures("on_postgresql")
def test_the_store_may_be_postgresql(shop: Shop) -> None:
    async def ask() -> str:
        async with await KlaviyoHook("shop").get_async_conn() as client:
            return (await client.run(calls.get_account())).id

    for _ in range(2):
        with KlaviyoHook("shop") as hook:
            assert hook.get_account().id == asyncio.run(ask())
    assert shop.refreshes == 1
    assert not shop.store.exists()


def test_a_store_of_another_name(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.db"
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", json.dumps({"conn_type": "sqlite", "host": str(elsewhere)}))
    shop.connect(oauth_store_conn_id="elsewhere")
    with KlaviyoHook("shop") as hook:
        hook.get_account()
    assert elsewhere.exists()
    assert not shop.store.exists()


APP = {"oauth_client_id": "app", "oauth_client_secret": "canary-secret", "oauth_refresh_token": "canary-token"}


@pytest.mark.parametrize(
    ("password", "extra", "complaint"),
    [
        (
            "pk_canary",
            APP,
            r"Empty the field 'Private API key' \(password\), or 'OAuth client id' \(oauth_client_id\) and",
        ),
        ("pk_canary", {"oauth_refresh_token": "canary"}, r"or 'OAuth refresh token' \(oauth_refresh_token\)$"),
        (None, APP | {"oauth_client_id": ""}, r"but not 'OAuth client id' \(oauth_client_id\)\. Fill in all three"),
        (None, APP | {"oauth_client_secret": None}, r"but not 'OAuth client secret' \(oauth_client_secret\)\."),
        (None, {"oauth_client_id": "app"}, r"but not 'OAuth client secret' .* and 'OAuth refresh token' "),
        (None, APP | {"oauth_client_id": "a:b"}, "oauth_client_id must be up to 100 ASCII"),
        (None, APP | {"oauth_client_secret": "canary secret"}, "oauth_client_secret is empty, too long, or has"),
        (None, APP | {"oauth_refresh_token": ["canary"]}, "oauth_refresh_token must be text, not list"),
        (None, {"oauth_store_conn_id": "elsewhere"}, "'Private API key'"),
    ],
)
def test_half_of_an_app_or_one_beside_a_key_is_refused_by_the_names_of_the_fields(
    set_connection: Callable[..., str], password: str | None, extra: dict[str, Any], complaint: str
) -> None:
    set_connection("shop", password=password, extra=extra)
    hook = KlaviyoHook("shop")
    for read in (hook.get_settings, lambda: asyncio.run(hook.get_async_settings())):
        with pytest.raises(KlaviyoConfigurationError, match=f"^Connection 'shop': .*{complaint}") as caught:
            read()
        assert CANARY not in str(caught.value)


def test_an_app_is_read_and_not_shown(set_connection: Callable[..., str]) -> None:
    conn_id = set_connection("shop", extra={f"extra__klaviyo__{name}": f" {value} " for name, value in APP.items()})
    settings = KlaviyoHook(conn_id).get_settings()
    assert settings.oauth is not None
    assert settings.oauth.store == "klaviyo_ledger"
    assert (settings.oauth.client_id, settings.oauth.refresh_token) == ("app", "canary-token")
    assert CANARY not in f"{settings!r} {settings.quota} {settings.key_digest}"


def test_a_dead_refresh_token_fails_for_good_and_says_how_to_get_a_new_one(shop: Shop) -> None:
    shop.emulator.revoke_installation(shop.installation)
    with pytest.raises(
        KlaviyoTokenError, match=r"^Connection 'shop': Klaviyo does not take the refresh token"
    ) as caught:
        KlaviyoHook("shop").get_conn()
    assert f"python -m airflow_provider_klaviyo.oauth --client-id {shop.installation.client_id}" in str(caught.value)
    assert "'OAuth refresh token' (oauth_refresh_token)" in str(caught.value)
    assert_no_secret(shop, f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}")
    with pytest.raises(AirflowFailException, match="does not take the refresh token"):
        ProfileDeletionOperator(task_id="delete", profiles=["ada@example.com"], klaviyo_conn_id="shop").execute({})
    assert KlaviyoHook("shop").test_connection()[1].startswith("Connection 'shop': Klaviyo does not take the refresh")
    (event,) = events(DeletionConfirmedTrigger(**arguments(["0" * 26])))
    assert (event["status"], event["may_retry"]) == ("failed", False)


def assert_no_secret(shop: Shop, text: str) -> None:
    newest = shop.emulator.installations[0]
    for secret in (
        shop.installation.refresh_token,
        newest.refresh_token,
        shop.installation.client_secret,
        *stored(shop),
    ):
        assert secret not in text


def stored(shop: Shop) -> list[str]:
    """Return the access token that the connection's own key opens."""
    settings = KlaviyoHook("shop").get_settings()
    keeper = tokens.open_tokens(settings, "shop")
    assert keeper is not None
    with closing(keeper):
        try:
            return [keeper.obtain().result(60)]
        except KlaviyoError:
            return []


def test_a_new_refresh_token_in_the_connection_wins(shop: Shop) -> None:
    with KlaviyoHook("shop") as hook:
        hook.get_account()
    shop.emulator.revoke_installation(shop.installation)
    expire(shop)
    verifier, redirect_uri = "v" * 43, "https://shop.example.com/back"
    code = shop.emulator.authorize(shop.installation.client_id, challenge(verifier), redirect_uri)
    shop.installation = shop.emulator.installations[0]
    pair = exchange(shop, code, verifier, redirect_uri)
    shop.connect(oauth_refresh_token=pair["refresh_token"], account_id=shop.emulator.account.id)
    with KlaviyoHook("shop") as hook:
        assert hook.get_account().id == shop.emulator.account.id


def challenge(verifier: str) -> str:
    from airflow_provider_klaviyo.api.authorization import challenge_of

    return challenge_of(verifier)


def exchange(shop: Shop, code: str, verifier: str, redirect_uri: str) -> dict[str, str]:
    import httpx

    form = {"grant_type": "authorization_code", "code": code, "code_verifier": verifier, "redirect_uri": redirect_uri}
    secret = (shop.installation.client_id, shop.installation.client_secret)
    answer = httpx.post(f"{shop.emulator.url}/oauth/token", data=form, auth=secret, trust_env=False)
    return dict(answer.json())


def test_an_app_of_another_account_is_refused_before_anything_changes(shop: Shop) -> None:
    shop.connect(account_id="XyZ789")
    with pytest.raises(
        KlaviyoAccountError, match=r"Connection 'shop': the access token belongs to .* but account_id says"
    ):
        KlaviyoHook("shop").get_conn()
    assert shop.emulator.calls("profile_deletion") == 0


def test_the_connection_can_be_tested(shop: Shop) -> None:
    assert KlaviyoHook("shop").test_connection() == (
        True,
        f"The access token works for test account {shop.emulator.account.id} (Example Shop) and may read profiles. "
        "Whether it has the scope data-privacy:write shows at the first deletion only",
    )


@pytest.mark.parametrize(
    ("store", "kind", "complaint"),
    [
        (
            {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "password": CANARY},
            KlaviyoUnavailableError,
            "failed",
        ),
        ({"conn_type": "fs"}, KlaviyoConfigurationError, "the connection is no database"),
        ({"conn_type": "sqlite", "host": ":memory:"}, KlaviyoConfigurationError, "a database in memory is forgotten"),
        (None, KlaviyoConfigurationError, "there is no such connection.*set oauth_store_conn_id to one that exists"),
    ],
)
def test_without_a_store_nothing_is_sent(
    shop: Shop,
    monkeypatch: pytest.MonkeyPatch,
    store: dict[str, Any] | None,
    kind: type[KlaviyoError],
    complaint: str,
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps(store))
    if store is None:
        monkeypatch.delenv("AIRFLOW_CONN_KLAVIYO_LEDGER")

    def in_a_loop() -> None:
        asyncio.run(KlaviyoHook("shop").get_async_conn())

    for use in (KlaviyoHook("shop").get_conn, in_a_loop):
        with pytest.raises(
            kind, match=f"^Connection 'shop': .*store.*Ledger 'klaviyo_ledger': .*{complaint}"
        ) as caught:
            use()
        assert CANARY not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert shop.emulator.calls() == 0


def test_a_store_that_fails_later_is_a_passing_error(shop: Shop) -> None:
    with KlaviyoHook("shop") as hook:
        client = hook.get_conn()
        expire(shop)
        assert client._tokens is not None
        client._tokens.refuse(client._tokens.held() or "")
        with closing(sqlite3.connect(shop.store)) as connection, connection:
            connection.execute("ALTER TABLE klaviyo_tokens RENAME TO elsewhere")
        calls_before = shop.emulator.calls()
        with pytest.raises(KlaviyoUnavailableError, match="Ledger 'klaviyo_ledger': the ledger's database failed"):
            client.run(calls.get_account(patience_seconds=0))
        assert shop.emulator.calls() == calls_before
        with closing(sqlite3.connect(shop.store)) as connection, connection:
            connection.execute("ALTER TABLE elsewhere RENAME TO klaviyo_tokens")
        assert hook.get_account().id == shop.emulator.account.id


@pytest.mark.parametrize("endpoint", ["get_profile", "profile_deletion"])
def test_a_token_that_ends_in_the_middle_of_a_drain_is_replaced_once_and_nobody_is_lost(
    shop: Shop, mocker: MockerFixture, endpoint: str
) -> None:
    listed = {shop.emulator.add_profile(f"person.{number}@example.com") for number in range(20)}
    really_request = calls.request_profile_deletion
    moments = {"get_profile": 0, "profile_deletion": 0}

    def passes(moment: str) -> None:
        moments[moment] += 1
        if moment == endpoint and moments[moment] == 8:
            shop.emulator.expire_access_tokens(shop.installation)

    def request(kind: str, value: str, *, on_send: Callable[[], None], **options: Any) -> Any:
        def about_to_send() -> None:
            on_send()
            passes("profile_deletion")

        passes("get_profile")
        return really_request(kind, value, on_send=about_to_send, **options)

    mocker.patch("airflow_provider_klaviyo.deletion.drain.request_profile_deletion", request)
    profiles = [f"person.{number}@example.com" for number in range(20)]
    operator = ProfileDeletionOperator(task_id="delete", profiles=profiles, klaviyo_conn_id="shop")
    result = operator.execute({})
    assert shop.emulator.deleted == listed
    assert sorted(shop.emulator.deletion_requests) == sorted(listed)
    assert result["requested"] == 20
    assert shop.refreshes == 2
    assert shop.emulator.calls(endpoint, 401) == 1


def test_an_app_that_was_uninstalled_in_the_middle_says_so(shop: Shop) -> None:
    with KlaviyoHook("shop") as hook:
        hook.get_account()
        shop.emulator.revoke_installation(shop.installation)
        with pytest.raises(KlaviyoKeyError, match="does not take the refresh token"):
            hook.find_profiles("email", ["ada@example.com"])


def test_a_key_and_an_app_do_not_slow_one_another(
    shop: Shop, set_connection: Callable[..., str], mocker: MockerFixture
) -> None:
    """Each has its quota at Klaviyo, so each has its pace; two connections of one app share theirs."""
    account_id = shop.emulator.account.id
    set_connection(
        "by_key", host=shop.emulator.url, password=shop.emulator.account.key, extra={"account_id": account_id}
    )
    shop.connect("again", account_id=account_id, utilisation=0.5)
    paces = Paces()
    for conn_id in ("by_key", "shop", "again"):
        with KlaviyoHook(conn_id, paces=paces) as hook:
            hook.get_account()
    by_key = f"{shop.emulator.url} {account_id}"
    assert {quota for quota, _ in paces._paces} == {by_key, f"{by_key} {shop.installation.client_id}"}
    paces.hold(by_key, "get_profiles", 3_600)
    with KlaviyoHook("shop", paces=paces) as hook:
        hook.find_profiles("id", ["0" * 26])
    with (
        KlaviyoHook("by_key", paces=paces) as hook,
        pytest.raises(KlaviyoUnavailableError, match="the next turn at GET"),
    ):
        hook.find_profiles("id", ["0" * 26])
    shop.emulator.fault("quota_eaten", endpoint="get_account", per_minute=100_000_000)
    with KlaviyoHook("again", paces=paces) as hook:
        hook.get_account()
    assert shop.emulator.calls(status=429) == 0


def arguments(profile_ids: list[str], **more: Any) -> dict[str, Any]:
    return {
        "klaviyo_conn_id": "shop",
        "profile_ids": profile_ids,
        "since": "2026-01-01T00:00:00+00:00",
        "deadline": time.time() + 60,
        "pause_seconds": 0.01,
        "longest_pause_seconds": 0.05,
        **more,
    }


def events(trigger: DeletionConfirmedTrigger) -> list[dict[str, Any]]:
    path, stored_arguments = trigger.serialize()
    for secret in (CANARY, "oauth"):
        assert secret not in json.dumps([path, stored_arguments])

    async def run() -> list[Any]:
        return [event.payload async for event in DeletionConfirmedTrigger(**stored_arguments).run()]

    return asyncio.run(run())


def test_triggers_of_one_loop_share_a_client_and_its_token(shop: Shop) -> None:
    async def crowd() -> set[int]:
        over, seen = asyncio.Event(), set()

        async def look() -> None:
            async with ClientShare("shop") as share:
                async with share.client() as client:
                    await client.run(calls.find_profiles("id", ["0" * 26]))
                    seen.add(id(client))
                await over.wait()

        async with asyncio.TaskGroup() as group:
            for _ in range(30):
                group.create_task(look())
            while shop.emulator.calls("get_profiles") < 30:  # noqa: ASYNC110 - the emulator tells nobody
                await asyncio.sleep(0.005)
            over.set()
        return seen

    assert len(asyncio.run(crowd())) == 1
    assert shop.refreshes == 1
    assert shop.emulator.calls("get_account") == 1


def test_a_trigger_outlives_its_token_and_a_store_that_is_away(
    shop: Shop, mocker: MockerFixture, caplog: pytest.LogCaptureFixture
) -> None:
    ada = shop.emulator.add_profile("ada@example.com")
    looks: list[int] = []
    from airflow_provider_klaviyo.deletion import confirm

    really_look = confirm.still_there

    def look(*given: Any, **options: Any) -> Any:
        looks.append(1)
        if len(looks) == 2:
            expire(shop)
        if len(looks) == 4:
            with KlaviyoHook("shop") as hook:
                hook.request_profile_deletion(profile_id=ada)
        return really_look(*given, **options)

    mocker.patch.object(confirm, "still_there", look)
    (event,) = events(DeletionConfirmedTrigger(**arguments([ada])))
    assert event["status"] == "gone"
    assert shop.refreshes == 2
    assert_no_secret(shop, caplog.text + json.dumps(event))


def test_a_store_that_is_down_is_a_look_that_failed_and_no_more(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    down = {"conn_type": "postgres", "host": "127.0.0.1", "port": 1, "login": "nobody", "password": CANARY}
    monkeypatch.setenv("AIRFLOW_CONN_KLAVIYO_LEDGER", json.dumps(down))
    (event,) = events(DeletionConfirmedTrigger(**arguments(["0" * 26])))
    assert (event["status"], event["may_retry"]) == ("failed", True)
    assert CANARY not in json.dumps(event)
    assert shop.emulator.calls() == 0


def test_a_list_is_planned_deleted_and_confirmed_as_an_app_and_nothing_secret_is_left(
    shop: Shop, caplog: pytest.LogCaptureFixture, mocker: MockerFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    masked = mocker.patch.object(tokens, "mask_secret")
    people = [f"person.{number}@example.com" for number in range(5)]
    listed = {shop.emulator.add_profile(email) for email in people}
    context = fake_context()
    keeper: dict[str, Any] = {"klaviyo_conn_id": "shop"}
    batches = DeletionPlanOperator(task_id="plan", profiles=[*people, "nobody@example.com"], **keeper).execute(context)
    for batch in batches:
        ProfileDeletionOperator(task_id="delete", batch=batch, **keeper).execute(context)
    assert shop.emulator.deleted == listed
    sensor = DeletionConfirmedSensor(task_id="confirm", plan=batches, deferrable=True, poke_interval=0.01, **keeper)
    assert_gone(sensor, context)
    assert shop.refreshes == 1
    with open_ledger("klaviyo_ledger", "shop", "somebody") as (ledger, hook):
        assert hook.get_account().id == ledger.account_id
        assert set(ledger.paces._locals) == {(hook.get_settings().quota, "get_account")}
    secrets = {shop.installation.client_secret, shop.installation.refresh_token, *stored(shop)}
    secrets.add(shop.emulator.installations[0].refresh_token)
    assert {call.args[0] for call in masked.call_args_list} >= secrets
    logged = "\n".join(f"{record.getMessage()} {record.args} {record.exc_info}" for record in caplog.records)
    assert [secret for secret in secrets if secret in logged or secret in json.dumps(batches)] == []
    assert [secret for secret in secrets if secret.encode() in shop.store.read_bytes()] == []


def assert_gone(sensor: DeletionConfirmedSensor, context: Any) -> None:
    try:
        sensor.execute(context)
    except TaskDeferred as deferred:
        (event,) = events(deferred.trigger)
        assert event["status"] == "gone"
        getattr(sensor, deferred.method_name)(context, event)


def fake_context() -> Any:
    from types import SimpleNamespace

    ti = SimpleNamespace(dag_id="dag", run_id="run", task_id="task", map_index=-1, max_tries=1, try_number=1)
    ti.xcom_push = lambda key, value: None
    return {"ti": ti}


def test_the_asyncio_client_masks_what_it_is_given(shop: Shop, mocker: MockerFixture) -> None:
    masked: list[str] = []

    async def mask(secret: str) -> None:
        masked.append(secret)

    mocker.patch.object(tokens, "_mask", mask)

    async def ask() -> None:
        async with await KlaviyoHook("shop").get_async_conn() as client:
            await client.run(calls.get_account())

    asyncio.run(ask())
    assert set(masked) >= {shop.emulator.installations[0].refresh_token, shop.installation.client_secret, *stored(shop)}


def test_a_task_that_is_cancelled_while_it_refreshes_loses_no_token(shop: Shop, mocker: MockerFixture) -> None:
    import threading

    is_asked, may_answer = threading.Event(), threading.Event()
    really_refresh = tokens._refreshed

    def slowly(*given: Any) -> Any:
        is_asked.set()
        assert may_answer.wait(60)
        return really_refresh(*given)

    mocker.patch.object(tokens, "_refreshed", slowly)

    async def cancelled() -> None:
        task = asyncio.create_task(KlaviyoHook("shop").get_async_conn())
        await asyncio.to_thread(is_asked.wait, 60)
        task.cancel()
        may_answer.set()
        await asyncio.wait({task})
        assert task.cancelled()

    asyncio.run(cancelled())
    with KlaviyoHook("shop") as hook:
        hook.get_account()
    assert (shop.refreshes, shop.emulator.calls("oauth_token")) == (1, 1)
