"""The endpoints: a table with their scopes and limits.

https://developers.klaviyo.com/en/reference/api_overview
"""

from __future__ import annotations

from airflow_provider_klaviyo.emulator.account_endpoint import get_account
from airflow_provider_klaviyo.emulator.endpoint import Endpoint
from airflow_provider_klaviyo.emulator.event_endpoint import get_events
from airflow_provider_klaviyo.emulator.group_endpoints import get_profile_lists, get_profile_segments
from airflow_provider_klaviyo.emulator.limits import Limit
from airflow_provider_klaviyo.emulator.profile_endpoints import (
    get_profile,
    get_profiles,
    profile_deletion,
    update_profile,
)
from airflow_provider_klaviyo.emulator.suppression_endpoints import get_suppression_job, suppress_profiles
from airflow_provider_klaviyo.emulator.token_endpoint import oauth_token

# Its limit is made up: Klaviyo does not tell one.
TOKEN_ENDPOINT = Endpoint("oauth_token", "POST", "/oauth/token", (), Limit(10, 150), oauth_token)

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
    # The reference gives both the same limit, and does not say that they share it.
    Endpoint("update_profile", "PATCH", "/api/profiles/{id}", ("profiles:write",), Limit(75, 750), update_profile),
    Endpoint(
        "get_profile_lists",
        "GET",
        "/api/profiles/{id}/lists",
        ("lists:read", "profiles:read"),
        Limit(3, 60),
        get_profile_lists,
    ),
    Endpoint(
        "get_profile_segments",
        "GET",
        "/api/profiles/{id}/segments",
        ("segments:read", "profiles:read"),
        Limit(3, 60),
        get_profile_segments,
    ),
    Endpoint(
        "suppress_profiles",
        "POST",
        "/api/profile-suppression-bulk-create-jobs",
        ("profiles:write", "subscriptions:write"),
        Limit(75, 750),
        suppress_profiles,
    ),
    Endpoint(
        "get_suppression_job",
        "GET",
        "/api/profile-suppression-bulk-create-jobs/{job_id}",
        ("subscriptions:read",),
        Limit(75, 750),
        get_suppression_job,
    ),
    Endpoint("get_events", "GET", "/api/events", ("events:read",), Limit(350, 3500), get_events),
    TOKEN_ENDPOINT,
    Endpoint("get_account", "GET", "/api/accounts", ("accounts:read",), Limit(1, 15), get_account),
)

ENDPOINT_NAMES = frozenset(endpoint.name for endpoint in ENDPOINTS)
