"""Where a deletion has got to, kept in Airflow's task state store, so that a retry need not start over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.work import Work

__all__ = ["Checkpoint", "Store"]

WORK: Final = "klaviyo_work"
DELETIONS: Final = "klaviyo_deletions"
LONGEST_KEPT: Final = timedelta(days=1)
LETTERS: Final = {Outcome.REQUESTED: "r", Outcome.ABSENT: "a", Outcome.REFUSED: "x"}


class Store(Protocol):
    """Keeps JSON values under keys from one try of a task to the next."""

    def get(self, key: str, default: Any = None) -> Any: ...  # noqa: D102

    def set(self, key: str, value: Any) -> None: ...  # noqa: D102

    def delete(self, key: str) -> None: ...  # noqa: D102


class Checkpoint:
    """Keeps the work of a task, and for each profile of it in turn, one letter: what became of its deletion.

    `done` is what earlier tries have done of the work.

    :param store: None where there is none, as before Airflow 3.3; then nothing is kept, and every try starts over.
    """

    def __init__(self, store: Store | None) -> None:
        self._store = store
        self._letters = ""
        self.done: dict[str, Outcome] = {}

    def resume(self) -> Work | None:
        """Return the work that an earlier try has kept; None when there is none of today.

        An older list is read anew: somebody may have been taken off it.
        """
        work = Work.from_json(self._store.get(WORK)) if self._store is not None else None
        if self._store is None or work is None or datetime.now(UTC) - work.began_at > LONGEST_KEPT:
            return None
        outcomes = {letter: outcome for outcome, letter in LETTERS.items()}
        self._letters = str(self._store.get(DELETIONS, ""))
        done = zip(work.profile_ids, self._letters, strict=False)
        self.done = {profile_id: outcomes[letter] for profile_id, letter in done}
        return work

    def start(self, work: Work) -> None:
        """Keep the work that is to be done."""
        if self._store is not None:
            self._store.delete(DELETIONS)
            self._store.set(WORK, work.to_json())

    def record(self, outcome: Outcome) -> None:
        """Keep what became of the next profile."""
        if self._store is not None:
            self._letters += LETTERS[outcome]
            self._store.set(DELETIONS, self._letters)

    def finish(self) -> None:
        """Forget everything: a task that is cleared after it succeeded is to look its list up anew."""
        if self._store is not None:
            self._store.delete(WORK)
            self._store.delete(DELETIONS)
