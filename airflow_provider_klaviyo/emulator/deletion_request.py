"""The body of `POST /api/data-privacy-deletion-jobs`, validated strictly."""

from __future__ import annotations

import re
from dataclasses import dataclass

from airflow_provider_klaviyo.emulator.answers import invalid
from airflow_provider_klaviyo.emulator.asking import Asked, constant, members

_JOB = "/data"
_PROFILE = "/data/attributes/profile/data"
_MAX_EMAIL = 100
_FORMS = {
    "email": re.compile(r"[^@\s]+@[^@\s]+"),
    "phone_number": re.compile(r"\+[1-9][0-9]{6,14}"),
    "id": re.compile(r".+", re.DOTALL),
}


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
        return cls(field, _checked(field, value, pointer))


def _checked(field: str, value: object, pointer: str) -> str:
    too_long = field == "email" and len(str(value)) > _MAX_EMAIL
    if not isinstance(value, str) or too_long or not _FORMS[field].fullmatch(value):
        raise invalid(f"This is not a valid {field}.", pointer=pointer)
    return value
