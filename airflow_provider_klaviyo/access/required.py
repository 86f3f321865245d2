"""Nobody is deleted whose data was to be exported first, and was not."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Final

from airflow_provider_klaviyo.access.errors import ExportMissingError
from airflow_provider_klaviyo.access.folder import DocumentFolder
from airflow_provider_klaviyo.access.naming import Names, request_id_of
from airflow_provider_klaviyo.deletion.entries import Entry
from airflow_provider_klaviyo.deletion.identifiers import InvalidIdentifierError

__all__ = ["with_documents"]

NAMED_ROWS: Final = 10


def with_documents(entries: Generator[Entry], folder: DocumentFolder, names: Names) -> Generator[Entry]:
    """Yield what a list holds, as long as everyone in it has a document; at its end, refuse if anybody has none.

    The folder is looked through once, before the first row. Rows that cannot be an identifier need no document, because
    nobody is deleted for them.

    :raises ExportMissingError: with how many rows lack a document, and the first row numbers. So nothing may be done
        about any row before the last one.
    :raises OutputUnavailableError: when the folder cannot be read.
    """
    present = folder.names()
    people = lacking = 0
    rows: list[int] = []
    with closing(entries):
        for row, entry in enumerate(entries, 1):
            documents = _documents_of(entry, names)
            people += bool(documents)
            if documents and present.isdisjoint(documents):
                lacking += 1
                if len(rows) < NAMED_ROWS:
                    rows.append(row)
            if not lacking:
                yield entry
    if lacking:
        numbers = f"row{'s' * (lacking > 1)} {', '.join(map(str, rows))}{', …' * (lacking > len(rows))}"
        raise ExportMissingError(
            f"{lacking:,} of {people:,} rows have no document in {folder.url}: {numbers}. Nobody was deleted, and "
            "nothing registered. Run the access task of this list first; if it has run, its log says whom it held back"
        )


def _documents_of(entry: Entry, names: Names) -> tuple[str, ...]:
    """Return what a document of a row may be called; nothing for a row that cannot be an identifier."""
    try:
        return names.of(request_id_of(entry), entry.identifier())
    except InvalidIdentifierError:
        return ()
