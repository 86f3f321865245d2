"""A look-up that is in doubt about one identifier settles the others, and absence is believed after two looks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import httpx
import pytest

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.deletion.identifiers import Identifier
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.resolve import resolve
from airflow_provider_klaviyo.emulator import Emulator

Connect = Callable[..., KlaviyoClient]
EMPTY = {"data": [], "links": {"next": None}}


def identifiers(number: int) -> list[Identifier]:
    return [Identifier.parse(f"person.{one}@example.com") for one in range(number)]


def profile(profile_id: str, email: str) -> dict[str, object]:
    return {"type": "profile", "id": profile_id, "attributes": {"email": email}}


def test_one_loosely_matched_value_leaves_the_others_settled(connect: Connect) -> None:
    """Klaviyo finds a stranger for one of the addresses, whichever others are asked for in the same call."""
    calls: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(request.url.query.decode())
        found = [profile("STRANGER", "stranger@example.com")] if "person.17%40" in request.url.query.decode() else []
        found += [profile("P3", "person.3@example.com")] if "person.3%40" in request.url.query.decode() else []
        return httpx.Response(200, json={**EMPTY, "data": found})

    outcomes = {one.identifier.value: one.outcome for one in resolve(identifiers(100), connect(handler=answer))}
    assert Counter(outcomes.values()) == {Outcome.ABSENT: 98, Outcome.HELD: 1, Outcome.PLANNED: 1}
    assert outcomes["person.17@example.com"] is Outcome.HELD
    assert len(calls) < 20


def test_a_value_that_very_many_profiles_share_is_held_and_stops_nobody(connect: Connect) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        url = request.url.query.decode()
        if "person.17%40" in url:
            crowd = [profile(f"C{number}", "person.17@example.com") for number in range(100)]
            more = {"next": f"https://a.klaviyo.com/api/profiles?page[cursor]=c{answer.calls}"}  # type: ignore[attr-defined]
            answer.calls += 1  # type: ignore[attr-defined]
            return httpx.Response(200, json={"data": crowd, "links": more})
        found = [profile("P3", "person.3@example.com")] if "person.3%40" in url else []
        return httpx.Response(200, json={**EMPTY, "data": found})

    answer.calls = 0  # type: ignore[attr-defined]
    client = connect(handler=answer)
    settled = resolve(identifiers(100), client, max_profiles_per_identifier=5)
    outcomes = {one.identifier.value: one.outcome for one in settled}
    assert Counter(outcomes.values()) == {Outcome.ABSENT: 98, Outcome.HELD: 1, Outcome.PLANNED: 1}
    assert outcomes["person.17@example.com"] is Outcome.HELD
    assert answer.calls < 100  # type: ignore[attr-defined]


def test_one_empty_answer_makes_nobody_absent(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    answers = iter([[], [profile("P0", "person.0@example.com")]])
    client = connect(handler=lambda _: httpx.Response(200, json={**EMPTY, "data": next(answers)}))
    (resolved,) = resolve(identifiers(1), client, absent_looks=2, pause_seconds=0.0)
    assert resolved.outcome is Outcome.PLANNED
    assert "1 of 1 identifiers were found by the second look only" in caplog.text


def test_with_one_look_the_first_answer_is_final(connect: Connect) -> None:
    client = connect(handler=lambda _: httpx.Response(200, json=EMPTY))
    assert [one.outcome for one in resolve(identifiers(1), client)] == [Outcome.ABSENT]


def test_two_looks_cost_a_call_more_for_each_hundred_absent(emulator: Emulator, client: KlaviyoClient) -> None:
    for number in range(50):
        emulator.add_profile(f"person.{number}@example.com")
    settled = list(resolve(identifiers(250), client, absent_looks=2, pause_seconds=0.0))
    assert Counter(one.outcome for one in settled) == {Outcome.PLANNED: 50, Outcome.ABSENT: 200}
    assert len({one.identifier for one in settled}) == 250
    assert emulator.calls("get_profiles") == 3 + 2


def test_who_was_absent_before_is_looked_up_once(emulator: Emulator, client: KlaviyoClient) -> None:
    settled = list(resolve(identifiers(100), client, absent_looks=2, is_absence_known=lambda _: True))
    assert Counter(one.outcome for one in settled) == {Outcome.ABSENT: 100}
    assert emulator.calls("get_profiles") == 1


def test_a_long_list_is_looked_at_twice_without_a_wait_in_between(
    emulator: Emulator, client: KlaviyoClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("airflow_provider_klaviyo.deletion.resolve.MOST_ABSENT", 100)
    settled = list(resolve(identifiers(350), client, absent_looks=2, pause_seconds=0.0))
    assert len({one.identifier for one in settled}) == len(settled) == 350
    assert emulator.calls("get_profiles") <= 4 + 6
