"""Entries from files of text: CSV, and JSON lines. Errors give the number of the line and nothing that stands there."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Generator, Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, Final

from airflow_provider_klaviyo.sources.columns import Columns, Row
from airflow_provider_klaviyo.sources.errors import SourceError

__all__ = ["csv_entries", "json_entries"]

BATCH_SIZE: Final = 1_000
CHUNK_BYTES: Final = 2**20
LONGEST_LINE: Final = 1_000_000
# An object becomes a tuple of its keys and values, and nothing else becomes a tuple.
OBJECTS_AS_PAIRS: Final = json.JSONDecoder(object_pairs_hook=tuple)


def csv_entries(file: Any, name: str, row: type[Row]) -> Generator[Row]:
    """Yield the entries of a CSV file in UTF-8, whose first line names its columns. Blank lines are skipped.

    :param file: open for reading bytes.
    :param name: of the file, for the errors.
    :param row: what each row becomes, as for `Columns`.
    :raises SourceError: for what is not CSV, not UTF-8, or not as wide as the header.
    """
    rows = _csv_rows(file, name)
    columns = Columns.of(next(rows, ()), name, row)
    while batch := list(islice(rows, BATCH_SIZE)):
        yield from columns.entries(batch)


def json_entries(file: Any, name: str, row: type[Row]) -> Generator[Row]:
    """Yield the entries of a file with a JSON object on each line, in UTF-8. Blank lines are skipped.

    :param file: open for reading bytes.
    :param name: of the file, for the errors.
    :param row: what each object becomes, as for `Columns`.
    :raises SourceError: for a line that is no JSON object, or one without exactly one kind of identifier.
    """
    columns_of = lru_cache(lambda keys: Columns.of(keys, "it", row))
    for number, line in enumerate(_lines(file, name, newline="\n"), 1):
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


def _csv_rows(file: Any, name: str) -> Iterator[list[str]]:
    reader = csv.reader(_lines(file, name, newline=""), strict=True)
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


def _object(text: str) -> tuple[tuple[str, object], ...] | None:
    """Return the keys and values of an object, all of them: a key that comes twice is a mistake, not the last one."""
    try:
        found, end = OBJECTS_AS_PAIRS.raw_decode(text)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, tuple) and end == len(text) else None


def _lines(file: Any, name: str, newline: str) -> Iterator[str]:
    """Yield the lines of a file in UTF-8, with or without a byte order mark, none longer than a million characters."""
    # What is not UTF-8 comes as lone surrogates, which UTF-8 never gives, so that its line is known.
    text = io.TextIOWrapper(_Chunks(file, name), "utf-8-sig", "surrogateescape", newline)
    number = 0
    while line := text.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(("\r", "\n")):
            raise SourceError(f"line {number} of {name} is longer than {LONGEST_LINE:,} characters, which no person is")
        if not line.isascii() and not _is_utf8(line):
            raise SourceError(f"line {number} of {name} is not in UTF-8: save the file in it")
        yield line


class _Chunks(io.BufferedIOBase):
    """Reads another file a megabyte at a time, however little is asked for: Airflow's notes its lineage each time."""

    def __init__(self, file: Any, name: str) -> None:
        self._file = file
        self.name = name

    def readable(self) -> bool:
        return True

    def read1(self, size: int = -1) -> bytes:
        chunk: bytes = self._file.read(CHUNK_BYTES)
        return chunk


def _is_utf8(line: str) -> bool:
    try:
        line.encode()
    except UnicodeEncodeError:
        return False
    return True
