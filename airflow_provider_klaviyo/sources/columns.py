"""Which columns of a table, or keys of a mapping, hold what an entry is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import Any, Final, Self

from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.identifiers import Kind
from airflow_provider_klaviyo.sources.errors import SourceError

__all__ = ["Columns"]

KINDS: Final = {kind.value: kind for kind in Kind}
DETAILS: Final = Entry._fields[2:]


@dataclass(frozen=True, slots=True)
class Columns:
    """The one column of identifiers, and those of what else is known, each at most once; others are ignored.

    :param kind: of the identifiers.
    :param names: of the columns, in the order of an entry's fields and as the header spells them; None where the
        header has no such column.
    :param places: of the same columns in the header.
    """

    kind: Kind
    names: tuple[Any, ...]
    places: tuple[int, int | None, int | None, int | None]

    @classmethod
    def of(cls, header: Iterable[object], where: str) -> Self:
        """Find the columns in a header, whether it is in capitals or not.

        :param where: what has this header, for the errors.
        :raises SourceError: unless exactly one column is named after a kind of identifier, and no other one twice.
        """
        spelled = list(header)
        names = [name.strip().lower() if isinstance(name, str) else None for name in spelled]
        kinds = [name for name in names if name in KINDS]
        if not kinds:
            raise SourceError(
                f"{where} must have exactly one identifier, a column or key named one of {', '.join(KINDS)}, and has "
                "none (in SQL, write SELECT … AS email)"
            )
        if len(kinds) > 1:
            raise SourceError(
                f"{where} must have exactly one identifier, and has {len(kinds)} ({', '.join(map(str, kinds))}): a row "
                "names a person once, so take one of them, or list one identifier a row (in SQL, with UNION ALL)"
            )
        for name in DETAILS:
            if names.count(name) > 1:
                raise SourceError(f"{where} has {names.count(name)} columns or keys named {name}: leave one of them")
        place = {name: index for index, name in enumerate(names)}
        request_id, received_at, regulation = map(place.get, DETAILS)
        places = (place[kinds[0]], request_id, received_at, regulation)
        return cls(KINDS[str(kinds[0])], tuple(None if one is None else spelled[one] for one in places), places)

    def entries(self, rows: Sequence[Any]) -> Iterator[Entry]:
        """Make the entries of some rows, which are sequences as the header is, or mappings with its names."""
        keys = self.names if rows and isinstance(rows[0], Mapping) else self.places
        return self.of_fields(None if key is None else map(itemgetter(key), rows) for key in keys)

    def entry(self, row: Sequence[object]) -> Entry:
        """Make the entry of one row, a sequence as the header is."""
        value, request_id, received_at, regulation = self.places
        return Entry(
            self.kind,
            row[value],
            None if request_id is None else row[request_id],
            None if received_at is None else row[received_at],
            None if regulation is None else row[regulation],
        )

    def of_fields(self, fields: Iterable[Iterable[object] | None]) -> Iterator[Entry]:
        """Make entries of the values of each column, with None for a column that there is not."""
        return map(Entry, repeat(self.kind), *(repeat(None) if one is None else one for one in fields))
