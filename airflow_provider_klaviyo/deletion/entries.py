"""One row of a list of people: the identifier as the source has it, and what the source says about the request."""

from __future__ import annotations

from typing import NamedTuple

from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind

__all__ = ["Entry"]


class Entry(NamedTuple):
    """A person as a source lists them, not yet normalised and perhaps invalid. Its repr does not show who it is.

    A tuple, because a source may have millions of them. What the source says about the request is its own value,
    whatever type that is, and None where the source does not say it.

    :param kind: what the identifier is; None if that is to be told from its form.
    :param value: the identifier, as the source has it.
    :param request_id: of the request in the customer's own books.
    :param received_at: when the person asked for it.
    :param regulation: the law that they refer to.
    """

    kind: Kind | None
    value: object
    request_id: object = None
    received_at: object = None
    regulation: object = None

    @property
    def raw(self) -> object:
        """The identifier as `Identifier.parse` takes it: a mapping of one kind, or the bare value."""
        return self.value if self.kind is None else {self.kind: self.value}

    def identifier(self) -> Identifier:
        """Return whom this names, normalised.

        :raises InvalidIdentifierError: when the value cannot be an identifier.
        """
        return Identifier.parse(self.value) if self.kind is None else Identifier.of(self.kind, self.value)

    def __repr__(self) -> str:
        return f"Entry({self.kind or 'of any kind'}, not shown)"
