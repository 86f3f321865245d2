"""What of a database's error may be told: drivers quote rows, as in ``invalid input for integer: "jane@example.com"``.

The driver's text is shown only where it can be about nothing but the query, the connection or the server. In all other
cases the class of the error, its SQLSTATE or number, and how many rows were read have to do.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus

from airflow_provider_klaviyo.sources.errors import SourceError, SourceUnavailableError

if TYPE_CHECKING:
    from airflow.sdk import Connection

__all__ = ["connection_failure", "query_failure"]

SHORTEST_SECRET: Final = 8
SQLSTATE: Final = re.compile(r"[0-9A-Z]{5}")
# Classes of SQLSTATE: connection, authorization, catalog, schema, syntax or access rule, resources, operator.
ABOUT_NO_ROW: Final = {"08", "28", "3D", "3F", "42", "53", "57"}
# Connection, rolled back, resources, object not ready, operator, system, internal.
MAY_PASS: Final = {"08", "40", "53", "55", "57", "58", "XX"}
# PEP 249's classes of what is wrong again the next time. It counts the rest, OperationalError above all, as trouble.
STAYS: Final = {"DataError", "IntegrityError", "NotSupportedError", "ProgrammingError"}


def connection_failure(error: Exception, conn_id: str, connection: Connection) -> SourceUnavailableError:
    """Return what to raise instead of what a driver has raised when it was to connect.

    Its text is about the server, and shown, unless it repeats a secret of the connection, as some do with a whole URL.
    """
    kind, text = type(error).__name__, str(error).strip()
    secrets = {form for one in _secrets(connection) for form in (one, quote(one, safe=""), quote_plus(one))}
    if any(secret in text for secret in secrets):
        text = "the driver's own words are not shown, because they repeat a secret of the connection"
    return SourceUnavailableError(f"the database of connection {conn_id!r} cannot be reached: {kind}: {text}")


def query_failure(error: Exception, where: str, rows: int, *, is_starting: bool) -> Exception:
    """Return what to raise instead of what a database's driver has raised.

    A `SourceError` is for what stays wrong, such as a table that there is not. When in doubt it is a
    `SourceUnavailableError`: to try once more costs less than to give a whole list up.

    :param where: the query and its connection.
    :param rows: read so far.
    :param is_starting: the query is being started, not read: only then the text may be about the query itself.
    """
    state = _sqlstate(error)
    number = error.args[0] if error.args and type(error.args[0]) is int else None
    named = " ".join(str(part) for part in (type(error).__name__, state or number) if part is not None)
    failed = f"{where} failed after {rows:,} rows" if rows else f"{where} failed"
    if is_starting and _is_about_the_query(error, state):
        text = f"{failed}: {named}: {str(error).strip()}"
    else:
        text = (
            f"{failed}: {named}. The database's own words are not shown, because they can quote a row; run the query "
            "there to see them"
        )
    return SourceError(text) if _stays(error, state) else SourceUnavailableError(text)


def _secrets(connection: Connection) -> Iterator[str]:
    """Yield the password, and all texts among the extra fields that are long enough to be secret."""
    if connection.password:
        yield connection.password
    todo: list[Any] = [connection.extra_dejson]
    while todo:
        match todo.pop():
            case str(text) if len(text) >= SHORTEST_SECRET:
                yield text
            case dict(fields):
                todo += fields.values()
            case list(items):
                todo += items


def _sqlstate(error: Exception) -> str | None:
    """Return SQL's own code: psycopg's `sqlstate`, psycopg2's `pgcode`, or what ODBC and Redshift put into `args`."""
    inside = error.args[0] if error.args else None
    if isinstance(inside, Mapping):
        inside = inside.get("C")
    for state in (getattr(error, "sqlstate", None), getattr(error, "pgcode", None), inside):
        if isinstance(state, str) and SQLSTATE.fullmatch(state):
            return state
    return None


def _is_about_the_query(error: Exception, state: str | None) -> bool:
    if state is not None:
        return state[:2] in ABOUT_NO_ROW
    # SQLite's own errors have a code; those of its driver, such as for text that is not UTF-8, quote the row.
    return type(error).__name__ == "ProgrammingError" or hasattr(error, "sqlite_errorcode")


def _stays(error: Exception, state: str | None) -> bool:
    if state is not None and state[:2] in MAY_PASS:
        return False
    return not STAYS.isdisjoint(one.__name__ for one in type(error).__mro__)
