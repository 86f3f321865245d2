"""The endpoints that are used, with what each one needs and what Klaviyo allows there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from airflow_provider_klaviyo.api.pace import Limit

__all__ = ["ENDPOINTS", "GET_ACCOUNT", "GET_PROFILE", "GET_PROFILES", "PROFILE_DELETION", "Endpoint"]


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

ENDPOINTS: Final = {endpoint.name: endpoint for endpoint in (PROFILE_DELETION, GET_PROFILES, GET_PROFILE, GET_ACCOUNT)}
