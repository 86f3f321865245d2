"""Where a deletion has got to, kept in Airflow's task state store, so that a retry need not start over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Protocol

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.errors import KlaviyoAnswerError
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.deletion.meant import fingerprints_of
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.work import Work

__all__ = ["Checkpoint", "Store"]

WORK: Final = "klaviyo_work"
DELETIONS: Final = "klaviyo_deletions"
MOVED: Final = "moved"
LONGEST_KEPT: Final = timedelta(days=1)


class Store(Protocol):
    """Keeps JSON values under keys from one try of a task to the next."""

    def get(self, key: str, default: Any = None) -> Any: ...  # noqa: D102

    def set(self, key: str, value: Any) -> None: ...  # noqa: D102

    def delete(self, key: str) -> None: ...  # noqa: D102


class Checkpoint:
    """The record of a drain without a ledger: the work of a task, and how far it is done.

    `work` is what there is to do, `done` what earlier tries have done of it.

    :param store: None where there is none, as before Airflow 3.3; then nothing is kept, and every try starts over.
    :param occasion: tells the tries of one task from those after it was changed or cleared. A list that was wrong is
        corrected by just that, and must not be worked off any further.
    :param keys: to mark identifiers with.
    :param look_up: looks the whole list up, without deleting anybody, and returns what there is to do then.
    :param max_profiles: that may be deleted in all; None for any number.
    """

    def __init__(
        self,
        store: Store | None,
        occasion: str,
        keys: FingerprintKeys,
        look_up: Callable[[], Work],
        max_profiles: int | None,
    ) -> None:
        self._store = store
        self._occasion = occasion
        self._keys = keys
        self._look_up = look_up
        self._max_profiles = max_profiles
        self._number = 0
        self._others: dict[str, list[int]] = {Outcome.ABSENT.value: [], Outcome.REFUSED.value: [], MOVED: []}
        self._missed: set[str] = set()
        self._missed_before: set[str] = set()
        self.done: dict[str, Outcome] = {}

    def resume(self) -> bool:
        """Take up the work that an earlier try on the same occasion has kept; tell whether there is any of today.

        An older list is read anew: somebody may have been taken off it.
        """
        kept = self._store.get(WORK) if self._store is not None else None
        if self._store is None or not isinstance(kept, dict) or kept.get("occasion") != self._occasion:
            return False
        work = Work.from_json(kept.get("work"))
        if work is None or datetime.now(UTC) - work.began_at > LONGEST_KEPT:
            return False
        progress = self._store.get(DELETIONS, {"number": 0})
        self._number = progress["number"]
        self._others |= {name: places for name, places in progress.items() if name in self._others}
        profile_ids = work.profile_ids
        self.done = dict.fromkeys(profile_ids[: self._number], Outcome.REQUESTED)
        for outcome in (Outcome.ABSENT, Outcome.REFUSED):
            self.done |= {profile_ids[place]: outcome for place in self._others[outcome.value]}
        self._take(work)
        self._missed = {work.marks[place] for place in self._others[MOVED]}
        for profile_id, outcome in self.done.items():
            if outcome is Outcome.ABSENT:
                self._missed |= self._listed[profile_id]
        return True

    def start(self, work: Work) -> None:
        """Keep the work that is to be done."""
        self._take(work)
        if self._store is not None:
            self._store.delete(DELETIONS)
            self._store.set(WORK, {"occasion": self._occasion, "work": work.to_json()})

    def is_meant(self, profile: Profile) -> bool:
        """Tell whether a profile holds an identifier that matched it; the others are looked for again at the end."""
        listed = self._listed[profile.id]
        elsewhere = listed - fingerprints_of(profile, self._keys)
        self._missed |= elsewhere
        self._others[MOVED] = sorted({*self._others[MOVED], *(self._places[mark] for mark in elsewhere)})
        return elsewhere != listed

    def begin(self, profile: Profile) -> bool:
        """Tell that every profile of a list is its own task's to delete."""
        return True

    def end(self, profile_id: str, outcome: Outcome, *, in_doubt: bool = False) -> None:
        """Keep what became of the next profile; of one that has joined, a retry finds out anew."""
        ids = self._profile_ids
        if self._store is None or self._number >= len(ids) or profile_id != ids[self._number]:
            return
        if outcome is not Outcome.REQUESTED:
            self._others[outcome.value].append(self._number)
        self._number += 1
        self._store.set(DELETIONS, {"number": self._number, **self._others})

    def give_back(self, profile_id: str) -> None:
        """Keep nothing: it was not done."""

    def miss(self, profile_id: str, *, is_there: bool) -> Outcome:
        """Count a profile that is gone, or holds nothing that was listed, as absent, and look for the person later."""
        self._missed |= self._listed[profile_id]
        return Outcome.ABSENT

    def find_again(self, client: KlaviyoClient) -> Sequence[str]:
        """Look the list up once more if somebody was missed; return the profiles that hold their identifiers now.

        :raises KlaviyoAnswerError: when Klaviyo's look-ups contradict each other about a profile, again and again.
        """
        missed, self._missed = self._missed, set()
        if not missed:
            return []
        found = self._look_up()
        now = {mark: ids for mark, ids in zip(found.marks, found.matches, strict=True) if mark in missed}
        again = {one for mark, ids in now.items() for one in ids if mark in self._listed.get(one, ())}
        if again & self._missed_before:
            raise KlaviyoAnswerError(
                "Klaviyo's search finds profiles that its look-up by id does not find, or finds without what was "
                f"listed: {', '.join(sorted(again & self._missed_before))[:1_000]}. They were not deleted; a retry "
                "looks again"
            )
        self._missed_before |= again
        others, held = self._within_guards(now)
        self._take(self.work.joined(others, held))
        return list(dict.fromkeys(one for ids in others.values() for one in ids))

    def finish(self) -> None:
        """Forget everything."""
        if self._store is not None:
            self._store.delete(WORK)
            self._store.delete(DELETIONS)

    def _take(self, work: Work) -> None:
        if not hasattr(self, "work"):
            self._profile_ids = work.profile_ids
            self._places = {mark: place for place, mark in enumerate(work.marks)}
        self.work = work
        self._listed = work.listed_by

    def _within_guards(self, now: dict[str, tuple[str, ...]]) -> tuple[dict[str, tuple[str, ...]], set[str]]:
        """Return the profiles to join by mark, and the marks that would bring more than ``max_profiles``."""
        ids, others, held = set(self._listed), {}, set()
        for mark, matched in now.items():
            if self._max_profiles is not None and len(ids.union(matched)) > self._max_profiles:
                held.add(mark)
            else:
                others[mark] = matched
                ids.update(matched)
        return others, held
