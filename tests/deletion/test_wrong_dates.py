"""A wrong date is the row's fault; many are the list's."""

from __future__ import annotations

import pytest

from airflow_provider_klaviyo.deletion.invalid_rows import InvalidListError
from airflow_provider_klaviyo.deletion.wrong_dates import WrongDates


def counted(max_invalid: float | None, right: int, wrong: int) -> WrongDates:
    dates = WrongDates(max_invalid, "Nothing was done")
    for number in range(1, wrong + right + 1):
        dates.add(number, is_wrong=number <= wrong)
    return dates


@pytest.mark.parametrize(
    ("max_invalid", "right", "wrong"),
    [(None, 0, 2), (None, 6, 4), (0.5, 0, 1), (0.5, 2, 3), (0.1, 89, 10), (0, 1_000, 1)],
)
def test_a_list_with_many_wrong_dates_is_refused(max_invalid: float | None, right: int, wrong: int) -> None:
    with pytest.raises(InvalidListError, match=rf"^{wrong} of {right + wrong:,} dates of receipt .* Nothing was done"):
        counted(max_invalid, right, wrong).check()


@pytest.mark.parametrize(
    ("max_invalid", "right", "wrong"),
    [(None, 0, 0), (None, 0, 1), (None, 1, 8), (None, 7, 3), (0.5, 2, 2), (0.1, 90, 10), (0, 1_000, 0), (1, 0, 1_000)],
)
def test_a_list_with_few_wrong_dates_is_not(max_invalid: float | None, right: int, wrong: int) -> None:
    counted(max_invalid, right, wrong).check()


def test_the_first_rows_are_named() -> None:
    with pytest.raises(InvalidListError, match=r"The first: rows 1, 2, 3, 4, 5\. Write received_at in ISO 8601"):
        counted(None, 0, 7).check()
    with pytest.raises(InvalidListError, match=r"The first: row 1\."):
        counted(0, 7, 1).check()
