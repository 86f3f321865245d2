"""Jobs that suppress e-mail addresses.

Pure: the time is an argument.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["queued", "processing", "complete", "cancelled"]


@dataclass(frozen=True, slots=True)
class SuppressionJob:
    """A job, its addresses, and the ids that those of them get who are nobody yet; times are Unix times."""

    id: str
    account_id: str
    emails: tuple[str, ...]
    new_ids: tuple[str, ...]
    created: float
    due: float
    completed: float | None = None
    suppressed: int = 0
    cancelled: bool = False

    def status(self, now: float) -> Status:
        """Return how far it is."""
        if self.cancelled:
            return "cancelled"
        if self.completed is not None:
            return "complete"
        return "queued" if now <= (self.created + self.due) / 2 else "processing"
