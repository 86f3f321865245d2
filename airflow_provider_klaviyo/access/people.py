"""Rows become people: those of one request are one person, who may have several identifiers."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field

from airflow_provider_klaviyo.access.errors import ExportRefusedError
from airflow_provider_klaviyo.access.naming import Names
from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.identifiers import Identifier, InvalidIdentifierError
from airflow_provider_klaviyo.deletion.invalid_rows import InvalidRows
from airflow_provider_klaviyo.deletion.request_ids import RequestIdError, read_request_id
from airflow_provider_klaviyo.deletion.row_warnings import RowWarnings

__all__ = ["People", "Person", "read_people"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who wants to see their data. Its repr shows the row only.

    :param row: the first one that names them.
    :param document: the name of their document.
    :param identifiers: all that they are listed by.
    """

    row: int
    document: str = field(repr=False)
    request_id: str | None = field(repr=False)
    identifiers: tuple[Identifier, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class People:
    """Whom a list names.

    :param listed: rows read.
    :param duplicates: rows that say what an earlier row said of the same person.
    :param invalid: people of whom no row can be an identifier.
    """

    listed: int
    duplicates: int
    invalid: int
    everyone: tuple[Person, ...] = field(repr=False)


@dataclass(slots=True)
class _Grouping:
    """Puts the rows of one request together. A row without a request is by itself the request of whom it names."""

    listed: int = 0
    duplicates: int = 0
    nameless: int = 0
    invalid: InvalidRows = field(default_factory=InvalidRows, repr=False)
    warnings: RowWarnings = field(default_factory=lambda: RowWarnings(log), repr=False)
    rows: dict[str | Identifier, int] = field(default_factory=dict, repr=False)
    identifiers: dict[str | Identifier, dict[Identifier, None]] = field(default_factory=dict, repr=False)

    def add(self, entry: Entry) -> None:
        self.listed += 1
        try:
            request_id = read_request_id(entry.request_id)
        except RequestIdError as error:
            self.warnings.add(self.listed, f"counts as a request of its own: {error}")
            request_id = None
        try:
            identifier = entry.identifier()
        except InvalidIdentifierError as error:
            self.invalid.add(self.listed, entry.value, error)
            self.warnings.add(self.listed, f"cannot be an identifier, and nobody is looked up for it: {error}")
            if request_id is None:
                self.nameless += 1
            else:
                self._of(request_id)
            return
        known = self._of(identifier if request_id is None else request_id)
        self.duplicates += identifier in known
        known[identifier] = None

    def _of(self, request: str | Identifier) -> dict[Identifier, None]:
        self.rows.setdefault(request, self.listed)
        return self.identifiers.setdefault(request, {})


def read_people(entries: Iterable[Entry], names: Names, max_invalid: float | None = 1.0) -> People:
    """Read a list and put together what is of one person.

    :param max_invalid: the share of rows that may be invalid, as for `InvalidRows`.
    :raises InvalidListError: when more are.
    :raises ExportRefusedError: when two documents would have names that not every file system can tell apart.
    """
    grouping = _Grouping(invalid=InvalidRows(max_invalid, "Nothing was written"))
    for entry in entries:
        grouping.add(entry)
    grouping.invalid.check(grouping.listed)
    everyone = []
    for request, identifiers in grouping.identifiers.items():
        if identifiers:
            request_id = request if isinstance(request, str) else None
            (first, *_) = identifiers
            document = names.of(request_id, first)[0]
            everyone.append(Person(grouping.rows[request], document, request_id, tuple(identifiers)))
    _check_names(everyone)
    if grouping.listed and not everyone:
        log.error("None of the %s rows can be an identifier: is it the right column?", f"{grouping.listed:,}")
    invalid = grouping.nameless + len(grouping.identifiers) - len(everyone)
    return People(grouping.listed, grouping.duplicates, invalid, tuple(everyone))


def _check_names(everyone: Iterable[Person]) -> None:
    rows: dict[str, int] = {}
    for person in everyone:
        other = rows.setdefault(person.document.casefold(), person.row)
        if other != person.row:
            raise ExportRefusedError(
                f"rows {other:,} and {person.row:,} have request ids that differ in capital letters only, and not "
                "every file system can tell their documents apart. Nothing was written. Give one another request_id"
            )
