"""Everyone in a list looked up, and what is to be sent for each profile."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind
from airflow_provider_klaviyo.deletion.invalid_rows import InvalidRows
from airflow_provider_klaviyo.deletion.meant import holds_spelling
from airflow_provider_klaviyo.deletion.plan import PlanTooLargeError
from airflow_provider_klaviyo.deletion.resolve import Resolved, resolve
from airflow_provider_klaviyo.rectification.changes import Change
from airflow_provider_klaviyo.rectification.listing import Listing, Takers, Wish, merge
from airflow_provider_klaviyo.rectification.outcomes import Outcome
from airflow_provider_klaviyo.rectification.rectify import Correction, Rectified, rectify
from airflow_provider_klaviyo.sources.errors import SourceError

__all__ = ["Plan", "carry_out", "make_plan"]

LOGGED_IDS: Final = 20

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Plan:
    """What a list comes to.

    :param max_profiles: how many profiles the whole list may match; None for any number.
    :param outcomes: of the identifiers that are settled already.
    :param matches: the other identifiers, each with the profile that it matches.
    :param corrections: what is to be sent, for each profile.
    """

    max_profiles: int | None = None
    listing: Listing = field(default_factory=Listing)
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    matches: dict[Identifier, Profile] = field(default_factory=dict)
    corrections: list[Correction] = field(default_factory=list)

    def check_number(self, profile_ids: Collection[str]) -> None:
        """Refuse to go on with more profiles than allowed.

        :raises PlanTooLargeError: when there are more.
        """
        if self.max_profiles is not None and len(profile_ids) > self.max_profiles:
            raise PlanTooLargeError(
                f"the list matches more than {self.max_profiles:,} Klaviyo profiles, which is all that max_profiles "
                "allows. Nothing was changed. If the list is right, raise max_profiles on the task (None for no "
                "limit); if not, look for the join that lists too many: "
                f"{self.listing.listed:,} rows were read so far"
            )

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
    plan = Plan(max_profiles, Listing(too_many=InvalidRows(max_invalid, "Nothing was changed")))
    found: set[str] = set()
    for resolved in resolve(plan.listing.identifiers(rows), client):
        profile = _the_only_one(resolved)
        if profile is None:
            plan.outcomes[_settled(resolved)] += 1
            continue
        plan.matches[resolved.identifier] = profile
        found.add(profile.id)
        plan.check_number(found)
    plan.corrections = _corrections(plan.listing, plan.matches)
    if 0 < plan.listing.listed == plan.listing.invalid.rows:
        log.error("None of the %s rows can be meant: are they the right columns?", f"{plan.listing.listed:,}")
    return plan


def carry_out(plan: Plan, client: KlaviyoClient) -> dict[str, Rectified]:
    """Change the profiles of a plan, and return what became of each, by its id.

    A person whose profile was merged, deleted or given to somebody else since it was looked up is looked for once more.
    """
    rectified = rectify(plan.corrections, client)
    missed = [
        identifier
        for identifier, profile in plan.matches.items()
        if profile.id in rectified and rectified[profile.id].outcome in (Outcome.ABSENT, Outcome.HELD)
    ]
    if missed:
        more = _look_again(missed, plan, client)
        plan.corrections.extend(more)
        rectified |= rectify(more, client)
    return rectified


def _look_again(missed: list[Identifier], plan: Plan, client: KlaviyoClient) -> list[Correction]:
    """Look identifiers up again that are not in the profile where they were; return what is to be sent now."""
    log.warning(
        "%s identifiers are not in the profile where they were found; looking them up again", f"{len(missed):,}"
    )
    for identifier in missed:
        del plan.matches[identifier]
    others = {profile.id for profile in plan.matches.values()}
    matches: dict[Identifier, Profile] = {}
    for resolved in resolve(missed, client):
        profile = _the_only_one(resolved)
        if profile is None:
            plan.outcomes[_settled(resolved)] += 1
        elif profile.id in others:
            log.warning(
                "Profile %s was changed for other rows that name it: those that name it now are held", profile.id
            )
            plan.outcomes[Outcome.HELD] += 1
        else:
            matches[resolved.identifier] = profile
    try:
        plan.check_number(others.union(profile.id for profile in matches.values()))
        corrections = _corrections(plan.listing, matches)
    except (PlanTooLargeError, SourceError):
        log.warning("In the profiles where they are now, they exceed max_profiles or contradict one another: held")
        plan.outcomes[Outcome.HELD] += len(matches)
        return []
    plan.matches |= matches
    return corrections


def _corrections(listing: Listing, matches: Mapping[Identifier, Profile]) -> list[Correction]:
    """Put together what is wanted of each profile, and leave out what is so already.

    :raises SourceError: when that contradicts itself.
    """
    wishes: dict[str, dict[Kind, Wish]] = {}
    listed: dict[str, list[Identifier]] = {}
    for identifier, profile in matches.items():
        merge(wishes.setdefault(profile.id, {}), listing.wishes[identifier])
        listed.setdefault(profile.id, []).append(identifier)
    takers = Takers()
    for profile_id, wanted in wishes.items():
        takers.add(profile_id, wanted)
    now = {profile.id: profile for profile in matches.values()}
    corrections = []
    for profile_id, wanted in wishes.items():
        written = {kind: wish.new.to_write for kind, wish in wanted.items()}
        new = {kind.value: one for kind, one in written.items() if not holds_spelling(now[profile_id], kind, one)}
        if new:
            corrections.append(Correction(profile_id, new, tuple(listed[profile_id])))
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
