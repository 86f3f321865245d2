"""Pages: `page[size]`, an opaque `page[cursor]`, and links that keep the question."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, TypeVar
from urllib.parse import urlencode

from airflow_provider_klaviyo.emulator.answers import invalid
from airflow_provider_klaviyo.emulator.asking import Asked

_PREFIX = b"position:"


class Placed(Protocol):
    """Something that has a place in a listing."""

    @property
    def position(self) -> int:
        """The place, the same for ever."""


PlacedT = TypeVar("PlacedT", bound=Placed)


def first_page(ahead: Iterable[PlacedT], size: int) -> tuple[list[PlacedT], int | None]:
    """Return the first `size` of what lies ahead, and the position at which the next page starts."""
    page = list(islice(ahead, size + 1))
    return page[:size], page[size].position if len(page) > size else None


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which part of a listing is wanted."""

    size: int
    start: int

    @classmethod
    def parse(cls, parameters: Mapping[str, str], *, default: int, most: int) -> PageRequest:
        """Read the parameters, or refuse the request."""
        size = parameters.get("page[size]", str(default))
        if not (size.isascii() and size.isdigit() and 1 <= int(size) <= most):
            raise invalid(f"A page has a size from 1 to {most}.", parameter="page[size]")
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
