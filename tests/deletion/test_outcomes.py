"""What becomes of an identifier is counted once, under a name that stays."""

from __future__ import annotations

from collections import Counter

import pytest

from airflow_provider_klaviyo.deletion.outcomes import Outcome, counts, overall

A, B, C = Outcome.REQUESTED, Outcome.ABSENT, Outcome.REFUSED


def test_the_names_are_those_of_the_results() -> None:
    names = ["planned", "requested", "absent", "confirmed", "reappeared", "invalid", "refused", "held"]
    assert [outcome.value for outcome in Outcome] == names


@pytest.mark.parametrize(
    ("of_each", "of_all"),
    [([A], A), ([B], B), ([C], C), ([A, B], A), ([B, A], A), ([A, C], C), ([B, C], C), ([A, B, C], C)],
)
def test_several_profiles_of_one_identifier_come_to_the_worst(of_each: list[Outcome], of_all: Outcome) -> None:
    assert overall(of_each) is of_all


def test_no_profile_has_no_outcome() -> None:
    with pytest.raises(ValueError, match="no outcome"):
        overall([])


def test_a_count_of_nothing_is_told_too() -> None:
    assert counts(Counter({Outcome.HELD: 2})) == {
        "planned": 0,
        "requested": 0,
        "absent": 0,
        "invalid": 0,
        "refused": 0,
        "held": 2,
    }
