"""Any call: on whose pace, in whose logs, and how often."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.api.conversation import NoAnswer
from airflow_provider_klaviyo.api.endpoints import ENDPOINTS, GET_PROFILE, PROFILE_DELETION, UPDATE_PROFILE
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAnswerError,
    KlaviyoAuthenticationError,
    KlaviyoConfigurationError,
    KlaviyoConnectionError,
    KlaviyoError,
    KlaviyoPermissionError,
    KlaviyoServerError,
)
from airflow_provider_klaviyo.api.generic import SLOWEST, call, endpoint_of, generic_request
from airflow_provider_klaviyo.api.pace import Limit
from airflow_provider_klaviyo.api.wire import Answer, Request

DONE = Answer(200, {}, b'{"data": []}')
THROTTLED = Answer(429, {"retry-after": "1"})


def refused(status: int) -> Answer:
    return Answer(status, {}, b'{"errors": [{"code": "no"}]}')


@pytest.mark.parametrize("endpoint", ENDPOINTS.values(), ids=str)
def test_a_known_endpoint_is_that_endpoint(endpoint: Any) -> None:
    path = endpoint.path.replace("{id}", "01HZZZZZZZZZZZZZZZZZZZZZZZ")
    assert endpoint_of(endpoint.method, path, Limit(350, 3500)) is endpoint
    assert endpoint_of(endpoint.method, f"{path}/", Limit(350, 3500)) is endpoint


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "/api/lists", "GET /api/lists"),
        ("GET", "/api/lists/Y6nRLr", "GET /api/lists/{id}"),
        ("GET", "/api/lists/abcdef", "GET /api/lists/{id}"),
        ("POST", "/api/lists/Y6nRLr/relationships/profiles", "POST /api/lists/{id}/relationships/profiles"),
        ("GET", "/api/catalog-items/a.b-C_1/variants/7", "GET /api/catalog-items/{id}/variants/{id}"),
        ("DELETE", "/api/profiles/01HZZZ", "DELETE /api/profiles/{id}"),
        ("POST", "/client/subscriptions", "POST /client/subscriptions"),
        ("POST", f"/api/{'x' * 100}", f"POST /api/{'x' * 54}"),
    ],
)
def test_another_one_has_a_pace_of_its_own_whatever_the_id(method: str, path: str, name: str) -> None:
    endpoint = endpoint_of(method, path, Limit(3, 60))
    assert (endpoint.name, endpoint.limit) == (name, Limit(3, 60))
    assert endpoint_of(method, path).limit == SLOWEST == Limit(1, 15)


@pytest.mark.parametrize(
    "path",
    [
        "api/lists",
        "/lists",
        "/api",
        "/api/",
        "/API/lists",
        "/oauth/token",
        "//api/lists",
        "/api//lists",
        "/api/lists//",
        "/api/../oauth/token",
        "/api/lists/..",
        "/api/lists/a..b",
        "/api/./lists",
        "/api/profiles/canary@example.com",
        "/api/profiles/canary%40example.com",
        "/api/profiles/+15005550006",
        "/api/profiles?filter=equals(email,'canary@example.com')",
        "/api/profiles#canary",
        "/api/profiles/canary tweet",
        "/api/profiles/canary\r\nX: y",
        "/api/profiles/canary\n",
        "/api/profiles/canärie",
        "/api/profiles/\u0661",
        "https://elsewhere.example.com/api/lists",
        "/api/lists\\canary",
        "/api/" + "x" * 500,
        "",
        None,
        7,
    ],
)
def test_a_path_that_may_be_about_somebody_is_refused(path: Any) -> None:
    with pytest.raises(KlaviyoConfigurationError, match="must begin with /api/ or /client/") as caught:
        generic_request("GET", path)
    assert "canary" not in str(caught.value)


@given(st.text(max_size=40).map(lambda text: f"/api/profiles/{text}"))
def test_whatever_gets_through_is_plain(path: str) -> None:
    try:
        request = generic_request("GET", path)
    except KlaviyoConfigurationError:
        return
    assert request.path == path
    assert not set(path) & set("@%+?#&= \\")
    assert path.isascii()


@pytest.mark.parametrize("method", ["get", "TRACE", "CONNECT", "", None, "GET /api/lists"])
def test_a_method_that_there_is_not_is_refused(method: Any) -> None:
    with pytest.raises(KlaviyoConfigurationError, match="method must be one of DELETE, GET, HEAD, PATCH, POST, PUT"):
        generic_request(method, "/api/lists")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"params": {"filter": None}}, "params must be"),
        ({"params": {"filter": ["canary"]}}, "params must be"),
        ({"params": {7: "canary"}}, "params must be"),
        ({"params": {"filter": "canary\ud800"}}, "surrogate"),
        ({"params": {"page[size]": 10**5_000}}, "thousands of digits"),
        ({"limit": Limit(0, 15)}, "limit must be"),
        ({"limit": Limit(1, float("inf"))}, "limit must be"),
        ({"limit": Limit(1, float("nan"))}, "limit must be"),
        ({"body": {"data": {}}}, "a GET has no body"),
        ({"revision": "canary"}, "revision must look like"),
        ({"revision": "2026-07-15\r\nX: y"}, "revision must look like"),
    ],
)
def test_what_cannot_be_sent_is_refused_in_words(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(KlaviyoConfigurationError, match=message) as caught:
        generic_request("GET", "/api/lists", **arguments)
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("body", ["canary", b"canary", 7, {"at": object()}, {"x": float("nan")}, {"x": {1, 2}}])
def test_what_is_no_json_is_refused_in_words(body: Any) -> None:
    with pytest.raises(KlaviyoConfigurationError, match="json ") as caught:
        generic_request("POST", "/api/lists", body=body)
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_circle_is_no_json() -> None:
    circle: dict[str, Any] = {}
    circle["data"] = circle
    with pytest.raises(KlaviyoConfigurationError, match="json has something in it"):
        generic_request("POST", "/api/lists", body=circle)


def test_parameters_body_and_revision_are_sent_and_not_shown() -> None:
    request = generic_request(
        "POST",
        "/api/lists",
        params={"filter": 'equals(email,"canary@example.com")', "page[size]": 10, "sure": True},
        body={"data": {"name": "canary"}},
        revision="2026-07-15.pre",
    )
    assert request.query == "filter=equals%28email%2C%22canary%40example.com%22%29&page%5Bsize%5D=10&sure=true"
    assert json.loads(request.body or b"") == {"data": {"name": "canary"}}
    assert request.headers == {"revision": "2026-07-15.pre"}
    assert "canary" not in repr(request)


def ask(stage: Any, method: str, script: Any, *, is_repeatable: bool) -> Any:
    return stage.play(call(generic_request(method, "/api/lists"), is_repeatable=is_repeatable), script)


@pytest.mark.parametrize("trouble", [Answer(503), Answer(500), NoAnswer("ReadTimeout"), THROTTLED])
def test_what_may_be_sent_twice_is(stage: Any, trouble: Any) -> None:
    assert ask(stage, "GET", [trouble, DONE], is_repeatable=True) == {"data": []}
    assert len(stage.sent) == 2


def test_what_may_not_is_sent_again_after_a_429_only(stage: Any) -> None:
    assert ask(stage, "POST", [THROTTLED, THROTTLED, DONE], is_repeatable=False) == {"data": []}
    assert len(stage.sent) == 3


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (Answer(503), KlaviyoServerError),
        (Answer(500), KlaviyoServerError),
        (Answer(408), KlaviyoServerError),
        (NoAnswer("ReadTimeout"), KlaviyoConnectionError),
    ],
)
def test_a_lost_answer_is_in_doubt_and_not_asked_for_again(stage: Any, trouble: Any, kind: type[KlaviyoError]) -> None:
    with pytest.raises(kind, match="may have been carried out all the same, and was not sent again") as caught:
        ask(stage, "POST", [THROTTLED, trouble], is_repeatable=False)
    assert caught.value.in_doubt
    assert len(stage.sent) == 2


def test_a_refusal_is_beyond_doubt(stage: Any) -> None:
    with pytest.raises(KlaviyoError) as caught:
        ask(stage, "POST", [THROTTLED, refused(400)], is_repeatable=False)
    assert not caught.value.in_doubt


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (Answer(204), None),
        (Answer(202), None),
        (Answer(200, {"content-encoding": "identity"}), None),
        (Answer(200, {}, b'{"meta": {"count": 1}}'), {"meta": {"count": 1}}),
    ],
)
def test_the_document_is_returned_or_nothing(stage: Any, answer: Answer, expected: Any) -> None:
    assert ask(stage, "GET", [answer], is_repeatable=True) == expected


@pytest.mark.parametrize(
    "answer",
    [
        Answer(200, {}, b"<html>canary</html>"),
        Answer(200, {}, b"[]"),
        Answer(200, {}, b"7"),
        Answer(200, {}, b"\xff"),
        Answer(200, {}, b'{"data": [], "errors": [{"code": "invalid"}]}'),
        Answer(200, {}, b"[" * 200_000),
        Answer(200, {"content-encoding": "gzip"}),
    ],
)
@pytest.mark.parametrize("is_repeatable", [True, False])
def test_what_is_no_document_is_not_believed(stage: Any, answer: Answer, is_repeatable: bool) -> None:
    with pytest.raises(KlaviyoAnswerError) as caught:
        ask(stage, "POST", lambda _: answer, is_repeatable=is_repeatable)
    assert "canary" not in str(caught.value)
    assert caught.value.in_doubt
    assert is_repeatable or len(stage.sent) == 1


def test_calls_of_one_endpoint_keep_one_pace(stage: Any) -> None:
    for list_id in ("Y6nRLr", "Zzzzzz", "AbC123"):
        stage.play(call(generic_request("GET", f"/api/lists/{list_id}"), is_repeatable=True), [DONE])
    stage.play(call(generic_request("GET", "/api/segments"), is_repeatable=True), [DONE])
    interval = SLOWEST.interval_seconds(0.97)
    first, second, third, other = stage.sent_at
    assert (second - first, third - second) == pytest.approx((interval, interval))
    assert other - third <= 1


@pytest.mark.parametrize(
    ("answer", "kind"), [(refused(403), KlaviyoPermissionError), (refused(401), KlaviyoAuthenticationError)]
)
def test_a_refusal_says_where_to_look_for_the_scope(stage: Any, answer: Answer, kind: type[KlaviyoError]) -> None:
    def answers(request: Request) -> Answer:
        return DONE if request.endpoint in ENDPOINTS.values() else answer

    with pytest.raises(kind, match="the scope that Klaviyo's reference names for it, or"):
        ask(stage, "GET", answers, is_repeatable=True)


def test_an_error_names_the_endpoint_without_the_id(stage: Any) -> None:
    with pytest.raises(KlaviyoError, match=r"to GET /api/lists/\{id\}"):
        stage.play(call(generic_request("GET", "/api/lists/Y6nRLr"), is_repeatable=True), [refused(404)])


def test_known_ones_are_shared_with_their_scopes() -> None:
    assert endpoint_of("PATCH", "/api/profiles/01H") is UPDATE_PROFILE
    assert endpoint_of("GET", "/api/profiles/01H") is GET_PROFILE
    assert endpoint_of("POST", "/api/data-privacy-deletion-jobs") is PROFILE_DELETION


def test_no_log_shows_what_is_asked(run: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(404, json={"errors": [{"detail": "canary@example.com"}]})

    caplog.set_level(logging.DEBUG)
    request = generic_request(
        "DELETE", "/api/lists/Y6nRLr", params={"q": "canary"}, body={"data": [{"id": "canary"}]}, revision="2026-10-15"
    )
    with pytest.raises(KlaviyoError) as caught:
        run(call(request, is_repeatable=True), handler)
    (sent,) = asked
    assert (sent.method, sent.url.raw_path) == ("DELETE", b"/api/lists/Y6nRLr?q=canary")
    assert sent.headers["revision"] == "2026-10-15"
    assert "canary" not in f"{caplog.text} {caught.value!r}"
