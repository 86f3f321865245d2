"""The endpoints: a small function for each, and a table with its scopes and limits.

https://developers.klaviyo.com/en/reference/api_overview
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_klaviyo.emulator import documents
from airflow_provider_klaviyo.emulator.answers import (
    Answer,
    authentication_failed,
    document,
    invalid,
    not_found,
)
from airflow_provider_klaviyo.emulator.asking import Asked
from airflow_provider_klaviyo.emulator.deletion_request import DeletionRequest
from airflow_provider_klaviyo.emulator.filters import Filter, FilterError
from airflow_provider_klaviyo.emulator.limits import Limit
from airflow_provider_klaviyo.emulator.paging import PageRequest
from airflow_provider_klaviyo.emulator.profiles import Profile
from airflow_provider_klaviyo.emulator.state import State, Tenant

_ACCEPTED = 202


@dataclass(frozen=True, slots=True)
class Asking:
    """A request that passed the gate: what was asked, by whom, when."""

    asked: Asked
    state: State
    tenant: Tenant
    endpoint: str
    now: float

    def fault(self, name: str) -> Mapping[str, Any] | None:
        """Return the options of a fault that strikes this request."""
        return self.state.faults.draw(name, self.endpoint, self.tenant.account.id)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One call of the API."""

    name: str
    method: str
    path: str
    scopes: tuple[str, ...]
    limit: Limit
    answer: Callable[[Asking], Answer]


def profile_deletion(asking: Asking) -> Answer:
    """Accept the deletion of every profile that holds the identifier."""
    request = DeletionRequest.parse(asking.asked)
    pending = asking.state.deletions.pending
    found = asking.tenant.profiles.matching(Filter(request.field, (request.value,)))
    if asking.state.settings.pending_deletion_status != _ACCEPTED:
        found = [profile for profile in found if profile.id not in pending]
    if not found:
        raise not_found(f"A profile with {request.field} {request.value} does not exist.")
    # The incident of 14-16 April 2026: only profiles that exist were refused.
    if asking.fault("deletion_refused") is not None:
        raise authentication_failed()
    asking.state.request_deletion(asking.tenant, found, asking.now)
    return Answer(_ACCEPTED)


def get_profiles(asking: Asking) -> Answer:
    """List profiles, filtered and in pages."""
    parameters = asking.asked.parameters({"filter", "page[size]", "page[cursor]", "fields[profile]"})
    fields = documents.sparse_fields(parameters, "profile", documents.PROFILE_FIELDS)
    wanted = _filter(parameters.get("filter"), asking.state.settings.max_values_per_filter)
    page = PageRequest.parse(parameters)
    profiles, following = asking.tenant.profiles.page(wanted, start=page.start, size=page.size)
    if asking.fault("unasked_profile") is not None:
        profiles = [*profiles, _stranger(asking, wanted)]
    if asking.fault("endless_pages") is not None:
        following = following or 0
    foreign = asking.fault("foreign_next_link")
    base_url = asking.asked.base_url
    return document(
        {
            "data": [documents.profile(profile, base_url, fields) for profile in profiles],
            "links": page.links(asking.asked, following, foreign["to"] if foreign else None),
        }
    )


def get_profile(asking: Asking) -> Answer:
    """Return one profile."""
    parameters = asking.asked.parameters({"fields[profile]"})
    fields = documents.sparse_fields(parameters, "profile", documents.PROFILE_FIELDS)
    profile_id = asking.asked.path["id"]
    profile = asking.tenant.profiles.get(profile_id)
    if profile is None:
        raise not_found(f"A profile with id {profile_id} does not exist.")
    base_url = asking.asked.base_url
    return document(
        {
            "data": documents.profile(profile, base_url, fields),
            "links": {"self": f"{base_url}/api/profiles/{profile.id}/"},
        }
    )


def get_account(asking: Asking) -> Answer:
    """Return the one account that the key belongs to."""
    parameters = asking.asked.parameters({"fields[account]"})
    fields = documents.sparse_fields(parameters, "account", documents.ACCOUNT_FIELDS)
    account = asking.tenant.account
    base_url = asking.asked.base_url
    return document(
        {
            "data": [documents.account(account.id, account.organization_name, base_url, fields)],
            "links": {"self": f"{base_url}/api/accounts/"},
        }
    )


ENDPOINTS = (
    Endpoint(
        "profile_deletion",
        "POST",
        "/api/data-privacy-deletion-jobs",
        ("data-privacy:write",),
        Limit(3, 60),
        profile_deletion,
    ),
    Endpoint("get_profiles", "GET", "/api/profiles", ("profiles:read",), Limit(75, 750), get_profiles),
    Endpoint("get_profile", "GET", "/api/profiles/{id}", ("profiles:read",), Limit(75, 750), get_profile),
    Endpoint("get_account", "GET", "/api/accounts", ("accounts:read",), Limit(1, 15), get_account),
)

ENDPOINT_NAMES = frozenset(endpoint.name for endpoint in ENDPOINTS)


def _filter(text: str | None, max_values: int) -> Filter | None:
    if text is None:
        return None
    try:
        return Filter.parse(text, max_values=max_values)
    except FilterError as exc:
        raise invalid(str(exc), parameter="filter") from exc


def _stranger(asking: Asking, wanted: Filter | None) -> Profile:
    """Return a profile that nobody asked for: a real one where there is one, to make trust expensive."""
    store = asking.tenant.profiles
    asked_for = {profile.id for profile in store.matching(wanted)} if wanted else set()
    others = (profile for profile in store if profile.id not in asked_for)
    invented = Profile("0" * 26, "stranger@example.com", None, None, asking.now, 0)
    return next(others, invented)
