"""What every endpoint is made of: a request that passed the gate, and a row of the table."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_klaviyo.emulator.answers import Answer, document, invalid, not_found
from airflow_provider_klaviyo.emulator.asking import Asked
from airflow_provider_klaviyo.emulator.filters import FIELDS, OPERATORS, Filter, FilterError
from airflow_provider_klaviyo.emulator.limits import Limit
from airflow_provider_klaviyo.emulator.paging import PageRequest
from airflow_provider_klaviyo.emulator.profiles import Profile
from airflow_provider_klaviyo.emulator.state import State
from airflow_provider_klaviyo.emulator.tenants import Tenant


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

    def profile(self) -> Profile:
        """Return the profile that the path names, or refuse the request."""
        profile_id = self.asked.path["id"]
        profile = self.tenant.profiles.get(profile_id)
        if profile is None:
            raise not_found(f"A profile with id {profile_id} does not exist.")
        return profile

    def filter(
        self, text: str | None, *, fields: Collection[str] = FIELDS, operators: Collection[str] = OPERATORS
    ) -> Filter | None:
        """Return the filter that was given, or refuse the request."""
        if text is None:
            return None
        try:
            most = self.state.settings.max_values_per_filter
            return Filter.parse(text, max_values=most, fields=fields, operators=operators)
        except FilterError as exc:
            raise invalid(str(exc), parameter="filter") from exc

    def listing(self, page: PageRequest, data: list[dict[str, Any]], following: int | None, **more: object) -> Answer:
        """Return a page of a listing, and what the faults about listings make of it."""
        if self.fault("endless_pages") is not None:
            following = following or 0
        foreign = self.fault("foreign_next_link")
        links = page.links(self.asked, following, foreign["to"] if foreign else None)
        return document({"data": data, "links": links, **more})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One call of the API."""

    name: str
    method: str
    path: str
    scopes: tuple[str, ...]
    limit: Limit
    answer: Callable[[Asking], Answer]
