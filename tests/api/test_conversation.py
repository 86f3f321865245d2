"""What is said, when, and how long it is waited for: played by hand, without a network and without a clock."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.api.calls import request_profile_deletion
from airflow_provider_klaviyo.api.conversation import (
    Conversation,
    Heed,
    Identify,
    NoAnswer,
    Reserve,
    Send,
    Sleep,
    exchange,
)
from airflow_provider_klaviyo.api.credentials import PRIVATE_KEY
from airflow_provider_klaviyo.api.endpoints import PROFILE_DELETION, Endpoint
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAnswerError,
    KlaviyoConnectionError,
    KlaviyoError,
    KlaviyoNotFoundError,
    KlaviyoRateLimitError,
    KlaviyoServerError,
    KlaviyoUnavailableError,
)
from airflow_provider_klaviyo.api.pace import Limit, RateLimit, Slot
from airflow_provider_klaviyo.api.resources import deletion_request
from airflow_provider_klaviyo.api.wire import Answer, Request

REQUEST = deletion_request("id", "01H")
ACCEPTED = Answer(202)
INTERVAL_SECONDS = 60 / 60 / 0.97
LONGEST_TURN_SECONDS = 660


def refused(status: int, headers: dict[str, str] | None = None) -> Answer:
    return Answer(status, headers or {}, json.dumps({"errors": [{"id": "e-1", "code": "no"}]}).encode())


def throttled(retry_after: str | None) -> Answer:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    return Answer(429, headers, json.dumps({"errors": [{"id": "e-1", "code": "throttled"}]}).encode())


def test_a_call_waits_for_its_turn_and_asks_again_whether_it_still_stands() -> None:
    talk: Conversation[Any] = exchange(REQUEST)
    assert next(talk) == Reserve(PROFILE_DELETION, None, LONGEST_TURN_SECONDS)
    slot = Slot(at=10, wait_seconds=4)
    assert talk.send(slot) == Sleep(4)
    assert talk.send(None) == Reserve(PROFILE_DELETION, slot, LONGEST_TURN_SECONDS)
    later = Slot(at=30, wait_seconds=20)
    assert talk.send(later) == Sleep(20)
    assert talk.send(None) == Reserve(PROFILE_DELETION, later, LONGEST_TURN_SECONDS)
    assert talk.send(Slot(at=30, wait_seconds=0)) == Send(REQUEST)
    with pytest.raises(StopIteration) as stop:
        talk.send(ACCEPTED)
    assert stop.value.value is ACCEPTED


def test_the_headers_of_every_answer_are_heeded() -> None:
    talk: Conversation[Any] = exchange(REQUEST)
    next(talk)
    assert talk.send(Slot(0, 0)) == Send(REQUEST)
    answer = refused(404, {"ratelimit-remaining": "0", "ratelimit-reset": "1"})
    assert talk.send(answer) == Heed(PROFILE_DELETION, RateLimit(0, 1))
    with pytest.raises(KlaviyoError):
        talk.send(None)


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_every_success_ends_it(stage: Any, status: int) -> None:
    assert stage.play(exchange(REQUEST), [Answer(status)]).status == status


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 410, 414, 415])
def test_what_waiting_will_not_mend_is_said_once(stage: Any, status: int) -> None:
    with pytest.raises(KlaviyoError) as caught:
        stage.play(exchange(REQUEST), [refused(status)])
    assert not isinstance(caught.value, KlaviyoUnavailableError)
    assert caught.value.status == status
    assert len(stage.sent) == 1


@pytest.mark.parametrize("trouble", [throttled("7"), Answer(503), Answer(502), Answer(408), NoAnswer("ReadTimeout")])
def test_what_waiting_mends_is_waited_out(stage: Any, trouble: Answer | NoAnswer) -> None:
    assert stage.play(exchange(REQUEST), [trouble, trouble, ACCEPTED]) is ACCEPTED
    assert stage.sent == [REQUEST] * 3


@pytest.mark.parametrize("seconds", [1, 7, 60, 599])
def test_retry_after_is_waited_for_exactly(stage: Any, seconds: int) -> None:
    stage.play(exchange(REQUEST), [throttled(str(seconds)), ACCEPTED])
    first, second = stage.sent_at
    assert second - first == pytest.approx(max(seconds, INTERVAL_SECONDS))


def test_a_retry_after_of_zero_keeps_the_even_pace(stage: Any) -> None:
    stage.play(exchange(REQUEST), [throttled("0"), ACCEPTED])
    first, second = stage.sent_at
    assert second - first == pytest.approx(INTERVAL_SECONDS)


def test_zeros_without_end_use_the_patience_up(stage: Any) -> None:
    with pytest.raises(KlaviyoRateLimitError):
        stage.play(exchange(REQUEST, patience_seconds=20), lambda _: throttled("0"))
    assert len(stage.sent) <= 22
    assert stage.now >= 20


@pytest.mark.parametrize("trouble", [throttled(None), throttled("soon"), NoAnswer("ConnectError"), Answer(500)])
def test_without_retry_after_the_pauses_grow_from_a_second_to_a_minute(stage: Any, trouble: Answer | NoAnswer) -> None:
    stage.play(exchange(REQUEST), [trouble] * 9 + [ACCEPTED])
    pauses = [later - earlier for earlier, later in zip(stage.sent_at, stage.sent_at[1:], strict=False)]
    assert pauses == pytest.approx([INTERVAL_SECONDS, 2, 4, 8, 16, 32, 60, 60, 60])


def test_a_wait_beyond_the_patience_is_refused_before_it_begins(stage: Any) -> None:
    with pytest.raises(KlaviyoRateLimitError) as caught:
        stage.play(exchange(REQUEST, patience_seconds=60), [throttled("61")])
    assert caught.value.retry_after_seconds == 61
    assert caught.value.error_id == "e-1"
    assert sum(stage.slept) == pytest.approx(1)
    assert len(stage.sent) == 1


@pytest.mark.parametrize("text", ["86400", "9" * 15, "9" * 200])
def test_an_absurd_wait_is_refused_with_its_number(stage: Any, text: str) -> None:
    with pytest.raises(KlaviyoRateLimitError) as caught:
        stage.play(exchange(REQUEST), [throttled(text)])
    assert caught.value.retry_after_seconds == float(text)
    assert sum(stage.slept) < 2


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        (throttled(None), KlaviyoRateLimitError),
        (Answer(503), KlaviyoServerError),
        (NoAnswer("ReadTimeout"), KlaviyoConnectionError),
    ],
)
def test_lasting_trouble_ends_in_an_error_that_says_how_long_to_wait(
    stage: Any, trouble: Answer | NoAnswer, kind: type[KlaviyoError]
) -> None:
    with pytest.raises(kind) as caught:
        stage.play(exchange(REQUEST, patience_seconds=10), lambda _: trouble)
    assert caught.value.retry_after_seconds == 8
    assert sum(stage.slept) < 10 + len(stage.sent) * INTERVAL_SECONDS


def test_no_patience_means_no_second_try(stage: Any) -> None:
    with pytest.raises(KlaviyoConnectionError, match="ConnectTimeout"):
        stage.play(exchange(REQUEST, patience_seconds=0), [NoAnswer("ConnectTimeout")])
    assert len(stage.sent) == 1


def test_a_turn_too_far_away_is_refused_without_waiting(stage: Any) -> None:
    stage.paces.hold("", PROFILE_DELETION.name, 1_000)
    with pytest.raises(KlaviyoRateLimitError, match="1,000 s away") as caught:
        stage.play(exchange(REQUEST), [])
    assert caught.value.retry_after_seconds == 1_000
    assert (stage.slept, stage.sent) == ([], [])


def test_a_429_keeps_everybody_else_off_as_well(stage: Any) -> None:
    stage.play(exchange(REQUEST), [throttled("30"), ACCEPTED])
    stage.play(exchange(REQUEST), [ACCEPTED])
    first, second, third = stage.sent_at
    assert second - first == pytest.approx(30)
    assert third - second == pytest.approx(INTERVAL_SECONDS)


def test_somebody_elses_traffic_slows_down_before_it_gets_refused(stage: Any) -> None:
    short = Answer(202, {"ratelimit-remaining": "4", "ratelimit-reset": "40"})
    stage.play(exchange(REQUEST), [short])
    stage.play(exchange(REQUEST), [ACCEPTED])
    first, second = stage.sent_at
    assert second - first == pytest.approx(10)


troubles = st.sampled_from(
    [throttled("0"), throttled("3"), throttled("100"), throttled(None), Answer(503), NoAnswer("ReadError")]
)


@given(st.lists(troubles, max_size=30), st.floats(min_value=0, max_value=300))
def test_the_patience_is_never_overdrawn(happens: list[Answer | NoAnswer], patience_seconds: float) -> None:
    waited = next_wait = 0.0
    talk: Conversation[Any] = exchange(REQUEST, patience_seconds=patience_seconds)
    script = iter([*happens, ACCEPTED])
    outcome: Any = None
    try:
        while True:
            step = talk.send(outcome)
            match step:
                case Reserve():
                    outcome = Slot(0, 0)
                case Send():
                    waited, next_wait = waited + next_wait, 0.0
                    outcome = next(script)
                case Identify():
                    outcome = PRIVATE_KEY
                case _:
                    next_wait += getattr(step, "seconds", 0)
                    outcome = None
    except (StopIteration, KlaviyoUnavailableError):
        assert waited <= patience_seconds


def test_when_one_gives_up_so_do_all_others_at_once(stage: Any) -> None:
    with pytest.raises(KlaviyoRateLimitError, match="due in 3,600 s"):
        stage.play(exchange(REQUEST), [throttled("3600")])
    waited = sum(stage.slept)
    for _ in range(1_000):
        with pytest.raises(KlaviyoRateLimitError, match="720 s away"):
            stage.play(exchange(REQUEST), [])
    assert (len(stage.sent), sum(stage.slept)) == (1, waited), "nobody waits for what cannot help"


def test_who_comes_minutes_after_somebody_gave_up_waits_and_asks_again(stage: Any) -> None:
    with pytest.raises(KlaviyoRateLimitError, match="due in 36,000,000 s"):
        stage.play(exchange(REQUEST), [throttled("36000000")])
    stage.now += 120
    stage.play(exchange(REQUEST), [ACCEPTED])
    refused, accepted = stage.sent_at
    assert accepted - refused == pytest.approx(720)


def test_all_behind_a_hold_that_is_waited_out_have_a_turn(stage: Any) -> None:
    stage.paces.hold("", PROFILE_DELETION.name, 600)
    for _ in range(50):
        talk: Conversation[Any] = exchange(REQUEST)
        next(talk)
        assert isinstance(talk.send(stage.paces.reserve("", PROFILE_DELETION.name, INTERVAL_SECONDS)), Sleep)


def test_a_redirect_says_why_it_is_not_followed(stage: Any) -> None:
    with pytest.raises(KlaviyoAnswerError, match="not followed because the key would go along"):
        stage.play(exchange(REQUEST), [Answer(307, {"location": "https://elsewhere.example.com"})])


STATUSES = [100, 301, 302, 307, 400, 401, 403, 404, 405, 409, 410, 411, 414, 415, 418, 451, 600]
NOT_OF_THE_API = [
    b"",
    b"<html><h1>Forbidden</h1></html>",
    b"null",
    b"[]",
    b'"errors"',
    b"{}",
    b'{"message": "Forbidden"}',
    b'{"errors": null}',
    b'{"errors": []}',
    b'{"errors": {}}',
    b'{"errors": "canary"}',
    b'{"errors": ["canary"]}',
    b'{"errors": [{"message": "canary"}]}',
    b'{"success": false, "errors": [{"code": 1020, "message": "canary"}]}',
    b'{"errors": [{"code": "no"}, "canary"]}',
    b"\xff",
    b"[" * 200_000,
]


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("body", NOT_OF_THE_API)
def test_what_does_not_come_from_the_api_is_waited_out_whatever_its_status(
    stage: Any, status: int, body: bytes
) -> None:
    trouble = Answer(status, {}, body)
    assert stage.play(exchange(REQUEST), [trouble, trouble, ACCEPTED]) is ACCEPTED
    assert len(stage.sent) == 3


@pytest.mark.parametrize("status", STATUSES)
def test_what_does_not_come_from_the_api_is_no_refusal_when_it_lasts(stage: Any, status: int) -> None:
    with pytest.raises(KlaviyoAnswerError) as caught:
        stage.play(exchange(REQUEST), lambda _: Answer(status, {}, b"<html>canary</html>"))
    assert caught.value.status == status
    assert "canary" not in str(caught.value)
    assert caught.value.in_doubt
    assert 300 <= status < 400 or "not Klaviyo's API that says so" in str(caught.value)


def test_what_does_not_come_from_the_api_is_waited_out_as_long_as_it_says(stage: Any) -> None:
    stage.play(exchange(REQUEST), [Answer(403, {"retry-after": "40"}, b"<html>"), ACCEPTED])
    first, second = stage.sent_at
    assert second - first == pytest.approx(40)


def test_what_does_not_come_from_the_api_may_have_been_carried_out(stage: Any) -> None:
    with pytest.raises(KlaviyoAnswerError, match="may have been carried out") as caught:
        stage.play(exchange(REQUEST, is_repeatable=False), [Answer(403, {}, b"<html>")])
    assert caught.value.in_doubt
    assert len(stage.sent) == 1


def test_an_answer_to_a_head_has_no_body_to_be_known_by(stage: Any) -> None:
    head = Request(Endpoint("head", "HEAD", "/api/lists", (), Limit(1, 15)), "/api/lists")
    with pytest.raises(KlaviyoNotFoundError):
        stage.play(exchange(head), [Answer(404)])


def test_a_success_that_cannot_be_read_is_waited_out(stage: Any) -> None:
    def read(answer: Answer) -> str:
        if answer.body != b"good":
            raise KlaviyoAnswerError("cannot be read")
        return "read"

    bad, good = Answer(200, {}, b"bad"), Answer(200, {}, b"good")
    assert stage.play(exchange(REQUEST, read), [bad, bad, good]) == "read"
    with pytest.raises(KlaviyoAnswerError, match="cannot be read") as caught:
        stage.play(exchange(REQUEST, read), lambda _: bad)
    assert (caught.value.status, caught.value.in_doubt) == (200, True)


@pytest.mark.parametrize("answer", [Answer(200, {}, b"<html>"), Answer(202, {}, b"<html>")])
def test_a_host_that_is_not_klaviyo_is_waited_for_ten_seconds_only(stage: Any, answer: Answer) -> None:
    with pytest.raises(KlaviyoAnswerError, match="due in 8 s"):
        stage.play(request_profile_deletion("id", "01H"), lambda _: answer)
    assert len(stage.sent) == 4
    assert stage.now < 12


@pytest.mark.parametrize(
    ("earlier", "in_doubt"),
    [
        ([], False),
        ([throttled("1")], False),
        ([NoAnswer("ReadTimeout")], True),
        ([Answer(503)], True),
        ([Answer(408)], True),
        ([NoAnswer("ReadError"), throttled("1")], True),
        ([throttled("1"), Answer(502), throttled("1")], True),
        ([Answer(403, {}, b"<html>")], True),
        ([Answer(307)], True),
    ],
)
@pytest.mark.parametrize("last", [refused(400), refused(401), refused(403), refused(404), throttled("3600")])
def test_an_error_says_whether_an_earlier_send_may_have_been_carried_out(
    stage: Any, earlier: list[Answer | NoAnswer], in_doubt: bool, last: Answer
) -> None:
    with pytest.raises(KlaviyoError) as caught:
        stage.play(exchange(REQUEST), [*earlier, last])
    assert caught.value.in_doubt is in_doubt
    assert pickle.loads(pickle.dumps(caught.value)).in_doubt is in_doubt


def test_a_turn_that_is_too_far_away_leaves_a_lost_send_in_doubt() -> None:
    talk: Conversation[Any] = exchange(REQUEST)
    next(talk)
    assert talk.send(Slot(0, 0)) == Send(REQUEST)
    assert isinstance(talk.send(NoAnswer("ReadTimeout")), Sleep)
    assert isinstance(talk.send(None), Reserve)
    with pytest.raises(KlaviyoRateLimitError, match="away") as caught:
        talk.send(Slot(10_000, 10_000))
    assert caught.value.in_doubt


def test_an_error_made_by_hand_is_in_doubt_if_it_says_so() -> None:
    assert not KlaviyoError("why").in_doubt
    assert pickle.loads(pickle.dumps(KlaviyoError("why", in_doubt=True))).in_doubt
