"""A task's source of identifiers: a list, a query, or a file."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

from airflow_provider_klaviyo.sources.errors import SourceError
from airflow_provider_klaviyo.sources.queries import check_query

__all__ = ["Source"]


def _entry() -> type[Any]:
    from airflow_provider_klaviyo.deletion.entries import Entry

    return Entry


@dataclass(frozen=True, slots=True)
class Source:
    """Where a task's identifiers come from: exactly one of a list, a query and a file.

    :param profiles: strings and mappings, one or many, also as another task returned them.
    :param sql: a query, which is read in the worker.
    :param sql_conn_id: of the database to ask.
    :param parameters: of the query, as the database's driver takes them.
    :param path: of a file on any storage that Airflow's `ObjectStoragePath` knows: CSV, JSON lines or Parquet; or of a
        folder of such files, or a pattern of their names.
    :param columns: our names of columns that have others, in a query's result or a file.
    :param delimiter: of a CSV file; found out from its header by default.
    :param row_type: returns what a row becomes, as for `Columns`; a function, so that nothing is imported before it is
        needed.
    """

    profiles: Any = field(default=None, repr=False)
    sql: str | None = None
    sql_conn_id: str | None = None
    parameters: Any = field(default=None, repr=False)
    path: Any = None
    columns: Mapping[str, str] | None = None
    delimiter: str | None = None
    row_type: Callable[[], type[Any]] = _entry

    def check(self) -> None:
        """Refuse no source, two of them, or half a one; at parse, where that is known already.

        :raises SourceError: in words that say what to write instead.
        """
        ways = {"profiles=[…]": self.profiles, "sql=…": self.sql, "path=…": self.path}
        given = [way for way, value in ways.items() if value is not None]
        if not given:
            raise SourceError("say who is meant: profiles=[…], or sql=… with sql_conn_id=…, or path=… of a file")
        if len(given) > 1:
            raise SourceError(f"give either {' or '.join(given)}, not {'both' if len(given) == 2 else 'all'}")
        check_query(self.sql, self.sql_conn_id, self.parameters)
        if self.columns is not None:
            from airflow_provider_klaviyo.sources.columns import check_columns

            if self.profiles is not None:
                raise SourceError("columns belongs to sql=… or path=…: in profiles, write our names")
            check_columns(self.columns, self.row_type())
        if self.path is not None:
            from airflow_provider_klaviyo.sources.files import check_path

            check_path(self.path, self.delimiter)
        elif self.delimiter is not None:
            raise SourceError("delimiter belongs to path=… of a CSV file")
        if isinstance(self.profiles, list | tuple | Mapping):
            from airflow_provider_klaviyo.sources.lists import check_list

            check_list(self.profiles, self.row_type())

    def entries(self) -> Generator[Any]:
        """Yield what the source lists, as rows of its type, one after the other, as they are wanted.

        To be closed, so that a source that is not read to its end is let go of.

        :raises SourceError: when the source cannot be right, or holds what cannot be read.
        :raises SourceUnavailableError: when it cannot be read just now.
        """
        if self.sql is not None and self.sql_conn_id is not None:
            from airflow_provider_klaviyo.sources.queries import queried

            return queried(self.sql, self.sql_conn_id, self.row_type(), self.parameters, self.columns)
        if self.path is not None:
            from airflow_provider_klaviyo.sources.files import read_file

            return read_file(self.path, self.row_type(), self.columns, self.delimiter)
        from airflow_provider_klaviyo.sources.lists import list_entries

        return list_entries(self.profiles, self.row_type())

    def rows(self) -> Generator[object]:
        """Yield the identifiers alone, each as `Identifier.parse` takes it. To be closed, like `entries`."""
        with closing(self.entries()) as entries:
            for entry in entries:
                yield entry.raw
