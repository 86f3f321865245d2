"""Jobs that suppress e-mail addresses: made, and looked at."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_provider_klaviyo.emulator import documents
from airflow_provider_klaviyo.emulator.answers import Answer, document, invalid, not_found
from airflow_provider_klaviyo.emulator.asking import Asked, constant, members
from airflow_provider_klaviyo.emulator.endpoint import Asking
from airflow_provider_klaviyo.emulator.identifiers import identifier
from airflow_provider_klaviyo.emulator.suppressions import SuppressionJob

_ACCEPTED = 202
_MOST = 100
_TYPE = "profile-suppression-bulk-create-job"
_PARAMETERS = {f"fields[{_TYPE}]"}
_PROFILES = "/data/attributes/profiles/data"


def suppress_profiles(asking: Asking) -> Answer:
    """Make a job that suppresses everybody with one of the addresses, and makes a profile of whoever has none."""
    parameters = asking.asked.parameters(_PARAMETERS)
    emails = _emails(asking.asked)
    job = asking.state.request_suppression(asking.tenant, emails, asking.now)
    return _shown(asking, parameters, job, _ACCEPTED)


def get_suppression_job(asking: Asking) -> Answer:
    """Return one job."""
    parameters = asking.asked.parameters(_PARAMETERS)
    job_id = asking.asked.path["job_id"]
    job = asking.tenant.suppressions.get(job_id)
    if job is None:
        raise not_found(f"A job with id {job_id} does not exist.")
    return _shown(asking, parameters, job)


def _shown(asking: Asking, parameters: Mapping[str, str], job: SuppressionJob, status: int = 200) -> Answer:
    fields = documents.sparse_fields(parameters, _TYPE, documents.JOB_FIELDS)
    data = documents.suppression_job(job, asking.now, asking.asked.base_url, fields)
    return document({"data": data, "links": data["links"]}, status=status)


def _emails(asked: Asked) -> list[str]:
    """Return the addresses in the body, or refuse it; a list or a segment to suppress is not known here."""
    body = members(asked.json(), "", required=("data",))
    job = members(body["data"], "/data", required=("type", "attributes"))
    constant(job["type"], _TYPE, "/data/type")
    attributes = members(job["attributes"], "/data/attributes", required=("profiles",))
    profiles: Any = members(attributes["profiles"], "/data/attributes/profiles", required=("data",))["data"]
    if not isinstance(profiles, list) or not 1 <= len(profiles) <= _MOST:
        raise invalid(f"1 to {_MOST} profiles can be suppressed at a time.", pointer=_PROFILES)
    return [_email(profile, f"{_PROFILES}/{number}") for number, profile in enumerate(profiles)]


def _email(value: object, pointer: str) -> str:
    profile = members(value, pointer, required=("type", "attributes"))
    constant(profile["type"], "profile", f"{pointer}/type")
    attributes = members(profile["attributes"], f"{pointer}/attributes", required=("email",))
    return identifier("email", attributes["email"], f"{pointer}/attributes/email")
