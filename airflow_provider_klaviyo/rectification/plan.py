"""Everyone in a list looked up, and what is to be sent for each profile. Nothing is changed here."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind, normalised
from airflow_provider_klaviyo.deletion.invalid_rows import InvalidRows
from airflow_provider_klaviyo.deletion.plan import PlanTooLargeError
from airflow_provider_klaviyo.deletion.resolve import Resolved, resolve
from airflow_provider_klaviyo.rectification.changes import Change
from airflow_provider_klaviyo.rectification.listing import Listing, Takers, Wish, merge
from airflow_provider_klaviyo.rectification.outcomes import Outcome
from airflow_provider_klaviyo.rectification.rectify import Correction, Rectified

__all__ = ["Plan", "make_plan"]

LOGGED_IDS: Final = 20

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Plan:
    """What a list comes to.

    :param outcomes: of the identifiers that are settled already.
    :param matches: the other identifiers, each with the profile that it matches.
    :param corrections: what is to be sent, for each profile.
    """

    listing: Listing = field(default_factory=Listing)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    matches: dict[Identifier, Profile] = field(default_factory=dict)
    corrections: list[Correction] = field(default_factory=list)

    def result(self, rectified: Mapping[str, Rectified] | None) -> dict[str, Any]:
        """Return the counts of the whole list, and the profile ids, as plain JSON values.

        :param rectified: what became of each profile for which something was sent; None when nothing was.
        """
        to_send = {correction.profile_id for correction in self.corrections}
        outcomes = self.outcomes + Counter({Outcome.INVALID: self.listing.invalid.rows})
        for profile in self.matches.values():
            if profile.id not in to_send:
                outcomes[Outcome.UNCHANGED] += 1
            else:
                outcomes[Outcome.PLANNED if rectified is None else rectified[profile.id].outcome] += 1
        done = list((rectified or {}).values())
        return {
            "listed": self.listing.listed,
            "duplicates": self.listing.duplicates,
            **{outcome.value: outcomes[outcome] for outcome in Outcome},
            "profile_ids": [one.profile_id for one in done if one.outcome is Outcome.UPDATED],
            "duplicate_profiles": [
                {"profile_id": one.profile_id, "duplicate_profile_id": one.duplicate_profile_id}
                for one in done
                if one.outcome is Outcome.DUPLICATE_PROFILE
            ],
            **({"planned_profile_ids": sorted(to_send)} if rectified is None else {}),
        }


def make_plan(
    rows: Iterable[Change],
    client: KlaviyoClient,
    *,
    max_profiles: int | None = None,
    max_invalid: float | None = 1.0,
) -> Plan:
    """Read a list and look everyone in it up, 100 identifiers a call. Rows are read as they are needed.

    :param max_profiles: how many profiles the whole list may match; None for any number.
    :param max_invalid: the share of rows that may be invalid, as for `InvalidRows`.
    :raises InvalidListError: when more are.
    :raises PlanTooLargeError: as soon as the list matches more profiles than allowed.
    :raises SourceError: when rows contradict one another, naming them.
    """
    plan = Plan(Listing(too_many=InvalidRows(max_invalid, "Nothing was changed")))
    found: dict[str, Profile] = {}
    for resolved in resolve(plan.listing.identifiers(rows), client):
        profile = _the_only_one(resolved)
        if profile is None:
            plan.outcomes[_settled(resolved)] += 1
            continue
        plan.matches[resolved.identifier] = profile
        found.setdefault(profile.id, profile)
        if max_profiles is not None and len(found) > max_profiles:
            raise PlanTooLargeError(
                f"the list matches more than {max_profiles:,} Klaviyo profiles, which is all that max_profiles allows. "
                "Nothing was changed. If the list is right, raise max_profiles on the task (None for no limit); if "
                f"not, look for the join that lists too many: {plan.listing.listed:,} rows were read so far"
            )
    plan.corrections = _corrections(plan, found)
    if 0 < plan.listing.listed == plan.listing.invalid.rows:
        log.error("None of the %s rows can be meant: are they the right columns?", f"{plan.listing.listed:,}")
    return plan


def _corrections(plan: Plan, found: Mapping[str, Profile]) -> list[Correction]:
    """Put together what is wanted of each profile, and leave out what is so already."""
    wishes: dict[str, dict[Kind, Wish]] = {}
    for identifier, profile in plan.matches.items():
        merge(wishes.setdefault(profile.id, {}), plan.listing.wishes[identifier])
    takers = Takers()
    for profile_id, wanted in wishes.items():
        takers.add(profile_id, wanted)
    corrections = []
    for profile_id, wanted in wishes.items():
        new = {kind.value: wish.new.value for kind, wish in wanted.items() if not _holds(found[profile_id], wish.new)}
        if new:
            corrections.append(Correction(profile_id, new))
    return corrections


def _the_only_one(resolved: Resolved) -> Profile | None:
    """Return the profile that an identifier matches; None if it is not exactly one: an external id may be several's."""
    if len(resolved.profiles) > 1:
        log.warning(
            "An identifier matches %s profiles, and one must be meant: held back. The profile ids are %s",
            len(resolved.profiles),
            ", ".join(profile.id for profile in resolved.profiles[:LOGGED_IDS]),
        )
    return resolved.profiles[0] if len(resolved.profiles) == 1 else None


def _settled(resolved: Resolved) -> Outcome:
    return Outcome.HELD if resolved.profiles else Outcome(resolved.outcome.value)


def _holds(profile: Profile, identifier: Identifier) -> bool:
    return normalised(identifier.kind, getattr(profile, identifier.kind)) == identifier.value
