"""Profiles as JSON:API shows them, with what else was asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_provider_klaviyo.emulator.answers import invalid
from airflow_provider_klaviyo.emulator.documents import cut, instant, relationships, sparse_fields
from airflow_provider_klaviyo.emulator.profiles import IDENTIFIERS, MERGED, TEXTS, Profile

PARAMETERS = frozenset({"fields[profile]", "additional-fields[profile]"})

_NEVER = "NEVER_SUBSCRIBED"
_PREDICTED = (
    "average_days_between_orders",
    "average_order_value",
    "churn_probability",
    "expected_date_of_next_order",
    "historic_clv",
    "historic_number_of_orders",
    "predicted_clv",
    "predicted_number_of_orders",
    "ranked_channel_affinity",
    "total_clv",
)


@dataclass(frozen=True, slots=True)
class View:
    """Which attributes of a profile are asked for; `fields` None means all but the additional ones."""

    fields: frozenset[str] | None
    additional: frozenset[str]

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> View:
        """Read the `PARAMETERS`, or refuse the request."""
        additional = frozenset(field for field in parameters.get("additional-fields[profile]", "").split(",") if field)
        if unknown := sorted(additional - set(_ADDITIONAL)):
            raise invalid(f"There is no field {', '.join(unknown)} here.", parameter="additional-fields[profile]")
        return cls(sparse_fields(parameters, "profile", _FIELDS), additional)

    def document(self, profile: Profile, base_url: str) -> dict[str, Any]:
        """Return a profile."""
        attributes: dict[str, Any] = {name: getattr(profile, name) for name in (*IDENTIFIERS, *TEXTS)}
        attributes |= {name: dict(getattr(profile, name)) for name in MERGED}
        attributes |= {"created": instant(profile.created), "updated": instant(profile.updated)}
        attributes["last_event_date"] = None
        attributes |= {name: make(profile) for name, make in _ADDITIONAL.items() if name in self.additional}
        own = f"{base_url}/api/profiles/{profile.id}/"
        return {
            "type": "profile",
            "id": profile.id,
            "attributes": cut(attributes, self.fields),
            "relationships": relationships(own, "lists", "segments"),
            "links": {"self": own},
        }


def _subscriptions(profile: Profile) -> dict[str, Any]:
    """Return what may be sent to somebody: nobody ever subscribed here, but that forbids no e-mail."""
    suppressed_at = profile.suppressed_at
    suppression = [] if suppressed_at is None else [{"reason": "USER_SUPPRESSED", "timestamp": instant(suppressed_at)}]
    nothing_recorded = dict.fromkeys(("consent_timestamp", "last_updated", "method", "method_detail"))
    email = {
        "can_receive_email_marketing": not suppression,
        "consent": _NEVER,
        **nothing_recorded,
        "custom_method_detail": None,
        "double_optin": None,
        "suppression": suppression,
        "list_suppressions": [],
    }
    return {
        "email": {"marketing": email},
        "sms": {"marketing": {"can_receive_sms_marketing": False, "consent": _NEVER, **nothing_recorded}},
        "mobile_push": {
            "marketing": {"can_receive_push_marketing": False, "consent": _NEVER, "consent_timestamp": None}
        },
    }


def _predictive_analytics(_profile: Profile) -> dict[str, Any]:
    return dict.fromkeys(_PREDICTED)


_ADDITIONAL = {"subscriptions": _subscriptions, "predictive_analytics": _predictive_analytics}
_FIELDS = frozenset({"created", "id", "last_event_date", "updated", *IDENTIFIERS, *TEXTS, *MERGED, *_ADDITIONAL})
