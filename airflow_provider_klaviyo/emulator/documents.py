"""Resources as JSON:API shows them, whole or cut down to the fields that were asked for."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

from airflow_provider_klaviyo.emulator.answers import invalid
from airflow_provider_klaviyo.emulator.events import Event, Metric
from airflow_provider_klaviyo.emulator.groups import Group, Kind
from airflow_provider_klaviyo.emulator.suppressions import SuppressionJob

GROUP_FIELDS: Mapping[Kind, frozenset[str]] = {
    "list": frozenset({"created", "id", "name", "opt_in_process", "updated"}),
    "segment": frozenset({"created", "id", "is_active", "is_processing", "is_starred", "name", "updated"}),
}
EVENT_FIELDS = frozenset({"datetime", "event_properties", "id", "timestamp", "uuid"})
METRIC_FIELDS = frozenset({"created", "id", "integration", "name", "updated"})
JOB_FIELDS = frozenset(
    {"completed_at", "completed_count", "created_at", "id", "skipped_count", "status", "total_count"}
)
ACCOUNT_FIELDS = frozenset(
    {
        "contact_information",
        "id",
        "industry",
        "locale",
        "preferred_currency",
        "public_api_key",
        "test_account",
        "timezone",
    }
)


def sparse_fields(parameters: Mapping[str, str], kind: str, known: Collection[str]) -> frozenset[str] | None:
    """Return which attributes `fields[kind]` asks for, None for all; refuse unknown ones."""
    name = f"fields[{kind}]"
    if name not in parameters:
        return None
    fields = frozenset(field for field in parameters[name].split(",") if field)
    if unknown := sorted(fields - set(known)):
        raise invalid(f"There is no field {', '.join(unknown)} here.", parameter=name)
    return fields


def group(group: Group, base_url: str, fields: frozenset[str] | None) -> dict[str, Any]:
    """Return a list or a segment."""
    created = instant(group.created)
    attributes: dict[str, Any] = {"name": group.name, "created": created, "updated": created}
    if group.kind == "list":
        attributes["opt_in_process"] = "single_opt_in"
    else:
        attributes |= {"is_active": True, "is_processing": False, "is_starred": False}
    own = f"{base_url}/api/{group.kind}s/{group.id}/"
    return {
        "type": group.kind,
        "id": group.id,
        "attributes": cut(attributes, fields),
        "relationships": relationships(own, "profiles", "tags", "flow-triggers"),
        "links": {"self": own},
    }


def event(event: Event, base_url: str, fields: frozenset[str] | None) -> dict[str, Any]:
    """Return an event; one of somebody who is gone is nobody's."""
    at = int(event.at)
    attributes = {
        "timestamp": at,
        "datetime": instant(at),
        "event_properties": dict(event.properties),
        "uuid": event.uuid,
    }
    own = f"{base_url}/api/events/{event.id}/"
    related = relationships(own, "profile", "metric")
    related["profile"]["data"] = event.profile_id and {"type": "profile", "id": event.profile_id}
    related["metric"]["data"] = {"type": "metric", "id": event.metric.id}
    return {
        "type": "event",
        "id": event.id,
        "attributes": cut(attributes, fields),
        "relationships": related,
        "links": {"self": own},
    }


def metric(metric: Metric, base_url: str, fields: frozenset[str] | None) -> dict[str, Any]:
    """Return a metric."""
    created = instant(metric.created)
    attributes = {"name": metric.name, "created": created, "updated": created, "integration": None}
    own = f"{base_url}/api/metrics/{metric.id}/"
    return {
        "type": "metric",
        "id": metric.id,
        "attributes": cut(attributes, fields),
        "relationships": relationships(own, "flow-triggers"),
        "links": {"self": own},
    }


def suppression_job(job: SuppressionJob, now: float, base_url: str, fields: frozenset[str] | None) -> dict[str, Any]:
    """Return a job as it is now."""
    attributes = {
        "status": job.status(now),
        "created_at": instant(job.created),
        "total_count": len(job.emails),
        "completed_count": job.suppressed,
        "completed_at": None if job.completed is None else instant(job.completed),
        "skipped_count": 0 if job.completed is None else len(job.emails) - job.suppressed,
    }
    own = f"{base_url}/api/profile-suppression-bulk-create-jobs/{job.id}/"
    return {
        "type": "profile-suppression-bulk-create-job",
        "id": job.id,
        "attributes": cut(attributes, fields),
        "relationships": relationships(own, "lists", "segments"),
        "links": {"self": own},
    }


def account(account_id: str, organization_name: str, base_url: str, fields: frozenset[str] | None) -> dict[str, Any]:
    """Return an account."""
    attributes = {
        "test_account": True,
        "contact_information": {
            "default_sender_name": organization_name,
            "default_sender_email": "sender@example.com",
            "website_url": "https://www.example.com",
            "organization_name": organization_name,
            "street_address": dict.fromkeys(("address1", "address2", "city", "region", "country", "zip")),
        },
        "industry": None,
        "timezone": "UTC",
        "preferred_currency": "EUR",
        "public_api_key": account_id,
        "locale": "en-US",
    }
    return {
        "type": "account",
        "id": account_id,
        "attributes": cut(attributes, fields),
        "links": {"self": f"{base_url}/api/accounts/{account_id}/"},
    }


def instant(at: float) -> str:
    """Return a Unix time as Klaviyo writes it."""
    return datetime.fromtimestamp(at, UTC).isoformat()


def relationships(own: str, *names: str) -> dict[str, Any]:
    """Return where the relationships of a resource can be followed."""
    return {name: {"links": {"self": f"{own}relationships/{name}/", "related": f"{own}{name}/"}} for name in names}


def cut(attributes: dict[str, Any], fields: frozenset[str] | None) -> dict[str, Any]:
    """Return those attributes that were asked for."""
    if fields is None:
        return attributes
    return {name: value for name, value in attributes.items() if name in fields}
