"""`ProfileAccessOperator` when profiles change hands while it runs: nobody's data is in somebody else's document."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from emulator_hooks import before_call

from airflow_provider_klaviyo.access.errors import ProfileGoneError
from airflow_provider_klaviyo.emulator import Emulator

JANE, STRANGER = "jane@example.com", "a.stranger@example.com"
PHONE = "+15005550001"
ENDPOINTS = ["get_profile_lists", "get_profile_segments", "get_events", "get_profile"]
LISTED = {"email": JANE, "request_id": "R1"}


def ids_in(export: Any, name: str) -> list[str]:
    return [profile["id"] for profile in export.read(name)["profiles"]]


@pytest.mark.parametrize("call", ENDPOINTS)
def test_a_profile_that_changed_hands_is_in_no_document_and_the_person_is_found_elsewhere(
    emulator: Emulator, export: Any, call: str
) -> None:
    first = emulator.add_profile(JANE, first_name="Stranger")
    moved: list[str] = []

    def change_hands() -> None:
        emulator.update_profile(first, email=STRANGER)
        moved.append(emulator.add_profile(JANE))

    with before_call(emulator, call, change_hands):
        assert export.counted(export(LISTED, include_events=True)) == {"exported": 1}
    assert ids_in(export, "R1.json") == moved
    assert "stranger" not in (export.folder / "R1.json").read_text().lower()


@pytest.mark.parametrize("call", ENDPOINTS)
def test_a_merged_profile_is_found_under_the_listed_address(emulator: Emulator, export: Any, call: str) -> None:
    first, other = emulator.add_profile(JANE), emulator.add_profile(None, PHONE)
    with before_call(emulator, call, lambda: emulator.merge_profiles(first, other)):
        assert export.counted(export(LISTED, include_events=True)) == {"exported": 1}
    assert ids_in(export, "R1.json") == [other]


def test_a_profile_that_changed_hands_leaves_an_empty_document_if_the_person_is_nowhere(
    emulator: Emulator, export: Any
) -> None:
    first = emulator.add_profile(JANE)
    with before_call(emulator, "get_profile", lambda: emulator.update_profile(first, email=STRANGER)):
        assert export.counted(export(LISTED)) == {"absent": 1}
    assert ids_in(export, "R1.json") == []


def test_one_of_two_profiles_of_a_person_has_changed_hands(emulator: Emulator, export: Any) -> None:
    jane, phone = emulator.add_profile(JANE), emulator.add_profile(None, PHONE)
    rows = [LISTED, {"phone_number": PHONE, "request_id": "R1"}]
    with before_call(emulator, "get_profile", lambda: emulator.update_profile(phone, phone_number="+15005550002")):
        assert export.counted(export(*rows)) == {"exported": 1}
    assert ids_in(export, "R1.json") == [jane]


def late(emulator: Emulator, stack: ExitStack, before: Callable[[], None], after: Callable[[], None]) -> None:
    """Have each search see what is there before the reading, and each reading what is there after the search."""
    for number in (1, 2, 3):
        stack.enter_context(before_call(emulator, "get_profile", after, number=number))
        if number > 1:
            stack.enter_context(before_call(emulator, "get_profiles", before, number=number))


def test_whom_a_late_search_finds_in_somebody_elses_profile_each_time_is_held(
    emulator: Emulator, export: Any, caplog: pytest.LogCaptureFixture
) -> None:
    first = emulator.add_profile(JANE)
    with ExitStack() as stack:
        late(
            emulator,
            stack,
            lambda: emulator.update_profile(first, email=JANE),
            lambda: emulator.update_profile(first, email=STRANGER),
        )
        result = export(LISTED, {"email": "nobody@example.com", "request_id": "R2"})
    assert export.counted(result) == {"absent": 1, "held": 1}
    assert export.files() == ["R2.json"]
    assert result["documents"] == [f"{export.folder}/R2.json"]
    assert "Row 1: a profile is found by its identifiers, and does not hold them when it is read" in caplog.text
    assert "example.com" not in caplog.text


def test_a_profile_that_is_gone_each_time_it_is_read_is_left_to_a_retry(emulator: Emulator, export: Any) -> None:
    first = emulator.add_profile(JANE)
    with ExitStack() as stack:
        for number in (1, 2, 3):
            stack.enter_context(
                before_call(emulator, "get_profile_lists", lambda: emulator.remove_profile(first), number=number)
            )
            if number > 1:
                stack.enter_context(
                    before_call(
                        emulator, "get_profiles", lambda: emulator.add_profile(JANE, None, None, first), number=number
                    )
                )
        with pytest.raises(ProfileGoneError, match="the profiles of 1 people were found, and not there any more"):
            export(LISTED)
    assert export.files() == []
    assert export.counted(export(LISTED)) == {"absent": 1}
