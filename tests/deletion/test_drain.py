"""Profiles are asked to be deleted one after the other, each once; trouble stops it and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.endpoints import GET_ACCOUNT, GET_PROFILES
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAnswerError,
    KlaviyoAuthenticationError,
    KlaviyoError,
    KlaviyoInvalidRequestError,
    KlaviyoKeyError,
    KlaviyoNotFoundError,
    KlaviyoPermissionError,
    KlaviyoRateLimitError,
)
from airflow_provider_klaviyo.deletion.checkpoint import Checkpoint
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion import drain as drain_module
from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.work import Work
from airflow_provider_klaviyo.emulator import Emulator

Connect = Callable[..., KlaviyoClient]
KEYS = FingerprintKeys((b"a key of tests",))


def drain(
    ids: Sequence[str], client: KlaviyoClient, done: Any = None, record: Any = None, **how: Any
) -> dict[str, Outcome]:
    """Drain with a record that permits everything, unless another is given."""
    return drain_module.drain(ids, client, done, record=record or Notes(), **how)


def profile_in(request: httpx.Request) -> httpx.Response | None:
    """Return the profile that a request looks up by its id; None for any other request."""
    if request.method != "GET" or not request.url.path.startswith(f"{GET_PROFILES.path}/"):
        return None
    found = {"type": "profile", "id": request.url.path.rpartition("/")[2], "attributes": {}}
    return httpx.Response(200, json={"data": found})


def id_in(request: httpx.Request) -> str:
    return str(json.loads(request.content)["data"]["attributes"]["profile"]["data"]["id"])


def refusing(*refused: str, status: int = 400) -> Callable[[httpx.Request], httpx.Response]:
    def answer(request: httpx.Request) -> httpx.Response:
        if looked_up := profile_in(request):
            return looked_up
        return httpx.Response(status, json={"errors": [{}]}) if id_in(request) in refused else httpx.Response(202)

    return answer


def test_each_profile_is_asked_for_once_and_in_order(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = emulator.add_profiles({"email": f"{number}@example.com"} for number in range(5))
    emulator.add_profile("bystander@example.com")
    assert drain(ids, client) == dict.fromkeys(ids, Outcome.REQUESTED)
    assert emulator.deletion_requests == ids


def test_nobody_is_a_list_too(emulator: Emulator, client: KlaviyoClient) -> None:
    assert drain([], client) == {}
    assert emulator.calls() == 0


def test_a_profile_that_went_meanwhile_is_absent(emulator: Emulator, client: KlaviyoClient) -> None:
    ada = emulator.add_profile("ada@example.com")
    assert drain(["01HGONE", ada], client) == {"01HGONE": Outcome.ABSENT, ada: Outcome.REQUESTED}


@pytest.mark.parametrize("body", [b"", b"<html>404 Not Found</html>", b"{}", b'{"errors": []}'])
def test_a_404_that_is_not_klaviyos_says_nothing_of_a_profile(connect: Connect, body: bytes) -> None:
    """A gateway in between, or a wrong host: nobody is taken for gone on its word."""
    client = connect(handler=lambda _: httpx.Response(404, content=body))
    with pytest.raises(KlaviyoNotFoundError):
        drain(["01H"], client)


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
        if looked_up := profile_in(request):
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


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        ({"name": "deletion_refused"}, KlaviyoAuthenticationError),
        ({"name": "key_revoked"}, KlaviyoKeyError),
        ({"name": "scope_missing", "scope": "data-privacy:write"}, KlaviyoPermissionError),
        ({"name": "throttled", "retry_after": 3_600}, KlaviyoRateLimitError),
        ({"name": "redirect"}, KlaviyoAnswerError),
    ],
)
def test_trouble_is_no_outcome_and_stops_at_once(
    emulator: Emulator,
    client: KlaviyoClient,
    fault: dict[str, Any],
    kind: type[KlaviyoError],
) -> None:
    ids = emulator.add_profiles({"email": f"{number}@example.com"} for number in range(5))
    drain(ids[:2], client)
    emulator.fault(**fault)
    with pytest.raises(kind, match=r"0 of 3 deletions requested in .* nothing is lost, and 3 profiles are outstanding"):
        drain(ids[2:], client)
    assert emulator.deletion_requests == ids[:2]
    assert emulator.calls("profile_deletion") == 3


@pytest.mark.usefixtures("impatient")
def test_short_trouble_is_waited_out(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = emulator.add_profiles({"email": f"{number}@example.com"} for number in range(5))
    emulator.fault("server_error_html", times=1)
    emulator.fault("throttled_with_retry_after_zero", times=1)
    emulator.fault("connection_dropped_before", times=1)
    assert set(drain(ids, client).values()) == {Outcome.REQUESTED}
    assert emulator.deletion_requests == ids


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("pending_deletion_status", [202, 404])
def test_a_lost_answer_loses_no_deletion(connect: Connect, pending_deletion_status: Any) -> None:
    with Emulator(limit_factor=100_000, deletion_seconds=0, pending_deletion_status=pending_deletion_status) as lossy:
        ada = lossy.add_profile("ada@example.com")
        lossy.fault("connection_dropped_after", times=1)
        assert drain([ada], connect(lossy)) == {ada: Outcome.REQUESTED}
        assert lossy.deleted == {ada}


def test_a_second_run_deletes_who_is_left(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = emulator.add_profiles({"email": f"{number}@example.com"} for number in range(4))
    emulator.fault("key_revoked", endpoint="profile_deletion")
    with pytest.raises(KlaviyoAuthenticationError):
        drain(ids, client)
    emulator.clear_faults()
    drain(ids, client)
    assert set(emulator.deletion_requests) == set(ids)


class Notes:
    """A record that notes everything, and says of some that they are not ours."""

    def __init__(self, *others: str) -> None:
        self.others = others
        self.noted: list[tuple[str, str]] = []

    def is_meant(self, profile: Profile) -> bool:
        return True

    def begin(self, profile: Profile) -> bool:
        self.noted.append(("begin", profile.id))
        return profile.id not in self.others

    def end(self, profile_id: str, outcome: Outcome, *, in_doubt: bool = False) -> None:
        self.noted.append((outcome.value, profile_id))

    def miss(self, profile_id: str) -> Outcome:
        return Outcome.ABSENT

    def find_again(self, client: KlaviyoClient) -> list[str]:
        return []

    def give_back(self, profile_id: str) -> None:
        self.noted.append(("give_back", profile_id))


def test_each_request_is_noted_before_and_after_it(emulator: Emulator, client: KlaviyoClient) -> None:
    ada = emulator.add_profile("ada@example.com")
    notes = Notes()
    drain([ada, "01HGONE"], client, record=notes)
    assert notes.noted == [("begin", ada), ("requested", ada), ("begin", "01HGONE"), ("absent", "01HGONE")]


def test_who_is_not_ours_is_not_asked_for(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = emulator.add_profiles({"email": f"{number}@example.com"} for number in range(3))
    notes = Notes(ids[1])
    assert drain(ids, client, record=notes) == {ids[0]: Outcome.REQUESTED, ids[2]: Outcome.REQUESTED}
    assert emulator.deletion_requests == [ids[0], ids[2]]
    assert drain(ids, client, record=Notes(*ids)) == {}


def test_what_klaviyo_would_not_have_is_given_back(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = emulator.add_profiles({"email": f"{number}@example.com"} for number in range(3))
    emulator.fault("key_revoked")
    notes = Notes()
    with pytest.raises(KlaviyoAuthenticationError):
        drain(ids, client, record=notes)
    assert notes.noted == [("begin", ids[0]), ("give_back", ids[0])]


def test_a_call_without_a_proper_answer_leaves_a_request_begun(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = emulator.add_profiles({"email": f"{number}@example.com"} for number in range(3))
    emulator.fault("redirect", endpoint="profile_deletion")
    notes = Notes()
    with pytest.raises(KlaviyoAnswerError):
        drain(ids, client, record=notes)
    assert notes.noted == [("begin", ids[0])]


def test_no_request_is_begun_when_time_is_up(
    emulator: Emulator, client: KlaviyoClient, caplog: pytest.LogCaptureFixture
) -> None:
    ids = emulator.add_profiles({"email": f"{number}@example.com"} for number in range(5))
    ticks = iter([100.0, 100.0, 104.0, 109.9, 110.0])
    notes = Notes()
    with caplog.at_level("INFO"):
        outcomes = drain(ids, client, record=notes, seconds=10, clock=lambda: next(ticks))
    assert outcomes == dict.fromkeys(ids[:3], Outcome.REQUESTED)
    assert emulator.deletion_requests == ids[:3]
    assert notes.noted[-1] == ("requested", ids[2])
    assert "Time is up: 3 of 5 deletions requested" in caplog.text
    assert drain(ids, client, seconds=0) == {}


LOST = httpx.ReadError("lost")
GONE = httpx.Response(404, json={"errors": [{"code": "not_found"}]})


def in_turn(*answers: httpx.Response | Exception) -> Callable[[httpx.Request], httpx.Response]:
    """Answer each call with the next of these, and whose key it is; one too many fails the test."""
    left = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == GET_ACCOUNT.path:
            return httpx.Response(200, json={"data": [{"type": "account", "id": "AbC123"}]})
        if looked_up := profile_in(request):
            return looked_up
        one = next(left)
        if isinstance(one, Exception):
            raise one
        return one

    return answer


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("earlier", [LOST, httpx.Response(503), httpx.Response(502)])
@pytest.mark.parametrize("status", [400, 401, 403, 429])
def test_what_an_earlier_send_may_have_done_is_not_given_back(
    connect: Connect, earlier: httpx.Response | Exception, status: int
) -> None:
    notes = Notes()
    refusal = httpx.Response(status, headers={"Retry-After": "3600"}, json={"errors": [{"code": "no"}]})
    with pytest.raises(KlaviyoError):
        drain(["A", "B"], connect(handler=in_turn(earlier, refusal)), record=notes)
    assert notes.noted == [("begin", "A")]


@pytest.mark.usefixtures("impatient")
def test_a_refusal_after_too_many_calls_is_given_back(connect: Connect) -> None:
    notes = Notes()
    throttled = httpx.Response(429, headers={"Retry-After": "0"})
    with pytest.raises(KlaviyoAuthenticationError):
        drain(["A"], connect(handler=in_turn(throttled, httpx.Response(401))), record=notes)
    assert notes.noted == [("begin", "A"), ("give_back", "A")]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("earlier", [LOST, httpx.Response(503)])
def test_who_is_gone_after_a_send_that_was_lost_was_deleted_by_it(
    connect: Connect, earlier: httpx.Response | Exception
) -> None:
    assert drain(["A"], connect(handler=in_turn(earlier, GONE))) == {"A": Outcome.REQUESTED}


@pytest.mark.usefixtures("impatient")
def test_a_404_that_is_not_klaviyos_says_nothing_of_a_send_that_was_lost_either(connect: Connect) -> None:
    notes = Notes()
    with pytest.raises(KlaviyoNotFoundError):
        drain(["A"], connect(handler=in_turn(LOST, httpx.Response(404))), record=notes)
    assert notes.noted == [("begin", "A")]


def test_who_is_not_found_but_seen_is_to_be_confirmed(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    with Emulator(limit_factor=100_000, deletion_seconds=60, pending_deletion_status=404) as emulator:
        ada = emulator.add_profile("ada@example.com")
        client = connect(emulator)
        drain([ada], client)
        assert emulator.calls("get_profile") == 0
        assert drain([ada, "01HGONE"], client) == {ada: Outcome.REQUESTED, "01HGONE": Outcome.ABSENT}
        assert emulator.deletion_requests == [ada]
    warned = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert warned == [f"Profile {ada}: the deletion finds no such profile, but a look-up does; it is to be confirmed"]


@pytest.mark.parametrize(
    ("fault", "is_given_back"),
    [
        ({"name": "key_revoked"}, True),
        ({"name": "throttled", "retry_after": 3_600}, True),
        ({"name": "redirect"}, False),
    ],
)
def test_nobody_is_gone_who_could_not_be_looked_up(
    emulator: Emulator, client: KlaviyoClient, fault: dict[str, Any], is_given_back: bool
) -> None:
    emulator.fault(endpoint="get_profile", **fault)
    notes = Notes()
    with pytest.raises(KlaviyoError):
        drain(["01HGONE", "01HGONETOO"], client, record=notes)
    assert notes.noted == [("begin", "01HGONE")] + [("give_back", "01HGONE")] * is_given_back


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(httpx.Response(404), KlaviyoNotFoundError), (httpx.Response(400), KlaviyoInvalidRequestError)],
)
def test_a_look_up_that_is_not_answered_properly_is_no_outcome(
    connect: Connect, answer: httpx.Response, kind: type[KlaviyoError]
) -> None:
    with pytest.raises(kind):
        drain(["A"], connect(handler=in_turn(GONE, answer)))


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
    assert [one for one in notes.noted if one[0] != "begin"] == [("give_back", one) for one in begun]


def test_refusals_before_trouble_are_given_back(connect: Connect) -> None:
    notes = Notes()
    answers = [httpx.Response(400), httpx.Response(400), httpx.Response(307)]
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


def resumed(store: Store) -> Checkpoint:
    checkpoint = Checkpoint(store, "now")
    checkpoint.resume()
    return checkpoint


def test_retries_do_not_have_everybody_refused(connect: Connect) -> None:
    ids, store = list("ABCDEFGH"), Store()
    Checkpoint(store, "now").start(Work(datetime.now(UTC), 8, 0, {}, tuple((one,) for one in ids)))
    for _ in range(4):
        checkpoint = resumed(store)
        assert checkpoint.done == {}
        with pytest.raises(KlaviyoInvalidRequestError):
            drain(ids, connect(handler=refusing(*ids)), checkpoint.done, checkpoint)
    checkpoint = resumed(store)
    outcomes = drain(ids, connect(handler=refusing("A", "B", "H")), checkpoint.done, checkpoint)
    assert [one for one, outcome in outcomes.items() if outcome is Outcome.REFUSED] == ["A", "B", "H"]
    assert resumed(store).done == outcomes


def test_a_retry_may_begin_with_refusals_when_an_earlier_try_had_something_else(connect: Connect) -> None:
    ids, notes = list("ABCDEFGH"), Notes()
    done = {"A": Outcome.REQUESTED}
    drain(ids, connect(handler=refusing(*ids)), done, notes)
    assert [what for what, _ in notes.noted] == ["begin", "refused"] * 7
