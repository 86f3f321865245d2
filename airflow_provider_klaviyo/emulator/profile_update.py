"""The body of `PATCH /api/profiles/{id}`, validated strictly."""

from __future__ import annotations

from typing import Any

from airflow_provider_klaviyo.emulator.answers import invalid
from airflow_provider_klaviyo.emulator.asking import Asked, constant, members
from airflow_provider_klaviyo.emulator.identifiers import identifier
from airflow_provider_klaviyo.emulator.profiles import IDENTIFIERS, MERGED, TEXTS

_PROFILE = "/data"
_ATTRIBUTES = "/data/attributes"
_LOCATION = (
    "address1",
    "address2",
    "city",
    "country",
    "ip",
    "latitude",
    "longitude",
    "region",
    "timezone",
    "zip",
)


def parse_update(asked: Asked) -> dict[str, Any]:
    """Return the attributes that are to change; None clears one, and what is not named stays."""
    body = members(asked.json(), "", required=("data",))
    profile = members(body["data"], _PROFILE, required=("type", "id", "attributes"))
    constant(profile["type"], "profile", f"{_PROFILE}/type")
    if profile["id"] != asked.path["id"]:
        raise invalid("The id is that of the path.", pointer=f"{_PROFILE}/id")
    attributes = members(profile["attributes"], _ATTRIBUTES, optional=(*IDENTIFIERS, *TEXTS, *MERGED))
    return {name: _checked(name, value, f"{_ATTRIBUTES}/{name}") for name, value in attributes.items()}


def _checked(name: str, value: object, pointer: str) -> object:
    if value is None:
        return None
    if name in IDENTIFIERS:
        return identifier(name, value, pointer)
    if name == "location":
        return members(value, pointer, optional=_LOCATION)
    if not isinstance(value, dict if name in MERGED else str):
        raise invalid(f"This is not a valid {name}.", pointer=pointer)
    return value
