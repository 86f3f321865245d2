"""One row of a list of people whose identifiers are to change: whom it names, and what it wants."""

from __future__ import annotations

from typing import Final, NamedTuple

from airflow_provider_klaviyo.deletion.identifiers import Identifier, InvalidIdentifierError, Kind

__all__ = ["NEW", "Change", "InvalidChangeError"]

NEW: Final = {Kind.EMAIL: "new_email", Kind.PHONE_NUMBER: "new_phone_number", Kind.EXTERNAL_ID: "new_external_id"}
"""The field of each kind of identifier that can change."""


class InvalidChangeError(ValueError):
    """A row that cannot be meant. The message names the field and the reason, never a value."""


class Change(NamedTuple):
    """A person as a source lists them, and what is to be true of them. Its repr shows nothing of either.

    :param kind: what the identifier is; None if that is to be told from its form.
    :param value: the identifier that the person has now.
    :param request_id: of the request in the customer's own books. It is taken, so that one list may serve for
        everything, and not used.
    :param new_email: the address that the person is to have; None or an empty text leaves it as it is, and so for the
        others.
    :param new_phone_number: in E.164 form.
    :param new_external_id: the customer's own id.
    """

    kind: Kind | None
    value: object
    request_id: object = None
    new_email: object = None
    new_phone_number: object = None
    new_external_id: object = None

    def read(self) -> tuple[Identifier, dict[Kind, Identifier]]:
        """Return whom this names, and what is to change into what; normalised.

        :raises InvalidChangeError: when one of them cannot be an identifier, or nothing is to change.
        """
        whom = _identifier(self.kind, self.value, self.kind or "identifier")
        values = {kind: getattr(self, name) for kind, name in NEW.items()}
        new = {kind: _identifier(kind, value, NEW[kind]) for kind, value in values.items() if not _is_empty(value)}
        if not new:
            raise InvalidChangeError(f"it changes nothing, because {', '.join(NEW.values())} are all empty")
        return whom, new

    def __repr__(self) -> str:
        return f"Change({self.kind or 'of any kind'}, not shown)"


def _identifier(kind: Kind | None, value: object, name: str) -> Identifier:
    try:
        return Identifier.parse(value) if kind is None else Identifier.of(kind, value)
    except InvalidIdentifierError as error:
        raise InvalidChangeError(f"{name}: {error}") from None


def _is_empty(value: object) -> bool:
    """Tell whether a field says nothing: NULL, or the empty text by which a CSV file says it."""
    return value is None or (isinstance(value, str) and not value.strip())
