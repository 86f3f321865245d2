"""Every request of an app bears a good token; one that is refused everywhere is replaced once."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.api.calls import find_profiles, get_account, request_profile_deletion
from airflow_provider_klaviyo.api.client import AsyncKlaviyoClient, KlaviyoClient
from airflow_provider_klaviyo.api.conversation import Conversation, NoAnswer, NotSent, exchange
from airflow_provider_klaviyo.api.credentials import ACCESS_TOKEN, OAuthApp
from airflow_provider_klaviyo.api.diagnosis import ask
from airflow_provider_klaviyo.api.endpoints import PROFILE_DELETION
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAuthenticationError,
    KlaviyoConfigurationError,
    KlaviyoError,
    KlaviyoKeyError,
    KlaviyoNotFoundError,
    KlaviyoPermissionError,
    KlaviyoServerError,
    KlaviyoTokenError,
    KlaviyoUnavailableError,
)
from airflow_provider_klaviyo.api.oauth import refresh
from airflow_provider_klaviyo.api.pace import Limit, Paces
from airflow_provider_klaviyo.api.resources import deletion_request
from airflow_provider_klaviyo.api.settings import Settings
from airflow_provider_klaviyo.api.wire import Answer, Request
from airflow_provider_klaviyo.emulator import Emulator

APP = OAuthApp(client_id="the-app", client_secret="canary-secret", refresh_token="canary-first")
REQUEST = deletion_request("id", "01H")
ACCEPTED, UNKNOWN = Answer(202), Answer(404, {}, b'{"errors": [{"code": "not_found"}]}')
REFUSED = Answer(401, {}, b'{"errors": [{"code": "authentication_failed"}]}')


def answered(body: object, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(body).encode())


def by_path(**answers: Answer) -> Callable[[Request], Answer]:
    return lambda request: answers[request.endpoint.name]


def renewing(*after: Answer, before: Answer = REFUSED, stage: Any) -> Callable[[Request], Answer | NoAnswer]:
    """Refuse everything until the token is replaced, and then give these answers."""
    stage.can_renew, stage.credential, rest = True, ACCESS_TOKEN, iter(after)
    return lambda _: next(rest) if stage.renewals else before


def test_a_token_that_is_refused_everywhere_is_replaced_and_the_request_sent_again(stage: Any) -> None:
    assert stage.play(ask(REQUEST, patience_seconds=0), renewing(ACCEPTED, stage=stage)) == ACCEPTED
    assert [request.endpoint.name for request in stage.sent] == [
        "profile_deletion",
        "get_account",
        "get_profiles",
        "profile_deletion",
    ]
    assert stage.renewals == 1


def test_a_new_token_that_is_refused_too_is_not_replaced_again(stage: Any) -> None:
    with pytest.raises(KlaviyoKeyError, match="the app may have been uninstalled") as caught:
        stage.play(ask(REQUEST, patience_seconds=0), renewing(*[REFUSED] * 3, stage=stage))
    assert stage.renewals == 1
    assert "'OAuth refresh token' (oauth_refresh_token)" in str(caught.value)
    assert "the access token is not accepted there" in str(caught.value)
    assert "key" not in str(caught.value)


def test_an_endpoint_that_refuses_a_good_token_costs_no_refresh_token(stage: Any) -> None:
    stage.can_renew, stage.credential = True, ACCESS_TOKEN
    answers = by_path(profile_deletion=REFUSED, get_account=answered({"data": []}))
    with pytest.raises(KlaviyoAuthenticationError, match="The access token itself is right: GET /api/acc") as caught:
        stage.play(ask(REQUEST, patience_seconds=0), answers)
    assert type(caught.value) is KlaviyoAuthenticationError
    assert stage.renewals == 0


def test_a_private_key_cannot_be_replaced(stage: Any) -> None:
    with pytest.raises(KlaviyoKeyError, match="'Private API key'"):
        stage.play(ask(REQUEST, patience_seconds=0), lambda _: REFUSED)
    assert len(stage.sent) == 3


@pytest.mark.parametrize("last", [UNKNOWN, REFUSED])
def test_a_doubt_outlasts_a_new_token(stage: Any, last: Answer) -> None:
    """The first send may have deleted somebody: who is not found later must be confirmed, not taken for absent."""
    stage.can_renew, stage.credential = True, ACCESS_TOKEN
    script = [NoAnswer("ReadError"), REFUSED, REFUSED, REFUSED, last, REFUSED, REFUSED]
    with pytest.raises(KlaviyoError) as caught:
        stage.play(ask(REQUEST, patience_seconds=60), script)
    assert stage.renewals == 1
    assert caught.value.status == last.status
    assert caught.value.in_doubt


def test_a_403_says_what_to_do_about_the_app(stage: Any) -> None:
    stage.credential = ACCESS_TOKEN
    with pytest.raises(KlaviyoPermissionError, match=r"the access token lacks the scope data-privacy:write.* anew"):
        stage.play(ask(REQUEST, patience_seconds=0), [Answer(403, {}, REFUSED.body)])


def not_sent(kind: type[KlaviyoError] = KlaviyoServerError, **known: Any) -> NotSent:
    return NotSent(kind("no token, for a test", **known))


def test_what_was_not_sent_for_want_of_a_token_is_tried_again_and_in_no_doubt(stage: Any) -> None:
    talk: Conversation[Any] = exchange(REQUEST, is_repeatable=False)
    assert stage.play(talk, [not_sent(status=503), not_sent(retry_after_seconds=7.0), ACCEPTED]) == ACCEPTED
    assert [seconds for seconds in stage.slept if seconds >= 1] == [1.0, 1.0, 7.0], "the first is that of the pace"
    assert stage.paces._paces["", "profile_deletion"].held_until < 0, "it is not this endpoint's fault"
    with pytest.raises(KlaviyoNotFoundError) as caught:
        stage.play(exchange(REQUEST), [not_sent(), UNKNOWN])
    assert not caught.value.in_doubt
    with pytest.raises(KlaviyoServerError, match=r"for a test\. The next try is due in 1 s") as given_up:
        stage.play(exchange(REQUEST, patience_seconds=0), [not_sent()])
    assert not given_up.value.in_doubt


def test_where_there_will_be_no_token_nothing_else_is_tried(stage: Any) -> None:
    with pytest.raises(KlaviyoTokenError, match=r"^no token, for a test$"):
        stage.play(ask(REQUEST, patience_seconds=600), [not_sent(KlaviyoTokenError)])
    assert len(stage.sent) == 1
    with pytest.raises(KlaviyoTokenError) as caught:
        stage.play(ask(REQUEST, patience_seconds=600), [NoAnswer("ReadError"), not_sent(KlaviyoTokenError)])
    assert caught.value.in_doubt


class Source:
    """Access tokens one after the other: a source as a client has it."""

    def __init__(self, *tokens: str | KlaviyoError) -> None:
        self.left = list(tokens)
        self.token: str | None = None
        self.refused: list[str] = []
        self.is_closed = self.is_stopped = False

    def held(self) -> str | None:
        return self.token

    def obtain(self) -> Future[str]:
        future: Future[str] = Future()
        following = self.left.pop(0)
        if isinstance(following, KlaviyoError):
            future.set_exception(following)
        else:
            self.token = following
            future.set_result(following)
        return future

    def refuse(self, token: str) -> None:
        self.refused.append(token)
        self.token = None

    def stop(self) -> None:
        self.is_stopped = True

    def close(self) -> None:
        self.is_closed = True


Run = Callable[..., Any]


@pytest.fixture(params=["blocking", "asyncio"])
def run(request: pytest.FixtureRequest, emulator: Emulator, fast: dict[str, Limit]) -> Run:
    """Carry a conversation out as an app, with each client."""

    def run(conversation: Any, tokens: Any, base_url: str = "", transport: Any = None) -> Any:
        settings = Settings(oauth=APP, base_url=base_url or emulator.url, limits=fast)
        options = {"paces": Paces(), "tokens": tokens, "transport": transport}
        if request.param == "blocking":
            with KlaviyoClient(settings, **options) as client:
                return client.run(conversation)

        async def talk() -> Any:
            async with AsyncKlaviyoClient(settings, **options) as client:
                return await client.run(conversation)

        return asyncio.run(talk())

    return run


@pytest.fixture
def good_token(emulator: Emulator) -> Callable[[], str]:
    installation = emulator.add_installation(rotates=False)

    def good_token() -> str:
        form = {"grant_type": "refresh_token", "refresh_token": installation.refresh_token}
        secret = (installation.client_id, installation.client_secret)
        answer = httpx.post(f"{emulator.url}/oauth/token", data=form, auth=secret, trust_env=False)
        return str(answer.json()["access_token"])

    return good_token


def test_each_request_bears_the_token_there_is(run: Run, good_token: Callable[[], str], emulator: Emulator) -> None:
    tokens = Source(good_token())
    assert run(get_account(), tokens).id == emulator.account.id
    assert tokens.is_closed
    assert tokens.left == []


def test_nothing_but_the_token_is_sent(run: Run) -> None:
    sent: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(202)

    run(request_profile_deletion("id", "01H"), Source("canary-1"), transport=httpx.MockTransport(answer))
    assert [request.headers.get_list("authorization") for request in sent] == [["Bearer canary-1"]]
    assert "pk_" not in str(sent[0].headers)


def test_a_refused_token_is_replaced_by_whoever_was_refused(
    run: Run, good_token: Callable[[], str], emulator: Emulator
) -> None:
    profile_id = emulator.add_profile("ada@example.com")
    tokens = Source("canary-expired", good_token())
    run(request_profile_deletion("id", profile_id), tokens)
    assert emulator.deletion_requests == [profile_id]
    assert tokens.refused == ["canary-expired"]


def test_without_a_token_nothing_is_sent(run: Run, emulator: Emulator) -> None:
    down = KlaviyoUnavailableError("the store is down, for a test")
    for tokens, kind in ((Source(down), KlaviyoUnavailableError), (None, KlaviyoConfigurationError)):
        with pytest.raises(kind):
            run(find_profiles("id", ["01H"], patience_seconds=0), tokens)
    assert str(down) == "the store is down, for a test", "each who waits has an error of their own"
    assert emulator.calls() == 0


def test_who_is_cancelled_takes_no_token_from_others(emulator: Emulator) -> None:
    tokens, future = Source(), Future[str]()

    async def cancelled() -> None:
        is_waiting = asyncio.Event()

        def obtain() -> Future[str]:
            is_waiting.set()
            return future

        tokens.obtain = obtain  # type: ignore[method-assign]
        async with AsyncKlaviyoClient(Settings(oauth=APP, base_url=emulator.url), tokens=tokens) as client:
            task = asyncio.create_task(client.run(get_account()))
            await is_waiting.wait()
            task.cancel()
            await asyncio.wait({task})
            assert task.cancelled()

    asyncio.run(cancelled())
    assert not future.cancelled()


def test_a_client_that_is_stopped_waits_for_no_token(emulator: Emulator) -> None:
    tokens = Source()
    with KlaviyoClient(Settings(oauth=APP, base_url=emulator.url), tokens=tokens) as client:
        client.stop()
    assert tokens.is_stopped
    assert tokens.is_closed


def test_no_log_shows_a_token_or_a_secret(
    run: Run, good_token: Callable[[], str], emulator: Emulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token = good_token()
    run(find_profiles("id", ["01H"]), Source("canary-expired", token))
    with pytest.raises(KlaviyoTokenError):
        run(refresh(APP, "canary-newest"), None)
    logged = "\n".join(f"{record.getMessage()} {record.args} {record.exc_info}" for record in caplog.records)
    assert "httpcore.http11" in {record.name for record in caplog.records}, "the loggers are heard"
    basic = base64.b64encode(b"the-app:canary-secret").decode()
    assert [secret for secret in ("canary", token, basic) if secret in logged] == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"client_id": ""}, "oauth_client_id must be"),
        ({"client_id": "the app"}, "oauth_client_id must be"),
        ({"client_id": "the:app"}, "oauth_client_id must be"),
        ({"client_id": "a" * 101}, "oauth_client_id must be"),
        ({"client_secret": "canary\n"}, "oauth_client_secret is empty, too long"),
        ({"client_secret": ""}, "oauth_client_secret is empty"),
        ({"refresh_token": "canäry"}, "oauth_refresh_token is empty, too long"),
        ({"refresh_token": "c" * 5_000}, "oauth_refresh_token is empty, too long"),
    ],
)
def test_an_app_that_cannot_be_one_is_refused_and_not_shown(changes: dict[str, str], complaint: str) -> None:
    good = {"client_id": "app", "client_secret": "secret", "refresh_token": "token"}
    with pytest.raises(KlaviyoConfigurationError, match=complaint) as caught:
        OAuthApp(**(good | changes))
    assert "canary" not in str(caught.value)


def test_there_is_a_key_or_an_app_but_not_both() -> None:
    with pytest.raises(KlaviyoConfigurationError, match="a private API key or an OAuth app, not both"):
        Settings(api_key="pk_x", oauth=APP)
    assert "canary" not in repr(Settings(oauth=APP)) + Settings(oauth=APP).quota + Settings(oauth=APP).key_digest


def test_an_installation_has_a_quota_of_its_own() -> None:
    key = Settings(api_key="pk_1", account_id="AbC123")
    app = Settings(oauth=APP, account_id="AbC123")
    renewed = Settings(oauth=OAuthApp(client_id="the-app", client_secret="s", refresh_token="2"), account_id="AbC123")
    other = Settings(oauth=OAuthApp(client_id="another", client_secret="s", refresh_token="3"), account_id="AbC123")
    elsewhere = Settings(oauth=APP, account_id="XyZ789")
    assert len({one.quota for one in (key, app, other, elsewhere)}) == 4
    assert app.quota == renewed.quota
    assert PROFILE_DELETION.name not in app.quota
    assert app.key_digest != renewed.key_digest
    assert app.secret != key.secret
