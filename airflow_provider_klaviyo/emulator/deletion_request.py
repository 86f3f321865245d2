"""The body of `POST /api/data-privacy-deletion-jobs`, validated strictly."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_klaviyo.emulator.answers import invalid
from airflow_provider_klaviyo.emulator.asking import Asked, constant, members
from airflow_provider_klaviyo.emulator.identifiers import identifier

_JOB = "/data"
_PROFILE = "/data/attributes/profile/data"


@dataclass(frozen=True, slots=True)
class DeletionRequest:
    """Delete every profile whose `field` is `value`."""

    field: str
    value: str

    @classmethod
    def parse(cls, asked: Asked) -> DeletionRequest:
        """Read the body; refuse anything but exactly one identifier."""
        body = members(asked.json(), "", required=("data",))
        job = members(body["data"], _JOB, required=("type", "attributes"))
        constant(job["type"], "data-privacy-deletion-job", f"{_JOB}/type")
        attributes = members(job["attributes"], f"{_JOB}/attributes", required=("profile",))
        link = members(attributes["profile"], f"{_JOB}/attributes/profile", required=("data",))
        profile = members(link["data"], _PROFILE, required=("type", "attributes"), optional=("id",))
        constant(profile["type"], "profile", f"{_PROFILE}/type")
        named = members(profile["attributes"], f"{_PROFILE}/attributes", optional=("email", "phone_number"))
        given = {**named, "id": profile.get("id")}
        # The reference calls all three nullable: null is the same as not there.
        given = {field: value for field, value in given.items() if value is not None}
        if len(given) != 1:
            raise invalid("Give exactly one of id, email and phone_number.", pointer=_PROFILE)
        ((field, value),) = given.items()
        pointer = f"{_PROFILE}/id" if field == "id" else f"{_PROFILE}/attributes/{field}"
        return cls(field, identifier(field, value, pointer))
