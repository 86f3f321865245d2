"""Accounts, and everything that belongs to one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from airflow_provider_klaviyo.emulator.events import Events
from airflow_provider_klaviyo.emulator.filters import Filter
from airflow_provider_klaviyo.emulator.groups import Groups
from airflow_provider_klaviyo.emulator.limits import Quota
from airflow_provider_klaviyo.emulator.profiles import Profile, ProfileStore
from airflow_provider_klaviyo.emulator.suppressions import SuppressionJob

SCOPES = frozenset(
    {
        "accounts:read",
        "data-privacy:write",
        "events:read",
        "lists:read",
        "profiles:read",
        "profiles:write",
        "segments:read",
        "subscriptions:read",
        "subscriptions:write",
    }
)


@dataclass(frozen=True, slots=True)
class Account:
    """A tenant of Klaviyo, and the first of its keys."""

    id: str
    organization_name: str
    key: str = field(repr=False)


@dataclass(slots=True)
class Tenant:
    """Everything that belongs to one account."""

    account: Account
    profiles: ProfileStore = field(default_factory=ProfileStore)
    groups: Groups = field(default_factory=Groups)
    events: Events = field(default_factory=Events)
    suppressions: dict[str, SuppressionJob] = field(default_factory=dict)
    quotas: dict[str, Quota] = field(default_factory=dict)

    def erase(self, profile_id: str) -> Profile | None:
        """Forget a person, and return who it was."""
        self.groups.leave(profile_id)
        self.events.lose(profile_id)
        return self.profiles.remove(profile_id)

    def merge(self, source_id: str, destination_id: str, *, identifiers_win: bool, at: float) -> None:
        """Merge a profile into another: the destination keeps what it has, except for identifiers on request."""
        self.groups.move(source_id, destination_id)
        self.events.move(source_id, destination_id)
        destination, source = self.profiles.get(destination_id), self.profiles.remove(source_id)
        if source is not None and destination is not None:
            changes = source.carried_over_to(destination, identifiers_win=identifiers_win)
            self.profiles.update(destination_id, updated=at, **changes)

    def suppress(self, job: SuppressionJob, at: float) -> None:
        """Do a job: who has none of the addresses becomes a profile first, as with Klaviyo."""
        suppressed = 0
        for email, new_id in zip(job.emails, job.new_ids, strict=True):
            holders = self.profiles.matching(Filter("email", (email.lower(),)))
            holders = holders or [self.profiles.add(new_id, created=at, email=email)]
            found = [profile for profile in holders if profile.suppressed_at is None]
            for profile in found:
                self.profiles.update(profile.id, updated=at, suppressed_at=at)
            suppressed += bool(found)
        self.suppressions[job.id] = replace(job, completed=at, suppressed=suppressed)

    def forget_people(self) -> None:
        """Forget everybody; the lists and segments are empty then."""
        self.groups.empty()
        self.events = Events()
        self.suppressions.clear()
        self.profiles = ProfileStore()


@dataclass(frozen=True, slots=True)
class Key:
    """Whose key it is, what it may do, and how often: the private keys of an account have one quota, an app its own."""

    tenant: Tenant
    scopes: frozenset[str]
    quotas: dict[str, Quota]
    client_id: str | None = None

    @property
    def owner(self) -> str:
        """Under whose name its calls are counted."""
        account_id = self.tenant.account.id
        return account_id if self.client_id is None else f"{account_id}/{self.client_id}"


def scopes_of(scopes: list[str] | None) -> frozenset[str]:
    """Return the scopes with these names, all of them for None; refuse one that there is not."""
    granted = SCOPES if scopes is None else frozenset(scopes)
    if unknown := granted - SCOPES:
        raise ValueError(f"There is no scope {', '.join(sorted(unknown))}.")
    return granted
