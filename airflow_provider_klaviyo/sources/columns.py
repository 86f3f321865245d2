"""Which columns of a table, or keys of a mapping, hold what an entry is made of."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

from airflow_provider_klaviyo.deletion.identifiers import Kind
from airflow_provider_klaviyo.sources.errors import SourceError

__all__ = ["Columns", "Row", "details_of"]

KINDS: Final = {kind.value: kind for kind in Kind}

# A NamedTuple: the kind of the identifier, its value, and then a field for each column that is optional.
Row = TypeVar("Row", bound=tuple[Any, ...])


@dataclass(frozen=True, slots=True)
class Columns(Generic[Row]):
    """The one column of identifiers, and those of what else is known, each at most once; others are ignored.

    :param row: what a row becomes: a `NamedTuple` of kind, value, and a field named after each optional column.
    :param kind: of the identifiers.
    :param names: of the columns, in the order of the fields and as the header spells them; None where the header has no
        such column.
    :param places: of the same columns in the header.
    """

    row: type[Row]
    kind: Kind
    names: tuple[Any, ...]
    places: tuple[int | None, ...]

    @classmethod
    def of(cls, header: Iterable[object], where: str, row: type[Row]) -> Columns[Row]:
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
        details = details_of(row)
        for name in details:
            if names.count(name) > 1:
                raise SourceError(f"{where} has {names.count(name)} columns or keys named {name}: leave one of them")
        place = {name: index for index, name in enumerate(names)}
        places = (place[kinds[0]], *map(place.get, details))
        return Columns(
            row, KINDS[str(kinds[0])], tuple(None if one is None else spelled[one] for one in places), places
        )

    def entries(self, rows: Sequence[Any]) -> Iterator[Row]:
        """Make the entries of some rows, which are sequences as the header is, or mappings with its names."""
        keys = self.names if rows and isinstance(rows[0], Mapping) else self.places
        return self.of_fields(None if key is None else map(itemgetter(key), rows) for key in keys)

    def entry(self, row: Sequence[object]) -> Row:
        """Make the entry of one row, a sequence as the header is."""
        return self.row(self.kind, *(None if place is None else row[place] for place in self.places))

    def of_fields(self, fields: Iterable[Iterable[object] | None]) -> Iterator[Row]:
        """Make entries of the values of each column, with None for a column that there is not."""
        return map(self.row, repeat(self.kind), *(repeat(None) if one is None else one for one in fields))


def details_of(row: type[Row]) -> tuple[str, ...]:
    """Return the names of the columns that are optional."""
    fields: tuple[str, ...] = row._fields  # type: ignore[attr-defined]
    return fields[2:]
