"""Entries from files of text: CSV, and JSON lines. Errors give the number of the line and nothing that stands there."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from functools import lru_cache
from itertools import chain, islice
from typing import Any, Final

from airflow_provider_klaviyo.sources.columns import KINDS, Columns, Row
from airflow_provider_klaviyo.sources.errors import SourceError
from airflow_provider_klaviyo.sources.texts import text_lines

__all__ = ["csv_entries", "json_entries"]

BATCH_SIZE: Final = 1_000
DELIMITERS: Final = ",;\t|"
# An object becomes a tuple of its keys and values, and nothing else becomes a tuple.
OBJECTS_AS_PAIRS: Final = json.JSONDecoder(object_pairs_hook=tuple)


def csv_entries(
    file: Any,
    name: str,
    row: type[Row],
    renamed: Mapping[str, str] | None = None,
    *,
    check: Callable[[Sequence[object], str], None] | None = None,
    delimiter: str | None = None,
) -> Generator[Row]:
    """Yield the entries of a CSV file, whose first line names its columns. Blank lines are skipped.

    :param file: open for reading bytes.
    :param name: of the file, for the errors.
    :param row: what each row becomes, as for `Columns`.
    :param renamed: what other names of columns stand for, as for `Columns`.
    :param check: is given the header and the name.
    :param delimiter: of fields; by default the one with which the header names somebody.
    :raises SourceError: for what is not CSV, not Unicode, or not as wide as the header.
    """
    rows = _csv_rows(file, name, delimiter, renamed or {})
    header = next(rows, [])
    if check is not None:
        check(header, name)
    columns = Columns.of(header, name, row, renamed)
    while batch := list(islice(rows, BATCH_SIZE)):
        yield from columns.entries(batch)


def json_entries(file: Any, name: str, row: type[Row], renamed: Mapping[str, str] | None = None) -> Generator[Row]:
    """Yield the entries of a file with a JSON object on each line. Blank lines are skipped.

    :param file: open for reading bytes.
    :param name: of the file, for the errors.
    :param row: what each object becomes, as for `Columns`.
    :param renamed: what other names of keys stand for, as for `Columns`.
    :raises SourceError: for a line that is no JSON object, or one without exactly one kind of identifier.
    """
    columns_of = lru_cache(lambda keys: Columns.of(keys, "it", row, renamed))
    for number, line in enumerate(text_lines(file, name, newline="\n"), 1):
        text = line.strip()
        if not text:
            continue
        pairs = _object(text)
        if pairs is None:
            raise SourceError(f"line {number} of {name} is no JSON object, and each line must be one")
        keys, values = zip(*pairs, strict=True) if pairs else ((), ())
        try:
            columns = columns_of(keys)
        except SourceError as error:
            raise SourceError(f"line {number} of {name}: {error}") from None
        yield columns.entry(values)


def _csv_rows(file: Any, name: str, delimiter: str | None, renamed: Mapping[str, str]) -> Iterator[list[str]]:
    lines = text_lines(file, name, newline="")
    beginning: list[str] = []
    for line in lines:
        beginning.append(line)
        if line.strip("\r\n"):
            break
    else:
        return
    delimiter = delimiter or _delimiter(line, name, renamed)
    reader = csv.reader(chain(beginning, lines), delimiter=delimiter, strict=True)
    width = None
    try:
        for row in reader:
            if len(row) == width:
                yield row
            elif row and width is not None:
                raise SourceError(f"line {reader.line_num} of {name} has {len(row)} fields, and the first has {width}")
            elif row:
                width = len(row)
                yield row
    except csv.Error as error:
        # The module's texts are its own, such as: field larger than field limit (131072).
        raise SourceError(f"line {reader.line_num} of {name} cannot be read as CSV: {error}") from None


def _delimiter(line: str, name: str, renamed: Mapping[str, str]) -> str:
    """Return what the fields of a header are separated by: that with which one of them is an identifier.

    Where none is, the comma: the header is refused then, or goes over several lines.
    """
    wanted = {source.strip().lower() for source in renamed}
    wanted |= set() if any(ours in KINDS for ours in renamed.values()) else KINDS.keys()
    found: dict[tuple[str, ...], str] = {}
    for delimiter in DELIMITERS:
        fields = _fields(line, delimiter)
        if not wanted.isdisjoint(field.strip().lower() for field in fields):
            found.setdefault(tuple(fields), delimiter)
    if len(found) > 1:
        each = " or ".join(map(repr, found.values()))
        raise SourceError(f"the fields of {name} may be separated by {each}: say so with delimiter=…")
    return next(iter(found.values()), ",")


def _fields(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error:
        return []


def _object(text: str) -> tuple[tuple[str, object], ...] | None:
    """Return the keys and values of an object, all of them: a key that comes twice is a mistake, not the last one."""
    try:
        found, end = OBJECTS_AS_PAIRS.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, tuple) and end == len(text) else None
