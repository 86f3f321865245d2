"""Look-ups find everybody: in pages, and by halves where Klaviyo will not take the whole."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_klaviyo.api.calls import (
    find_all_profiles,
    find_profiles,
    get_account,
    get_profile,
    request_profile_deletion,
)
from airflow_provider_klaviyo.api.conversation import Reserve, Send
from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError, KlaviyoInvalidRequestError, KlaviyoPermissionError
from airflow_provider_klaviyo.api.pace import Slot
from airflow_provider_klaviyo.api.wire import Answer, Request
from airflow_provider_klaviyo.emulator.filters import Filter

BAD_FILTER = Answer(400, {}, json.dumps({"errors": [{"code": "invalid", "source": {"parameter": "filter"}}]}).encode())
TOO_LONG = Answer(414, {}, b"<html>Request-URI Too Long</html>")


def asked(request: Request) -> tuple[str, ...]:
    return Filter.parse(parse_qs(request.query)["filter"][0], max_values=10_000).values


def page(values: tuple[str, ...], cursor: str | None = None) -> Answer:
    people = [{"id": f"P{value}", "attributes": {"email": value}} for value in values]
    link = f"https://elsewhere.example.com/?page%5Bcursor%5D={cursor}" if cursor else None
    return Answer(200, {}, json.dumps({"data": people, "links": {"next": link}}).encode())


class Directory:
    """Klaviyo with a limit to what it looks up in one call, and with values that it does not take."""

    def __init__(self, most: int, refusal: Answer = BAD_FILTER, bad: frozenset[str] = frozenset()) -> None:
        self.most = most
        self.refusal = refusal
        self.bad = bad

    def __call__(self, request: Request) -> Answer:
        values = asked(request)
        return self.refusal if len(values) > self.most or self.bad.intersection(values) else page(values)


@pytest.mark.parametrize("refusal", [BAD_FILTER, TOO_LONG])
@pytest.mark.parametrize("most", [1, 7, 50])
def test_a_look_up_that_is_too_long_is_halved_until_it_is_not(stage: Any, refusal: Answer, most: int) -> None:
    values = [f"{number}" for number in range(100)]
    found = stage.play(find_profiles("email", values), Directory(most, refusal))
    assert [profile.email for profile in found.profiles] == values
    assert found.refused == ()


def test_halving_goes_down_to_the_one_value_that_is_not_taken(stage: Any) -> None:
    values = [f"{number}" for number in range(100)]
    found = stage.play(find_profiles("email", values), Directory(100, bad=frozenset({"37"})))
    assert found.refused == ("37",)
    assert [profile.email for profile in found.profiles] == [value for value in values if value != "37"]
    assert len(stage.sent) <= 15


def test_one_value_that_is_not_taken_is_a_result(stage: Any) -> None:
    assert stage.play(find_profiles("email", ["x"]), [BAD_FILTER]).refused == ("x",)


def test_several_values_of_which_none_is_taken_are_an_error(stage: Any) -> None:
    with pytest.raises(KlaviyoInvalidRequestError, match="400 invalid"):
        stage.play(find_profiles("email", ["x", "y", "z"]), lambda _: BAD_FILTER)


@pytest.mark.parametrize("source", [{"parameter": "page[size]"}, {"pointer": "/data"}, None])
def test_a_400_about_something_else_is_not_halved(stage: Any, source: object) -> None:
    refusal = Answer(400, {}, json.dumps({"errors": [{"code": "invalid", "source": source}]}).encode())
    with pytest.raises(KlaviyoInvalidRequestError):
        stage.play(find_profiles("email", ["x", "y"]), [refusal])
    assert len(stage.sent) == 1


def test_a_403_is_not_halved(stage: Any) -> None:
    with pytest.raises(KlaviyoPermissionError):
        stage.play(
            find_profiles("email", ["x", "y"]), [Answer(403, {}, b'{"errors": [{"code": "permission_denied"}]}')]
        )


@given(
    st.sets(st.integers(0, 999), min_size=2, max_size=60).flatmap(
        lambda numbers: st.tuples(st.just(numbers), st.sets(st.sampled_from(sorted(numbers))))
    ),
    st.integers(1, 60),
)
def test_each_value_is_either_looked_up_or_refused(numbers: tuple[set[int], set[int]], most: int) -> None:
    values, bad = [sorted(f"{number}" for number in group) for group in numbers]
    directory = Directory(most, bad=frozenset(bad))
    talk = find_profiles("email", values)
    outcome: Any = None
    try:
        while True:
            step = talk.send(outcome)
            outcome = Slot(0, 0) if isinstance(step, Reserve) else directory(step.request)  # type: ignore[union-attr]
            assert isinstance(step, Reserve | Send)
    except StopIteration as stop:
        found = stop.value
        assert sorted(found.refused) == bad
        assert sorted(profile.email for profile in found.profiles) == sorted(set(values) - set(bad))
    except KlaviyoInvalidRequestError:
        assert bad == values


def test_all_pages_are_read_by_their_cursor(stage: Any) -> None:
    pages = [page(("a",), "one"), page(("b",), "two"), page(("c",))]
    found = stage.play(find_profiles("email", ["a", "b", "c"]), pages)
    assert [profile.id for profile in found.profiles] == ["Pa", "Pb", "Pc"]
    cursors = [parse_qs(request.query).get("page[cursor]") for request in stage.sent]
    assert cursors == [None, ["one"], ["two"]]


def test_only_the_cursor_of_a_link_is_used(stage: Any) -> None:
    stage.play(find_profiles("email", ["a"]), [page(("a",), "one"), page(())])
    assert [request.path for request in stage.sent] == ["/api/profiles", "/api/profiles"]
    assert [asked(request) for request in stage.sent] == [("a",), ("a",)]


def test_pages_that_go_round_in_a_circle_are_left(stage: Any) -> None:
    circle = [page((), "one"), page((), "two"), page((), "one")]
    with pytest.raises(KlaviyoAnswerError, match="do not end"):
        stage.play(find_profiles("id", ["a"]), circle)


def crowd(number: int) -> Answer:
    """Return a page full of profiles, and a link to the next one."""
    return page(tuple(f"{number}-{one}" for one in range(100)), str(number))


def test_a_value_that_very_many_profiles_share_is_told_from_the_others(stage: Any) -> None:
    def answer(request: Request) -> Answer:
        return crowd(len(stage.sent)) if "b" in asked(request) else page(asked(request))

    found = stage.play(find_profiles("email", ["a", "b", "c"], most_profiles=5), answer)
    assert [profile.id for profile in found.profiles] == ["Pa", "Pc"]
    assert found.crowded == ("b",)
    assert len(stage.sent) < 40


def test_if_no_pages_end_it_is_not_the_values(stage: Any) -> None:
    with pytest.raises(KlaviyoAnswerError, match="do not end"):
        stage.play(find_profiles("email", ["a", "b"], most_profiles=5), lambda _: crowd(len(stage.sent)))


@pytest.mark.parametrize("values", [(), ("a",)])
def test_pages_of_nothing_new_are_no_crowd(stage: Any, values: tuple[str, ...]) -> None:
    with pytest.raises(KlaviyoAnswerError, match="do not end"):
        stage.play(find_profiles("email", ["a"], most_profiles=5), lambda _: page(values, str(len(stage.sent))))


def test_ever_new_pages_are_left_after_a_thousand(stage: Any) -> None:
    found = stage.play(find_profiles("email", ["a"]), lambda _: crowd(len(stage.sent)))
    assert (found.profiles, found.crowded) == ((), ("a",))
    assert len(stage.sent) < 1_100


def test_nobody_is_looked_up_without_a_call(stage: Any) -> None:
    assert stage.play(find_profiles("email", []), []).profiles == ()
    assert stage.play(find_all_profiles("email", []), []) == ()


def test_a_long_list_is_looked_up_a_hundred_at_a_time(stage: Any) -> None:
    values = [f"{number}" for number in range(250)]
    found = stage.play(find_all_profiles("email", values), Directory(100))
    assert [profile.email for profile in found] == values
    assert [len(asked(request)) for request in stage.sent] == [100, 100, 50]


def test_a_value_that_is_not_taken_is_an_error_of_a_whole_list_and_not_named(stage: Any) -> None:
    with pytest.raises(KlaviyoInvalidRequestError, match="will not look 1 of the values up") as caught:
        stage.play(
            find_all_profiles("email", ["ada@example.com", "b"]), Directory(9, bad=frozenset({"ada@example.com"}))
        )
    assert "ada" not in str(caught.value)


@pytest.mark.parametrize("status", [200, 201, 204])
def test_a_deletion_is_accepted_by_a_202_and_nothing_else(stage: Any, status: int) -> None:
    with pytest.raises(KlaviyoAnswerError, match="not 202"):
        stage.play(request_profile_deletion("id", "01J0000000000000000000GONE"), lambda _: Answer(status))
    assert len(stage.sent) == 4, "it is waited out"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(202, {}, b"<html>canary</html>"),
        Answer(202, {}, b"{}"),
        Answer(202, {}, b"null"),
        Answer(202, {}, b'{"status": "ok"}'),
        Answer(202, {}, b'{"errors": [{"code": "invalid"}]}'),
        Answer(202, {}, b'{"data": {}, "errors": [{"code": "invalid"}]}'),
        Answer(202, {"content-encoding": "gzip"}),
    ],
)
def test_a_202_that_is_not_klaviyos_is_no_acceptance(stage: Any, answer: Answer) -> None:
    stage.play(request_profile_deletion("id", "01H"), [answer, Answer(202)])
    assert len(stage.sent) == 2
    with pytest.raises(KlaviyoAnswerError) as caught:
        stage.play(request_profile_deletion("id", "01H"), lambda _: answer)
    assert caught.value.in_doubt
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("body", [b"", b"\n", b'{"data": null}', b'{"data": {"type": "data-privacy-deletion-job"}}'])
def test_a_202_without_a_body_or_with_a_document_is_one(stage: Any, body: bytes) -> None:
    stage.play(request_profile_deletion("id", "01H"), [Answer(202, {}, body)])
    assert len(stage.sent) == 1


def test_a_deletion_has_no_result(stage: Any) -> None:
    assert stage.play(request_profile_deletion("id", "01H"), [Answer(202)]) is None


def test_one_profile_and_the_account_are_read(stage: Any) -> None:
    profile = Answer(200, {}, b'{"data": {"id": "01H", "attributes": {}}}')
    account = Answer(200, {}, b'{"data": [{"id": "AbC123"}]}')
    assert stage.play(get_profile("01H"), [profile]).id == "01H"
    assert stage.play(get_account(), [account]).id == "AbC123"
