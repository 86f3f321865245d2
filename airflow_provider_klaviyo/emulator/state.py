"""One emulated Klaviyo: accounts, keys, profiles, deletions, faults and counts.

Pure but for its dice: the time is an argument. Not thread-safe; `Controls` is.
"""

from __future__ import annotations

import string
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from airflow_provider_klaviyo.emulator.deletions import Deletions, Due
from airflow_provider_klaviyo.emulator.faults import Faults
from airflow_provider_klaviyo.emulator.limits import BURST_SECONDS, STEADY_SECONDS, Limit, Quota
from airflow_provider_klaviyo.emulator.profiles import Profile, ProfileStore, profile_id
from airflow_provider_klaviyo.emulator.report import NO_ACCOUNT, Counts
from airflow_provider_klaviyo.emulator.settings import Settings, draw_seconds

SCOPES = frozenset(
    {
        "accounts:read",
        "data-privacy:write",
        "events:read",
        "lists:read",
        "profiles:read",
        "profiles:write",
        "segments:read",
        "subscriptions:write",
    }
)

_LETTERS = string.ascii_letters + string.digits


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
    quotas: dict[str, Quota] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Key:
    """Whose key it is, and what it may do."""

    tenant: Tenant
    scopes: frozenset[str]


class State:
    """One emulated Klaviyo."""

    def __init__(self, settings: Settings, rng: Random) -> None:
        self.settings = settings
        self.rng = rng
        self.tenants: dict[str, Tenant] = {}
        self.keys: dict[str, Key] = {}
        self.deletions = Deletions()
        self.faults = Faults(Random(rng.getrandbits(64)))  # noqa: S311 - dice, not secrets
        self.counts = Counts()

    def add_account(
        self, *, account_id: str | None, organization_name: str, key: str | None, scopes: Iterable[str] | None
    ) -> Account:
        """Open an account with one key."""
        account_id = account_id or self._letters(6)
        if account_id in self.tenants or account_id == NO_ACCOUNT:
            raise ValueError(f"There is an account {account_id} already.")
        account = Account(account_id, organization_name, key or self._new_key())
        self.tenants[account_id] = Tenant(account)
        try:
            self._grant(account_id, account.key, scopes)
        except ValueError:
            del self.tenants[account_id]
            raise
        return account

    def add_key(self, account_id: str, *, key: str | None, scopes: Iterable[str] | None) -> str:
        """Make a key for an account; `scopes` None means all."""
        key = key or self._new_key()
        self._grant(account_id, key, scopes)
        return key

    def add_profile(
        self,
        account_id: str,
        now: float,
        *,
        email: str | None = None,
        phone_number: str | None = None,
        external_id: str | None = None,
        new_id: str | None = None,
    ) -> Profile:
        """Store a profile, under a new id unless one is given."""
        return self.tenants[account_id].profiles.add(
            new_id or profile_id(now, self.rng),
            email=email,
            phone_number=phone_number,
            external_id=external_id,
            created=now,
        )

    def quota(self, tenant: Tenant, endpoint: str, documented: Limit, now: float) -> Quota:
        """Return what an account has left of an endpoint, less what others took by now."""
        quota = tenant.quotas.get(endpoint)
        if quota is None:
            quota = tenant.quotas[endpoint] = Quota(
                self.settings.limit(endpoint, documented),
                burst_phase=self.rng.uniform(0, BURST_SECONDS),
                steady_phase=self.rng.uniform(0, STEADY_SECONDS),
            )
        for at in self.faults.eaten(endpoint, tenant.account.id, now):
            quota.take(at, own=False)
        return quota

    def request_deletion(self, tenant: Tenant, profiles: Iterable[Profile], now: float) -> None:
        """Accept the deletion of profiles; they go after a while."""
        self.accept_deletion(tenant, profiles, now, now + draw_seconds(self.settings.deletion_seconds, self.rng))

    def accept_deletion(self, tenant: Tenant, profiles: Iterable[Profile], now: float, finished_at: float) -> None:
        """Accept the deletion of profiles that are to go at that time."""
        for profile in profiles:
            self.deletions.request(tenant.account.id, profile, finished_at=finished_at)
        self.counts.deletion(tenant.account.id)

    def settle(self, now: float) -> None:
        """Let happen what was due by now."""
        for due in self.deletions.due(now):
            if due.what == "gone":
                self._finish(due)
            else:
                gone = due.profile
                self.add_profile(
                    due.account_id,
                    due.at,
                    email=gone.email,
                    phone_number=gone.phone_number,
                    external_id=gone.external_id,
                )

    def forget_people(self) -> None:
        """Remove all profiles and everything about deletions; accounts, keys and quotas stay."""
        for tenant in self.tenants.values():
            tenant.profiles = ProfileStore()
        self.deletions = Deletions()

    def reset_counts(self) -> None:
        """Begin a new report."""
        self.counts = Counts()
        for tenant in self.tenants.values():
            for quota in tenant.quotas.values():
                quota.reset_counts()

    def report(self) -> dict[str, Any]:
        """Return what was asked, in numbers."""
        return {
            "calls": self.counts.calls(),
            "accounts": {account_id: self._report(tenant) for account_id, tenant in self.tenants.items()},
            "without_account": {"endpoints": self.counts.endpoints(NO_ACCOUNT, {})},
        }

    def _report(self, tenant: Tenant) -> dict[str, Any]:
        account_id = tenant.account.id
        return {
            "organization_name": tenant.account.organization_name,
            "profiles": len(tenant.profiles),
            "deletions": {
                "accepted": self.counts.deletions(account_id),
                "pending": sum(owner == account_id for owner in self.deletions.pending.values()),
                "gone": sum(owner == account_id for owner in self.deletions.gone.values()),
            },
            "endpoints": self.counts.endpoints(account_id, tenant.quotas),
        }

    def _finish(self, due: Due) -> None:
        account_id, profile = due.account_id, due.profile
        if self.faults.draw("deletions_never_finish", "profile_deletion", account_id) is not None:
            self.deletions.hold(due)
            return
        self.tenants[account_id].profiles.remove(profile.id)
        self.deletions.finish(profile.id, account_id)
        returns = self.faults.draw("profiles_return", "profile_deletion", account_id)
        if returns is not None:
            self.deletions.schedule("back", due.at + float(returns["after_seconds"]), account_id, profile)

    def _grant(self, account_id: str, key: str, scopes: Iterable[str] | None) -> None:
        if not key.startswith("pk_"):
            raise ValueError("A private key begins with pk_.")
        if key in self.keys:
            raise ValueError("There is such a key already.")
        granted = SCOPES if scopes is None else frozenset(scopes)
        if unknown := granted - SCOPES:
            raise ValueError(f"There is no scope {', '.join(sorted(unknown))}.")
        self.keys[key] = Key(self.tenants[account_id], granted)

    def _new_key(self) -> str:
        return f"pk_emulator_{self._letters(24)}"

    def _letters(self, number: int) -> str:
        return "".join(self.rng.choices(_LETTERS, k=number))
