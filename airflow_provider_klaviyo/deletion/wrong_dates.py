"""Refuse a list of which many dates are not understood: as received now, its requests would be due weeks too late."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from airflow_provider_klaviyo.deletion.invalid_rows import FEWEST_ROWS, USUAL_MAX_INVALID, InvalidListError

__all__ = ["WrongDates"]

NAMED_ROWS: Final = 5


@dataclass(slots=True)
class WrongDates:
    """Counts the dates of receipt in a list, and those of them that are not understood.

    :param max_invalid: the largest share of them that may be wrong, as for `InvalidRows`. With None, one wrong date
        is never too many: it says nothing of the list.
    :param consequence: what was not done, for the error: ``Nothing was registered``.
    """

    max_invalid: float | None = 1.0
    consequence: str = "Nothing was registered"
    dates: int = 0
    wrong: int = 0
    _rows: list[int] = field(default_factory=list)

    def add(self, row: int, *, is_wrong: bool) -> None:
        """Count the date of a row that has one."""
        self.dates += 1
        self.wrong += is_wrong
        if is_wrong and len(self._rows) < NAMED_ROWS:
            self._rows.append(row)

    def check(self) -> None:
        """Refuse the list if too many of its dates were wrong; to be called when the last row is read.

        :raises InvalidListError: with how many there are, and what to write instead.
        """
        if not self._are_too_many():
            return
        raise InvalidListError(
            f"{self.wrong:,} of {self.dates:,} dates of receipt are not understood, more than max_invalid allows. "
            f"{self.consequence}. The first: row{'s' * (len(self._rows) > 1)} {', '.join(map(str, self._rows))}. Write "
            "received_at in ISO 8601, such as 2026-11-22, or raise max_invalid on the task (1 for any number) to have "
            "such requests count as received now"
        )

    def _are_too_many(self) -> bool:
        if self.max_invalid is not None:
            return self.wrong > self.max_invalid * self.dates
        if self.dates >= FEWEST_ROWS:
            return self.wrong > USUAL_MAX_INVALID * self.dates
        return 1 < self.wrong == self.dates
