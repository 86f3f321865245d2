"""Source rows in, profiles to delete out: normalised, de-duplicated, looked up, guarded. Nothing is deleted here."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from urllib.parse import quote

from airflow_provider_klaviyo.api.calls import Found, find_profiles
from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.conversation import Conversation
from airflow_provider_klaviyo.api.wire import Profile
from airflow_provider_klaviyo.deletion.identifiers import Identifier, InvalidIdentifierError, Kind
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.progress import Progress
from airflow_provider_klaviyo.deletion.work import Work

__all__ = ["Batch", "Plan", "PlanTooLargeError", "batches", "make_plan"]

BATCH_SIZE: Final = 100
LONGEST_BATCH: Final = 8_000
LOGGED_ROWS: Final = 20

log = logging.getLogger(__name__)


class PlanTooLargeError(ValueError):
    """The list matches more profiles than `max_profiles`. Nothing was deleted; the message says how to go on."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Identifiers of one kind that are looked up in one call."""

    kind: Kind
    identifiers: tuple[Identifier, ...]

    @property
    def values(self) -> list[str]:
        """What to ask for."""
        return [spelling for identifier in self.identifiers for spelling in identifier.spellings]


@dataclass(slots=True)
class Plan:
    """What a list comes to.

    :param listed: rows read.
    :param duplicates: rows that name what an earlier row named.
    :param outcomes: of the identifiers that are settled already.
    :param refused: the identifiers among them that Klaviyo will not look up.
    :param matches: the other identifiers, each with the profiles it matches.
    :param profile_ids: of all these profiles, each once, in the order they were found.
    """

    max_profiles: int | None = None
    max_profiles_per_identifier: int | None = None
    listed: int = 0
    duplicates: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    refused: list[Identifier] = field(default_factory=list)
    matches: dict[Identifier, tuple[Profile, ...]] = field(default_factory=dict)
    profile_ids: dict[str, None] = field(default_factory=dict)

    def identifiers(self, rows: Iterable[object]) -> Iterator[Identifier]:
        """Read rows and yield what they name, each once; rows that name nothing are counted and logged by number."""
        seen: set[Identifier] = set()
        for raw in rows:
            self.listed += 1
            try:
                identifier = Identifier.parse(raw)
            except InvalidIdentifierError as error:
                self._note_invalid(error)
                continue
            if identifier in seen:
                self.duplicates += 1
                continue
            seen.add(identifier)
            yield identifier

    def settle(self, batch: Batch, found: Found) -> None:
        """Sort the identifiers of a batch by what was found.

        A profile counts only if it holds, by its own fields, what was asked for. Whatever else an answer may bring
        is left alone.

        :raises PlanTooLargeError: as soon as there are more profiles than allowed.
        """
        holders, unasked = _holders(batch, found)
        if unasked:
            log.warning(
                "Klaviyo answered with %s profiles that do not match the filter; they are ignored, and who was not "
                "found by the same call is held, because one of them may be theirs",
                unasked,
            )
        refused = set(found.refused)
        for identifier in batch.identifiers:
            profiles = tuple(holders[identifier.value].values())
            if profiles:
                self._settle_found(identifier, profiles)
            elif not refused.isdisjoint(identifier.spellings):
                self.outcomes[Outcome.REFUSED] += 1
                self.refused.append(identifier)
            else:
                self.outcomes[Outcome.HELD if unasked else Outcome.ABSENT] += 1
        if self.max_profiles is not None and len(self.profile_ids) > self.max_profiles:
            raise PlanTooLargeError(
                f"the list matches more than {self.max_profiles:,} Klaviyo profiles, which is all that max_profiles "
                f"allows. Nothing was deleted. If the list is right, raise max_profiles on the task (None for no "
                f"limit); if not, look for the join that lists too many: {self.listed:,} rows were read so far"
            )

    def work(self, began_at: datetime) -> Work:
        """Return what is left to do, without the identifiers.

        :param began_at: when this plan was begun.
        """
        ids = tuple(tuple(profile.id for profile in profiles) for profiles in self.matches.values())
        return Work(began_at, self.listed, self.duplicates, dict(self.outcomes), ids)

    def _settle_found(self, identifier: Identifier, profiles: tuple[Profile, ...]) -> None:
        if self.max_profiles_per_identifier is not None and len(profiles) > self.max_profiles_per_identifier:
            self.outcomes[Outcome.HELD] += 1
            log.warning(
                "An identifier matches %s profiles, more than max_profiles_per_identifier=%s: held back, not deleted. "
                "The profile ids are %s",
                len(profiles),
                self.max_profiles_per_identifier,
                ", ".join(profile.id for profile in profiles[:LOGGED_ROWS]),
            )
        else:
            self.matches[identifier] = profiles
            self.profile_ids.update(dict.fromkeys(profile.id for profile in profiles))

    def _note_invalid(self, error: InvalidIdentifierError) -> None:
        self.outcomes[Outcome.INVALID] += 1
        if self.outcomes[Outcome.INVALID] <= LOGGED_ROWS:
            log.warning("Row %s cannot be an identifier and is counted as invalid: %s", self.listed, error)
        elif self.outcomes[Outcome.INVALID] == LOGGED_ROWS + 1:
            log.warning("More rows cannot be identifiers; they are counted, and no longer logged one by one")


def make_plan(
    rows: Iterable[object],
    client: KlaviyoClient,
    *,
    max_profiles: int | None = None,
    max_profiles_per_identifier: int | None = None,
) -> Plan:
    """Read a list and look everyone in it up, 100 identifiers a call. Rows are read as they are needed.

    :param rows: each a string or a mapping, as `Identifier.parse` takes them.
    :param max_profiles: how many profiles the whole list may match; None for any number.
    :param max_profiles_per_identifier: how many profiles one identifier may match before it is held back.
    :raises PlanTooLargeError: as soon as the list matches more profiles than allowed.
    :raises IdentifierKindError: for a row that names a kind there is not.
    """
    plan = Plan(max_profiles=max_profiles, max_profiles_per_identifier=max_profiles_per_identifier)
    progress = Progress("identifiers looked up")
    conversations = (_look_up(batch) for batch in batches(plan.identifiers(rows)))
    for batch, found in client.run_each(conversations):
        plan.settle(batch, found)
        progress.advance(len(batch.identifiers))
    if 0 < plan.listed == plan.outcomes[Outcome.INVALID]:
        log.error("None of the %s rows can be an identifier: is it the right column?", f"{plan.listed:,}")
    return plan


def batches(identifiers: Iterable[Identifier]) -> Iterator[Batch]:
    """Put identifiers together that fit into one call: one kind, at most 100 spellings, at most 8,000 characters."""
    waiting: dict[Kind, list[Identifier]] = {kind: [] for kind in Kind}
    numbers: Counter[Kind] = Counter()
    lengths: Counter[Kind] = Counter()
    for identifier in identifiers:
        kind, spellings = identifier.kind, identifier.spellings
        length = sum(len(quote(spelling, safe="")) + len("%22%22%2C") for spelling in spellings)
        if numbers[kind] + len(spellings) > BATCH_SIZE or lengths[kind] + length > LONGEST_BATCH:
            yield Batch(kind, tuple(waiting[kind]))
            waiting[kind], numbers[kind], lengths[kind] = [], 0, 0
        waiting[kind].append(identifier)
        numbers[kind] += len(spellings)
        lengths[kind] += length
    for kind, rest in waiting.items():
        if rest:
            yield Batch(kind, tuple(rest))


def _look_up(batch: Batch) -> Conversation[tuple[Batch, Found]]:
    return batch, (yield from find_profiles(batch.kind, batch.values))


def _holders(batch: Batch, found: Found) -> tuple[dict[str, dict[str, Profile]], int]:
    """Return, for each identifier's value, the profiles that hold it, by their ids; and how many hold none of them."""
    holders: dict[str, dict[str, Profile]] = {identifier.value: {} for identifier in batch.identifiers}
    unasked = 0
    for profile in found.profiles:
        value = _value_of(profile, batch.kind)
        if value in holders:
            holders[value][profile.id] = profile
        else:
            unasked += 1
    return holders, unasked


def _value_of(profile: Profile, kind: Kind) -> str | None:
    """Return what this profile holds as its identifier of a kind, normalised as the list is."""
    try:
        return Identifier.of(kind, getattr(profile, kind)).value
    except InvalidIdentifierError:
        return None
