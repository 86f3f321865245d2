"""What can become of an identifier, and the counts that are kept of it.

```
source row ──► planned ──► requested ──► confirmed
                 │ no such profile  │ 404          ▲ the profile is gone
                 ▼                  ▼              │
               absent             absent       reappeared: it is gone, a new profile holds the identifier
  invalid: cannot be an identifier    refused: Klaviyo answers 400    held: matches more profiles than allowed
```

Trouble of Klaviyo's or of the network is not an outcome: the identifier stays where it was.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum

__all__ = ["Outcome", "counts", "overall"]


class Outcome(StrEnum):
    """One of the states of an identifier; the values are the keys of every result."""

    PLANNED = "planned"
    REQUESTED = "requested"
    ABSENT = "absent"
    CONFIRMED = "confirmed"
    REAPPEARED = "reappeared"
    INVALID = "invalid"
    REFUSED = "refused"
    HELD = "held"


_LEAST_FINAL_FIRST = (
    Outcome.PLANNED,
    Outcome.REFUSED,
    Outcome.REQUESTED,
    Outcome.HELD,
    Outcome.REAPPEARED,
    Outcome.CONFIRMED,
    Outcome.ABSENT,
)


def overall(outcomes: Iterable[Outcome]) -> Outcome:
    """Return what became of an identifier that matches several profiles: the least final, or the worst, of each."""
    found = set(outcomes)
    for outcome in _LEAST_FINAL_FIRST:
        if outcome in found:
            return outcome
    raise ValueError("an identifier that matches no profile has no outcome of a deletion")


def counts(outcomes: Counter[Outcome]) -> dict[str, int]:
    """Return the counts of a deletion as plain numbers under stable keys, zeros included."""
    keys = (Outcome.PLANNED, Outcome.REQUESTED, Outcome.ABSENT, Outcome.INVALID, Outcome.REFUSED, Outcome.HELD)
    return {key.value: outcomes[key] for key in keys}
