"""Profiles are asked to be deleted one after the other, each once; trouble stops it and nothing is lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest
from answers import GONE, LOST, answer_look, in_turn
from records import Notes, drain

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAnswerError,
    KlaviyoAuthenticationError,
    KlaviyoError,
    KlaviyoKeyError,
    KlaviyoPermissionError,
    KlaviyoRateLimitError,
)
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.emulator import Emulator

Connect = Callable[..., KlaviyoClient]
REFUSAL = httpx.Response(401, json={"errors": [{"code": "authentication_failed"}]})


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
    assert emulator.calls("profile_deletion") == 1, "for nobody whom a look does not see"


@pytest.mark.usefixtures("without_patience")
@pytest.mark.parametrize("body", [b"", b"<html>404 Not Found</html>", b"{}", b'{"errors": []}'])
def test_a_404_that_is_not_klaviyos_says_nothing_of_a_profile(connect: Connect, body: bytes) -> None:
    """A gateway in between, or a wrong host: nobody is taken for gone on its word."""
    not_found = httpx.Response(404, content=body)
    for handler in (lambda _: not_found, lambda request: answer_look(request) or not_found):
        with pytest.raises(KlaviyoAnswerError):
            drain(["01H"], connect(handler=handler))


@pytest.mark.parametrize(
    ("fault", "kind", "calls"),
    [
        ({"name": "deletion_refused"}, KlaviyoAuthenticationError, 1),
        ({"name": "key_revoked"}, KlaviyoKeyError, 0),
        ({"name": "key_revoked", "endpoint": "profile_deletion"}, KlaviyoAuthenticationError, 1),
        ({"name": "scope_missing", "scope": "data-privacy:write"}, KlaviyoPermissionError, 1),
        ({"name": "scope_missing", "scope": "profiles:read"}, KlaviyoPermissionError, 0),
        ({"name": "throttled", "retry_after": 3_600}, KlaviyoRateLimitError, 0),
        ({"name": "throttled", "retry_after": 3_600, "endpoint": "profile_deletion"}, KlaviyoRateLimitError, 1),
        ({"name": "redirect"}, KlaviyoAnswerError, 0),
        ({"name": "redirect", "endpoint": "profile_deletion"}, KlaviyoAnswerError, 1),
    ],
)
def test_trouble_is_no_outcome_and_stops_at_once(
    emulator: Emulator,
    client: KlaviyoClient,
    fault: dict[str, Any],
    kind: type[KlaviyoError],
    calls: int,
) -> None:
    ids = emulator.add_profiles({"email": f"{number}@example.com"} for number in range(5))
    drain(ids[:2], client)
    emulator.fault(**fault)
    with pytest.raises(kind, match=r"0 of 3 deletions requested in .* nothing is lost, and 3 profiles are outstanding"):
        drain(ids[2:], client)
    assert emulator.deletion_requests == ids[:2]
    assert emulator.calls("profile_deletion") == 2 + calls, "none after a look that failed"


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


def test_each_request_is_noted_before_and_after_it(emulator: Emulator, client: KlaviyoClient) -> None:
    ada = emulator.add_profile("ada@example.com")
    notes = Notes()
    drain([ada, "01HGONE"], client, record=notes)
    assert notes.noted == [("begin", ada), ("requested", ada), ("absent", "01HGONE")]


def test_who_is_not_ours_is_not_asked_for(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = emulator.add_profiles({"email": f"{number}@example.com"} for number in range(3))
    notes = Notes(ids[1])
    assert drain(ids, client, record=notes) == {ids[0]: Outcome.REQUESTED, ids[2]: Outcome.REQUESTED}
    assert emulator.deletion_requests == [ids[0], ids[2]]
    assert drain(ids, client, record=Notes(*ids)) == {}


def test_what_klaviyo_would_not_have_is_given_back(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = emulator.add_profiles({"email": f"{number}@example.com"} for number in range(3))
    emulator.fault("key_revoked", endpoint="profile_deletion")
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
    assert notes.noted == [("begin", "A"), ("begin", "A")], "once for each send"


@pytest.mark.usefixtures("impatient")
def test_a_refusal_after_too_many_calls_is_given_back(connect: Connect) -> None:
    notes = Notes()
    throttled = httpx.Response(429, headers={"Retry-After": "0"})
    with pytest.raises(KlaviyoAuthenticationError):
        drain(["A"], connect(handler=in_turn(throttled, REFUSAL)), record=notes)
    assert notes.noted == [("begin", "A"), ("begin", "A"), ("give_back", "A")]


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("earlier", [LOST, httpx.Response(503)])
def test_who_is_gone_after_a_send_that_was_lost_was_deleted_by_it(
    connect: Connect, earlier: httpx.Response | Exception
) -> None:
    assert drain(["A"], connect(handler=in_turn(earlier, GONE))) == {"A": Outcome.REQUESTED}


@pytest.mark.usefixtures("impatient")
def test_a_404_that_is_not_klaviyos_says_nothing_of_a_send_that_was_lost_either(connect: Connect) -> None:
    notes = Notes()
    not_klaviyos = httpx.Response(404, headers={"Retry-After": "3600"})
    with pytest.raises(KlaviyoAnswerError):
        drain(["A"], connect(handler=in_turn(LOST, not_klaviyos)), record=notes)
    assert notes.noted == [("begin", "A"), ("begin", "A")]
