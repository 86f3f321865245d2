"""What a list holds, as one short text: to see whether it is still the same when it is read again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.fingerprints import FingerprintKeys
from airflow_provider_klaviyo.deletion.identifiers import Identifier, InvalidIdentifierError

__all__ = ["Contents", "contents_of", "read_entry"]

HEXADECIMAL_DIGITS: Final = 32
MODULUS: Final = 16**HEXADECIMAL_DIGITS


@dataclass(slots=True)
class Contents:
    """Adds rows up, in whatever order they come: their fingerprints are as good as random numbers."""

    rows: int = 0
    total: int = 0

    def add(self, fingerprint: str) -> None:
        """Count one row more."""
        self.rows += 1
        self.total += int(fingerprint[:HEXADECIMAL_DIGITS], 16)

    def __str__(self) -> str:
        return f"{self.rows}:{self.total % MODULUS:x}"


def contents_of(entries: Iterable[Entry], keys: FingerprintKeys) -> str:
    """Return what a list holds, without looking anybody up."""
    contents = Contents()
    for entry in entries:
        _, fingerprints = read_entry(entry, keys)
        contents.add(fingerprints[0])
    return str(contents)


def read_entry(entry: Entry, keys: FingerprintKeys) -> tuple[Identifier | InvalidIdentifierError, tuple[str, ...]]:
    """Return whom a row names, or why nobody, and the fingerprints to look for, the newest key's first."""
    try:
        identifier = entry.identifier()
    except InvalidIdentifierError as error:
        return error, (keys.of_unreadable(entry.value, str(error)),)
    return identifier, keys.all_of(identifier)
