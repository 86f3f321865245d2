"""What is wrong with rows of a list, said of the first of them."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

__all__ = ["RowWarnings"]

LOGGED_ROWS: Final = 20


@dataclass(slots=True)
class RowWarnings:
    """Logs what is wrong with the first 20 rows, by their numbers, and then once that there are more.

    :param log: of the module that found it.
    """

    log: logging.Logger
    rows: int = 0

    def add(self, row: int, words: str) -> None:
        """Say of a row what is wrong with it, and what becomes of it. What the row holds is not for the log."""
        self.rows += 1
        if self.rows <= LOGGED_ROWS:
            self.log.warning("Row %s %s", row, words)
        elif self.rows == LOGGED_ROWS + 1:
            self.log.warning("More rows like these follow, and are no longer logged one by one")
