"""What can be an e-mail address, a phone number or an id in a body."""

from __future__ import annotations

import re

from airflow_provider_klaviyo.emulator.answers import invalid

_MAX_EMAIL = 100
_FORMS = {
    "email": re.compile(r"[^@\s]+@[^@\s]+"),
    "phone_number": re.compile(r"\+[1-9][0-9]{6,14}"),
    "external_id": re.compile(r".{1,255}", re.DOTALL),
    "id": re.compile(r".+", re.DOTALL),
}


def identifier(field: str, value: object, pointer: str) -> str:
    """Return a value that can be one, or refuse the request."""
    too_long = field == "email" and len(str(value)) > _MAX_EMAIL
    if not isinstance(value, str) or too_long or not _FORMS[field].fullmatch(value):
        raise invalid(f"This is not a valid {field}.", pointer=pointer)
    return value
