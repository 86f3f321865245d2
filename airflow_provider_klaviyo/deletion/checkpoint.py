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


class Store(Protocol):
    """Keeps JSON values under keys from one try of a task to the next."""

    def get(self, key: str, default: Any = None) -> Any: ...  # noqa: D102

    def set(self, key: str, value: Any) -> None: ...  # noqa: D102

    def delete(self, key: str) -> None: ...  # noqa: D102


class Checkpoint:
    """Keeps the work of a task, and how far it is done. `done` is what earlier tries have done of it.

    :param store: None where there is none, as before Airflow 3.3; then nothing is kept, and every try starts over.
    :param occasion: tells the tries of one task from those after it was changed or cleared. A list that was wrong is
        corrected by just that, and must not be worked off any further.
    """

    def __init__(self, store: Store | None, occasion: str) -> None:
        self._store = store
        self._occasion = occasion
        self._number = 0
        self._others: dict[str, list[int]] = {Outcome.ABSENT.value: [], Outcome.REFUSED.value: []}
        self.done: dict[str, Outcome] = {}

    def resume(self) -> Work | None:
        """Return the work that an earlier try on the same occasion has kept; None when there is none of today.

        An older list is read anew: somebody may have been taken off it.
        """
        kept = self._store.get(WORK) if self._store is not None else None
        if self._store is None or not isinstance(kept, dict) or kept.get("occasion") != self._occasion:
            return None
        work = Work.from_json(kept.get("work"))
        if work is None or datetime.now(UTC) - work.began_at > LONGEST_KEPT:
            return None
        progress = self._store.get(DELETIONS, {"number": 0})
        self._number = progress["number"]
        self._others |= {name: places for name, places in progress.items() if name in self._others}
        profile_ids = work.profile_ids
        self.done = dict.fromkeys(profile_ids[: self._number], Outcome.REQUESTED)
        for name, places in self._others.items():
            self.done |= {profile_ids[place]: Outcome(name) for place in places}
        return work

    def start(self, work: Work) -> None:
        """Keep the work that is to be done."""
        if self._store is not None:
            self._store.delete(DELETIONS)
            self._store.set(WORK, {"occasion": self._occasion, "work": work.to_json()})

    def begin(self, profile_id: str) -> bool:
        """Tell that every profile of a list is its own task's to delete."""
        return True

    def end(self, profile_id: str, outcome: Outcome) -> None:
        """Keep what became of the next profile."""
        if self._store is not None:
            if outcome is not Outcome.REQUESTED:
                self._others[outcome.value].append(self._number)
            self._number += 1
            self._store.set(DELETIONS, {"number": self._number, **self._others})

    def give_back(self, profile_id: str) -> None:
        """Keep nothing: it was not done."""

    def finish(self) -> None:
        """Forget everything."""
        if self._store is not None:
            self._store.delete(WORK)
            self._store.delete(DELETIONS)
