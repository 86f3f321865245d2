"""What can become of somebody whose identifiers are to change.

```
source row ──► planned ──► updated
  │              │ 404: absent, since    409: duplicate_profile, which holds a new identifier    400: refused
  invalid: cannot be meant    absent: no such profile    held: several profiles    unchanged: it is so already
```

Directly before a change is sent, its profile is looked up by id: ``absent`` if it is gone, ``held`` if it does not hold
what it was found by any more, ``unchanged`` if it is right by then.

Trouble of Klaviyo's or of the network is not an outcome: the task fails, and its retry changes the others.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = ["Outcome"]


class Outcome(StrEnum):
    """What became of an identifier of the list; the values are the keys of the result."""

    PLANNED = "planned"
    UPDATED = "updated"
    UNCHANGED = "unchanged"
    ABSENT = "absent"
    HELD = "held"
    INVALID = "invalid"
    REFUSED = "refused"
    DUPLICATE_PROFILE = "duplicate_profile"
