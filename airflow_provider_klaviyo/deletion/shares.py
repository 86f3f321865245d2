"""How much of a list may be wrong before the list is, rather than its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["ShareLimit"]

FEWEST: Final = 2


@dataclass(slots=True)
class ShareLimit:
    """Counts values of a list, and tells when too many of them are wrong.

    :param most: the share that may be wrong, from 0 to 1: with 0.5 a list fails when more than half are. One wrong
        value alone is never too many: it says nothing of the list.
    """

    most: float
    values: int = 0
    wrong: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.most <= 1:
            raise ValueError("a share is a number from 0 to 1")

    def add(self, *, is_wrong: bool) -> None:
        """Count a value; leave out rows that have none."""
        self.values += 1
        self.wrong += is_wrong

    @property
    def is_exceeded(self) -> bool:
        """Whether too many values are wrong. To be asked when the list has been read to its end."""
        return self.wrong >= FEWEST and self.wrong > self.most * self.values

    def __str__(self) -> str:
        return f"{self.wrong:,} of {self.values:,}"
