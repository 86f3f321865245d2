"""Source rows in, profiles to delete out: normalised, de-duplicated, looked up, guarded. Nothing is deleted here."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.deletion.identifiers import Identifier, InvalidIdentifierError
from airflow_provider_klaviyo.deletion.invalid_rows import InvalidRows
from airflow_provider_klaviyo.deletion.outcomes import Outcome
from airflow_provider_klaviyo.deletion.resolve import Resolved, resolve
from airflow_provider_klaviyo.deletion.row_warnings import RowWarnings
from airflow_provider_klaviyo.deletion.work import Work

__all__ = ["Plan", "PlanTooLargeError", "make_plan"]

log = logging.getLogger(__name__)


class PlanTooLargeError(ValueError):
    """The list matches more profiles than `max_profiles`. Nothing was deleted; the message says how to go on."""


@dataclass(slots=True)
class Plan:
    """What a list comes to.

    :param listed: rows read.
    :param duplicates: rows that name what an earlier row named.
    :param outcomes: of the identifiers that are settled already.
    :param unclear: the identifiers among them that Klaviyo will not look up, and those that are held.
    :param matches: the other identifiers, each with the profiles it matches.
    :param profile_ids: of all these profiles, each once, in the order they were found.
    :param invalid: the rows that name nothing.
    :param purpose: what is to be done to them, for an error: ``deleted``.
    """

    max_profiles: int | None = None
    purpose: str = "deleted"
    listed: int = 0
    duplicates: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    unclear: list[Identifier] = field(default_factory=list)
    matches: dict[Identifier, tuple[Profile, ...]] = field(default_factory=dict)
    profile_ids: dict[str, None] = field(default_factory=dict)
    invalid: InvalidRows = field(default_factory=InvalidRows, repr=False)
    _warnings: RowWarnings = field(default_factory=lambda: RowWarnings(log), repr=False)

    def identifiers(self, rows: Iterable[object]) -> Iterator[Identifier]:
        """Read rows and yield what they name, each once; rows that name nothing are counted and logged by number.

        :raises InvalidListError: at the end, if there are too many of these.
        """
        seen: set[Identifier] = set()
        for raw in rows:
            self.listed += 1
            try:
                identifier = Identifier.parse(raw)
            except InvalidIdentifierError as error:
                self.outcomes[Outcome.INVALID] += 1
                self.invalid.add(self.listed, raw, error)
                self._warnings.add(self.listed, f"cannot be an identifier and is counted as invalid: {error}")
                continue
            if identifier in seen:
                self.duplicates += 1
                continue
            seen.add(identifier)
            yield identifier
        self.invalid.check(self.listed)

    def settle(self, resolved: Resolved) -> None:
        """Sort an identifier by what was found.

        :raises PlanTooLargeError: as soon as there are more profiles than allowed.
        """
        if resolved.outcome is Outcome.PLANNED:
            self.matches[resolved.identifier] = resolved.profiles
            self.profile_ids.update(dict.fromkeys(profile.id for profile in resolved.profiles))
        else:
            self.outcomes[resolved.outcome] += 1
        if resolved.outcome in (Outcome.REFUSED, Outcome.HELD):
            self.unclear.append(resolved.identifier)
        if self.max_profiles is not None and len(self.profile_ids) > self.max_profiles:
            raise PlanTooLargeError(
                f"the list matches more than {self.max_profiles:,} Klaviyo profiles, which is all that max_profiles "
                f"allows. Nothing was {self.purpose}. If the list is right, raise max_profiles on the task (None for "
                f"no limit); if not, look for the join that lists too many: {self.listed:,} rows were read so far"
            )

    def work(self, began_at: datetime, keys: FingerprintKeys) -> Work:
        """Return what is left to do, without the identifiers.

        :param began_at: when this plan was begun.
        :param keys: to mark the identifiers with.
        """
        ids = tuple(tuple(profile.id for profile in profiles) for profiles in self.matches.values())
        marks = tuple(map(keys.of, self.matches))
        return Work(began_at, self.listed, self.duplicates, dict(self.outcomes), ids, marks)


def make_plan(
    rows: Iterable[object],
    client: KlaviyoClient,
    *,
    max_profiles: int | None = None,
    max_profiles_per_identifier: int | None = None,
    purpose: str = "deleted",
    absent_looks: int = 1,
    max_invalid: float | None = 1.0,
) -> Plan:
    """Read a list and look everyone in it up, 100 identifiers a call. Rows are read as they are needed.

    :param rows: each a string or a mapping, as `Identifier.parse` takes them.
    :param max_profiles: how many profiles the whole list may match; None for any number.
    :param max_profiles_per_identifier: how many profiles one identifier may match before it is held back.
    :param purpose: what is to be done to them, for an error.
    :param absent_looks: looks that must agree before an identifier is ``absent``: 1 or 2.
    :param max_invalid: the share of rows that may be invalid, as for `InvalidRows`.
    :raises PlanTooLargeError: as soon as the list matches more profiles than allowed.
    :raises InvalidListError: when too many rows are invalid.
    :raises IdentifierKindError: for a row that names a kind there is not.
    """
    invalid = InvalidRows(max_invalid, f"Nothing was {purpose}")
    plan = Plan(max_profiles=max_profiles, purpose=purpose, invalid=invalid)
    identifiers = plan.identifiers(rows)
    looked_up = resolve(
        identifiers,
        client,
        max_profiles_per_identifier=max_profiles_per_identifier,
        absent_looks=absent_looks,
    )
    for resolved in looked_up:
        plan.settle(resolved)
    if 0 < plan.listed == plan.outcomes[Outcome.INVALID]:
        log.error("None of the %s rows can be an identifier: is it the right column?", f"{plan.listed:,}")
    return plan
