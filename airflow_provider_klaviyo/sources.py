"""Where identifiers come from: a list in the DAG or from another task, or the rows of a query."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import closing
from typing import Any, Final

from airflow_provider_klaviyo.concealed import Concealed

__all__ = ["SourceError", "check_query", "check_source", "listed", "queried", "rows"]

FETCH_SIZE: Final = 1_000


class SourceError(ValueError):
    """A task's source of identifiers cannot be right; the message says what to write instead."""


def check_source(profiles: Any, sql: str | None, sql_conn_id: str | None, parameters: Any) -> None:
    """Refuse a task that names no source of identifiers, or two; at parse, where that is known already.

    :raises SourceError: in words that say what to write instead.
    """
    if (profiles is None) == (sql is None):
        raise SourceError(
            "give either profiles=[…] or sql=…, not both"
            if sql is not None
            else "say whom to delete: profiles=[…], or sql=… with sql_conn_id=…"
        )
    check_query(sql, sql_conn_id, parameters)
    if isinstance(profiles, list | tuple | Mapping):
        _check_kinds(profiles)


def check_query(sql: str | None, sql_conn_id: str | None, parameters: Any) -> None:
    """Refuse half a query.

    :raises SourceError: in words that say what is missing.
    """
    if sql is not None and not sql_conn_id:
        raise SourceError("sql=… needs sql_conn_id=…, the connection of the database to ask")
    if sql is None and parameters:
        raise SourceError("parameters belong to sql=…, which is missing")


def rows(profiles: Any, sql: str | None, sql_conn_id: str | None, parameters: Any) -> Generator[object]:
    """Yield what the source lists, one identifier at a time, each a string or a mapping of one kind.

    To be closed, so that a query that is not read to its end lets go of the database.
    """
    if sql is not None and sql_conn_id is not None:
        return queried(sql, sql_conn_id, parameters)
    return listed(profiles)


def listed(profiles: Any) -> Generator[object]:
    """Yield what a list holds: strings and mappings, one or many, also from several tasks at once.

    :raises SourceError: for something that is no list.
    """
    if isinstance(profiles, Concealed):
        profiles = profiles.value
    if isinstance(profiles, str) and re.fullmatch(r"\s*(\[.*\]|\{.*\}|\(.*\))\s*", profiles, re.DOTALL):
        raise SourceError(
            "profiles is the text of a list, not a list: a template gives text. Hand over another task's output itself "
            "(profiles=task.output), or set render_template_as_native_obj=True on the DAG"
        )
    if isinstance(profiles, str | Mapping):
        yield profiles
    elif isinstance(profiles, Iterable) and not isinstance(profiles, bytes | bytearray | memoryview):
        for item in profiles:
            if isinstance(item, list | tuple):
                yield from listed(item)
            else:
                yield item
    else:
        raise SourceError(f"profiles must be a list of identifiers, not {type(profiles).__name__}")


def queried(sql: str, sql_conn_id: str, parameters: Any = None) -> Generator[dict[str, object]]:
    """Yield the identifiers that a query returns, in the worker, 1,000 rows at a time.

    Exactly one column is named ``email``, ``phone_number``, ``external_id`` or ``id`` (Klaviyo's); others are ignored.

    :raises SourceError: when the connection is no database, or no column or several are named so.
    """
    with closing(_database(sql_conn_id).get_conn()) as connection, closing(_cursor(connection)) as cursor:
        cursor.execute(sql, parameters) if parameters else cursor.execute(sql)
        # Before the description: the one of a cursor on the server is there after the first rows only.
        fetched = cursor.fetchmany(FETCH_SIZE)
        kind, name, index = _identifier_column(cursor.description)
        while fetched:
            for row in fetched:
                yield {kind: row[name] if isinstance(row, Mapping) else row[index]}
            fetched = cursor.fetchmany(FETCH_SIZE)


def _cursor(connection: Any) -> Any:
    """Return a cursor that does not read the whole result at once.

    psycopg's does, unless it has a name, which it may have within a transaction only.
    """
    if type(connection).__module__.startswith("psycopg") and not connection.autocommit:
        return connection.cursor("klaviyo_provider")
    return connection.cursor()


def _database(sql_conn_id: str) -> Any:
    from airflow.providers.common.compat.sdk import BaseHook
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    hook = BaseHook.get_hook(sql_conn_id)
    if not isinstance(hook, DbApiHook):
        raise SourceError(f"Connection {sql_conn_id!r} is no database: its hook is {type(hook).__name__}")
    return hook


def _identifier_column(description: Sequence[Sequence[Any]] | None) -> tuple[str, str, int]:
    """Return the kind, the name and the place of the one column that holds identifiers."""
    from airflow_provider_klaviyo.deletion.identifiers import Kind

    kinds = ", ".join(Kind)
    names = [str(column[0]) for column in description or ()]
    found = [(name.lower(), name, index) for index, name in enumerate(names) if name.lower() in list(Kind)]
    if not found:
        raise SourceError(f"the query must return a column named one of {kinds}: write SELECT … AS email")
    if len(found) > 1:
        raise SourceError(
            f"the query returns {len(found)} columns of identifiers ({', '.join(kind for kind, _, _ in found)}), but a "
            "row names a person once: select one of them, or list one identifier a row with UNION ALL"
        )
    return found[0]


def _check_kinds(profiles: Any) -> None:
    from airflow_provider_klaviyo.deletion.identifiers import Identifier, InvalidIdentifierError

    for item in listed(profiles):
        if isinstance(item, Mapping):
            try:
                Identifier.parse(item)
            except InvalidIdentifierError:
                continue  # The value may be a template yet, and a wrong one is an outcome, not a mistake of the DAG's.
