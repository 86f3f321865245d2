"""Tokens are asked for as OAuth has it, and nothing but a pair of tokens is believed."""

from __future__ import annotations

import base64
import json
import pickle
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.api.conversation import NoAnswer, Reserve, Send
from airflow_provider_klaviyo.api.credentials import ACCESS_TOKEN, OAuthApp
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAnswerError,
    KlaviyoConnectionError,
    KlaviyoError,
    KlaviyoInvalidRequestError,
    KlaviyoKeyError,
    KlaviyoNotFoundError,
    KlaviyoRateLimitError,
    KlaviyoServerError,
    KlaviyoTokenError,
)
from airflow_provider_klaviyo.api.oauth import OAUTH_TOKEN, Tokens, exchange_code, refresh
from airflow_provider_klaviyo.api.pace import Slot
from airflow_provider_klaviyo.api.wire import Answer

APP = OAuthApp(client_id="the-app", client_secret="canary-secret", refresh_token="canary-first")
PAIR = {"access_token": "canary-access", "refresh_token": "canary-next", "token_type": "Bearer", "expires_in": 3600}


def answered(body: object, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(body).encode())


def test_a_refresh_is_a_form_with_the_apps_own_secret(stage: Any) -> None:
    tokens = stage.play(refresh(APP, "canary-newest"), [answered(PAIR)])
    (request,) = stage.sent
    assert request.endpoint == OAUTH_TOKEN
    assert (request.endpoint.method, request.path, request.query) == ("POST", "/oauth/token", "")
    assert request.headers["content-type"] == "application/x-www-form-urlencoded"
    assert base64.b64decode(request.headers["authorization"].removeprefix("Basic ")) == b"the-app:canary-secret"
    assert parse_qs(request.body.decode()) == {"grant_type": ["refresh_token"], "refresh_token": ["canary-newest"]}
    assert tokens == Tokens("canary-access", "canary-next", 3600)
    assert "canary" not in f"{request!r} {tokens!r} {APP!r}"


def test_where_none_comes_back_the_refresh_token_stays_good(stage: Any) -> None:
    without = {name: value for name, value in PAIR.items() if name != "refresh_token"}
    assert stage.play(refresh(APP, "canary-newest"), [answered(without)]).refresh_token == "canary-newest"


@pytest.mark.parametrize(
    "changes",
    [
        {"access_token": None},
        {"access_token": ""},
        {"access_token": 7},
        {"access_token": ["canary"]},
        {"access_token": "canary canary"},
        {"access_token": "canary\r\nHost: elsewhere"},
        {"access_token": "canäry"},
        {"access_token": "c" * 4_097},
        {"refresh_token": None},
        {"refresh_token": ""},
        {"refresh_token": "canary\n"},
        {"token_type": "mac"},
        {"token_type": 7},
        {"expires_in": None},
        {"expires_in": "3600"},
        {"expires_in": True},
        {"expires_in": 0},
        {"expires_in": -1},
        {"expires_in": 1e9},
        {"expires_in": float("nan")},
        {"expires_in": [3600]},
    ],
)
def test_what_is_no_pair_of_tokens_is_not_believed(stage: Any, changes: dict[str, Any]) -> None:
    with pytest.raises(KlaviyoAnswerError, match=r"^the answer to POST /oauth/token ") as caught:
        stage.play(refresh(APP, "canary-newest"), [answered(PAIR | changes)])
    assert "canary" not in repr(caught.value)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"7", b"<html>canary</html>", b"\xff", b"[" * 100_000])
def test_what_is_no_object_is_not_believed(stage: Any, body: bytes) -> None:
    with pytest.raises(KlaviyoAnswerError) as caught:
        stage.play(refresh(APP, "canary-newest"), [Answer(200, {}, body)])
    assert "canary" not in repr(caught.value)


values = st.recursive(st.none() | st.booleans() | st.floats() | st.integers() | st.text(), st.lists, max_leaves=5)


@given(st.dictionaries(st.sampled_from([*PAIR, "error"]), values), st.sampled_from([200, 201, 302, 400, 401, 404, 503]))
def test_whatever_comes_is_a_pair_or_an_error(document: dict[str, Any], status: int) -> None:
    talk: Any = refresh(APP, "canary-newest")
    assert isinstance(next(talk), Reserve)
    assert isinstance(talk.send(Slot(0, 0)), Send)
    with pytest.raises((StopIteration, KlaviyoError)) as caught:  # noqa: PT012 - one step or two
        talk.send(answered(document, status))
        talk.send(ACCESS_TOKEN)
    if isinstance(caught.value, StopIteration):
        assert (status, caught.value.value.access_token) == (200, document["access_token"])
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("code", ["invalid_grant", "invalid_grant_type"])
def test_a_dead_refresh_token_says_how_to_get_a_new_one_and_where_it_belongs(stage: Any, code: str) -> None:
    answer = answered({"error": code, "error_description": "canary"}, 400)
    with pytest.raises(KlaviyoTokenError) as caught:
        stage.play(refresh(APP, "canary-newest"), [answer])
    assert str(caught.value) == (
        "Klaviyo does not take the refresh token of the OAuth app the-app any more: it was revoked, was not used for "
        "90 days, or was replaced by one that is kept elsewhere or never arrived. Get a new one with `python -m "
        "airflow_provider_klaviyo.oauth --client-id the-app --redirect-uri … --scopes …`, and put it into the "
        "connection's field 'OAuth refresh token' (oauth_refresh_token)"
    )
    assert isinstance(caught.value, KlaviyoKeyError), "no retry can help"
    assert pickle.loads(pickle.dumps(caught.value)).status == 400


def test_an_unknown_app_names_the_two_fields(stage: Any) -> None:
    with pytest.raises(KlaviyoTokenError, match=r"\(oauth_client_id\) and .* \(oauth_client_secret\)$"):
        stage.play(refresh(APP, "canary-newest"), [answered({"error": "invalid_client"}, 401)])


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (Answer(429, {"retry-after": "7"}), KlaviyoRateLimitError),
        (Answer(503), KlaviyoServerError),
        (NoAnswer("ReadError"), KlaviyoConnectionError),
        (answered({"error": "invalid_request"}, 400), KlaviyoInvalidRequestError),
        (answered({"errors": [{"code": "not_found"}]}, 404), KlaviyoNotFoundError),
        (answered({"error": ["canary"]}, 400), KlaviyoAnswerError),
        (Answer(404), KlaviyoAnswerError),
        (Answer(401, {}, b"<html>canary</html>"), KlaviyoAnswerError),
        (Answer(403, {}, b"<html>canary</html>"), KlaviyoAnswerError),
        (Answer(400, {}, b"<html>invalid_grant</html>"), KlaviyoAnswerError),
        (Answer(302, {"location": "https://canary.example.com"}), KlaviyoAnswerError),
    ],
)
def test_anything_else_is_what_it_is_and_is_sent_once(stage: Any, answer: Any, kind: type[KlaviyoError]) -> None:
    with pytest.raises(kind) as caught:
        stage.play(refresh(APP, "canary-newest"), [answer])
    assert type(caught.value) is kind
    assert "canary" not in repr(caught.value)
    assert len(stage.sent) == 1


def test_a_code_is_exchanged_with_its_verifier(stage: Any) -> None:
    proof = {"code": "canary-code", "code_verifier": "canary-verifier", "redirect_uri": "https://shop.example.com/back"}
    assert stage.play(exchange_code("the-app", "canary-secret", **proof), [answered(PAIR)]).access_token
    form = {name: [value] for name, value in proof.items()}
    assert parse_qs(stage.sent[0].body.decode()) == form | {"grant_type": ["authorization_code"]}
    with pytest.raises(KlaviyoTokenError, match=r"does not take the authorization code.*Begin anew") as caught:
        stage.play(exchange_code("the-app", "canary-secret", **proof), [answered({"error": "invalid_grant"}, 400)])
    assert "canary" not in str(caught.value)
    without = {name: value for name, value in PAIR.items() if name != "refresh_token"}
    with pytest.raises(KlaviyoAnswerError):
        stage.play(exchange_code("the-app", "canary-secret", **proof), [answered(without)])
