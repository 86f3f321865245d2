"""Everyone in a list gets their document: looked up, read at Klaviyo's pace, written as soon as it is whole."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from airflow_provider_klaviyo.access.documents import HEAD_BYTES, document, export_id, export_id_in
from airflow_provider_klaviyo.access.errors import ExportRefusedError, ProfileGoneError
from airflow_provider_klaviyo.access.folder import DocumentFolder
from airflow_provider_klaviyo.access.matching import Fate, Limits, Match, is_of, match
from airflow_provider_klaviyo.access.people import People, Person
from airflow_provider_klaviyo.api.access import export_profile
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.conversation import Conversation
from airflow_provider_klaviyo.api.endpoints import GET_PROFILE_LISTS, GET_PROFILE_SEGMENTS
from airflow_provider_klaviyo.api.errors import KlaviyoNotFoundError
from airflow_provider_klaviyo.deletion.progress import Progress, duration

__all__ = ["Export"]

# A profile that was merged is found under another id the next time; one that flickers is not waited for.
LOOKS: Final = 3

log = logging.getLogger(__name__)


class Missed(StrEnum):
    """What has happened to a profile between look-up and reading."""

    GONE = "went away"
    CHANGED = "changed hands"


@dataclass(slots=True)
class Export:
    """One try at exporting a list.

    :param account_id: whose customers they are.
    :param occasion: a secret digest, the same for all tries of one task. What an earlier try has written stays.
    :param include_events: also what they did.
    """

    client: KlaviyoClient
    folder: DocumentFolder
    limits: Limits
    account_id: str
    occasion: str
    include_events: bool = False
    matches: dict[Person, Match] = field(default_factory=dict, repr=False)
    kept: set[Person] = field(default_factory=set, repr=False)
    kept_empty: set[Person] = field(default_factory=set, repr=False)
    contradicted: set[Person] = field(default_factory=set, repr=False)

    def run(self, people: People) -> dict[str, Any]:
        """Write everyone's document, and return the counts and where the documents lie.

        A profile that does not hold an identifier of its person when it is read is in no document: the person is looked
        up again, and held if that brings nothing else.

        :raises ExportRefusedError: when the list matches too many profiles, or a document there has a name too like.
        :raises ProfileGoneError: when profiles are found again and again, and are not there when they are read.
        :raises OutputUnavailableError: when a document cannot be written.
        """
        self._look_into_the_folder(people.everyone)
        waiting: Sequence[Person] = people.everyone
        for _ in range(LOOKS):
            matches = match(waiting, self.client, self.limits)
            self.matches |= {one.person: one for one in matches}
            waiting = list(self._write_each([one for one in matches if one.has_document]))
            if not waiting:
                return self._result(people)
        waiting = self._without_contradictions(waiting)
        if not waiting:
            return self._result(people)
        raise ProfileGoneError(
            f"the profiles of {len(waiting):,} people were found, and not there any more when they were read, {LOOKS} "
            "times. Is somebody deleting or merging them? All other documents are written; try again for these"
        )

    def _without_contradictions(self, waiting: Sequence[Person]) -> list[Person]:
        """Hold the people whose profiles are somebody else's each time they are read; return the others.

        A retry would not make them a clear case, and nobody else has to wait for them. Profiles that are gone each time
        are a search that is late, which a retry mends.
        """
        for person in waiting:
            if person in self.contradicted:
                log.warning(
                    "Row %s: a profile is found by its identifiers, and does not hold them when it is read: held back, "
                    "no document written",
                    person.row,
                )
                self.matches[person] = Match(person, Fate.HELD)
        return [person for person in waiting if person not in self.contradicted]

    def _look_into_the_folder(self, everyone: Iterable[Person]) -> None:
        """See what is there: documents of this occasion, whose people are done, and what was left half written."""
        present = self.folder.names()
        self.folder.remove_parts(present, {person.document for person in everyone})
        spelled = {name.casefold(): name for name in present}
        for person in everyone:
            name = spelled.get(person.document.casefold())
            if person.document in present:
                found = export_id_in(self.folder.head(person.document, HEAD_BYTES))
                if found == export_id(person, self.occasion):
                    self.kept.add(person)
                elif found == export_id(person, self.occasion, is_empty=True):
                    self.kept_empty.add(person)
            elif name is not None:
                raise ExportRefusedError(
                    f"{self.folder.url} has a document {name}, whose name differs from that of row {person.row:,} in "
                    "capital letters only, and not every file system can tell them apart. Nothing was written. Name "
                    "another output_path, or give the row another request_id"
                )
        if self.kept or self.kept_empty:
            number = len(self.kept) + len(self.kept_empty)
            log.info("An earlier try has written %s documents, which are kept", f"{number:,}")

    def _is_kept(self, one: Match) -> bool:
        """Tell whether an earlier try has written a document; one without profiles only as long as none are found."""
        return one.person in self.kept or (one.person in self.kept_empty and not one.profile_ids)

    def _write_each(self, matches: list[Match]) -> Iterator[Person]:
        """Read and write; yield those whose profiles went away, or to somebody else, meanwhile."""
        todo = [one for one in matches if not self._is_kept(one)]
        total = sum(len(one.profile_ids) for one in todo)
        self._announce(total)
        progress = Progress("profiles read", total)
        self.contradicted.clear()
        try:
            for one, profiles in self.client.run_each(self._read(one) for one in todo):
                if isinstance(profiles, list):
                    self._write(one.person, profiles)
                else:
                    log.warning("Row %s: a profile %s since it was looked up; looking again", one.person.row, profiles)
                    if profiles is Missed.CHANGED:
                        self.contradicted.add(one.person)
                    yield one.person
                progress.advance(len(one.profile_ids))
        finally:
            log.info("%s", progress.describe())

    def _read(self, one: Match) -> Conversation[tuple[Match, list[dict[str, Any]] | Missed]]:
        """Return all profiles of a person, unless one of them is not there any more, or somebody else's by now.

        Of each profile, the attributes come last, so that they decide about all that was read before.
        """
        profiles = []
        for profile_id in one.profile_ids:
            try:
                profile = yield from export_profile(profile_id, events=self.include_events)
            except KlaviyoNotFoundError:
                profile = None
            if profile is None:
                return one, Missed.GONE
            if not is_of(one.person, profile):
                return one, Missed.CHANGED
            profiles.append(profile)
        return one, profiles

    def _write(self, person: Person, profiles: list[dict[str, Any]]) -> None:
        content = document(
            person,
            profiles,
            account_id=self.account_id,
            export_id=export_id(person, self.occasion, is_empty=not profiles),
            read_at=datetime.now(UTC),
        )
        self.folder.write(person.document, content)

    def _announce(self, total: int) -> None:
        endpoints = (GET_PROFILE_LISTS, GET_PROFILE_SEGMENTS)
        seconds = total * max(map(self.client.settings.interval_seconds, endpoints))
        log.info("Profiles to read: %s, which takes about %s", f"{total:,}", duration(seconds))

    def _result(self, people: People) -> dict[str, Any]:
        fates = Counter(one.fate for one in self.matches.values()) + Counter({Fate.INVALID: people.invalid})
        profile_ids = {one for matched in self.matches.values() for one in matched.profile_ids}
        return {
            "listed": people.listed,
            "duplicates": people.duplicates,
            **{fate.value: fates[fate] for fate in Fate},
            "profiles": len(profile_ids),
            "documents": [self.folder.url_of(one.person.document) for one in self.matches.values() if one.has_document],
        }
