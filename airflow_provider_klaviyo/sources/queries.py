"""Identifiers from the rows of a query, on any connection whose hook is a common-sql one."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, takewhile
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_klaviyo.sources.errors import SourceError
from airflow_provider_klaviyo.tracebacks import hide_variables

if TYPE_CHECKING:
    from airflow_provider_klaviyo.sources.columns import Row

__all__ = ["check_query", "queried"]

FETCH_SIZE: Final = 5_000


def check_query(sql: str | None, sql_conn_id: str | None, parameters: Any) -> None:
    """Refuse half a query.

    :raises SourceError: in words that say what is missing.
    """
    if sql is not None and not sql_conn_id:
        raise SourceError("sql=… needs sql_conn_id=…, the connection of the database to ask")
    if sql is None and parameters:
        raise SourceError("parameters belong to sql=…, which is missing")


@hide_variables
def queried(sql: str, sql_conn_id: str, row: type[Row], parameters: Any = None) -> Generator[Row]:
    """Yield the entries that a query returns, in the worker, 5,000 rows at a time.

    Exactly one column is named ``email``, ``phone_number``, ``external_id`` or ``id`` (Klaviyo's). Those that are named
    as the other fields of a row are taken along, and others are ignored.

    :param row: what each row becomes, as for `Columns`.
    :raises SourceError: when the connection is no database, the query is wrong, or no column or several are named so.
    :raises SourceUnavailableError: when the database is down, or stops answering.
    """
    from airflow_provider_klaviyo.sources.columns import Columns

    with closing(_connected(sql_conn_id)) as connection, closing(_cursor(connection)) as cursor:
        reading = _Reading(cursor, f"the query on connection {sql_conn_id!r}")
        reading.start(sql, parameters)
        # Before the description: the one of a cursor on the server is there after the first rows only. No variable
        # holds rows, here and below, so that none can be seen in the traceback of an error.
        first = iter((reading.fetch(),))
        columns = Columns.of((column[0] for column in cursor.description or ()), "the query", row)
        batches = chain(first, takewhile(len, iter(reading.fetch, None)))
        yield from chain.from_iterable(map(columns.entries, batches))


@dataclass(slots=True)
class _Reading:
    """A cursor whose errors repeat nothing that it has read."""

    cursor: Any
    where: str
    rows: int = 0

    def start(self, sql: str, parameters: Any) -> None:
        from airflow_provider_klaviyo.sources.failures import query_failure

        try:
            self.cursor.execute(sql, parameters) if parameters else self.cursor.execute(sql)
        except Exception as error:  # noqa: BLE001 - each driver has classes of its own
            raise query_failure(error, self.where, self.rows, is_starting=True) from None

    def fetch(self) -> Sequence[Any]:
        from airflow_provider_klaviyo.sources.failures import query_failure

        try:
            fetched: Sequence[Any] = self.cursor.fetchmany(FETCH_SIZE)
        except Exception as error:  # noqa: BLE001
            raise query_failure(error, self.where, self.rows, is_starting=False) from None
        self.rows += len(fetched)
        return fetched


def _connected(sql_conn_id: str) -> Any:
    from airflow.providers.common.compat.sdk import BaseHook
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_klaviyo.sources.failures import connection_failure

    hook = BaseHook.get_hook(sql_conn_id)
    if not isinstance(hook, DbApiHook):
        raise SourceError(f"Connection {sql_conn_id!r} is no database: its hook is {type(hook).__name__}")
    try:
        return hook.get_conn()
    except Exception as error:  # noqa: BLE001 - each driver has classes of its own
        raise connection_failure(error, sql_conn_id, BaseHook.get_connection(sql_conn_id)) from None


def _cursor(connection: Any) -> Any:
    """Return a cursor that does not read the whole result at once.

    psycopg's does, unless it has a name, which it may have within a transaction only.
    """
    if type(connection).__module__.startswith("psycopg") and not connection.autocommit:
        return connection.cursor("klaviyo_provider")
    return connection.cursor()
