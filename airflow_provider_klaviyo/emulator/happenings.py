"""What can happen to an emulated Klaviyo: each from plain facts, so that a journal can let it happen once more.

The facts are what JSON can hold, and whatever is left to dice is decided before. Those in which somebody takes part
who is not there any more come to nothing: a journal knows no faults, and one of them may have kept somebody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_provider_klaviyo.emulator.events import Metric
from airflow_provider_klaviyo.emulator.groups import Kind
from airflow_provider_klaviyo.emulator.installations import Code, Grant, Installation
from airflow_provider_klaviyo.emulator.profiles import Profile
from airflow_provider_klaviyo.emulator.report import NO_ACCOUNT
from airflow_provider_klaviyo.emulator.suppressions import SuppressionJob
from airflow_provider_klaviyo.emulator.tenants import Account, Key, Tenant, scopes_of

if TYPE_CHECKING:
    from airflow_provider_klaviyo.emulator.state import State


def _account(
    state: State, *, account_id: str, organization_name: str, key: str, scopes: list[str] | None = None
) -> Account:
    """Open an account with one key."""
    if account_id in state.tenants or account_id == NO_ACCOUNT:
        raise ValueError(f"There is an account {account_id} already.")
    account = Account(account_id, organization_name, key)
    state.tenants[account_id] = Tenant(account)
    try:
        _key(state, account_id=account_id, key=key, scopes=scopes)
    except ValueError:
        del state.tenants[account_id]
        raise
    return account


def _key(state: State, *, account_id: str, key: str, scopes: list[str] | None = None) -> None:
    """Grant a key to an account."""
    if not key.startswith("pk_"):
        raise ValueError("A private key begins with pk_.")
    if key in state.keys:
        raise ValueError("There is such a key already.")
    tenant = state.tenants[account_id]
    state.keys[key] = Key(tenant, scopes_of(scopes), tenant.quotas)


def _profile(state: State, *, account_id: str, now: float, new_id: str, **attributes: Any) -> Profile:
    """Store a person."""
    return state.tenants[account_id].profiles.add(new_id, created=now, **attributes)


def _update(state: State, *, account_id: str, profile_id: str, now: float, changes: dict[str, Any]) -> Profile | None:
    """Change somebody."""
    store = state.tenants[account_id].profiles
    return None if store.get(profile_id) is None else store.update(profile_id, updated=now, **changes)


def _merge(
    state: State, *, account_id: str, source_id: str, destination_id: str, identifiers_win: bool, now: float
) -> None:
    """Merge a profile into another; a pending deletion of the source comes to nothing."""
    tenant = state.tenants[account_id]
    if tenant.profiles.get(source_id) is not None and tenant.profiles.get(destination_id) is not None:
        tenant.merge(source_id, destination_id, identifiers_win=identifiers_win, at=now)
        state.deletions.drop(source_id)


def _removal(state: State, *, account_id: str, profile_id: str, **_: object) -> None:
    """Remove a profile at once."""
    state.tenants[account_id].erase(profile_id)
    state.deletions.drop(profile_id)


def _deletion(state: State, *, account_id: str, profile_ids: list[str], now: float, seconds: float) -> None:
    """Accept the deletion of profiles that are to go so many seconds later."""
    for profile_id in profile_ids:
        profile = state.tenants[account_id].profiles.get(profile_id)
        if profile is not None and state.deletions.request(account_id, profile_id):
            state.agenda.put(now + seconds, partial(state.finish_deletion, account_id, profile))
    state.counts.deletion(account_id)


def _suppression(
    state: State, *, account_id: str, job_id: str, emails: list[str], new_ids: list[str], now: float, seconds: float
) -> SuppressionJob:
    """Accept a job that suppresses addresses so many seconds later."""
    job = SuppressionJob(job_id, account_id, tuple(emails), tuple(new_ids), now, now + seconds)
    state.tenants[account_id].suppressions[job_id] = job
    state.agenda.put(job.due, partial(state.finish_suppression, job))
    return job


def _suppression_cancelled(state: State, *, account_id: str, job_id: str) -> None:
    """Let a job come to nothing."""
    jobs = state.tenants[account_id].suppressions
    jobs[job_id] = replace(jobs[job_id], cancelled=True)


def _group(state: State, *, account_id: str, kind: Kind, group_id: str, name: str, now: float) -> None:
    """Make a list or a segment."""
    state.tenants[account_id].groups.add(kind, group_id, name, now)


def _member(state: State, *, account_id: str, profile_id: str, group_id: str, **_: object) -> None:
    """Put somebody into a list or a segment."""
    tenant = state.tenants[account_id]
    if tenant.profiles.get(profile_id) is not None:
        tenant.groups.join(profile_id, group_id)


def _event(
    state: State,
    *,
    account_id: str,
    profile_id: str,
    metric: str,
    metric_id: str,
    event_id: str,
    uuid: str,
    properties: dict[str, Any],
    at: float,
    now: float,
) -> None:
    """Let somebody do something, perhaps for the first time of all."""
    tenant = state.tenants[account_id]
    if tenant.profiles.get(profile_id) is not None:
        tenant.events.add(Metric(metric_id, metric, now), event_id, uuid, profile_id, at, properties)


def _installation(
    state: State,
    *,
    account_id: str,
    client_id: str,
    client_secret: str,
    refresh_token: str,
    scopes: list[str] | None,
    rotates: bool,
    expires_in: int,
    now: float,
) -> Installation:
    """Install an app in an account."""
    installation = Installation(account_id, client_id, client_secret, refresh_token)
    key = Key(state.tenants[account_id], scopes_of(scopes), {}, client_id)
    state.grants.add(Grant(installation, key, rotates, expires_in, used_at=now))
    return installation


def _authorization(
    state: State, *, account_id: str, client_id: str, code: str, code_challenge: str, redirect_uri: str, now: float
) -> None:
    """Give out an authorization code."""
    state.grants.authorize(code, Code(state.grants.get(client_id, account_id), code_challenge, redirect_uri, now))


def _tokens(
    state: State,
    *,
    account_id: str,
    client_id: str,
    access_token: str,
    refresh_token: str,
    code: str | None,
    now: float,
) -> None:
    """Give out a pair of tokens, for a code or for another refresh token."""
    if code is not None:
        state.grants.use(code)
    state.grants.issue(state.grants.get(client_id, account_id), access_token, refresh_token, now)


def _access_tokens_expired(state: State, *, account_id: str, client_id: str) -> None:
    """Let the access tokens of an installation be good for nothing."""
    state.grants.expire_access_tokens(state.grants.get(client_id, account_id))


def _installation_revoked(state: State, *, account_id: str, client_id: str) -> None:
    """Let all tokens of an installation be good for nothing."""
    state.grants.revoke(state.grants.get(client_id, account_id))


def _people_forgotten(state: State) -> None:
    """Remove everybody, and everything that was to happen to them."""
    for tenant in state.tenants.values():
        tenant.forget_people()
    state.forget_what_is_due()


HAPPENINGS: Mapping[str, Callable[..., Any]] = {
    "account": _account,
    "key": _key,
    "profile": _profile,
    "update": _update,
    "merge": _merge,
    "removal": _removal,
    "deletion": _deletion,
    "suppression": _suppression,
    "suppression cancelled": _suppression_cancelled,
    "group": _group,
    "member": _member,
    "event": _event,
    "installation": _installation,
    "authorization": _authorization,
    "tokens": _tokens,
    "access tokens expired": _access_tokens_expired,
    "installation revoked": _installation_revoked,
    "people forgotten": _people_forgotten,
}
