"""Profiles get their new identifiers; who cannot have them is told apart; trouble loses nobody."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAnswerError,
    KlaviyoError,
    KlaviyoInvalidRequestError,
    KlaviyoPermissionError,
    KlaviyoRateLimitError,
    KlaviyoStoppedError,
)
from airflow_provider_klaviyo.api.rectification import update_profile
from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.rectification.outcomes import Outcome
from airflow_provider_klaviyo.rectification.rectify import Correction, Rectified, rectify

NOBODY = "01HZZZZZZZZZZZZZZZZZZZZZZZ"


def to(profile_id: str, **identifiers: str) -> Correction:
    """Return a correction of a profile that is listed by its id."""
    return Correction(profile_id, identifiers, (Identifier.of(Kind.ID, profile_id),))


def patches(patch: Callable[[httpx.Request], httpx.Response]) -> Callable[[httpx.Request], httpx.Response]:
    """Return a handler that shows the profile to a look-up, and leaves the rest to another one."""
    shown = {"data": {"type": "profile", "id": NOBODY, "attributes": {"email": "old@example.com"}}}
    return lambda request: httpx.Response(200, json=shown) if request.method == "GET" else patch(request)


def emails(emulator: Emulator) -> list[str | None]:
    return [profile.email for profile in emulator.profiles()]


def test_everyone_gets_theirs_and_nobody_else_is_touched(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = [emulator.add_profile(f"{n}@example.com", first_name=f"{n}") for n in range(30)]
    emulator.add_profile("bystander@example.com")
    found = rectify([to(one, email=f"{n}.new@example.com") for n, one in enumerate(ids)], client)
    assert found == {one: Rectified(one, Outcome.UPDATED) for one in ids}
    assert emails(emulator) == [*(f"{n}.new@example.com" for n in range(30)), "bystander@example.com"]
    assert [profile.first_name for profile in emulator.profiles()][:30] == [str(n) for n in range(30)]
    assert emulator.calls("update_profile") == 30


def test_nobody_is_nothing(emulator: Emulator, client: KlaviyoClient) -> None:
    assert rectify([], client) == {}
    assert emulator.calls() == 0


def test_an_identifier_of_somebody_else_is_left_to_them(
    emulator: Emulator, client: KlaviyoClient, caplog: pytest.LogCaptureFixture
) -> None:
    jane, joe = emulator.add_profile("jane@example.com"), emulator.add_profile("canary@example.com")
    assert rectify([to(jane, email="canary@example.com")], client) == {
        jane: Rectified(jane, Outcome.DUPLICATE_PROFILE, joe)
    }
    assert emails(emulator) == ["jane@example.com", "canary@example.com"]
    assert f"Profile {jane} is not changed: another one, {joe}, holds a new identifier of it" in caplog.text
    assert "canary" not in caplog.text


def test_an_address_may_go_from_hand_to_hand(
    emulator: Emulator, client: KlaviyoClient, caplog: pytest.LogCaptureFixture
) -> None:
    ids = [emulator.add_profile(f"{n}@example.com") for n in range(20)]
    found = rectify([to(one, email=f"{n + 1}@example.com") for n, one in enumerate(ids)], client)
    assert {one.outcome for one in found.values()} == {Outcome.UPDATED}
    assert emails(emulator) == [f"{n}@example.com" for n in range(1, 21)]
    assert "is not changed" not in caplog.text


def test_two_who_want_each_others_both_stay(emulator: Emulator, client: KlaviyoClient) -> None:
    jane, joe = emulator.add_profile("jane@example.com"), emulator.add_profile("joe@example.com")
    found = rectify([to(jane, email="joe@example.com"), to(joe, email="jane@example.com")], client)
    assert found == {
        jane: Rectified(jane, Outcome.DUPLICATE_PROFILE, joe),
        joe: Rectified(joe, Outcome.DUPLICATE_PROFILE, jane),
    }
    assert emulator.calls("update_profile") == 2


def test_who_has_gone_meanwhile_is_absent(emulator: Emulator, client: KlaviyoClient) -> None:
    assert rectify([to(NOBODY, email="new@example.com")], client) == {NOBODY: Rectified(NOBODY, Outcome.ABSENT)}
    assert emulator.profiles() == []


def test_what_klaviyo_will_not_take_is_refused_and_stops_nobody(
    emulator: Emulator, client: KlaviyoClient, caplog: pytest.LogCaptureFixture
) -> None:
    jane, joe = emulator.add_profile("jane@example.com"), emulator.add_profile("joe@example.com")
    found = rectify([to(jane, email="canary"), to(joe, email="new@example.com")], client)
    assert [one.outcome for one in found.values()] == [Outcome.REFUSED, Outcome.UPDATED]
    assert f"Profile {jane}: Klaviyo answered 400 invalid" in caplog.text
    assert "canary" not in caplog.text


def test_nothing_but_refusals_is_not_the_peoples_fault(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = [emulator.add_profile(f"{n}@example.com") for n in range(100)]
    with pytest.raises(KlaviyoInvalidRequestError, match="refused the first 5 changes"):
        rectify([to(one, email="canary") for one in ids], client)
    assert emulator.calls("update_profile") < 50


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    "fault",
    [
        "connection_dropped_before",
        "connection_dropped_after",
        "server_error_html",
        "throttled_with_retry_after_zero",
        "truncated_json",
        "wrong_types",
    ],
)
def test_passing_trouble_is_waited_out(emulator: Emulator, client: KlaviyoClient, fault: str) -> None:
    ids = [emulator.add_profile(f"{n}@example.com") for n in range(5)]
    emulator.fault(fault, endpoint="update_profile", times=2)
    found = rectify([to(one, email=f"{n}.new@example.com") for n, one in enumerate(ids)], client)
    assert {one.outcome for one in found.values()} == {Outcome.UPDATED}
    assert emails(emulator) == [f"{n}.new@example.com" for n in range(5)]


@pytest.mark.parametrize(
    ("fault", "options", "kind"),
    [
        ("throttled", {"retry_after": 3_600}, KlaviyoRateLimitError),
        ("scope_missing", {"scope": "profiles:write"}, KlaviyoPermissionError),
        ("redirect", {}, KlaviyoAnswerError),
    ],
)
def test_lasting_trouble_stops_it_and_says_how_far_it_came(
    emulator: Emulator,
    connect: Callable[..., KlaviyoClient],
    fault: str,
    options: dict[str, Any],
    kind: type[KlaviyoError],
) -> None:
    ids = [emulator.add_profile(f"canary.{n}@example.com") for n in range(3)]
    emulator.fault(fault, endpoint="update_profile", **options)
    # Not the other tests' client: a hold would be theirs as well.
    with pytest.raises(
        kind, match=r"Stopped after 0 of 3 profiles updated.* a retry leaves those as they are"
    ) as caught:
        rectify([to(one, email=f"canary.new.{n}@example.com") for n, one in enumerate(ids)], connect(emulator))
    assert "canary" not in str(caught.value)


def test_a_404_that_is_not_klaviyos_is_nobodys_absence(
    connect: Callable[..., KlaviyoClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(update_profile.__kwdefaults__ or {}, "patience_seconds", 0.0)
    client = connect(handler=patches(lambda _: httpx.Response(404, text="<html>no such host</html>")))
    with pytest.raises(KlaviyoAnswerError):
        rectify([to(NOBODY, email="new@example.com")], client)


def test_a_refusal_after_a_lost_answer_is_not_believed(connect: Callable[..., KlaviyoClient], impatient: None) -> None:
    """The first send may have changed the profile; a retry looks."""
    answers = [httpx.Response(503), httpx.Response(400, json={"errors": [{"code": "invalid"}]})]
    with pytest.raises(KlaviyoInvalidRequestError) as caught:
        rectify([to(NOBODY, email="new@example.com")], connect(handler=patches(lambda _: answers.pop(0))))
    assert caught.value.in_doubt


@pytest.mark.parametrize("meta", [{}, [], {"duplicate_profile_id": "canary@example.com"}, None])
def test_a_duplicate_that_is_not_named_is_one_all_the_same(
    connect: Callable[..., KlaviyoClient], meta: Any, caplog: pytest.LogCaptureFixture
) -> None:
    body = json.dumps({"errors": [{"code": "duplicate_profile", "meta": meta, "detail": "canary@example.com"}]})
    client = connect(handler=patches(lambda _: httpx.Response(409, text=body)))
    found = rectify([to(NOBODY, email="new@example.com")], client)
    assert found == {NOBODY: Rectified(NOBODY, Outcome.DUPLICATE_PROFILE, None)}
    assert "which Klaviyo does not name" in caplog.text
    assert "canary" not in caplog.text


CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "another profile": {"type": "profile", "id": "01HYYYYYYYYYYYYYYYYYYYYYYY", "attributes": {}},
    "an account": {"type": "account", "id": NOBODY},
}


@pytest.mark.parametrize("shown", CONTRADICTIONS)
def test_a_look_that_shows_another_profile_permits_nothing(connect: Callable[..., KlaviyoClient], shown: str) -> None:
    methods: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        methods.append(request.method)
        return httpx.Response(200, json={"data": CONTRADICTIONS[shown]})

    with pytest.raises(KlaviyoAnswerError):
        rectify([to(NOBODY, email="new@example.com")], connect(handler=answer))
    assert set(methods) == {"GET"}, "however often it is looked at"


def test_another_conflict_is_trouble(connect: Callable[..., KlaviyoClient]) -> None:
    client = connect(handler=patches(lambda _: httpx.Response(409, json={"errors": [{"code": "conflict"}]})))
    with pytest.raises(KlaviyoInvalidRequestError):
        rectify([to(NOBODY, email="new@example.com")], client)


def test_a_task_that_is_killed_changes_nobody_more(emulator: Emulator, connect: Callable[..., KlaviyoClient]) -> None:
    jane = emulator.add_profile("jane@example.com")
    client = connect(emulator)
    client.stop()
    with pytest.raises(KlaviyoStoppedError):
        rectify([to(jane, email="new@example.com")], client)
    assert emulator.calls("update_profile") == 0


def test_a_correction_shows_nobody() -> None:
    assert "canary" not in repr(to(NOBODY, email="canary@example.com"))
