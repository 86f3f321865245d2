"""Which columns of a table, or keys of a mapping, hold what an entry is made of."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from operator import itemgetter
from typing import Any, Final, Generic, TypeVar

from airflow_provider_klaviyo.deletion.identifiers import Kind
from airflow_provider_klaviyo.sources.errors import SourceError

__all__ = ["KINDS", "Columns", "Row", "check_columns", "details_of", "same_columns"]

KINDS: Final = {kind.value: kind for kind in Kind}
"""The names of the columns that are identifiers."""
MOST_SHOWN: Final = 30

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
    def of(
        cls,
        header: Iterable[object],
        where: str,
        row: type[Row],
        renamed: Mapping[str, str] | None = None,
        *,
        shows_header: bool = False,
    ) -> Columns[Row]:
        """Find the columns in a header, whether it is in capitals or not.

        :param where: what has this header, for the errors.
        :param renamed: our name for each column that has another one, which then goes before columns of our names.
            Empty where it may be given, and None where not.
        :param shows_header: whether errors may repeat the header, because it cannot be somebody's data.
        :raises SourceError: unless exactly one column is named after a kind of identifier, and no other one twice; and
            for a column in `renamed` that there is not.
        """
        spelled = list(header)
        names = [name.strip().lower() if isinstance(name, str) else None for name in spelled]
        if renamed:
            names = _rename(spelled, names, renamed, where)
        kinds = [name for name in names if name in KINDS]
        if not kinds:
            has = f": its columns are {', '.join(map(str, spelled[:MOST_SHOWN]))}" if shows_header else ""
            other = "" if renamed is None else ", or give columns={'E-Mail': 'email'}"
            raise SourceError(
                f"{where} must have exactly one identifier, a column or key named one of {', '.join(KINDS)}, and has "
                f"none{has} (in SQL, write SELECT … AS email{other})"
            )
        if len(kinds) > 1:
            other = "" if renamed is None else ", or say which one counts, as in columns={'Klaviyo ID': 'id'}"
            raise SourceError(
                f"{where} must have exactly one identifier, and has {len(kinds)} ({', '.join(map(str, kinds))}): a row "
                f"names a person once, so take one of them{other}, or list one identifier a row (in SQL, with UNION "
                "ALL)"
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


def same_columns() -> Callable[[Sequence[object], str], None]:
    """Return what takes one header after the other, with what has it, and refuses one of other columns than the first.

    :raises SourceError: from what is returned.
    """
    first: list[list[str]] = []

    def check(header: Sequence[object], where: str) -> None:
        names = sorted(str(name).strip().lower() for name in header)
        first.append(names)
        if names != first[0]:
            raise SourceError(f"{where} has other columns than the files before it, and one list has the same in all")

    return check


def check_columns(renamed: Any, row: type[Row]) -> None:
    """Refuse other names of columns that stand for nothing, or for the same.

    :raises SourceError: in words that say what to write instead.
    """
    if not isinstance(renamed, Mapping) or not renamed or not all(isinstance(name, str) for name in renamed):
        raise SourceError("columns must be a mapping of a column's name to ours, such as {'E-Mail': 'email'}")
    ours = [*KINDS, *details_of(row)]
    unknown = [name for name in renamed.values() if name not in ours]
    if unknown:
        raise SourceError(f"columns has {', '.join(map(repr, unknown))}, and each must be one of {', '.join(ours)}")
    targets = ["an identifier" if name in KINDS else name for name in renamed.values()]
    if twice := sorted({name for name in targets if targets.count(name) > 1}):
        raise SourceError(f"columns has {', '.join(twice)} more than once: a row names a person once")


def _rename(
    spelled: Sequence[object], names: Sequence[str | None], renamed: Mapping[str, str], where: str
) -> list[str | None]:
    """Return our names of the columns; one that was given to a column is no other's."""
    given: dict[int, str] = {}
    missing = []
    for source, ours in renamed.items():
        alike = [place for place, name in enumerate(names) if name == source.strip().lower()]
        places = [place for place in alike if spelled[place] == source] or alike
        if len(places) > 1:
            raise SourceError(f"{where} has {len(places)} columns named {source!r}: leave one of them")
        if places:
            given[places[0]] = ours
        else:
            missing.append(source)
    if missing:
        raise SourceError(f"columns names {', '.join(map(repr, missing))}, and {where} has no such column")
    taken = set(given.values())
    if not taken.isdisjoint(KINDS):
        taken |= KINDS.keys()
    return [given.get(place, None if name in taken else name) for place, name in enumerate(names)]
