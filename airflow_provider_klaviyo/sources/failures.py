"""What of a database's error may be told: drivers quote rows, as in ``invalid input for integer: "jane@example.com"``.

The driver's text is shown only where it can be about nothing but the query, the connection or the server, and quotes
no parameter. In all other cases the class of the error, its SQLSTATE, name or number, and how many rows were read have
to do.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus

from airflow_provider_klaviyo.sources.dialects import is_about_the_query, is_refused_write, sqlstate_of
from airflow_provider_klaviyo.sources.errors import SourceError, SourceUnavailableError

if TYPE_CHECKING:
    from airflow.sdk import Connection

__all__ = ["Stage", "connection_failure", "query_failure", "without_secrets"]

# Connection, rolled back, resources, object not ready, operator, system, internal.
MAY_PASS: Final = {"08", "40", "53", "55", "57", "58", "XX"}
# No data (Snowflake's for a table that there is not), value, catalog, schema, syntax or access rule.
STAYS_WRONG: Final = {"02", "22", "3D", "3F", "42"}
# PEP 249's classes of what is wrong again the next time. It counts the rest, OperationalError above all, as trouble.
STAYS: Final = {"DataError", "IntegrityError", "NotSupportedError", "ProgrammingError"}
SHORTEST_QUOTE: Final = 4
SHORTEST_SECRET: Final = 8


class Stage(Enum):
    """How far a query has come, and so what its errors can be about."""

    STARTING = "being started: in doubt, it is about the query itself"
    WAITING = "before the first row, where some drivers only start: it is about the query if its code says so"
    READING = "being read: it can be about a row"


def connection_failure(error: Exception, conn_id: str, connection: Connection) -> SourceUnavailableError:
    """Return what to raise instead of what a driver has raised when it was to connect. Its text is about the server."""
    text = without_secrets(error, connection)
    return SourceUnavailableError(
        f"the database of connection {conn_id!r} cannot be reached: {type(error).__name__}: {text}"
    )


def without_secrets(error: Exception, connection: Connection) -> str:
    """Return the text of an error, unless it repeats a secret of the connection, as some do with a whole URL."""
    text = str(error).strip()
    secrets = {form for one in _secrets(connection) for form in (one, quote(one, safe=""), quote_plus(one))}
    if any(secret in text for secret in secrets):
        return "the driver's own words are not shown, because they repeat a secret of the connection"
    return text


def query_failure(error: Exception, where: str, rows: int, stage: Stage, parameters: Any = None) -> Exception:
    """Return what to raise instead of what a database's driver has raised.

    A `SourceError` is for what stays wrong, such as a table that there is not. When in doubt it is a
    `SourceUnavailableError`: to try once more costs less than to give a whole list up.

    :param where: the query and its connection.
    :param rows: read so far.
    :param parameters: of the query, which some drivers write into it.
    """
    failed = f"{where} failed after {rows:,} rows" if rows else f"{where} failed"
    if is_refused_write(error):
        return SourceError(
            f"{failed}: it writes, and a source is only read: what it changed would be rolled back. Write a SELECT "
            "whose functions change nothing, and mark the rows in a task of its own, after this one"
        )
    state = sqlstate_of(error)
    text = f"{failed}: {_name(error, state)}"
    reason = _reason(error, stage, parameters)
    if reason is None:
        text += (
            ". The database's own words are not shown, because they can quote a row; run the query there to see them"
        )
    else:
        text += f": {reason}"
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


def _name(error: Exception, state: str | None) -> str:
    name = getattr(error, "error_name", None)
    first = error.args[0] if error.args else None
    code = state or (name if isinstance(name, str) and name.isidentifier() else None)
    code = code or (str(first) if type(first) is int else None)
    return type(error).__name__ if code is None else f"{type(error).__name__} {code}"


def _reason(error: Exception, stage: Stage, parameters: Any) -> str | None:
    """Return the database's own words, if they may be shown."""
    if stage is Stage.READING or not is_about_the_query(error, in_doubt=stage is Stage.STARTING):
        return None
    diagnosis = getattr(error, "diag", None)
    # PostgreSQL's without the line of the query, into which psycopg2 writes parameters.
    short = getattr(diagnosis, "message_primary", None)
    text = str(short if parameters and short else error).strip()
    return None if any(_quotes(text, value) for value in _values(parameters)) else text


def _values(parameters: Any) -> Iterable[object]:
    if isinstance(parameters, Mapping):
        return parameters.values()
    return parameters if isinstance(parameters, list | tuple) else ()


def _quotes(text: str, value: object) -> bool:
    """Tell whether a text holds a value or a piece of it: databases cut what they quote.

    A short number says nothing of anybody, and is in most texts: they count lines.
    """
    written = str(value)
    length = min(SHORTEST_QUOTE, len(written))
    if length == 0 or (length < SHORTEST_QUOTE and not isinstance(value, str)):
        return False
    return any(written[at : at + length] in text for at in range(len(written) - length + 1))


def _stays(error: Exception, state: str | None) -> bool:
    if state is not None and state[:2] in MAY_PASS:
        return False
    if (state is not None and state[:2] in STAYS_WRONG) or getattr(error, "error_type", None) == "USER_ERROR":
        return True
    return is_about_the_query(error, in_doubt=False) or not STAYS.isdisjoint(
        one.__name__ for one in type(error).__mro__
    )
