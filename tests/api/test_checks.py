"""A check before each send: when it runs, what it prevents, and that it costs no turn."""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from airflow_provider_klaviyo.api.calls import get_profile, request_profile_deletion
from airflow_provider_klaviyo.api.conversation import Conversation, NoAnswer, Reserve, Send, Sleep, exchange
from airflow_provider_klaviyo.api.endpoints import GET_PROFILE, PROFILE_DELETION
from airflow_provider_klaviyo.api.errors import (
    KlaviyoConnectionError,
    KlaviyoKeyError,
    KlaviyoUnavailableError,
)
from airflow_provider_klaviyo.api.pace import Slot
from airflow_provider_klaviyo.api.permit import NotPermittedError
from airflow_provider_klaviyo.api.resources import deletion_request, profile_request
from airflow_provider_klaviyo.api.wire import Answer, Request
from airflow_provider_klaviyo.ledger.errors import LedgerUnavailableError

DELETION = deletion_request("id", "01H")
LOOK = profile_request("01H")
INTERVAL_SECONDS = 60 / 60 / 0.97
PROFILE = Answer(200, body=json.dumps({"data": {"type": "profile", "id": "01H", "attributes": {}}}).encode())
THROTTLED = Answer(429, {"retry-after": "30"}, b'{"errors": [{"code": "throttled"}]}')
UNAUTHORIZED = Answer(401, body=b'{"errors": [{"code": "not_authenticated"}]}')


def look() -> Conversation[None]:
    yield from get_profile("01H")


def answering(*deletions: Answer | NoAnswer) -> Callable[[Request], Answer | NoAnswer]:
    left = iter(deletions)
    return lambda request: PROFILE if request.endpoint == GET_PROFILE else next(left)


def play(stage: Any, *deletions: Answer | NoAnswer, **checks: Any) -> Any:
    return stage.play(request_profile_deletion("id", "01H", **checks), answering(*deletions))


def test_a_check_runs_a_second_before_the_turn_and_delays_it_by_nothing(stage: Any) -> None:
    for _ in range(20):
        play(stage, Answer(202), before_send=look)
    looks = [at for request, at in zip(stage.sent, stage.sent_at, strict=True) if request == LOOK]
    sends = [at for request, at in zip(stage.sent, stage.sent_at, strict=True) if request == DELETION]
    assert [later - earlier for earlier, later in itertools.pairwise(sends)] == pytest.approx([INTERVAL_SECONDS] * 19)
    assert all(0 <= send - look <= 1 for look, send in zip(looks, sends, strict=True))


def test_a_turn_far_away_is_waited_for_before_the_check(stage: Any) -> None:
    stage.paces.hold("", PROFILE_DELETION.name, 600)
    play(stage, Answer(202), before_send=look)
    look_at, send_at = stage.sent_at
    assert send_at == pytest.approx(600)
    assert send_at - look_at <= 1


def test_a_check_runs_again_before_each_repeated_send(stage: Any) -> None:
    sent: list[Request] = []
    troubles: list[Answer | NoAnswer] = [THROTTLED, Answer(503), NoAnswer("ReadTimeout")]
    play(stage, *troubles, Answer(202), before_send=look, on_send=lambda: sent.append(stage.sent[-1]))
    assert stage.sent == [LOOK, DELETION] * 4
    assert sent == [LOOK] * 4
    assert all(send - look <= 1 for look, send in zip(stage.sent_at[::2], stage.sent_at[1::2], strict=True))


def test_a_turn_that_is_void_after_the_check_has_it_run_again_if_the_next_is_far_away() -> None:
    looks: list[int] = []

    def check() -> Conversation[None]:
        looks.append(len(looks))
        yield Sleep(0.1)

    talk: Conversation[Any] = exchange(DELETION, before_send=check)
    next(talk)
    first, second = Slot(at=1, wait_seconds=0.5), Slot(at=31, wait_seconds=30)
    assert talk.send(first) == Sleep(0.1)
    assert talk.send(None) == Reserve(PROFILE_DELETION, first, 660)
    assert talk.send(Slot(at=1, wait_seconds=0.4)) == Sleep(0.4)
    talk.send(None)
    assert looks == [0]
    assert talk.send(second) == Sleep(28), "a check that came too late begins earlier the next time"
    talk.send(None)
    assert talk.send(Slot(at=31, wait_seconds=2)) == Sleep(0.1)
    assert looks == [0, 1]
    talk.send(None)
    assert talk.send(Slot(at=31, wait_seconds=0)) == Send(DELETION)


def test_a_turn_that_is_exchanged_for_a_near_one_keeps_its_check() -> None:
    looks: list[int] = []

    def check() -> Conversation[None]:
        looks.append(len(looks))
        yield Sleep(0.1)

    talk: Conversation[Any] = exchange(DELETION, before_send=check)
    next(talk)
    talk.send(Slot(at=1, wait_seconds=0))
    talk.send(None)
    near = Slot(at=2, wait_seconds=0.7)
    assert talk.send(near) == Sleep(0.7)
    talk.send(None)
    assert talk.send(Slot(at=2, wait_seconds=0)) == Send(DELETION)
    assert looks == [0]


def test_checks_that_take_long_do_not_send_all_who_were_stalled_at_once(stage: Any) -> None:
    def slow() -> Conversation[None]:
        yield Sleep(30)

    waiting: list[Conversation[Any]] = [exchange(DELETION, before_send=slow) for _ in range(2)]
    first = stage.paces.reserve("", PROFILE_DELETION.name, INTERVAL_SECONDS)
    stage.now += 30
    again = stage.paces.reserve("", PROFILE_DELETION.name, INTERVAL_SECONDS, first)
    assert again.at >= stage.now, "a turn that was missed is void"
    for talk in waiting:
        stage.play(talk, answering(Answer(202)))
    first_at, second_at = stage.sent_at
    assert second_at - first_at >= INTERVAL_SECONDS


@pytest.mark.parametrize("place", ["before_send", "on_send"])
@pytest.mark.parametrize(
    ("earlier", "in_doubt"),
    [([], False), ([THROTTLED], False), ([NoAnswer("ReadTimeout")], True), ([Answer(503), THROTTLED], True)],
)
def test_nothing_is_sent_without_permission_and_an_earlier_send_is_in_doubt(
    stage: Any, place: str, earlier: list[Answer | NoAnswer], in_doubt: bool
) -> None:
    runs = iter(range(len(earlier) + 1))

    def forbid_the_last() -> None:
        if next(runs) == len(earlier):
            raise NotPermittedError("the plan was withdrawn")

    def check() -> Conversation[None]:
        yield Sleep(0.1)
        forbid_the_last()

    checks = {"before_send": check} if place == "before_send" else {"on_send": forbid_the_last}
    with pytest.raises(NotPermittedError, match="withdrawn") as caught:
        play(stage, *earlier, **checks)
    assert caught.value.in_doubt is in_doubt
    assert pickle.loads(pickle.dumps(caught.value)).in_doubt is in_doubt
    assert stage.sent == [DELETION] * len(earlier)


def test_an_error_of_a_check_goes_through_and_says_what_an_earlier_send_did(stage: Any) -> None:
    runs: list[None] = []

    def check() -> Conversation[None]:
        runs.append(None)
        yield Sleep(0)
        if len(runs) == 2:
            raise KlaviyoUnavailableError("no look")

    with pytest.raises(KlaviyoUnavailableError, match="no look") as caught:
        play(stage, NoAnswer("ReadTimeout"), before_send=check)
    assert caught.value.in_doubt
    assert stage.sent == [DELETION]


def test_any_other_error_prevents_the_send_too(stage: Any) -> None:
    def refuse() -> None:
        raise LedgerUnavailableError("the ledger is away")

    with pytest.raises(LedgerUnavailableError):
        play(stage, on_send=refuse)
    assert stage.sent == []


def test_a_new_access_token_does_not_exempt_from_the_check(stage: Any) -> None:
    stage.can_renew = True
    permissions = iter([True, False])

    def check() -> Conversation[None]:
        yield Sleep(0)
        if not next(permissions):
            raise NotPermittedError("withdrawn meanwhile")

    with pytest.raises(NotPermittedError) as caught:
        stage.play(request_profile_deletion("id", "01H", before_send=check), lambda _: UNAUTHORIZED)
    assert not caught.value.in_doubt
    assert stage.renewals == 1
    assert stage.sent.count(DELETION) == 1


def test_a_check_is_not_run_for_what_is_asked_to_explain_a_401(stage: Any) -> None:
    runs: list[None] = []
    with pytest.raises(KlaviyoKeyError):
        stage.play(request_profile_deletion("id", "01H", on_send=lambda: runs.append(None)), lambda _: UNAUTHORIZED)
    assert len(runs) == 1
    assert len(stage.sent) == 3


def test_a_send_without_an_answer_is_told_from_one_that_was_never_made(stage: Any) -> None:
    runs: list[None] = []
    with pytest.raises(KlaviyoConnectionError):
        stage.play(
            request_profile_deletion("id", "01H", patience_seconds=0, on_send=lambda: runs.append(None)),
            [NoAnswer("ReadTimeout")],
        )
    assert len(runs) == 1
