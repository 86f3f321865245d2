"""What can go wrong with a ledger.

```
LedgerError
├── LedgerUnavailableError   the database is down, or cannot be written: try again
├── SupersededError          a later try of the same task has taken over: leave it to that one
└── LedgerSetupError         no retry can help: the message says what to correct
    └── HeldPlanError        the plan matches more profiles than it may: release it, or correct the list
```

No message quotes a row: a database's own text may hold what it could not store.
"""

from __future__ import annotations

__all__ = ["HeldPlanError", "LedgerError", "LedgerSetupError", "LedgerUnavailableError", "SupersededError"]


class LedgerError(Exception):
    """Any trouble with a ledger. Nothing is lost: what is not recorded as done is still to be done."""


class LedgerUnavailableError(LedgerError):
    """The ledger's database does not do what it should, now. Nothing goes on without it: no call is made unpaced."""


class SupersededError(LedgerError):
    """A later try of the same task works on this batch, so this one stops: Airflow has taken it for dead."""


class LedgerSetupError(LedgerError, ValueError):
    """The ledger, a key or a reference cannot be right."""


class HeldPlanError(LedgerSetupError):
    """A plan that matches more profiles than it may, and that nobody has released."""
