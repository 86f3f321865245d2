"""Identifiers from the rows of a query, on any connection whose hook is a common-sql one."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, takewhile
from typing import TYPE_CHECKING, Any, Final

from airflow_provider_klaviyo.sources.errors import SourceError
from airflow_provider_klaviyo.tracebacks import hide_variables

if TYPE_CHECKING:
    from airflow_provider_klaviyo.sources.columns import Row
    from airflow_provider_klaviyo.sources.failures import Stage

__all__ = ["check_query", "queried"]

FETCH_SIZE: Final = 5_000
PSYCOPG: Final = {"psycopg", "psycopg2"}
MYSQL_DRIVERS: Final = {"MySQLdb", "mysql", "pymysql"}


def check_query(sql: Any, sql_conn_id: str | None, parameters: Any) -> None:
    """Refuse half a query, and what is none; its text is judged when it is run, because it may be a template.

    :raises SourceError: in words that say what is missing.
    """
    if sql is None:
        if parameters:
            raise SourceError("parameters belong to sql=…, which is missing")
        return
    if not hasattr(sql, "iter_references"):
        from airflow_provider_klaviyo.sources.statements import check_statement

        check_statement(sql)
    if not sql_conn_id:
        raise SourceError("sql=… needs sql_conn_id=…, the connection of the database to ask")


@hide_variables
def queried(
    sql: str,
    sql_conn_id: str,
    row: type[Row],
    parameters: Any = None,
    columns: Mapping[str, str] | None = None,
) -> Generator[Row]:
    """Yield the entries that a query returns, in the worker, 5,000 rows at a time.

    Exactly one column is named ``email``, ``phone_number``, ``external_id`` or ``id`` (Klaviyo's). Those that are named
    as the other fields of a row are taken along, and others are ignored. The query may not change anything: it runs in
    a read-only transaction where the database has one that matters, and nothing is committed.

    :param row: what each row becomes, as for `Columns`.
    :param columns: what other names stand for, as for `Columns`.
    :raises SourceError: when the connection is no database, the query is wrong, or no column or several are named so.
    :raises SourceUnavailableError: when the database is down, or stops answering.
    """
    from airflow_provider_klaviyo.sources.columns import Columns
    from airflow_provider_klaviyo.sources.statements import one_statement

    statement = one_statement(sql)
    with closing(_connected(sql_conn_id)) as connection, closing(_cursor(connection)) as cursor:
        reading = _Reading(cursor, _driver(connection), f"the query on connection {sql_conn_id!r}", parameters)
        reading.start(statement)
        # Before the header: the one of a cursor on the server is there after the first rows only. No variable holds
        # rows, here and below, so that none can be seen in the traceback of an error.
        first = iter((reading.fetch(),))
        found = Columns.of(reading.header(), "the query", row, columns or {}, shows_header=True)
        batches = chain(first, takewhile(len, iter(reading.fetch, None)))
        yield from chain.from_iterable(map(found.entries, batches))


@dataclass(slots=True)
class _Reading:
    """A query whose errors repeat nothing that it has read."""

    cursor: Any
    driver: str
    where: str
    parameters: Any
    rows: int = 0

    def start(self, statement: str) -> None:
        from airflow_provider_klaviyo.sources.failures import Stage

        try:
            if self.driver in MYSQL_DRIVERS:
                # Its functions can write, and no setting of the connection keeps them from it.
                self.cursor.execute("START TRANSACTION READ ONLY")
            self.cursor.execute(statement, self.parameters) if self.parameters else self.cursor.execute(statement)
        except Exception as error:  # noqa: BLE001 - each driver has classes of its own
            raise self.failure(error, Stage.STARTING) from None

    def fetch(self) -> Sequence[Any]:
        try:
            fetched: Sequence[Any] = self.cursor.fetchmany(FETCH_SIZE)
        except Exception as error:  # noqa: BLE001
            raise self.failure(error, self.stage) from None
        self.rows += len(fetched)
        return fetched

    def header(self) -> list[object]:
        """Return the names of the columns.

        :raises SourceError: when there are none, as of a statement that is no query.
        """
        try:
            description = self.cursor.description
        except Exception as error:  # noqa: BLE001 - Trino's runs the query to find out
            raise self.failure(error, self.stage) from None
        if not description:
            raise SourceError(f"{self.where} returns no columns: it must be a SELECT")
        return [column[0] for column in description]

    @property
    def stage(self) -> Stage:
        from airflow_provider_klaviyo.sources.failures import Stage

        # What PostgreSQL would say of the query, it has said when its cursor was made.
        return Stage.READING if self.rows or self.driver in PSYCOPG else Stage.WAITING

    def failure(self, error: Exception, stage: Stage) -> Exception:
        from airflow_provider_klaviyo.sources.failures import query_failure

        return query_failure(error, self.where, self.rows, stage, self.parameters)


def _connected(sql_conn_id: str) -> Any:
    from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException, BaseHook
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    from airflow_provider_klaviyo.sources.failures import connection_failure

    try:
        hook = BaseHook.get_hook(sql_conn_id)
    except AirflowNotFoundException as error:
        raise SourceError(
            f"there is no connection {sql_conn_id!r}: create it, or set sql_conn_id to one that exists"
        ) from error
    except (AirflowException, ImportError) as error:
        raise SourceError(
            f"the type of connection {sql_conn_id!r} has no hook here ({type(error).__name__}): is its provider "
            "installed where the worker runs?"
        ) from error
    if not isinstance(hook, DbApiHook):
        raise SourceError(f"Connection {sql_conn_id!r} is no database: its hook is {type(hook).__name__}")
    try:
        return hook.get_conn()
    except Exception as error:  # noqa: BLE001 - each driver has classes of its own
        raise connection_failure(error, sql_conn_id, BaseHook.get_connection(sql_conn_id)) from None


def _cursor(connection: Any) -> Any:
    """Return a cursor that does not read the whole result at once, and whose functions change nothing.

    psycopg's reads it, unless it has a name, which it may have within a transaction only.
    """
    if _driver(connection) not in PSYCOPG:
        return connection.cursor()
    if connection.info.transaction_status:
        # A hook has said something to the database before.
        with closing(connection.cursor()) as cursor:
            cursor.execute("SET TRANSACTION READ ONLY")
    else:
        connection.autocommit = False
        # psycopg 3's name for it, and psycopg2's. Redshift has no SET TRANSACTION.
        setattr(connection, "read_only" if hasattr(connection, "read_only") else "readonly", True)
    return connection.cursor("klaviyo_provider")


def _driver(connection: Any) -> str:
    return type(connection).__module__.split(".")[0]
