"""Rows in, what is wanted of whom out: each person once, and nothing that contradicts itself."""

from __future__ import annotations

import logging
from collections.abc import Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from airflow_provider_klaviyo.deletion.identifiers import Identifier, Kind
from airflow_provider_klaviyo.deletion.invalid_rows import InvalidRows
from airflow_provider_klaviyo.deletion.row_warnings import RowWarnings
from airflow_provider_klaviyo.rectification.changes import NEW, Change, InvalidChangeError
from airflow_provider_klaviyo.sources.errors import SourceError

__all__ = ["Listing", "Takers", "Wish", "merge"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Wish:
    """An identifier that somebody is to have, and the row that says so."""

    row: int
    new: Identifier


@dataclass(slots=True)
class Listing:
    """What a list wants.

    :param listed: rows read.
    :param duplicates: rows that name whom an earlier row named, and agree with it.
    :param invalid: rows that cannot be meant.
    :param too_many: the same rows, compared with how many there may be.
    :param wishes: of each identifier listed.
    """

    listed: int = 0
    duplicates: int = 0
    wishes: dict[Identifier, dict[Kind, Wish]] = field(default_factory=dict, repr=False)
    invalid: RowWarnings = field(default_factory=lambda: RowWarnings(log), repr=False)
    too_many: InvalidRows = field(default_factory=InvalidRows, repr=False)

    def identifiers(self, rows: Iterable[Change]) -> Iterator[Identifier]:
        """Read rows and yield whom they name, each once; those that cannot be meant are counted and logged by number.

        :raises SourceError: for rows that contradict one another, naming them.
        :raises InvalidListError: at the end, if too many cannot be meant.
        """
        takers = Takers()
        for change in rows:
            self.listed += 1
            try:
                whom, new = change.read()
            except InvalidChangeError as error:
                self.too_many.add(self.listed, change.value, error)
                self.invalid.add(self.listed, f"is counted as invalid: {error}")
                continue
            wishes = {kind: Wish(self.listed, identifier) for kind, identifier in new.items()}
            # Two identifiers of one kind are two people; of two kinds they may be one, which the look-up tells.
            takers.add(whom, wishes, among=whom.kind)
            is_first = whom not in self.wishes
            merge(self.wishes.setdefault(whom, {}), wishes)
            if is_first:
                yield whom
            else:
                self.duplicates += 1
        self.too_many.check(self.listed)


def merge(wishes: dict[Kind, Wish], more: Mapping[Kind, Wish]) -> None:
    """Add what else is wanted of a person.

    :raises SourceError: when it contradicts what is wanted already.
    """
    for kind, wish in more.items():
        earlier = wishes.setdefault(kind, wish)
        if earlier.new != wish.new:
            raise SourceError(
                f"{_rows(earlier, wish)} want one person to have two different values of {NEW[kind]}. Nothing was "
                "changed: leave the one that is right in the list"
            )


class Takers:
    """Who is to have which identifier, so that no two people are given the same one."""

    def __init__(self) -> None:
        self._first: dict[tuple[Identifier, Hashable], tuple[Hashable, Wish]] = {}

    def add(self, who: Hashable, wishes: Mapping[Kind, Wish], among: Hashable = None) -> None:
        """Note what somebody is to have.

        :param among: whom they are compared with: all that were added with the same.
        :raises SourceError: when somebody else is to have one of them.
        """
        for kind, wish in wishes.items():
            first, earlier = self._first.setdefault((wish.new, among), (who, wish))
            if first != who:
                raise SourceError(
                    f"{_rows(earlier, wish)} want two people to have the same {NEW[kind]}. Nothing was changed: leave "
                    "the one that is right in the list"
                )


def _rows(one: Wish, other: Wish) -> str:
    first, second = sorted((one.row, other.row))
    return f"rows {first:,} and {second:,}"
