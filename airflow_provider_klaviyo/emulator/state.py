"""One emulated Klaviyo: accounts, keys, installations, profiles, deletions, faults and counts.

Pure but for its dice: the time is an argument. Not thread-safe; `Controls` is.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from random import Random
from typing import Any

from airflow_provider_klaviyo.emulator.agenda import Agenda
from airflow_provider_klaviyo.emulator.deletions import Deletions
from airflow_provider_klaviyo.emulator.faults import Faults
from airflow_provider_klaviyo.emulator.happenings import HAPPENINGS
from airflow_provider_klaviyo.emulator.ids import letters, ulid
from airflow_provider_klaviyo.emulator.installations import Grants
from airflow_provider_klaviyo.emulator.limits import BURST_SECONDS, STEADY_SECONDS, Limit, Quota
from airflow_provider_klaviyo.emulator.profiles import Profile
from airflow_provider_klaviyo.emulator.report import NO_ACCOUNT, Counts
from airflow_provider_klaviyo.emulator.settings import Settings, draw_seconds
from airflow_provider_klaviyo.emulator.suppressions import SuppressionJob
from airflow_provider_klaviyo.emulator.tenants import Account, Key, Tenant


class State:
    """One emulated Klaviyo."""

    def __init__(self, settings: Settings, rng: Random) -> None:
        self.settings = settings
        self.rng = rng
        self.tenants: dict[str, Tenant] = {}
        self.keys: dict[str, Key] = {}
        self.grants = Grants()
        self.agenda = Agenda()
        self.deletions = Deletions()
        self.faults = Faults(Random(rng.getrandbits(64)))  # noqa: S311 - dice, not secrets
        self.counts = Counts()

    def happen(self, what: str, **facts: Any) -> Any:
        """Let one of the `HAPPENINGS` happen, and return what it makes."""
        return HAPPENINGS[what](self, **facts)

    def add_account(
        self, *, account_id: str | None, organization_name: str, key: str | None, scopes: Iterable[str] | None
    ) -> Account:
        """Open an account with one key; `scopes` None means all."""
        account: Account = self.happen(
            "account",
            account_id=account_id or letters(6, self.rng),
            organization_name=organization_name,
            key=key or self._new_key(),
            scopes=None if scopes is None else sorted(scopes),
        )
        return account

    def add_key(self, account_id: str, *, key: str | None, scopes: Iterable[str] | None) -> str:
        """Make a key for an account; `scopes` None means all."""
        key = key or self._new_key()
        self.happen("key", account_id=account_id, key=key, scopes=None if scopes is None else sorted(scopes))
        return key

    def add_profile(
        self, account_id: str, now: float, attributes: Mapping[str, Any], new_id: str | None = None
    ) -> Profile:
        """Store a profile, under a new id unless one is given."""
        given = {name: value for name, value in attributes.items() if value is not None}
        profile: Profile = self.happen(
            "profile", account_id=account_id, now=now, new_id=new_id or ulid(now, self.rng), **given
        )
        return profile

    def update_profile(self, tenant: Tenant, profile_id: str, changes: Mapping[str, Any], now: float) -> Profile:
        """Change a profile and return what it is then."""
        account_id = tenant.account.id
        profile: Profile = self.happen(
            "update", account_id=account_id, profile_id=profile_id, now=now, changes=dict(changes)
        )
        return profile

    def request_deletion(self, tenant: Tenant, profiles: Iterable[Profile], now: float) -> None:
        """Accept the deletion of profiles; they go after a while."""
        self.happen(
            "deletion",
            account_id=tenant.account.id,
            profile_ids=[profile.id for profile in profiles],
            now=now,
            seconds=draw_seconds(self.settings.deletion_seconds, self.rng),
        )

    def request_suppression(self, tenant: Tenant, emails: Iterable[str], now: float) -> SuppressionJob:
        """Accept a job that suppresses addresses after a while."""
        emails = list(emails)
        seconds = draw_seconds(self.settings.suppression_seconds, self.rng)
        job: SuppressionJob = self.happen(
            "suppression",
            account_id=tenant.account.id,
            job_id=ulid(now, self.rng),
            emails=emails,
            new_ids=[ulid(now + seconds, self.rng) for _ in emails],
            now=now,
            seconds=seconds,
        )
        return job

    def quota(self, key: Key, endpoint: str, documented: Limit, now: float) -> Quota:
        """Return what a key has left of an endpoint, less what others took by now who share its quota."""
        quota = key.quotas.get(endpoint)
        if quota is None:
            quota = key.quotas[endpoint] = Quota(
                self.settings.limit(endpoint, documented),
                burst_phase=self.rng.uniform(0, BURST_SECONDS),
                steady_phase=self.rng.uniform(0, STEADY_SECONDS),
            )
        # Nobody shares the quota of an installation.
        if key.client_id is None:
            for at in self.faults.eaten(endpoint, key.tenant.account.id, now):
                quota.take(at, own=False)
        return quota

    def settle(self, now: float) -> None:
        """Let happen what was due by now."""
        for due in self.agenda.due(now):
            due.act(due.at)

    def finish_deletion(self, account_id: str, profile: Profile, at: float) -> None:
        """Let a profile go, unless a fault keeps it or brings the person back."""
        # A profile that was merged or removed meanwhile takes nobody with it.
        if profile.id not in self.deletions.pending:
            return
        if self.faults.draw("deletions_never_finish", "profile_deletion", account_id) is not None:
            self.agenda.hold("deletions_never_finish", at, partial(self.finish_deletion, account_id, profile))
            return
        gone = self.tenants[account_id].erase(profile.id) or profile
        self.deletions.finish(account_id, profile.id)
        returns = self.faults.draw("profiles_return", "profile_deletion", account_id)
        if returns is not None:
            self.agenda.put(at + float(returns["after_seconds"]), partial(self._come_back, account_id, gone))

    def finish_suppression(self, job: SuppressionJob, at: float) -> None:
        """Let a job be done, unless a fault keeps or cancels it."""
        tenant = self.tenants[job.account_id]
        # One that the journal knows to be cancelled is due as well.
        if tenant.suppressions[job.id].cancelled:
            return
        if self.faults.draw("suppression_never_finishes", "suppress_profiles", job.account_id) is not None:
            self.agenda.hold("suppression_never_finishes", at, partial(self.finish_suppression, job))
        elif self.faults.draw("suppression_cancelled", "suppress_profiles", job.account_id) is not None:
            self.happen("suppression cancelled", account_id=job.account_id, job_id=job.id)
        else:
            tenant.suppress(job, at)

    def forget_what_is_due(self) -> None:
        """Forget all deletions, done and to be done, and jobs that are not."""
        self.agenda = Agenda()
        self.deletions = Deletions()

    def reset_counts(self) -> None:
        """Begin a new report."""
        self.counts = Counts()
        for quotas in [tenant.quotas for tenant in self.tenants.values()] + [grant.key.quotas for grant in self.grants]:
            for quota in quotas.values():
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
            "installations": {
                grant.installation.client_id: {"endpoints": self.counts.endpoints(grant.key.owner, grant.key.quotas)}
                for grant in self.grants
                if grant.key.tenant is tenant
            },
        }

    def _come_back(self, account_id: str, gone: Profile, at: float) -> None:
        """Let somebody be somebody new."""
        self.add_profile(account_id, at, gone.identifiers)

    def _new_key(self) -> str:
        return f"pk_emulator_{letters(24, self.rng)}"
