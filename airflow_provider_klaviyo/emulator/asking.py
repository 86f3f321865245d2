"""What a client asked, read strictly: headers, query and JSON body as plain values."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from airflow_provider_klaviyo.emulator.answers import MEDIA_TYPE, RefusalError, invalid

_REVISION = re.compile(r"(\d{4}-\d{2}-\d{2})(?:\.[A-Za-z0-9_-]+)?", re.ASCII)
_AUTHORIZATION = re.compile(r"Klaviyo-API-Key (\S+)")
_BEARER = re.compile(r"Bearer (\S+)")
_UNSUPPORTED_MEDIA_TYPE = 415


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `headers` have lower-case names, `path` holds what the route left open."""

    method: str
    target: str
    base_url: str
    headers: Mapping[str, str]
    query: tuple[tuple[str, str], ...] = ()
    path: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def key(self) -> str | None:
        """The private key that the request came with."""
        found = _AUTHORIZATION.fullmatch(self.headers.get("authorization", ""))
        return found[1] if found else None

    @property
    def access_token(self) -> str | None:
        """The access token of an installation that the request came with."""
        found = _BEARER.fullmatch(self.headers.get("authorization", ""))
        return found[1] if found else None

    def check_revision(self) -> None:
        """Refuse a request without a `revision` header in the form YYYY-MM-DD[.suffix]."""
        found = _REVISION.fullmatch(self.headers.get("revision", ""))
        try:
            date.fromisoformat(found[1] if found else "")
        except ValueError:
            raise invalid("The revision header is required, as YYYY-MM-DD[.suffix].", parameter="revision") from None

    def check_media_type(self) -> None:
        """Refuse a body that does not say that it is JSON:API."""
        media_type = self.headers.get("content-type", "").partition(";")[0].strip().lower()
        if media_type != MEDIA_TYPE:
            raise RefusalError(_UNSUPPORTED_MEDIA_TYPE, "invalid", "Unsupported media type.", f"Send {MEDIA_TYPE}.")

    def parameters(self, known: Collection[str]) -> dict[str, str]:
        """Return the query; refuse parameters that are unknown or there twice."""
        parameters: dict[str, str] = {}
        for name, value in self.query:
            if name not in known:
                raise invalid(f"There is no parameter {name} here.", parameter=name)
            if name in parameters:
                raise invalid(f"{name} is given more than once.", parameter=name)
            parameters[name] = value
        return parameters

    def json(self) -> Any:
        """Return the body, or refuse it."""
        try:
            return json.loads(self.body)
        except ValueError:
            raise invalid("The body is not JSON.", pointer="") from None


def members(
    value: object, pointer: str, *, required: Iterable[str] = (), optional: Iterable[str] = ()
) -> dict[str, Any]:
    """Return a JSON object that has these members and no others, or refuse the request."""
    if not isinstance(value, dict):
        raise invalid("An object is needed here.", pointer=pointer or "/")
    required = set(required)
    for name in sorted(set(value) - required - set(optional)):
        raise invalid(f"'{name}' is not a valid field here.", pointer=f"{pointer}/{name}")
    for name in sorted(required - set(value)):
        raise invalid(f"'{name}' is a required field.", pointer=f"{pointer}/{name}")
    return value


def constant(value: object, wanted: str, pointer: str) -> None:
    """Refuse anything but the `type` that belongs here."""
    if value != wanted:
        raise invalid(f"The type is '{wanted}'.", pointer=pointer)
