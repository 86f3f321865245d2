"""What names a person: e-mail address, phone number, Klaviyo's profile id, or the customer's own external id.

Values come from warehouses and are not to be trusted. One that cannot be an identifier is an `InvalidIdentifierError`
and never becomes a different one. Each identifier has one canonical form, by which two are compared, and a few
spellings to look up, all of which have this canonical form and no other: so no two identifiers share a spelling.

Sources: https://developers.klaviyo.com/en/docs/profile_identifiers
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Self

from airflow_provider_klaviyo.api.resources import PROFILE_ID
from airflow_provider_klaviyo.deletion.characters import (
    QUOTES,
    WRAPPINGS,
    UnreadableError,
    composed,
    lowered,
    unwrapped,
)
from airflow_provider_klaviyo.deletion.emails import read_email, read_plain_email
from airflow_provider_klaviyo.deletion.external_ids import read_external_id
from airflow_provider_klaviyo.deletion.phone_numbers import PHONE_SIGNS, read_phone_number
from airflow_provider_klaviyo.deletion.scalars import plain

__all__ = [
    "Identifier",
    "IdentifierKindError",
    "InvalidIdentifierError",
    "Kind",
    "kind_named",
    "normalised",
    "spelling_of",
]

ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


class Kind(StrEnum):
    """The kinds of identifier, in Klaviyo's words."""

    EMAIL = "email"
    PHONE_NUMBER = "phone_number"
    ID = "id"
    EXTERNAL_ID = "external_id"


class IdentifierKindError(ValueError):
    """What names the kinds is wrong, for every row alike; the message says what to write instead."""


class InvalidIdentifierError(ValueError):
    """This value cannot be an identifier. The message gives the reason, never the value."""


@dataclass(frozen=True, slots=True)
class Identifier:
    """An identifier in its canonical form. Its repr does not show the value, and two are equal when they name the same.

    :param value: the canonical form.
    :param forms: every spelling to look up, the listed one last; None where there is only the value.
    """

    kind: Kind
    value: str = field(repr=False)
    forms: tuple[str, ...] | None = field(default=None, repr=False, compare=False)

    def __hash__(self) -> int:
        # The value alone: an enum works its hash out anew each time, which costs more than all the rest.
        return hash(self.value)

    @property
    def spellings(self) -> tuple[str, ...]:
        """What to look up: at most five spellings, the listed one last. Read again, each one gives this identifier."""
        return (self.value,) if self.forms is None else self.forms

    @property
    def listed(self) -> str:
        """The spelling of the list, as it can be looked up: an address without padding and quotes, an id with them."""
        return self.value if self.forms is None else self.forms[-1]

    @property
    def to_write(self) -> str:
        """What to give a profile: the listed spelling without padding and quotes, an address in lower case."""
        if self.kind is Kind.EMAIL:
            return composed(lowered(self.listed))
        return unwrapped(self.listed, QUOTES)

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Read a string, or a mapping of one kind to a value such as ``{"phone_number": "+15005550006"}``.

        A bare string is an e-mail address if it has an ``@``, a phone number if it starts with ``+``, and a profile
        id if it looks like Klaviyo's (26 capital letters and digits). An external id must come in a mapping.

        :raises IdentifierKindError: for a mapping of no kind, of several, or of an unknown one.
        :raises InvalidIdentifierError: for a value that cannot be of its kind.
        """
        if isinstance(raw, str):
            return cls.of(Kind.EMAIL if "@" in raw else _guess_kind(raw), raw)
        if isinstance(raw, cls):
            return raw
        if isinstance(raw, Mapping):
            if len(raw) != 1:
                raise IdentifierKindError(
                    f"a profile is named by exactly one identifier, not by {len(raw)}: write "
                    '{"email": …}, or list one mapping for each identifier'
                )
            ((name, value),) = raw.items()
            return cls.of(kind_named(name), value)
        raise InvalidIdentifierError(f"{_article(raw)}, not text")

    @classmethod
    def of(cls, kind: Kind, value: object) -> Self:
        """Read a value of a known kind.

        :raises InvalidIdentifierError: for a value that cannot be of its kind.
        """
        if kind is Kind.EMAIL and isinstance(value, str):
            text = value.strip()
            plain = read_plain_email(text)
            if plain is not None:
                return cls(kind, plain, None if plain == text else (plain, text))
        try:
            canonical, forms = _read(kind, value)
        except UnreadableError as error:
            raise InvalidIdentifierError(str(error)) from None
        return cls(kind, canonical, None if forms == (canonical,) else forms)


def normalised(kind: Kind, value: object) -> str | None:
    """Return the canonical form of what something that holds an identifier has there; None if it has none."""
    try:
        return Identifier.of(kind, value).value
    except InvalidIdentifierError:
        return None


def spelling_of(kind: Kind, value: str) -> str:
    """Return by what to tell whether two profiles spell an identifier alike. Capitals do not matter in addresses."""
    return lowered(value) if kind is Kind.EMAIL else value


def kind_named(name: object) -> Kind:
    """Return the kind of this name.

    :raises IdentifierKindError: when there is none.
    """
    try:
        return Kind(name)  # type: ignore[arg-type]
    except ValueError:
        raise IdentifierKindError(
            f"an identifier is one of {', '.join(Kind)}; the given name is none of them"
        ) from None


def _guess_kind(raw: str) -> Kind:
    text = unwrapped(raw, WRAPPINGS)
    if text.lower().startswith(PHONE_SIGNS):
        return Kind.PHONE_NUMBER
    if ULID.fullmatch(text.upper()):
        return Kind.ID
    raise InvalidIdentifierError(
        'neither an e-mail address, nor a phone number with +, nor a profile id; for others write {"external_id": …}'
    )


def _read(kind: Kind, value: object) -> tuple[str, tuple[str, ...]]:
    if kind is Kind.EXTERNAL_ID:
        return read_external_id(value)
    value = plain(value)
    if not isinstance(value, str):
        raise UnreadableError(f"{_article(value)}, not text")
    if kind is Kind.EMAIL:
        return read_email(value)
    one = read_phone_number(value) if kind is Kind.PHONE_NUMBER else _profile_id(value)
    return one, (one,)


def _profile_id(value: str) -> str:
    text = unwrapped(value, QUOTES)
    if not PROFILE_ID.fullmatch(text):
        raise UnreadableError("not a Klaviyo profile id: up to 64 letters and digits")
    return text.upper() if ULID.fullmatch(text.upper()) else text


def _article(value: object) -> str:
    return "no value (NULL)" if value is None else f"a value of type {type(value).__name__}"
