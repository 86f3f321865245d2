"""Pages: `page[size]`, an opaque `page[cursor]`, and links that keep the question."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlencode

from airflow_provider_klaviyo.emulator.answers import invalid
from airflow_provider_klaviyo.emulator.asking import Asked

DEFAULT_SIZE = 20
MAX_SIZE = 100
_PREFIX = b"position:"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a listing is wanted."""

    size: int
    start: int

    @classmethod
    def parse(cls, parameters: Mapping[str, str]) -> PageRequest:
        """Read the parameters, or refuse the request."""
        size = parameters.get("page[size]", str(DEFAULT_SIZE))
        if not (size.isascii() and size.isdigit() and 1 <= int(size) <= MAX_SIZE):
            raise invalid(f"A page holds 1 to {MAX_SIZE} profiles.", parameter="page[size]")
        cursor = parameters.get("page[cursor]")
        return cls(int(size), 0 if cursor is None else _position(cursor))

    def links(self, asked: Asked, following: int | None, foreign: str | None) -> dict[str, str | None]:
        """Return the links of a page; `foreign` is a host to send the client to instead of here."""
        path = asked.target.partition("?")[0]
        own = f"{asked.base_url}{asked.target}"
        if following is None and foreign is None:
            return {"self": own, "prev": None, "next": None}
        query = [(name, value) for name, value in asked.query if name != "page[cursor]"]
        query.append(("page[cursor]", _cursor(following or 0)))
        host = foreign or asked.base_url
        return {"self": own, "prev": None, "next": f"{host}{path}?{urlencode(query)}"}


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(_PREFIX + str(position).encode()).decode()


def _position(cursor: str) -> int:
    try:
        plain = base64.urlsafe_b64decode(cursor.encode("ascii"))
        if plain.startswith(_PREFIX):
            return int(plain.removeprefix(_PREFIX))
    except (UnicodeError, binascii.Error, ValueError):
        pass
    raise invalid("This cursor did not come from here.", parameter="page[cursor]")
