"""What a hook changes in Klaviyo: identifiers, suppressions; and any call that it has no method for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from airflow_provider_klaviyo.api.errors import (
    KlaviyoAccountError,
    KlaviyoConfigurationError,
    KlaviyoConnectionError,
    KlaviyoDuplicateProfileError,
    KlaviyoNotFoundError,
    KlaviyoServerError,
)
from airflow_provider_klaviyo.api.pace import Limit
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook


@pytest.fixture
def hook(emulator: Emulator, connect: Callable[..., str]) -> Iterator[KlaviyoHook]:
    with KlaviyoHook(connect()) as hook:
        yield hook


def test_identifiers_are_changed_and_nothing_else(emulator: Emulator, hook: KlaviyoHook) -> None:
    jane = emulator.add_profile("jane@example.com", "+15005550001", "customer-1", last_name="Doe")
    profile = hook.update_profile(jane, email=" New@Example.com ", phone_number="+1 (500) 555-0002")
    assert (profile.email, profile.phone_number, profile.external_id) == (
        "new@example.com",
        "+15005550002",
        "customer-1",
    )
    (kept,) = emulator.profiles()
    assert (kept.email, kept.external_id, kept.last_name) == ("new@example.com", "customer-1", "Doe")


def test_an_external_id_is_written_as_it_is_given(emulator: Emulator, hook: KlaviyoHook) -> None:
    jane = emulator.add_profile("jane@example.com")
    for external_id in ("6F9619FF-8B86-D011-B42D-00CF4FC964FF", "42.0", "12_345", "0x1F", "007"):
        assert hook.update_profile(jane, external_id=external_id).external_id == external_id


def test_an_identifier_of_another_profile_is_refused_with_its_id(emulator: Emulator, hook: KlaviyoHook) -> None:
    jane, joe = emulator.add_profile("jane@example.com"), emulator.add_profile("joe@example.com")
    with pytest.raises(KlaviyoDuplicateProfileError) as caught:
        hook.update_profile(jane, email="joe@example.com")
    assert caught.value.duplicate_profile_id == joe
    assert "joe@" not in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, "give what is to change"),
        ({"email": ""}, "email: not an e-mail address"),
        ({"email": "canary"}, "email: not an e-mail address"),
        ({"phone_number": "5005550006"}, "phone_number: not a phone number in E.164"),
        ({"email": "ok@example.com", "external_id": "\0canary"}, "external_id: not an external id"),
        ({"email": 7}, "email: a value of type int"),
    ],
)
def test_what_cannot_be_an_identifier_is_refused_before_anything_is_sent(
    emulator: Emulator, hook: KlaviyoHook, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(KlaviyoConfigurationError, match=message) as caught:
        hook.update_profile("01H", **changes)
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None
    assert emulator.calls() == 0


NO_IDS: list[Any] = [
    "canary@example.com",
    "",
    " ",
    "../accounts",
    None,
    7,
    1.5,
    b"canary",
    ["canary"],
    {"id": "canary"},
]


@pytest.mark.parametrize("profile_id", NO_IDS)
def test_what_is_no_profile_id_is_refused_before_anything_is_sent(
    emulator: Emulator, hook: KlaviyoHook, profile_id: Any
) -> None:
    for call in (
        lambda: hook.update_profile(profile_id, email="new@example.com"),
        lambda: hook.get_profile(profile_id),
        lambda: hook.get_whole_profile(profile_id),
        lambda: hook.get_profile_lists(profile_id),
        lambda: hook.get_profile_segments(profile_id),
        lambda: hook.get_events(profile_id),
        lambda: hook.find_profiles("id", [profile_id]),
    ):
        with pytest.raises(KlaviyoConfigurationError, match=r"not a Klaviyo profile id|not text") as caught:
            call()
        assert "canary" not in str(caught.value)
    assert emulator.calls() == 0


NOBODY: list[Any] = [
    "canary",
    "",
    " ",
    "canary@@example.com",
    "+1",
    7,
    1.5,
    b"canary@example.com",
    ["canary"],
    {"a": 1},
]


@pytest.mark.parametrize("value", NOBODY)
@pytest.mark.parametrize("kind", ["email", "phone_number"])
def test_what_cannot_be_an_identifier_is_not_looked_up_nor_deleted(
    emulator: Emulator, hook: KlaviyoHook, kind: str, value: Any
) -> None:
    for call in (
        lambda: hook.find_profiles(kind, ["jane@example.com", value] if kind == "email" else [value]),
        lambda: hook.request_profile_deletion(**{kind: value}),
        lambda: hook.update_profile("01H", **{kind: value}),
    ):
        with pytest.raises(KlaviyoConfigurationError, match=f"{kind}: |exactly one") as caught:
            call()
        assert "canary" not in str(caught.value)
        assert caught.value.__context__ is None
    assert emulator.calls() == 0


@pytest.mark.parametrize("values", ["canary@example.com", b"canary", {"canary": 1}, None, 7])
def test_what_is_no_list_of_values_is_refused(emulator: Emulator, hook: KlaviyoHook, values: Any) -> None:
    for call in (hook.suppress_profiles, lambda values: hook.find_profiles("email", values)):
        with pytest.raises(KlaviyoConfigurationError, match="must be a list of values, not") as caught:
            call(values)
        assert "canary" not in str(caught.value)
    assert emulator.calls() == 0


def test_a_kind_that_there_is_not_is_refused(emulator: Emulator, hook: KlaviyoHook) -> None:
    for kind in ("e-mail", "", None, "name"):
        with pytest.raises(KlaviyoConfigurationError, match=r"kind: an identifier is one of email, phone_number"):
            hook.find_profiles(kind, ["jane@example.com"])  # type: ignore[arg-type]
    assert emulator.calls() == 0


def test_every_call_takes_an_identifier_as_a_list_does(emulator: Emulator, hook: KlaviyoHook) -> None:
    jane = emulator.add_profile("jane@example.com", "+15005550001", "42")
    joe = emulator.add_profile("joe@example.com", "+15005550002")
    for kind, value in (
        ("email", " JANE@Example.com "),
        ("phone_number", "+1 (500) 555-0001"),
        ("external_id", 42),
        ("id", f" {jane.lower()} "),
    ):
        assert [one.id for one in hook.find_profiles(kind, iter([value]))] == [jane]
    assert hook.find_profiles("email", []) == ()
    assert [one.id for one in hook.find_profiles("email", {"Jane@example.com", "JANE@example.com"})] == [jane]
    assert hook.get_profile(f" {jane.lower()} ").id == jane
    hook.request_profile_deletion(email=" JANE@Example.com ")
    hook.request_profile_deletion(phone_number="+1 500 555 0002")
    assert emulator.deletion_requests == [jane, joe]
    ann = emulator.add_profile("ann@example.com")
    hook.request_profile_deletion(profile_id=f" {ann.lower()} ")
    assert emulator.deletion_requests == [jane, joe, ann]


def test_people_are_suppressed_by_a_job(emulator: Emulator, hook: KlaviyoHook) -> None:
    emulator.add_profile("jane@example.com")
    job = hook.suppress_profiles(["Jane@Example.com"])
    assert hook.get_suppression_job(job.id).status in {"queued", "processing", "complete"}
    with pytest.raises(KlaviyoNotFoundError):
        hook.get_suppression_job("01NOTHING")


@pytest.mark.parametrize("emails", ["jane@example.com", [], ["x@example.com"] * 101, ["canary"], [None]])
def test_what_cannot_be_suppressed_is_refused_before_anything_is_sent(
    emulator: Emulator, hook: KlaviyoHook, emails: Any
) -> None:
    with pytest.raises(KlaviyoConfigurationError, match="email") as caught:
        hook.suppress_profiles(emails)
    assert "canary" not in str(caught.value)
    assert emulator.calls() == 0


def test_a_known_endpoint_may_be_asked_for_whatever_it_answers(emulator: Emulator, hook: KlaviyoHook) -> None:
    jane = emulator.add_profile("jane@example.com", first_name="Jane")
    found = hook.request("GET", "/api/profiles", params={"filter": 'equals(email,"jane@example.com")'})
    assert found is not None
    assert [(one["id"], one["attributes"]["first_name"]) for one in found["data"]] == [(jane, "Jane")]
    body = {"data": {"type": "profile", "id": jane, "attributes": {"first_name": "Janet"}}}
    assert hook.request("PATCH", f"/api/profiles/{jane}", json=body, limit=Limit(75, 700)) is not None
    deletion = {"type": "profile", "id": jane, "attributes": {}}
    job = {"type": "data-privacy-deletion-job", "attributes": {"profile": {"data": deletion}}}
    assert hook.request("POST", "/api/data-privacy-deletion-jobs", json={"data": job}) is None
    assert emulator.deletion_requests == [jane]


def test_what_there_is_not_is_not_found(hook: KlaviyoHook) -> None:
    with pytest.raises(KlaviyoNotFoundError):
        hook.request("GET", "/api/nothing")


@pytest.mark.parametrize("fault", ["connection_dropped_after", "server_error_html"])
def test_a_change_whose_answer_is_lost_is_not_made_twice(emulator: Emulator, hook: KlaviyoHook, fault: str) -> None:
    jane = emulator.add_profile("jane@example.com")
    emulator.fault(fault, endpoint="update_profile", times=1)
    body = {"data": {"type": "profile", "id": jane, "attributes": {"first_name": "Janet"}}}
    with pytest.raises((KlaviyoConnectionError, KlaviyoServerError), match="was not sent again") as caught:
        hook.request("PATCH", f"/api/profiles/{jane}", json=body)
    assert caught.value.in_doubt
    assert emulator.calls("update_profile") == 1


def test_one_that_may_be_made_twice_is(emulator: Emulator, hook: KlaviyoHook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow_provider_klaviyo.api.conversation.FIRST_PAUSE_SECONDS", 0.01)
    jane = emulator.add_profile("jane@example.com")
    emulator.fault("connection_dropped_after", endpoint="update_profile", times=1)
    body = {"data": {"type": "profile", "id": jane, "attributes": {"first_name": "Janet"}}}
    assert hook.request("PATCH", f"/api/profiles/{jane}", json=body, idempotent=True) is not None
    assert emulator.calls("update_profile") == 2


def test_a_path_with_an_address_is_refused_before_anything_is_sent(emulator: Emulator, hook: KlaviyoHook) -> None:
    with pytest.raises(KlaviyoConfigurationError, match="paths are logged"):
        hook.request("GET", "/api/profiles/canary@example.com")
    assert emulator.calls() == 0


def test_a_key_of_another_account_changes_nothing(emulator: Emulator, connect: Callable[..., str]) -> None:
    jane = emulator.add_profile("jane@example.com")
    with KlaviyoHook(connect(account_id="Other1")) as hook:
        for change in (
            lambda: hook.update_profile(jane, email="new@example.com"),
            lambda: hook.suppress_profiles(["jane@example.com"]),
            lambda: hook.request("DELETE", "/api/lists/Y6nRLr"),
        ):
            with pytest.raises(KlaviyoAccountError):
                change()
    assert emulator.calls() == emulator.calls("get_account") == 3


def test_no_log_shows_an_address(emulator: Emulator, hook: KlaviyoHook, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, logger="httpx")
    jane = emulator.add_profile("canary@example.com", external_id="canary-1")
    hook.update_profile(jane, email="canary.new@example.com")
    hook.suppress_profiles(["canary.new@example.com"])
    hook.request("GET", "/api/profiles", params={"filter": 'equals(email,"canary@example.com")'})
    assert "/api/profiles" in caplog.text
    assert "canary" not in f"{caplog.text} {[record.args for record in caplog.records]}"
