"""What a plan leaves to do: counts and profile ids, nothing personal, so that Airflow may keep it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final, Self

from airflow_provider_klaviyo.deletion.outcomes import Outcome, counts, overall

__all__ = ["Work"]

VERSION: Final = 2


@dataclass(frozen=True, slots=True)
class Work:
    """The profiles to delete, and what is known of the identifiers already.

    :param began_at: when the look-up began. No profile created later is among them.
    :param listed: rows read.
    :param duplicates: rows that name what an earlier row named.
    :param settled: how many identifiers have which outcome already.
    :param matches: for each of the other identifiers, the ids of the profiles it matches.
    :param marks: for each of them, a keyed fingerprint: by it a profile is seen to hold the identifier.
    """

    began_at: datetime
    listed: int
    duplicates: int
    settled: Mapping[Outcome, int]
    matches: tuple[tuple[str, ...], ...]
    marks: tuple[str, ...]

    @property
    def profile_ids(self) -> tuple[str, ...]:
        """The profiles to delete, each once, in the order they were found."""
        return tuple(dict.fromkeys(profile_id for matched in self.matches for profile_id in matched))

    @property
    def listed_by(self) -> dict[str, set[str]]:
        """For each profile, the marks of the identifiers that matched it."""
        listed: dict[str, set[str]] = {}
        for mark, matched in zip(self.marks, self.matches, strict=True):
            for profile_id in matched:
                listed.setdefault(profile_id, set()).add(mark)
        return listed

    def joined(self, others: Mapping[str, Sequence[str]], held: Collection[str]) -> Self:
        """Return the work with more profiles for some identifiers, given by mark, and with others held back."""
        kept = [
            (mark, tuple(dict.fromkeys([*matched, *others.get(mark, ())])))
            for mark, matched in zip(self.marks, self.matches, strict=True)
            if mark not in held
        ]
        number = len(self.marks) - len(kept)
        settled = Counter(self.settled) + Counter({Outcome.HELD: number})
        marks, matches = zip(*kept, strict=True) if kept else ((), ())
        return replace(self, settled=settled, matches=matches, marks=marks)

    def result(self, deletions: Mapping[str, Outcome] | None) -> dict[str, Any]:
        """Return the counts of the whole list, and the profile ids, as plain JSON values.

        :param deletions: what became of each profile; None when nothing was to be deleted.
        """
        outcomes = Counter(self.settled) + Counter(
            Outcome.PLANNED if deletions is None else overall(deletions[profile_id] for profile_id in matched)
            for matched in self.matches
        )
        result = {"listed": self.listed, "duplicates": self.duplicates, **counts(outcomes)}
        if deletions is None:
            ids: dict[str, Any] = {"profile_ids": [], "planned_profile_ids": list(self.profile_ids)}
        else:
            # A profile that is gone, or somebody else's by now, was not deleted, and is not to be waited for.
            watched = (Outcome.REQUESTED, Outcome.PLANNED)
            ids = {"profile_ids": [one for one, outcome in deletions.items() if outcome in watched]}
        return result | ids | {"looked_up_at": self.began_at.isoformat()}

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "version": VERSION,
            "began_at": self.began_at.isoformat(),
            "listed": self.listed,
            "duplicates": self.duplicates,
            "settled": {outcome.value: number for outcome, number in self.settled.items()},
            "matches": [list(matched) for matched in self.matches],
            "marks": list(self.marks),
        }

    @classmethod
    def from_json(cls, kept: Any) -> Self | None:
        """Return what `to_json` gave; None for anything else, such as what another version has kept."""
        try:
            if kept["version"] != VERSION:
                return None
            matches, marks = tuple(map(tuple, kept["matches"])), tuple(kept["marks"])
            if len(marks) != len(matches):
                return None
            return cls(
                began_at=datetime.fromisoformat(kept["began_at"]).astimezone(UTC),
                listed=kept["listed"],
                duplicates=kept["duplicates"],
                settled={Outcome(name): number for name, number in kept["settled"].items()},
                matches=matches,
                marks=marks,
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            return None
