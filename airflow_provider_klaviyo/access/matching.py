"""Who is whom in Klaviyo: each person with the profiles that their identifiers match."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from airflow_provider_klaviyo.access.errors import ExportRefusedError
from airflow_provider_klaviyo.access.people import Person
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind, normalised
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.resolve import Resolved, resolve

__all__ = ["Fate", "Limits", "Match", "is_of", "match"]

# A request of more identifiers is no person's: the column has the same value for everybody.
MOST_IDENTIFIERS: Final = 20

log = logging.getLogger(__name__)


class Fate(StrEnum):
    """What becomes of a person in a list of those who want to see their data."""

    EXPORTED = "exported"
    ABSENT = "absent"
    INVALID = "invalid"
    REFUSED = "refused"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a list may match.

    :param max_profiles: the whole list; None for any number.
    :param max_profiles_per_identifier: one identifier, and all of one person together; None for any number.
    """

    max_profiles: int | None = 1_000
    max_profiles_per_identifier: int | None = 5


@dataclass(frozen=True, slots=True)
class Match:
    """What a look-up made of a person.

    :param profile_ids: that match, each once; none unless they are to be exported.
    """

    person: Person
    fate: Fate
    profile_ids: tuple[str, ...] = ()

    @property
    def has_document(self) -> bool:
        """Whether they get a document: also who is not known to Klaviyo does."""
        return self.fate in (Fate.EXPORTED, Fate.ABSENT)


@dataclass(slots=True)
class _Finding:
    """Collects the profiles of a list until there are too many."""

    most: int | None
    found: dict[Identifier, Resolved] = field(default_factory=dict, repr=False)
    profile_ids: set[str] = field(default_factory=set)

    def add(self, resolved: Resolved) -> None:
        self.found[resolved.identifier] = resolved
        self.profile_ids.update(profile.id for profile in resolved.profiles)
        if self.most is not None and len(self.profile_ids) > self.most:
            raise ExportRefusedError(
                f"the list matches more than {self.most:,} Klaviyo profiles, which is all that max_profiles allows. "
                "Nothing was written. If the list is right, raise max_profiles on the task (None for no limit); if "
                "not, look for the join that lists too many"
            )


def match(everyone: Iterable[Person], client: KlaviyoClient, limits: Limits) -> list[Match]:
    """Look everyone up, 100 identifiers a call, and say who is whom.

    A request is held that names more than 20 identifiers, or two of one kind that match different profiles.

    :raises ExportRefusedError: as soon as the list matches more profiles than allowed.
    """
    everyone = list(everyone)
    finding = _Finding(limits.max_profiles)
    looked_up = [person for person in everyone if len(person.identifiers) <= MOST_IDENTIFIERS]
    identifiers = dict.fromkeys(one for person in looked_up for one in person.identifiers)
    for resolved in resolve(identifiers, client, max_profiles_per_identifier=limits.max_profiles_per_identifier):
        finding.add(resolved)
    return [_match(person, finding.found, limits.max_profiles_per_identifier) for person in everyone]


def is_of(person: Person, profile: Mapping[str, Any]) -> bool:
    """Tell whether a profile, as it was read, still holds an identifier of a person: it may be somebody else's now."""
    return any(_value_of(profile, one.kind) == one.value for one in person.identifiers)


def _match(person: Person, found: Mapping[Identifier, Resolved], most: int | None) -> Match:
    if len(person.identifiers) > MOST_IDENTIFIERS:
        log.warning(
            "Row %s: its request_id is that of %s different identifiers, more than the %s of one person: held back, no "
            "document written. Is it really the number of a request?",
            person.row,
            f"{len(person.identifiers):,}",
            MOST_IDENTIFIERS,
        )
        return Match(person, Fate.HELD)
    of_person = [found[one] for one in person.identifiers]
    outcomes = {one.outcome for one in of_person}
    profile_ids = tuple(dict.fromkeys(profile.id for one in of_person for profile in one.profiles))
    if Outcome.HELD in outcomes:
        log.warning("Row %s: the person is held back, no document written: see above", person.row)
        return Match(person, Fate.HELD)
    if most is not None and len(profile_ids) > most:
        log.warning(
            "Row %s: the identifiers of this request match %s profiles in all, more than "
            "max_profiles_per_identifier=%s: held back, no document written. Do several people have one request_id?",
            person.row,
            len(profile_ids),
            most,
        )
        return Match(person, Fate.HELD)
    kind = _kind_of_several_people(of_person)
    if kind is not None:
        log.warning(
            "Row %s: two values of %s of this request match different profiles, and nothing says that they are of one "
            "person: held back, no document written. Do several people have one request_id?",
            person.row,
            kind,
        )
        return Match(person, Fate.HELD)
    if Outcome.REFUSED in outcomes:
        log.warning("Row %s: Klaviyo will not look up one of the identifiers, so no document is written", person.row)
        return Match(person, Fate.REFUSED)
    return Match(person, Fate.EXPORTED if profile_ids else Fate.ABSENT, profile_ids)


def _kind_of_several_people(of_person: Iterable[Resolved]) -> Kind | None:
    """Return a kind of identifier of which two match different profiles; None if there is none.

    Of two kinds, two profiles may be one person's: Klaviyo has one of each kind in a profile.
    """
    first: dict[Kind, set[str]] = {}
    for resolved in of_person:
        profile_ids = {profile.id for profile in resolved.profiles}
        kind = resolved.identifier.kind
        if profile_ids and first.setdefault(kind, profile_ids) != profile_ids:
            return kind
    return None


def _value_of(profile: Mapping[str, Any], kind: Kind) -> str | None:
    return normalised(kind, profile["id"] if kind is Kind.ID else profile["attributes"].get(kind.value))
