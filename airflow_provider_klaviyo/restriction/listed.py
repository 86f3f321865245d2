"""Suppress the people of a list: by the profiles that themselves hold their identifiers at that moment."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from airflow_provider_klaviyo.api.client import KlaviyoClient
from airflow_provider_klaviyo.api.resources import Profile
from airflow_provider_klaviyo.deletion.identifiers import Identifier
from airflow_provider_klaviyo.deletion.meant import identifiers_of
from airflow_provider_klaviyo.deletion.plan import Plan
from airflow_provider_klaviyo.deletion.resolve import Resolved, resolve
from airflow_provider_klaviyo.restriction.suppress import suppress

__all__ = ["Restriction", "suppress_listed"]

# Of an identifier that matches several profiles, the last of these counts.
WORST_LAST: Final = ("absent", "without_email", "held", "suppressed", "refused")

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Restriction:
    """What became of the identifiers and profiles of a list.

    :param plan: what a look-up made of the list.
    :param outcomes: of each profile for which something was to be done, by its id.
    """

    plan: Plan
    outcomes: dict[str, str] = field(default_factory=dict)
    _held: dict[str, frozenset[Identifier]] = field(default_factory=dict, repr=False)
    _moved: dict[Identifier, Resolved] = field(default_factory=dict, repr=False)

    @property
    def suppressed(self) -> list[str]:
        """The ids of the profiles that are suppressed."""
        return [profile_id for profile_id, outcome in self.outcomes.items() if outcome == "suppressed"]

    def outcome_of(self, identifier: Identifier) -> str:
        """Return what became of an identifier, with the profiles that it matched at the last look-up."""
        moved = self._moved.get(identifier)
        profiles = self.plan.matches[identifier] if moved is None else moved.profiles
        if moved is not None and not profiles:
            return moved.outcome.value
        return max((self._outcome(profile.id, identifier) for profile in profiles), key=WORST_LAST.index)

    def carry_out(self, profile_ids: Iterable[str], client: KlaviyoClient) -> None:
        """Suppress those of these profiles that hold an identifier of the list."""
        done = suppress(profile_ids, client, is_meant=self._is_meant)
        self.outcomes |= dict.fromkeys(done.suppressed, "suppressed")
        self.outcomes |= dict.fromkeys(done.without_email, "without_email")
        self.outcomes |= dict.fromkeys(done.gone, "absent")
        self.outcomes |= dict.fromkeys(done.refused, "refused")
        self.outcomes |= dict.fromkeys(done.changed, "held")

    def look_again(self, client: KlaviyoClient, most: int | None) -> Sequence[str]:
        """Look identifiers up again that are not in the profiles where they were; return the profiles where they are.

        :param most: how many profiles one may match before it is held.
        :returns: none if that would be more profiles in all than the list may match.
        """
        missed = [one for one in self.plan.matches if self.outcome_of(one) in ("absent", "held")]
        if not missed:
            return []
        log.warning(
            "%s identifiers are not in the profiles where they were found; looking them up again", f"{len(missed):,}"
        )
        self._moved = {one.identifier: one for one in resolve(missed, client, max_profiles_per_identifier=most)}
        found = dict.fromkeys(profile.id for one in self._moved.values() for profile in one.profiles)
        most_profiles = self.plan.max_profiles
        if most_profiles is not None and len(found.keys() | self.plan.profile_ids) > most_profiles:
            log.warning("They match more profiles than max_profiles=%s allows in all: held", f"{most_profiles:,}")
            return []
        return list(found)

    def _is_meant(self, profile: Profile) -> bool:
        held = frozenset(one for one in identifiers_of(profile) if one in self.plan.matches)
        self._held[profile.id] = held
        return bool(held)

    def _outcome(self, profile_id: str, identifier: Identifier) -> str:
        """Return what became of a profile, as far as an identifier is concerned that it may not hold any more."""
        outcome = self.outcomes.get(profile_id, "held")
        return outcome if outcome == "absent" or identifier in self._held.get(profile_id, ()) else "held"


def suppress_listed(plan: Plan, client: KlaviyoClient, *, max_profiles_per_identifier: int | None) -> Restriction:
    """Suppress the profiles of a plan that hold a listed identifier when their addresses are sent.

    A person whose profile was merged, deleted or given to somebody else since it was looked up is looked for once more.

    :raises KlaviyoError: at the first trouble that waiting did not mend. Suppressing once more does no harm.
    """
    restriction = Restriction(plan)
    restriction.carry_out(plan.profile_ids, client)
    restriction.carry_out(restriction.look_again(client, max_profiles_per_identifier), client)
    return restriction
