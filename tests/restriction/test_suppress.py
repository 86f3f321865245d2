"""Whoever is asked for is suppressed, nobody else is, and nobody comes into being by it."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from itertools import chain

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airflow_provider_klaviyo.api import suppression
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.errors import (
    KlaviyoAnswerError,
    KlaviyoError,
    KlaviyoInvalidRequestError,
    KlaviyoPermissionError,
    KlaviyoStoppedError,
    KlaviyoUnavailableError,
)
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.restriction.suppress import Suppressed, suppress

NOBODY = "01HZZZZZZZZZZZZZZZZZZZZZZZ"
POST = "/api/profile-suppression-bulk-create-jobs"


def people(emulator: Emulator, number: int) -> list[str]:
    return emulator.add_profiles({"email": f"{n}@example.com"} for n in range(number))


def addresses_in(request: httpx.Request) -> list[str]:
    """Return the addresses that a request would suppress."""
    if request.method != "POST":
        return []
    return [one["attributes"]["email"] for one in json.loads(request.read())["data"]["attributes"]["profiles"]["data"]]


def test_profiles_are_suppressed_a_hundred_a_job_and_nobody_else_is(
    emulator: Emulator, connect: Callable[..., KlaviyoClient]
) -> None:
    ids = people(emulator, 250)
    emulator.add_profile("bystander@example.com")
    requests: list[list[str]] = []
    client = connect(emulator, lambda request: requests.append(addresses_in(request)))
    found = suppress(ids, client)
    assert found == Suppressed(suppressed=ids)
    assert emulator.suppressed == set(ids)
    assert sorted(len(one) for one in requests if one) == [50, 100, 100]
    assert set(chain.from_iterable(requests)) == {f"{n}@example.com" for n in range(250)}
    assert len(emulator.profiles()) == 251


def test_nobody_is_nothing(emulator: Emulator, client: KlaviyoClient) -> None:
    assert suppress([], client) == Suppressed()
    assert emulator.calls() == 0


def test_a_profile_without_an_address_and_one_that_is_gone_are_told_apart(
    emulator: Emulator, client: KlaviyoClient
) -> None:
    jane, phone = emulator.add_profile("jane@example.com"), emulator.add_profile(None, "+15005550001")
    assert suppress([phone, NOBODY, jane, jane], client) == Suppressed([jane], [phone], [NOBODY])
    assert (emulator.suppressed, len(emulator.profiles())) == ({jane}, 2)


def test_without_any_address_there_is_no_job(emulator: Emulator, client: KlaviyoClient) -> None:
    phone = emulator.add_profile(None, "+15005550001")
    assert suppress([phone, NOBODY], client) == Suppressed([], [phone], [NOBODY])
    assert emulator.calls("suppress_profiles") == 0


def test_twice_is_once(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = people(emulator, 3)
    assert suppress(ids, client) == suppress(ids, client) == Suppressed(ids)
    assert (emulator.suppressed, len(emulator.profiles())) == (set(ids), 3)


def test_an_address_is_the_one_that_the_profile_has_at_that_moment(
    emulator: Emulator, connect: Callable[..., KlaviyoClient]
) -> None:
    jane = emulator.add_profile("jane@example.com")
    addresses: list[str] = []
    client = connect(emulator, lambda request: addresses.extend(addresses_in(request)))
    from airflow_provider_klaviyo.api.rectification import update_profile

    client.run(update_profile(jane, {"email": "new@example.com"}))
    suppress([jane], client)
    assert addresses == ["new@example.com"]
    assert [profile.email for profile in emulator.profiles()] == ["new@example.com"]


def test_a_profile_that_was_not_asked_for_is_never_suppressed(emulator: Emulator, client: KlaviyoClient) -> None:
    jane = emulator.add_profile("jane@example.com")
    for number in range(5):
        emulator.add_profile(f"bystander.{number}@example.com")
    emulator.fault("unasked_profile")
    assert suppress([jane, NOBODY], client) == Suppressed([jane], [], [NOBODY])
    assert (emulator.suppressed, len(emulator.profiles())) == ({jane}, 6)


def test_only_a_profile_that_is_meant_is_suppressed(
    emulator: Emulator, client: KlaviyoClient, caplog: pytest.LogCaptureFixture
) -> None:
    ids = people(emulator, 5)
    seen: list[str | None] = []

    def is_meant(profile: Profile) -> bool:
        seen.append(profile.email)
        return profile.id in ids[:2]

    found = suppress([*ids, NOBODY], client, is_meant=is_meant)
    assert found == Suppressed(ids[:2], [], [NOBODY], [], ids[2:])
    assert emulator.suppressed == set(ids[:2])
    assert set(seen) == {f"{number}@example.com" for number in range(5)}
    assert f"Profile {ids[4]} is not suppressed: it does not hold what was listed any more" in caplog.text
    assert "example.com" not in caplog.text


def test_none_that_is_meant_is_no_job(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = people(emulator, 3)
    assert suppress(ids, client, is_meant=lambda _: False) == Suppressed(changed=ids)
    assert emulator.calls("suppress_profiles") == 0


@pytest.mark.parametrize("is_sent", [False, True])
def test_each_send_is_decided_anew(emulator: Emulator, client: KlaviyoClient, is_sent: bool) -> None:
    """Also the second one of a request whose first response was lost, whether that had arrived or not."""
    jane, joe = people(emulator, 2)
    emulator.fault(f"connection_dropped_{'after' if is_sent else 'before'}", endpoint="suppress_profiles", times=1)
    seen = 0

    def is_meant(profile: Profile) -> bool:
        nonlocal seen
        seen += profile.id == joe
        return profile.id == jane or seen < 3

    assert suppress([jane, joe], client, is_meant=is_meant) == Suppressed([jane], changed=[joe])
    assert emulator.suppressed == {jane} | ({joe} if is_sent else set())


def test_addresses_that_change_all_the_time_are_left_to_a_retry(
    emulator: Emulator, client: KlaviyoClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    (jane,) = people(emulator, 1)
    numbers = iter(range(100))

    def is_meant(profile: Profile) -> bool:
        emulator.update_profile(jane, email=f"canary.{next(numbers)}@example.com")
        return True

    with pytest.raises(KlaviyoUnavailableError, match=r"change as often as they are looked at.* a retry") as caught:
        suppress([jane], client, is_meant=is_meant)
    assert "canary" not in str(caught.value)
    assert emulator.calls("suppress_profiles") == 0


def vanishing(emulator: Emulator, profile_ids: Sequence[str], *, before: str) -> Callable[[httpx.Request], None]:
    """Delete profiles just before the first request of a method."""
    todo = list(profile_ids)

    def seen(request: httpx.Request) -> None:
        if request.method == before:
            while todo:
                with httpx.Client(base_url=emulator.url) as other:
                    profile = {"type": "profile", "id": todo.pop(), "attributes": {}}
                    job = {"type": "data-privacy-deletion-job", "attributes": {"profile": {"data": profile}}}
                    headers = {
                        "authorization": f"Klaviyo-API-Key {emulator.account.key}",
                        "revision": "2026-07-15",
                        "content-type": "application/vnd.api+json",
                    }
                    answer = other.post("/api/data-privacy-deletion-jobs", json={"data": job}, headers=headers)
                    assert answer.status_code == 202

    return seen


def test_who_vanishes_before_the_look_up_does_not_come_back(
    emulator: Emulator, connect: Callable[..., KlaviyoClient]
) -> None:
    jane, joe = people(emulator, 2)
    found = suppress([jane, joe], connect(emulator, vanishing(emulator, [joe], before="GET")))
    assert found == Suppressed([jane], [], [joe])
    assert [profile.id for profile in emulator.profiles()] == [jane]


def test_who_vanishes_between_look_up_and_job_is_said_to(
    emulator: Emulator, connect: Callable[..., KlaviyoClient], caplog: pytest.LogCaptureFixture
) -> None:
    """Klaviyo makes a profile then, which nothing on this side can prevent; so it is said, and nobody is touched."""
    jane, joe = people(emulator, 2)
    found = suppress([jane, joe], connect(emulator, vanishing(emulator, [joe], before="POST")))
    assert found == Suppressed([jane], [], [joe])
    assert f"Profile {joe} vanished while its address was being suppressed by job" in caplog.text
    assert "example.com" not in caplog.text
    assert jane in emulator.suppressed


KINDS = ["with address", "without", "of nobody", "twice", "with an address that none is"]


@given(st.lists(st.sampled_from(KINDS), max_size=12))
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_everyone_asked_for_is_in_one_place_and_nobody_comes_into_being(
    one_emulator: Emulator, lasting_client: KlaviyoClient, kinds: list[str]
) -> None:
    one_emulator.forget_people()
    asked: list[str] = []
    for number, kind in enumerate(kinds):
        if kind == "of nobody":
            asked.append(f"01HNOBODY{number}")
        elif kind == "twice" and asked:
            asked.append(asked[-1])
        else:
            address = {"without": None, "with an address that none is": f"none {number}"}
            asked.append(one_emulator.add_profile(address.get(kind, f"{number}@example.com"), f"+150055500{number:02}"))
    bystander = one_emulator.add_profile("bystander@example.com")
    there = {profile.id for profile in one_emulator.profiles()}
    try:
        found = suppress(asked, lasting_client)
    except KlaviyoInvalidRequestError:
        return
    places = [*found.suppressed, *found.without_email, *found.gone, *found.refused, *found.changed]
    assert sorted(places) == sorted(set(asked))
    assert {profile.id for profile in one_emulator.profiles()} == there
    assert one_emulator.suppressed == set(found.suppressed)
    assert bystander not in places


def test_who_is_done_is_told_as_jobs_become_complete(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = people(emulator, 150)
    told: list[Sequence[str]] = []
    suppress([*ids, NOBODY], client, told.append)
    assert [list(one) for one in told] == [ids[:100], ids[100:]]


def test_an_address_that_klaviyo_will_not_take_stops_nobody(
    emulator: Emulator, client: KlaviyoClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ids = people(emulator, 10)
    bad = emulator.add_profile("canary")
    assert suppress([*ids[:7], bad, *ids[7:]], client) == Suppressed(ids, [], [], [bad])
    assert emulator.suppressed == set(ids)
    assert f"Profile {bad} is not suppressed: Klaviyo answered 400" in caplog.text
    assert "canary" not in caplog.text


def test_when_klaviyo_takes_none_it_is_the_request(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = emulator.add_profiles({"email": f"canary {n}"} for n in range(3))
    with pytest.raises(KlaviyoInvalidRequestError):
        suppress(ids, client)


@pytest.mark.parametrize(
    "fault",
    ["connection_dropped_before", "connection_dropped_after", "server_error_html", "throttled_with_retry_after_zero"],
)
@pytest.mark.parametrize("endpoint", ["get_profiles", "suppress_profiles", "get_suppression_job"])
def test_passing_trouble_is_waited_out(emulator: Emulator, client: KlaviyoClient, fault: str, endpoint: str) -> None:
    ids = people(emulator, 3)
    emulator.fault(fault, endpoint=endpoint, times=1)
    assert suppress(ids, client) == Suppressed(ids)
    assert (emulator.suppressed, len(emulator.profiles())) == (set(ids), 3)


@pytest.mark.parametrize("endpoint", ["get_profiles", "suppress_profiles", "get_suppression_job"])
@pytest.mark.parametrize("fault", ["truncated_json", "wrong_types", "redirect"])
def test_an_answer_that_is_none_stops_it(emulator: Emulator, client: KlaviyoClient, fault: str, endpoint: str) -> None:
    ids = people(emulator, 3)
    emulator.fault(fault, endpoint=endpoint)
    with pytest.raises(
        KlaviyoAnswerError, match=r"Stopped after 0 of 3 profiles suppressed.* a retry goes on"
    ) as caught:
        suppress(ids, client)
    assert "example.com" not in str(caught.value).replace("elsewhere.example.com", "")
    assert len(emulator.profiles()) == 3


@pytest.mark.parametrize("scope", ["profiles:read", "profiles:write", "subscriptions:write", "subscriptions:read"])
def test_a_missing_scope_is_named(emulator: Emulator, client: KlaviyoClient, scope: str) -> None:
    ids = people(emulator, 1)
    emulator.fault("scope_missing", scope=scope)
    with pytest.raises(KlaviyoPermissionError, match=scope):
        suppress(ids, client)


@pytest.mark.parametrize(
    ("fault", "message"),
    [("suppression_cancelled", "cancelled the suppression job"), ("suppression_never_finishes", "is still processing")],
)
def test_a_job_that_comes_to_nothing_is_not_taken_for_done(
    emulator: Emulator, client: KlaviyoClient, fault: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suppression.until_complete, "__kwdefaults__", {"patience_seconds": 0.3})
    ids = people(emulator, 3)
    emulator.fault(fault)
    told: list[Sequence[str]] = []
    with pytest.raises(KlaviyoUnavailableError, match=message):
        suppress(ids, client, told.append)
    assert (told, emulator.suppressed) == ([], set())
    emulator.clear_faults()
    assert suppress(ids, client) == Suppressed(ids)
    assert len(emulator.profiles()) == 3


def test_a_task_that_is_killed_begins_nothing_more(emulator: Emulator, client: KlaviyoClient) -> None:
    ids = people(emulator, 3)
    client.stop()
    with pytest.raises(KlaviyoStoppedError):
        suppress(ids, client)
    assert emulator.calls("suppress_profiles") == 0


def test_no_log_shows_an_address(emulator: Emulator, client: KlaviyoClient, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")
    suppress([emulator.add_profile("canary@example.com"), NOBODY], client)
    emulator.fault("key_revoked")
    with pytest.raises(KlaviyoError) as caught:
        suppress([emulator.add_profile("canary.2@example.com")], client)
    assert POST in caplog.text
    assert "canary" not in f"{caplog.text} {[record.args for record in caplog.records]} {caught.value!r}"
