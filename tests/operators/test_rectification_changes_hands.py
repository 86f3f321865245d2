"""`ProfileUpdateOperator` when profiles change hands while it runs: only one that is still the one found is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from emulator_hooks import before_call

from airflow_provider_klaviyo.api import conversation
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import ProfileUpdateOperator

JANE, NEW, STRANGER = "jane@example.com", "jane.new@example.com", "stranger@example.com"
PHONE = "+15005550001"
OUTCOMES = ("updated", "unchanged", "absent", "held", "invalid", "refused", "duplicate_profile")
BY_EMAIL = {"email": JANE, "new_external_id": "42"}


@pytest.fixture(autouse=True)
def account(emulator: Emulator, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual connection, and pauses that begin at a hundredth of a second."""
    monkeypatch.setattr(conversation, "FIRST_PAUSE_SECONDS", 0.01)
    connect(emulator)


def update(*profiles: dict[str, str], **arguments: Any) -> dict[str, int]:
    result = ProfileUpdateOperator(task_id="rectify", profiles=list(profiles), **arguments).execute({})
    return {name: result[name] for name in OUTCOMES if result[name]}


def external_ids(emulator: Emulator) -> dict[str, str | None]:
    return {profile.id: profile.external_id for profile in emulator.profiles()}


@pytest.mark.parametrize("call", ["get_profile", "update_profile"])
def test_a_profile_that_changed_hands_is_not_changed_and_the_person_is_found_elsewhere(
    emulator: Emulator, call: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = emulator.add_profile(JANE)
    moved: list[str] = []

    def change_hands() -> None:
        emulator.update_profile(first, email=STRANGER)
        moved.append(emulator.add_profile(JANE))

    if call == "update_profile":
        # The first send comes to nothing: what happens before the second one is seen.
        emulator.fault("server_error_html", endpoint="update_profile", times=1)
    with before_call(emulator, call, change_hands):
        assert update(BY_EMAIL) == {"updated": 1}
    assert external_ids(emulator) == {first: None, moved[0]: "42"}
    assert "example.com" not in caplog.text


def test_a_profile_that_changed_hands_leaves_the_person_absent_if_they_are_nowhere(emulator: Emulator) -> None:
    first = emulator.add_profile(JANE)
    with before_call(emulator, "get_profile", lambda: emulator.update_profile(first, email=STRANGER)):
        assert update(BY_EMAIL) == {"absent": 1}
    assert external_ids(emulator) == {first: None}
    assert emulator.calls("update_profile") == 0


def test_a_merged_profile_is_found_under_the_listed_address(emulator: Emulator) -> None:
    first, other = emulator.add_profile(JANE), emulator.add_profile(None, PHONE)
    with before_call(emulator, "get_profile", lambda: emulator.merge_profiles(first, other)):
        assert update(BY_EMAIL) == {"updated": 1}
    assert external_ids(emulator) == {other: "42"}


def test_a_removed_profile_is_absent(emulator: Emulator) -> None:
    first = emulator.add_profile(JANE)
    with before_call(emulator, "get_profile", lambda: emulator.remove_profile(first)):
        assert update(BY_EMAIL) == {"absent": 1}
    assert emulator.profiles() == []


def test_moved_into_several_profiles_the_person_is_held(emulator: Emulator) -> None:
    first = emulator.add_profile(JANE)

    def split() -> None:
        emulator.remove_profile(first)
        emulator.add_profiles([{"email": JANE}, {"email": JANE}])

    with before_call(emulator, "get_profile", split):
        assert update(BY_EMAIL) == {"held": 1}
    assert set(external_ids(emulator).values()) == {None}


def test_a_profile_changed_for_other_rows_is_not_changed_again_for_those_that_name_it_now(emulator: Emulator) -> None:
    first, other = emulator.add_profile(JANE), emulator.add_profile(None, PHONE)
    rows = [{"phone_number": PHONE, "new_external_id": "41"}, BY_EMAIL]
    # The look-ups of both have been answered when the second change is sent.
    with before_call(emulator, "get_profile", lambda: emulator.merge_profiles(first, other)):
        assert update(*rows) == {"updated": 1, "held": 1}
    assert external_ids(emulator) == {other: "41"}


def test_of_two_rows_of_one_profile_one_has_moved_on(emulator: Emulator) -> None:
    first = emulator.add_profile(JANE, PHONE)
    moved: list[str] = []

    def change_hands() -> None:
        emulator.update_profile(first, phone_number=None)
        moved.append(emulator.add_profile(None, PHONE))

    rows = [BY_EMAIL, {"phone_number": PHONE, "new_email": NEW}]
    with before_call(emulator, "get_profile", change_hands):
        assert update(*rows) == {"updated": 2}
    assert external_ids(emulator) == {first: "42", moved[0]: None}
    assert {profile.id: profile.email for profile in emulator.profiles()} == {first: JANE, moved[0]: NEW}


def test_moved_people_are_held_beyond_max_profiles(emulator: Emulator) -> None:
    first = emulator.add_profile(JANE, PHONE)

    def change_hands() -> None:
        emulator.update_profile(first, phone_number=None)
        emulator.add_profile(None, PHONE)

    rows = [BY_EMAIL, {"phone_number": PHONE, "new_email": NEW}]
    with before_call(emulator, "get_profile", change_hands):
        assert update(*rows, max_profiles=1) == {"held": 2}
    assert emulator.calls("update_profile") == 0


def test_a_row_that_changes_what_it_was_found_by(emulator: Emulator) -> None:
    first = emulator.add_profile(JANE)
    # The first send is carried out, and its response lost: the second look finds the new address only.
    emulator.fault("connection_dropped_after", endpoint="update_profile", times=1)
    assert update({"email": JANE, "new_email": NEW}) == {"updated": 1}
    assert [(profile.id, profile.email) for profile in emulator.profiles()] == [(first, NEW)]
    assert emulator.calls("update_profile") == 1


def test_somebody_else_has_made_the_change_meanwhile(emulator: Emulator) -> None:
    first = emulator.add_profile(JANE)
    with before_call(emulator, "get_profile", lambda: emulator.update_profile(first, email=NEW)):
        assert update({"email": JANE, "new_email": NEW}) == {"unchanged": 1}
    assert emulator.calls("update_profile") == 0


def test_what_a_late_search_contradicts_is_held(emulator: Emulator) -> None:
    """The search goes on to find the profile under an address that it does not have any more."""
    first = emulator.add_profile(JANE)
    asked: list[int] = []

    def there_and_back() -> None:
        emulator.update_profile(first, email=JANE if len(asked) % 2 else STRANGER)
        asked.append(1)

    with (
        before_call(emulator, "get_profile", there_and_back),
        before_call(emulator, "get_profiles", there_and_back, number=2),
        before_call(emulator, "get_profile", there_and_back, number=2),
    ):
        assert update(BY_EMAIL) == {"held": 1}
    assert external_ids(emulator) == {first: None}
    assert emulator.calls("update_profile") == 0
