"""A wrong value is the row's fault; many are the list's."""

from __future__ import annotations

import pytest

from airflow_provider_klaviyo.deletion.shares import ShareLimit


def counted(most: float, right: int, wrong: int) -> ShareLimit:
    limit = ShareLimit(most)
    for number in range(right + wrong):
        limit.add(is_wrong=number < wrong)
    return limit


@pytest.mark.parametrize(
    ("most", "right", "wrong", "is_exceeded"),
    [
        (0.5, 0, 0, False),
        (0.5, 0, 1, False),
        (0.5, 0, 2, True),
        (0.5, 2, 2, False),
        (0.5, 2, 3, True),
        (0.1, 90, 10, False),
        (0.1, 90, 11, True),
        (0, 1_000, 1, False),
        (0, 1_000, 2, True),
        (1, 0, 1_000, False),
    ],
)
def test_more_than_the_share_is_too_much(most: float, right: int, wrong: int, is_exceeded: bool) -> None:
    assert counted(most, right, wrong).is_exceeded is is_exceeded


def test_it_says_how_many() -> None:
    assert str(counted(0.5, 3_000, 1)) == "1 of 3,001"


@pytest.mark.parametrize("most", [-0.1, 1.1, float("nan")])
def test_a_share_is_from_0_to_1(most: float) -> None:
    with pytest.raises(ValueError, match="from 0 to 1"):
        ShareLimit(most)
