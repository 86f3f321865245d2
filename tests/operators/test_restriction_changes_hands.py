"""`ProfileSuppressionOperator` when profiles change hands while it runs: nobody is suppressed who is not listed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from emulator_hooks import before_call

from airflow_provider_klaviyo.api import conversation, suppression
from airflow_provider_klaviyo.emulator import Emulator
from airflow_provider_klaviyo.operators.klaviyo import ProfileSuppressionOperator

JANE, JOE, STRANGER = "jane@example.com", "joe@example.com", "stranger@example.com"
PHONE = "+15005550001"
OUTCOMES = ("suppressed", "without_email", "absent", "invalid", "refused", "held")


@pytest.fixture
def emulator() -> Iterator[Emulator]:
    """A Klaviyo whose jobs are quick."""
    with Emulator(limit_factor=1_000, suppression_seconds=0.01) as emulator:
        yield emulator


@pytest.fixture(autouse=True)
def account(emulator: Emulator, connect: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    """The usual connection, and pauses that begin at a hundredth of a second."""
    monkeypatch.setattr(conversation, "FIRST_PAUSE_SECONDS", 0.01)
    monkeypatch.setattr(suppression, "FIRST_PAUSE_SECONDS", 0.02)
    connect(emulator)


def suppress(*profiles: Any, **arguments: Any) -> dict[str, int]:
    result = ProfileSuppressionOperator(task_id="restrict", profiles=list(profiles), **arguments).execute({})
    return {name: result[name] for name in OUTCOMES if result[name]}


@pytest.mark.parametrize("call", ["get_profile", "suppress_profiles"])
@pytest.mark.parametrize("listed", [JANE, PHONE])
def test_a_profile_that_changed_hands_is_not_suppressed_and_the_person_is_found_elsewhere(
    emulator: Emulator, call: str, listed: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = emulator.add_profile(JANE, PHONE)
    moved: list[str] = []

    def change_hands() -> None:
        emulator.update_profile(first, email=STRANGER, phone_number=None)
        moved.append(emulator.add_profile(JANE, PHONE))

    if call == "suppress_profiles":
        # The first send comes to nothing: what happens before the second one is seen.
        emulator.fault("throttled_with_retry_after_zero", endpoint="suppress_profiles", times=1)
    with before_call(emulator, call, change_hands):
        assert suppress(listed) == {"suppressed": 1}
    assert emulator.suppressed == set(moved)
    assert len(emulator.profiles()) == 2
    assert f"Profile {first} is not suppressed: it does not hold what was listed any more" in caplog.text
    assert "example.com" not in caplog.text


def test_a_profile_that_changed_hands_leaves_the_person_absent_if_they_are_nowhere(emulator: Emulator) -> None:
    first = emulator.add_profile(JANE, PHONE)
    with before_call(emulator, "get_profile", lambda: emulator.update_profile(first, phone_number=None)):
        assert suppress(PHONE) == {"absent": 1}
    assert (emulator.suppressed, emulator.calls("suppress_profiles")) == (set(), 0)


def test_a_merged_profile_is_found_under_the_listed_address(emulator: Emulator) -> None:
    first, other = emulator.add_profile(JANE), emulator.add_profile(None, PHONE)
    with before_call(emulator, "get_profile", lambda: emulator.merge_profiles(first, other)):
        assert suppress(JANE) == {"suppressed": 1}
    assert emulator.suppressed == {other}


def test_a_profile_merged_into_one_that_is_listed_too(emulator: Emulator) -> None:
    first, other = emulator.add_profile(JANE), emulator.add_profile(JOE, PHONE)
    with before_call(emulator, "get_profile", lambda: emulator.merge_profiles(first, other)):
        assert suppress(JANE, PHONE) == {"suppressed": 2}
    assert [(profile.id, profile.email) for profile in emulator.profiles()] == [(other, JANE)]
    assert emulator.suppressed == {other}


def test_a_removed_profile_is_absent_and_does_not_come_back(emulator: Emulator) -> None:
    first = emulator.add_profile(JANE)
    with before_call(emulator, "get_profile", lambda: emulator.remove_profile(first)):
        assert suppress(JANE) == {"absent": 1}
    assert emulator.profiles() == []


def test_of_two_identifiers_of_a_profile_one_has_moved_on(emulator: Emulator) -> None:
    first = emulator.add_profile(JANE, PHONE)
    moved: list[str] = []

    def change_hands() -> None:
        emulator.update_profile(first, phone_number=None)
        moved.append(emulator.add_profile(JOE, PHONE))

    with before_call(emulator, "get_profile", change_hands):
        assert suppress(JANE, PHONE) == {"suppressed": 2}
    assert emulator.suppressed == {first, *moved}


def test_a_new_address_of_the_same_person_is_the_one_that_is_suppressed(emulator: Emulator) -> None:
    first = emulator.add_profile(JANE, PHONE)
    with before_call(emulator, "get_profile", lambda: emulator.update_profile(first, email=JOE)):
        assert suppress(PHONE) == {"suppressed": 1}
    assert [(profile.id, profile.email) for profile in emulator.profiles()] == [(first, JOE)]
    assert emulator.suppressed == {first}


@pytest.mark.parametrize("shares", ["before", "meanwhile"])
def test_an_address_that_somebody_else_has_too_is_held(emulator: Emulator, shares: str) -> None:
    emulator.add_profile(JANE, PHONE)
    other = emulator.add_profile(JANE if shares == "before" else STRANGER)
    with before_call(emulator, "get_profile", lambda: emulator.update_profile(other, email=JANE)):
        assert suppress(PHONE) == {"held": 1}
    assert (emulator.suppressed, emulator.calls("suppress_profiles")) == (set(), 0)
    assert suppress(PHONE, JANE) == {"suppressed": 2}


def test_moved_people_are_under_the_limits_of_the_list(emulator: Emulator) -> None:
    first, joe = emulator.add_profile(JANE), emulator.add_profile(JOE)

    def split() -> None:
        emulator.remove_profile(first)
        emulator.add_profiles([{"email": JANE}, {"email": JANE}])

    with before_call(emulator, "get_profile", split):
        assert suppress(JANE, JOE, max_profiles=2) == {"suppressed": 1, "held": 1}
    assert emulator.suppressed == {joe}
    emulator.forget_people()
    first = emulator.add_profile(JANE)
    with before_call(emulator, "get_profile", split):
        assert suppress(JANE, max_profiles_per_identifier=1) == {"held": 1}
    assert emulator.suppressed == set()


def test_what_a_late_search_contradicts_is_held(emulator: Emulator) -> None:
    """The search goes on to find the profile under a number that it does not have any more."""
    first = emulator.add_profile(JANE, PHONE)

    def taken() -> None:
        emulator.update_profile(first, phone_number=None)

    def searched() -> None:
        emulator.update_profile(first, phone_number=PHONE)

    with (
        before_call(emulator, "get_profile", taken),
        before_call(emulator, "get_profiles", searched, number=3),
        before_call(emulator, "get_profile", taken, number=3),
    ):
        assert suppress(PHONE) == {"held": 1}
    assert (emulator.suppressed, emulator.calls("suppress_profiles")) == (set(), 0)


def test_a_late_index_loses_nobody(emulator: Emulator) -> None:
    """The looks by id see profiles that a search does not find yet, before and after the job."""
    ids = {emulator.add_profile(f"{number}@example.com") for number in range(3)}

    def be_late() -> None:
        emulator.fault("late_index", seconds=3_600)

    with before_call(emulator, "get_profile", be_late):
        assert suppress(*(f"{number}@example.com" for number in range(3))) == {"suppressed": 3}
    assert emulator.suppressed == ids
