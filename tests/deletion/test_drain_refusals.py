"""Refusals before anything else may be the fault of the requests, and are not believed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from answers import answer_look, id_in, in_turn, refusing
from records import KEYS, Notes, drain

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAnswerError,
    KlaviyoInvalidRequestError,
)
from airflow_provider_klaviyo.deletion.checkpoint import Checkpoint
from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.work import Work

Connect = Callable[..., KlaviyoClient]


def test_a_profile_that_klaviyo_refuses_does_not_stop_the_others(
    connect: Connect, caplog: pytest.LogCaptureFixture
) -> None:
    outcomes = drain(["A", "B", "C"], connect(handler=refusing("B")))
    assert outcomes == {"A": Outcome.REQUESTED, "B": Outcome.REFUSED, "C": Outcome.REQUESTED}
    assert "Profile B: Klaviyo answered 400" in caplog.text


def test_four_refusals_may_be_four_odd_profiles(connect: Connect) -> None:
    ids = ["A", "B", "C", "D", "E"]
    outcomes = drain(ids, connect(handler=refusing(*ids[:4])))
    assert list(outcomes.values()) == [Outcome.REFUSED] * 4 + [Outcome.REQUESTED]


def test_five_refusals_before_anything_else_are_not(connect: Connect) -> None:
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if looked_up := answer_look(request):
            return looked_up
        asked.append(id_in(request))
        return httpx.Response(400, json={"errors": [{"code": "invalid"}]})

    with pytest.raises(KlaviyoInvalidRequestError):
        drain(list("ABCDEFGH"), connect(handler=answer))
    assert asked == list("ABCDE")


def test_two_refusals_are_not_either_when_there_is_nothing_else(connect: Connect) -> None:
    with pytest.raises(KlaviyoInvalidRequestError, match="every one of the 2 deletions"):
        drain(["A", "B"], connect(handler=refusing("A", "B")))
    assert drain(["A"], connect(handler=refusing("A"))) == {"A": Outcome.REFUSED}


def test_many_refusals_after_a_success_are_outcomes(connect: Connect) -> None:
    ids = ["A", *(f"B{number}" for number in range(20))]
    outcomes = drain(ids, connect(handler=refusing(*ids[1:])))
    assert list(outcomes.values()) == [Outcome.REQUESTED] + [Outcome.REFUSED] * 20


@pytest.mark.parametrize("status", [405, 409, 410, 414, 415, 422])
def test_a_refusal_that_is_not_about_the_profile_stops_it(connect: Connect, status: int) -> None:
    with pytest.raises(KlaviyoInvalidRequestError):
        drain(["A", "B"], connect(handler=refusing("B", status=status)))


def test_refusals_are_noted_in_order_when_something_else_has_come(connect: Connect) -> None:
    notes = Notes()
    drain(list("ABCD"), connect(handler=refusing("A", "B", "D")), record=notes)
    assert notes.noted == [
        ("begin", "A"),
        ("begin", "B"),
        ("begin", "C"),
        ("refused", "A"),
        ("refused", "B"),
        ("requested", "C"),
        ("begin", "D"),
        ("refused", "D"),
    ]


@pytest.mark.parametrize("number", [2, 4, 5, 8])
def test_nothing_but_refusals_is_given_back(connect: Connect, number: int) -> None:
    ids = list("ABCDEFGH")[:number]
    notes = Notes()
    with pytest.raises(KlaviyoInvalidRequestError):
        drain(ids, connect(handler=refusing(*ids)), record=notes)
    begun = [one for what, one in notes.noted if what == "begin"]
    assert begun == ids[:5]
    assert sorted(one for one in notes.noted if one[0] != "begin") == [("give_back", one) for one in begun]


def test_refusals_before_trouble_are_given_back(connect: Connect) -> None:
    notes = Notes()
    refusal = httpx.Response(400, json={"errors": [{"code": "invalid"}]})
    answers = [refusal, refusal, httpx.Response(307, headers={"Location": "https://elsewhere.example.com"})]
    with pytest.raises(KlaviyoAnswerError):
        drain(list("ABCD"), connect(handler=in_turn(*answers)), record=notes)
    assert notes.noted[3:] == [("give_back", "A"), ("give_back", "B")], "and C was begun, and may have been accepted"


def test_the_only_profile_may_be_refused(connect: Connect) -> None:
    notes = Notes()
    assert drain(["A"], connect(handler=refusing("A")), record=notes) == {"A": Outcome.REFUSED}
    assert notes.noted == [("begin", "A"), ("refused", "A")]


@pytest.mark.parametrize("number", [1, 2])
def test_refusals_that_time_has_cut_off_are_given_back(connect: Connect, number: int) -> None:
    notes = Notes()
    ticks = iter([0.0] * (1 + number) + [10.0])
    client = connect(handler=refusing("A", "B", "C"))
    if number == 1:
        assert drain(list("ABC"), client, record=notes, seconds=10, clock=lambda: next(ticks)) == {}
    else:
        with pytest.raises(KlaviyoInvalidRequestError):
            drain(list("ABC"), client, record=notes, seconds=10, clock=lambda: next(ticks))
    assert notes.noted[number:] == [("give_back", one) for one in "ABC"[:number]]


class Store(dict[str, Any]):
    """A task state store."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


def work_of(ids: Sequence[str]) -> Work:
    """Return what there is to do for a list of profile ids."""
    marks = tuple(KEYS.of(Identifier.of(Kind.ID, one)) for one in ids)
    return Work(datetime.now(UTC), len(ids), 0, {}, tuple((one,) for one in ids), marks)


def checkpoint_of(store: Store, ids: Sequence[str]) -> Checkpoint:
    return Checkpoint(store, "now", KEYS, lambda: work_of(ids), None)


def resumed(store: Store, ids: Sequence[str]) -> Checkpoint:
    checkpoint = checkpoint_of(store, ids)
    assert checkpoint.resume()
    return checkpoint


def test_retries_do_not_have_everybody_refused(connect: Connect) -> None:
    ids, store = list("ABCDEFGH"), Store()
    checkpoint_of(store, ids).start(work_of(ids))
    for _ in range(4):
        checkpoint = resumed(store, ids)
        assert checkpoint.done == {}
        with pytest.raises(KlaviyoInvalidRequestError):
            drain(ids, connect(handler=refusing(*ids)), checkpoint.done, checkpoint)
    checkpoint = resumed(store, ids)
    outcomes = drain(ids, connect(handler=refusing("A", "B", "H")), checkpoint.done, checkpoint)
    assert [one for one, outcome in outcomes.items() if outcome is Outcome.REFUSED] == ["A", "B", "H"]
    assert resumed(store, ids).done == outcomes


def test_a_retry_may_begin_with_refusals_when_an_earlier_try_had_something_else(connect: Connect) -> None:
    ids, notes = list("ABCDEFGH"), Notes()
    done = {"A": Outcome.REQUESTED}
    drain(ids, connect(handler=refusing(*ids)), done, notes)
    assert [what for what, _ in notes.noted] == ["begin", "refused"] * 7
