"""Each send of a deletion is permitted by a look at the profile, by its id, directly before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import httpx
import pytest
from answers import GONE, answer_look, id_in
from records import Notes, drain

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAnswerError,
    KlaviyoAuthenticationError,
    KlaviyoError,
    KlaviyoInvalidRequestError,
)
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.emulator import Emulator

Connect = Callable[..., KlaviyoClient]


def test_each_profile_is_looked_up_by_its_id_before_it_is_deleted(connect: Connect) -> None:
    sent: list[tuple[str, str]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        looked_up = answer_look(request)
        sent.append((request.method, request.url.path.rpartition("/")[2] if looked_up else id_in(request)))
        return looked_up or httpx.Response(202)

    drain(["A", "B"], connect(handler=answer))
    assert sent == [("GET", "A"), ("POST", "A"), ("GET", "B"), ("POST", "B")]


def test_a_profile_that_is_not_meant_any_more_is_not_deleted(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = emulator.add_profiles({"email": f"{number}@example.com"} for number in range(3))
    notes = Notes(not_meant=[ids[1]])
    outcomes = drain(ids, client, record=notes)
    assert outcomes == {ids[0]: Outcome.REQUESTED, ids[1]: Outcome.ABSENT, ids[2]: Outcome.REQUESTED}
    assert emulator.deletion_requests == [ids[0], ids[2]]
    assert ("begin", ids[1]) not in notes.noted


@pytest.mark.usefixtures("without_patience")
def test_a_look_that_brings_another_profile_permits_nothing(connect: Connect) -> None:
    other = {"type": "profile", "id": "B", "attributes": {"email": "ada@example.com"}}
    notes = Notes()
    client = connect(handler=lambda _: httpx.Response(200, json={"data": other}))
    with pytest.raises(KlaviyoAnswerError):
        drain(["A"], client, record=notes)
    assert notes.noted == []


def test_profiles_that_are_found_again_join(emulator: Emulator, client: KlaviyoClient) -> None:
    """A merge has taken one profile away, and the person is in another one now."""
    ids = emulator.add_profiles({"email": f"{number}@example.com"} for number in range(3))

    class Joining(Notes):
        others = [[ids[1]], [ids[2]], []]

        def miss(self, profile_id: str, *, is_there: bool) -> None:
            self.noted.append(("miss", profile_id))

        def find_again(self, client: KlaviyoClient) -> Sequence[str]:
            return self.others.pop(0)

    notes = Joining(not_meant=[ids[1]])
    assert drain([ids[0], "01HGONE"], client, record=notes) == dict.fromkeys([ids[0], ids[2]], Outcome.REQUESTED)
    assert [one for what, one in notes.noted if what == "miss"] == ["01HGONE", ids[1]]
    assert emulator.deletion_requests == [ids[0], ids[2]]


def test_each_send_is_permitted_anew(emulator: Emulator, client: KlaviyoClient) -> None:
    """A plan that is withdrawn while a call waits, or is repeated, is not worked off any further."""
    ada = emulator.add_profile("ada@example.com")

    class Withdrawn(Notes):
        def begin(self, profile: Profile) -> bool:
            super().begin(profile)
            return len(self.noted) < 2

    emulator.fault("throttled_with_retry_after_zero", endpoint="profile_deletion")
    notes = Withdrawn()
    assert drain([ada], client, record=notes) == {}
    assert notes.noted == [("begin", ada), ("begin", ada), ("give_back", ada)]
    assert emulator.calls("profile_deletion") == 1


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("is_withdrawn", [True, False])
def test_what_an_earlier_send_may_have_done_is_to_be_confirmed(
    emulator: Emulator, client: KlaviyoClient, is_withdrawn: bool
) -> None:
    """Withdrawn, or in somebody else's hands, after a send whose answer was lost."""
    ada = emulator.add_profile("ada@example.com")

    class Once(Notes):
        def is_meant(self, profile: Profile) -> bool:
            return is_withdrawn or not self.noted

        def begin(self, profile: Profile) -> bool:
            super().begin(profile)
            return len(self.noted) < 2

    emulator.fault("connection_dropped_before", endpoint="profile_deletion", times=1)
    notes = Once()
    assert drain([ada], client, record=notes) == {ada: Outcome.REQUESTED}
    assert notes.noted[-1] == ("requested", ada)
    assert notes.doubtful == [ada]
    assert emulator.deletion_requests == []


def test_who_is_not_found_but_seen_is_to_be_confirmed(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    with Emulator(limit_factor=100_000, deletion_seconds=60, pending_deletion_status=404) as emulator:
        ada = emulator.add_profile("ada@example.com")
        client = connect(emulator)
        drain([ada], client)
        assert emulator.calls("get_profile") == 1, "before the call, and none after it"
        assert drain([ada, "01HGONE"], client) == {ada: Outcome.REQUESTED, "01HGONE": Outcome.ABSENT}
        assert emulator.deletion_requests == [ada]
    warned = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert warned == [f"Profile {ada}: the deletion finds no such profile, but a look-up does; it is to be confirmed"]


TROUBLE_AT_A_LOOK = [
    {"name": "key_revoked"},
    {"name": "throttled", "retry_after": 3_600},
    {"name": "redirect"},
]


@pytest.mark.parametrize("fault", TROUBLE_AT_A_LOOK)
def test_nobody_is_gone_who_could_not_be_looked_up(
    emulator: Emulator, client: KlaviyoClient, fault: dict[str, Any]
) -> None:
    emulator.fault(endpoint="get_profile", **fault)
    notes = Notes()
    with pytest.raises(KlaviyoError):
        drain(["01HGONE", "01HGONETOO"], client, record=notes)
    assert notes.noted == [], "nothing was sent"


@pytest.mark.parametrize("fault", TROUBLE_AT_A_LOOK)
def test_a_look_that_fails_before_a_repeated_send_gives_a_profile_back(
    emulator: Emulator, connect: Connect, fault: dict[str, Any]
) -> None:
    """The first send was refused for now, so that nothing was deleted."""
    ada = emulator.add_profile("ada@example.com")

    class Failing(Notes):
        def begin(self, profile: Profile) -> bool:
            emulator.fault(endpoint="get_profile", **fault)
            return super().begin(profile)

    emulator.fault("throttled_with_retry_after_zero", endpoint="profile_deletion", times=1)
    notes = Failing()
    with pytest.raises(KlaviyoError, match="1 profiles are outstanding"):
        drain([ada], connect(emulator), record=notes)
    assert notes.noted == [("begin", ada), ("give_back", ada)]


@pytest.mark.usefixtures("impatient")
def test_a_look_that_fails_after_a_send_that_was_lost_gives_nothing_back(
    emulator: Emulator, client: KlaviyoClient
) -> None:
    ada = emulator.add_profile("ada@example.com")

    class Failing(Notes):
        def begin(self, profile: Profile) -> bool:
            emulator.fault("key_revoked", endpoint="get_profile")
            return super().begin(profile)

    emulator.fault("connection_dropped_after", endpoint="profile_deletion", times=1)
    notes = Failing()
    with pytest.raises(KlaviyoAuthenticationError) as caught:
        drain([ada], client, record=notes)
    assert notes.noted == [("begin", ada)]
    assert caught.value.in_doubt


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (httpx.Response(404, text="<html>"), KlaviyoAnswerError),
        (httpx.Response(400), KlaviyoAnswerError),
        (httpx.Response(400, json={"errors": [{"code": "invalid"}]}), KlaviyoInvalidRequestError),
    ],
)
@pytest.mark.usefixtures("without_patience")
def test_a_look_up_that_is_not_answered_properly_is_no_outcome(
    connect: Connect, answer: httpx.Response, kind: type[KlaviyoError]
) -> None:
    """Neither the one before a deletion, nor the one after a deletion that found nobody."""
    with pytest.raises(kind):
        drain(["A"], connect(handler=lambda _: answer))
    looks: Iterator[httpx.Response | None] = iter([None, answer])

    def handler(request: httpx.Request) -> httpx.Response:
        looked_up = answer_look(request)
        return (next(looks) or looked_up) if looked_up else GONE

    with pytest.raises(kind):
        drain(["A"], connect(handler=handler))
