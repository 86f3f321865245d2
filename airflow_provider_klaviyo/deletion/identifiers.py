"""What names a person: e-mail address, phone number, Klaviyo's profile id, or the customer's own external id.

Values come from warehouses and are not to be trusted. One that cannot be an identifier is an `InvalidIdentifierError`
and never becomes a different one: nothing is guessed, cut short or repaired beyond white space and case.

Sources: https://developers.klaviyo.com/en/docs/profile_identifiers, https://www.itu.int/rec/T-REC-E.164
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Final, Self
from uuid import UUID

from airflow_provider_klaviyo.api.resources import PROFILE_ID

__all__ = ["Identifier", "IdentifierKindError", "InvalidIdentifierError", "Kind", "kind_named", "normalised"]

LONGEST_EMAIL: Final = 100
LONGEST_EXTERNAL_ID: Final = 255
# Most addresses: nothing but ASCII, and none of what `_email_of_any_letters` refuses.
PLAIN_EMAIL: Final = re.compile(r"[!-'*+\--9=?A-Z\\^-~]+@[!-'*+\-/-9=?A-Z\\^-~]+(?:\.[!-'*+\-/-9=?A-Z\\^-~]+)*")
ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")
PHONE_NUMBER: Final = re.compile(r"\+[1-9][0-9]{6,14}")
# No slash: what follows one may be a second number, or the end of one.
PHONE_PUNCTUATION: Final = re.compile(r"[ \u00a0.()-]")
TRUNK_ZERO: Final = re.compile(r"\(\s*0\s*\)")


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
    """A normalised identifier. Its repr does not show the value, and two are equal when they name the same.

    :param spelling: an e-mail address as it was listed, where that is not in lower case. Klaviyo is said to keep
        addresses in lower case and compares them letter by letter; asking for both costs little.
    """

    kind: Kind
    value: str = field(repr=False)
    spelling: str | None = field(default=None, repr=False, compare=False)

    def __hash__(self) -> int:
        # The value alone: an enum works its hash out anew each time, which costs more than all the rest.
        return hash(self.value)

    @property
    def spellings(self) -> tuple[str, ...]:
        """What to look up: the value, and the spelling where it differs."""
        return (self.value,) if self.spelling is None else (self.value, self.spelling)

    @classmethod
    def parse(cls, raw: object) -> Self:
        """Read a string, or a mapping of one kind to a value such as ``{"phone_number": "+15005550006"}``.

        A bare string is an e-mail address if it has an ``@``, a phone number if it starts with ``+``, and a profile
        id if it looks like Klaviyo's (26 capital letters and digits). An external id must come in a mapping.

        :raises IdentifierKindError: for a mapping of no kind, of several, or of an unknown one.
        :raises InvalidIdentifierError: for a value that cannot be of its kind.
        """
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
        if isinstance(raw, str):
            return cls.of(_guess_kind(raw.strip()), raw)
        raise InvalidIdentifierError(f"{_article(raw)}, not text")

    @classmethod
    def of(cls, kind: Kind, value: object) -> Self:
        """Normalise a value of a known kind.

        :raises InvalidIdentifierError: for a value that cannot be of its kind.
        """
        if kind is Kind.EXTERNAL_ID:
            value = _external_id_text(value)
        if not isinstance(value, str):
            raise InvalidIdentifierError(f"{_article(value)}, not text")
        normalised = _NORMALISE[kind](value)
        listed = value.strip()
        return cls(kind, normalised, listed if kind is Kind.EMAIL and listed != normalised else None)


def normalised(kind: Kind, value: object) -> str | None:
    """Return what something that holds an identifier has there, normalised as a list is; None if it has none."""
    try:
        return Identifier.of(kind, value).value
    except InvalidIdentifierError:
        return None


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


def _guess_kind(text: str) -> Kind:
    if "@" in text:
        return Kind.EMAIL
    if text.startswith("+"):
        return Kind.PHONE_NUMBER
    if ULID.fullmatch(text.upper()):
        return Kind.ID
    raise InvalidIdentifierError(
        'neither an e-mail address, nor a phone number with +, nor a profile id; for others write {"external_id": …}'
    )


def _email(value: str) -> str:
    text = value.strip()
    if len(text) <= LONGEST_EMAIL and PLAIN_EMAIL.fullmatch(text):
        return text.lower()
    return _email_of_any_letters(text)


def _email_of_any_letters(text: str) -> str:
    local, at, domain = text.partition("@")
    if not (local and at and domain) or "@" in domain:
        raise InvalidIdentifierError("not an e-mail address: no single @ with something on both sides")
    if len(text) > LONGEST_EMAIL:
        raise InvalidIdentifierError(f"longer than the {LONGEST_EMAIL} characters of an e-mail address in Klaviyo")
    if not text.isprintable() or any(character.isspace() or character in "<>()[],;:" for character in text):
        raise InvalidIdentifierError("white space, brackets, commas or colons, which an e-mail address has not")
    if "" in domain.split("."):
        raise InvalidIdentifierError("not an e-mail address: a dot too many after the @")
    return "".join(map(_lower, text))


def _lower(character: str) -> str:
    """Return a character in lower case, unless that would be another letter: KELVIN SIGN is not a k."""
    lower = character.lower()
    return character if len(lower) != 1 or (lower.isascii() and not character.isascii()) else lower


def _phone_number(value: str) -> str:
    text = value.strip()
    digits = PHONE_PUNCTUATION.sub("", text)
    if TRUNK_ZERO.search(text) or not PHONE_NUMBER.fullmatch(digits):
        raise InvalidIdentifierError("not a phone number in E.164 form: + and country code, then 7 to 15 digits in all")
    return digits


def _profile_id(value: str) -> str:
    text = value.strip()
    if not PROFILE_ID.fullmatch(text):
        raise InvalidIdentifierError("not a Klaviyo profile id: up to 64 letters and digits")
    return text.upper() if ULID.fullmatch(text.upper()) else text


def _external_id_text(value: object) -> object:
    """Return the text of a whole number or a UUID, which customers' ids often are in a warehouse; else the value.

    A number of more digits than an id may have is left alone: it is no id, and Python would not write it out.
    """
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < LONGEST_EXTERNAL_ID:
        value = int(value) if value == int(value) else value
    if isinstance(value, UUID) or (type(value) is int and abs(value) < 10**LONGEST_EXTERNAL_ID):
        return str(value)
    return value


def _external_id(value: str) -> str:
    if not value.strip() or len(value) > LONGEST_EXTERNAL_ID or not value.isprintable():
        raise InvalidIdentifierError(f"not an external id: 1 to {LONGEST_EXTERNAL_ID} printable characters")
    return value


_NORMALISE: Final = {
    Kind.EMAIL: _email,
    Kind.PHONE_NUMBER: _phone_number,
    Kind.ID: _profile_id,
    Kind.EXTERNAL_ID: _external_id,
}


def _article(value: object) -> str:
    return "no value (NULL)" if value is None else f"a value of type {type(value).__name__}"
