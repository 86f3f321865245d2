"""The endpoints that are used, with what each one needs and what Klaviyo allows there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from airflow_provider_klaviyo.api.pace import Limit

__all__ = [
    "ENDPOINTS",
    "GET_ACCOUNT",
    "GET_EVENTS",
    "GET_PROFILE",
    "GET_PROFILES",
    "GET_PROFILE_LISTS",
    "GET_PROFILE_SEGMENTS",
    "GET_SUPPRESSION_JOB",
    "PROFILE_DELETION",
    "SUPPRESS_PROFILES",
    "UPDATE_PROFILE",
    "Endpoint",
]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One of Klaviyo's endpoints; ``str()`` gives the form that logs and errors use.

    :param name: the name in the connection's ``limits``.
    :param scopes: what the key must be allowed to do.
    :param limit: the documented limit of a whole account.
    """

    name: str
    method: str
    path: str
    scopes: tuple[str, ...]
    limit: Limit

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


PROFILE_DELETION: Final = Endpoint(
    "profile_deletion",
    "POST",
    "/api/data-privacy-deletion-jobs",
    ("data-privacy:write",),
    Limit(burst=3, steady=60),
)
GET_PROFILES: Final = Endpoint("get_profiles", "GET", "/api/profiles", ("profiles:read",), Limit(burst=75, steady=750))
GET_PROFILE: Final = Endpoint(
    "get_profile", "GET", "/api/profiles/{id}", ("profiles:read",), Limit(burst=75, steady=750)
)
GET_ACCOUNT: Final = Endpoint("get_account", "GET", "/api/accounts", ("accounts:read",), Limit(burst=1, steady=15))

GET_PROFILE_LISTS: Final = Endpoint(
    "get_profile_lists", "GET", "/api/profiles/{id}/lists", ("lists:read", "profiles:read"), Limit(burst=3, steady=60)
)
GET_PROFILE_SEGMENTS: Final = Endpoint(
    "get_profile_segments",
    "GET",
    "/api/profiles/{id}/segments",
    ("profiles:read", "segments:read"),
    Limit(burst=3, steady=60),
)
GET_EVENTS: Final = Endpoint("get_events", "GET", "/api/events", ("events:read",), Limit(burst=350, steady=3500))
UPDATE_PROFILE: Final = Endpoint(
    "update_profile", "PATCH", "/api/profiles/{id}", ("profiles:write",), Limit(burst=75, steady=750)
)
SUPPRESS_PROFILES: Final = Endpoint(
    "suppress_profiles",
    "POST",
    "/api/profile-suppression-bulk-create-jobs",
    ("profiles:write", "subscriptions:write"),
    Limit(burst=75, steady=750),
)
GET_SUPPRESSION_JOB: Final = Endpoint(
    "get_suppression_job",
    "GET",
    "/api/profile-suppression-bulk-create-jobs/{id}",
    ("subscriptions:read",),
    Limit(burst=75, steady=750),
)

ENDPOINTS: Final = {
    endpoint.name: endpoint
    for endpoint in (
        PROFILE_DELETION,
        GET_PROFILES,
        GET_PROFILE,
        GET_ACCOUNT,
        GET_PROFILE_LISTS,
        GET_PROFILE_SEGMENTS,
        GET_EVENTS,
        UPDATE_PROFILE,
        SUPPRESS_PROFILES,
        GET_SUPPRESSION_JOB,
    )
}
