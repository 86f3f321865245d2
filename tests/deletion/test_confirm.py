"""Nothing is taken for gone that was not seen to be, and nobody who came back for somebody who never left."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from lists import delete_listed

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.errors import KlaviyoServerError
from airflow_provider_klaviyo.deletion.confirm import Confirmation, still_there
from airflow_provider_klaviyo.deletion.identifiers import IdentifierKindError
from airflow_provider_klaviyo.emulator import Emulator, ManualClock

Connect = Callable[..., KlaviyoClient]


@pytest.fixture
def now(clock: ManualClock) -> Callable[[], datetime]:
    """Tell the time of the emulator."""
    return lambda: datetime.fromtimestamp(clock(), UTC)


@pytest.fixture
def erase(client: KlaviyoClient, clock: ManualClock, now: Callable[[], datetime]) -> Callable[..., dict[str, Any]]:
    """Do what the deletion operator does, and return its result."""

    def erase(*listed: object) -> dict[str, Any]:
        clock.advance(1)
        looked_up_at = now()
        clock.advance(1)
        return delete_listed(listed, client, looked_up_at)

    return erase


def test_only_who_is_there_is_still_there(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = emulator.add_profiles({"email": f"{number}@example.com"} for number in range(250))
    asked = ["01HGONE", *reversed(ids), "01HGONETOO"]
    assert client.run(still_there(asked)) == list(reversed(ids))
    assert emulator.calls("get_profiles") == 3


def test_nobody_is_still_there_without_a_call(emulator: Emulator, client: KlaviyoClient) -> None:
    assert client.run(still_there([])) == []
    assert emulator.calls() == 0


def test_a_profile_that_klaviyo_will_not_look_up_counts_as_there(connect: Connect) -> None:
    refusal = {"errors": [{"source": {"parameter": "filter"}}]}
    client = connect(handler=lambda _: httpx.Response(400, json=refusal))
    assert client.run(still_there(["01H"])) == ["01H"]


def test_a_stranger_in_an_answer_is_not_waited_for(emulator: Emulator, client: KlaviyoClient) -> None:
    emulator.add_profile("stranger@example.com")
    emulator.fault("unasked_profile")
    assert client.run(still_there(["01HGONE"])) == []


def test_trouble_is_not_taken_for_gone(emulator: Emulator, client: KlaviyoClient) -> None:
    emulator.fault("server_error_html")
    with pytest.raises(KlaviyoServerError):
        client.run(still_there(["01H"], patience_seconds=0))


def test_a_deletion_is_confirmed_once_it_has_happened(
    emulator: Emulator, client: KlaviyoClient, clock: ManualClock, erase: Any, now: Any
) -> None:
    emulator.add_profiles([{"email": "ada@example.com"}, {"email": "bob@example.com"}])
    confirmation = Confirmation.of([erase("ada@example.com", "bob@example.com")], now())
    assert confirmation.look(client) is None
    assert len(confirmation.outstanding or ()) == 2
    clock.advance(61)
    assert confirmation.look(client) == {"confirmed": 2, "reappeared": 0}


def test_only_what_is_outstanding_is_asked_for_again(
    emulator: Emulator, client: KlaviyoClient, clock: ManualClock, erase: Any, now: Any
) -> None:
    ids = emulator.add_profiles({"email": f"{number}@example.com"} for number in range(300))
    emulator.fault("deletions_never_finish", times=1)
    confirmation = Confirmation.of([erase(*ids)], now())
    clock.advance(61)
    confirmation.look(client)
    assert len(confirmation.outstanding or ()) == 1
    emulator.reset_counts()
    confirmation.look(client)
    assert emulator.calls("get_profiles") == 1


def test_results_of_several_tasks_are_waited_for_together(
    emulator: Emulator, client: KlaviyoClient, clock: ManualClock, erase: Any, now: Any
) -> None:
    emulator.add_profiles([{"email": "ada@example.com"}, {"email": "bob@example.com"}])
    results = [erase("ada@example.com"), erase("bob@example.com")]
    confirmation = Confirmation.of(results, now())
    assert confirmation.since.isoformat() == results[0]["looked_up_at"]
    clock.advance(61)
    assert confirmation.look(client) == {"confirmed": 2, "reappeared": 0}


def test_who_came_back_is_told_from_who_never_left(
    emulator: Emulator, client: KlaviyoClient, clock: ManualClock, erase: Any, now: Any
) -> None:
    emulator.add_profile("ada@example.com")
    emulator.fault("profiles_return", after_seconds=1)

    def source() -> Iterable[object]:
        return ["ada@example.com"]

    confirmation = Confirmation.of([erase("ada@example.com")], now(), source)
    assert confirmation.look(client) is None
    clock.advance(70)
    assert confirmation.look(client) == {"confirmed": 0, "reappeared": 1}


def test_a_profile_that_is_seen_again_is_outstanding_again(
    emulator: Emulator, client: KlaviyoClient, clock: ManualClock, erase: Any, now: Any
) -> None:
    """An index that lags behind must not make a deletion look done."""
    ada = emulator.add_profile("ada@example.com")
    confirmation = Confirmation.of([erase("ada@example.com")], now(), lambda: ["ada@example.com"])
    confirmation.outstanding = []
    assert confirmation.look(client) is None
    assert confirmation.outstanding == [ada]
    clock.advance(61)
    assert confirmation.look(client) == {"confirmed": 1, "reappeared": 0}


def test_identifiers_are_waited_for_by_whoever_holds_them_now(
    emulator: Emulator, client: KlaviyoClient, clock: ManualClock, erase: Any, now: Any
) -> None:
    emulator.add_profiles([{"email": "ada@example.com"}, {"phone_number": "+15005550001"}])
    erase("ada@example.com", "+15005550001")
    confirmation = Confirmation.of(["ada@example.com", "+15005550001"], now())
    assert confirmation.look(client) is None
    clock.advance(61)
    assert confirmation.look(client) == {"confirmed": 2, "reappeared": 0}


def test_a_profile_made_after_the_first_look_is_not_waited_for(
    emulator: Emulator, client: KlaviyoClient, clock: ManualClock, now: Any
) -> None:
    confirmation = Confirmation.of(["ada@example.com"], now())
    clock.advance(10)
    emulator.add_profile("ada@example.com")
    assert confirmation.look(client) == {"confirmed": 0, "reappeared": 1}


def test_an_identifier_that_klaviyo_will_not_look_up_is_not_confirmed(
    connect: Connect, now: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if b"odd" in request.url.query:
            return httpx.Response(400, json={"errors": [{"source": {"parameter": "filter"}}]})
        return httpx.Response(200, json={"data": []})

    confirmation = Confirmation.of(["ada@example.com", "odd@example.com"], now())
    assert confirmation.look(connect(handler=answer)) == {"confirmed": 1, "reappeared": 0}
    assert "will not look 1 of the identifiers up" in caplog.text
    assert "odd" not in caplog.text


def test_what_cannot_be_an_identifier_is_not_waited_for(
    client: KlaviyoClient, now: Any, caplog: pytest.LogCaptureFixture
) -> None:
    confirmation = Confirmation.of(["canary", 7, None], now())
    assert confirmation.look(client) == {"confirmed": 0, "reappeared": 0}
    assert "is not waited for" in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize(
    "result",
    [
        {"profile_ids": ["01H"]},
        {"profile_ids": ["01H"], "looked_up_at": None},
        {"profile_ids": ["01H"], "looked_up_at": "yesterday"},
        {"profile_ids": ["01H"], "looked_up_at": "2026-09-01T12:00:00"},
        {"profile_ids": None, "looked_up_at": "2026-09-01T12:00:00+00:00"},
        {"profile_ids": "01HZZZZZZZZZZZZZZZZZZZZZZZ", "looked_up_at": "2026-09-01T12:00:00+00:00"},
        {"profile_ids": ["ada@example.com"], "looked_up_at": "2026-09-01T12:00:00+00:00"},
        {"profile_ids": [7], "looked_up_at": "2026-09-01T12:00:00+00:00"},
    ],
)
def test_what_only_looks_like_a_result_is_refused(now: Any, result: dict[str, Any]) -> None:
    with pytest.raises(IdentifierKindError, match="must be the result of a ProfileDeletionOperator") as caught:
        Confirmation.of([result], now())
    assert "ada" not in str(caught.value)


@pytest.mark.parametrize("created", [None, 7, "", "yesterday", "2020-01-01", "2020-01-01T00:00:00"])
def test_a_profile_whose_age_is_unknown_is_not_taken_for_new(connect: Connect, created: object) -> None:
    person = {"id": "01H", "attributes": {"email": "ada@example.com", "created": created}}
    client = connect(handler=lambda _: httpx.Response(200, json={"data": [person]}))
    confirmation = Confirmation.of(["ada@example.com"], datetime.now(UTC) - timedelta(days=1))
    assert confirmation.look(client) is None
    assert confirmation.outstanding == ["01H"]


def test_nobody_to_wait_for_is_confirmed_at_once(client: KlaviyoClient, now: Any) -> None:
    assert Confirmation.of([], now()).look(client) == {"confirmed": 0, "reappeared": 0}


def test_a_confirmation_does_not_show_addresses(now: Any) -> None:
    assert "ada" not in repr(Confirmation.of(["ada@example.com"], now()))
