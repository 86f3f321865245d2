"""The database of a ledger: transactions, its clock, its tables, and errors that show nobody's data."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from sqlalchemy import ARRAY, JSON, Table, Text, any_, bindparam, cast, event, func, inspect, select, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError
from sqlalchemy.sql.elements import ColumnElement

from airflow_provider_klaviyo.ledger import tables
from airflow_provider_klaviyo.ledger.errors import LedgerError, LedgerSetupError, LedgerUnavailableError
from airflow_provider_klaviyo.ledger.private_file import make_private
from airflow_provider_klaviyo.ledger.schemas import check_new_ledger, own_schema
from airflow_provider_klaviyo.ledger.silence import silence

__all__ = ["Database", "any_of"]

CLOCKS: Final = {
    "postgresql": "extract(epoch from clock_timestamp())",
    "sqlite": "(julianday('now') - 2440587.5) * 86400.0",
}
# The text of others can quote a row. Of PostgreSQL's: connection, transaction, authorization, catalog, schema, rolled
# back, syntax or access rule, resources, object not ready, operator, system.
ERRORS_WITHOUT_VALUES: Final = ("OperationalError", "InternalError", "ProgrammingError")
CODES_WITHOUT_VALUES: Final = {"08", "25", "28", "3D", "3F", "40", "42", "53", "55", "57", "58"}


class Database:
    """A database that keeps a ledger, ready to be used: its tables are made where they are missing.

    :param engine: of SQLAlchemy; closed by `close`.
    :param complete: is given the arguments of each new connection, positional and named, and may change them.
    :raises LedgerSetupError: for a kind of database that suits no ledger, or tables of another version.
    :raises LedgerUnavailableError: when it cannot be reached.
    """

    def __init__(self, engine: Engine, complete: Callable[[list[Any], dict[str, Any]], None] | None = None) -> None:
        self._engine = engine
        self.kind = engine.dialect.name
        if self.kind not in CLOCKS:
            raise LedgerSetupError(
                f"a {self.kind} database cannot keep a ledger: it must be one of {', '.join(sorted(CLOCKS))}. It can "
                "still be the source of a list"
            )
        if self.kind == "sqlite" and engine.url.database in (None, "", ":memory:"):
            raise LedgerSetupError("a database in memory is forgotten with the task: give the connection a file")
        if self.kind == "sqlite" and "mode" not in engine.url.query:
            make_private(Path(str(engine.url.database).removeprefix("file:")))
        silence(engine)
        if complete is not None:
            event.listen(engine, "do_connect", lambda _dialect, _record, given, named: complete(given, named))
        event.listen(engine, "connect", _on_connect)
        # Turns and profiles are taken by comparing: a stricter level would fail where this one waits, and sees.
        self._transactions = (
            engine.execution_options(isolation_level="READ COMMITTED") if self.kind == "postgresql" else engine
        )
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """Open a transaction that ends with the block.

        :raises LedgerUnavailableError: for any trouble of the database's, without its parameters.
        """
        try:
            with self._transactions.begin() as connection:
                yield connection
        except SQLAlchemyError as error:
            raise LedgerUnavailableError(f"the ledger's database failed: {_reason(error)}") from None

    def seconds(self, connection: Connection) -> float:
        """Return what the database's own clock says, in seconds since 1970. All workers see the same one."""
        return float(connection.execute(text(f"SELECT {CLOCKS[self.kind]}")).scalar_one())

    def lock(self, connection: Connection, name: str) -> None:
        """Keep every other transaction that asks for the same name waiting until this one ends.

        It must come first in the transaction: SQLite has one lock for the whole database.
        """
        if self.kind == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.execute(text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))"), {"name": name})

    def insert(self, connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
        """Add rows of the same columns.

        PostgreSQL is given a JSON value for each column in which they differ, at a fraction of what parameters cost.
        """
        if not rows:
            return
        if self.kind != "postgresql":
            connection.execute(table.insert(), list(rows))
            return
        columns = {name: [row[name] for row in rows] for name in rows[0]}
        differ = [name for name, values in columns.items() if values.count(values[0]) < len(values)]
        differ = differ or [next(iter(columns))]
        types = {name: table.c[name].type.compile(connection.dialect) for name in columns}
        taken = [f"CAST({'varying.' if name in differ else ':'}{name} AS {types[name]})" for name in columns]
        each = [f"json_array_elements_text(CAST(:{name} AS json))" for name in differ]
        statement = text(
            f"INSERT INTO {table.name} ({', '.join(columns)}) SELECT {', '.join(taken)} "  # noqa: S608 - our own names
            f"FROM ROWS FROM ({', '.join(each)}) AS varying ({', '.join(differ)})"
        )
        parameters = {
            name: json.dumps(values, default=_json) if name in differ else _plain(values[0])
            for name, values in columns.items()
        }
        connection.execute(statement, parameters)

    def insert_once(self, connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
        """Add a row; tell whether nobody else was quicker."""
        try:
            with connection.begin_nested():
                connection.execute(table.insert(), dict(row))
        except IntegrityError:
            return False
        return True

    def _prepare(self) -> None:
        with self.begin() as connection:
            schema = own_schema(connection)
            inspected = inspect(connection)
            present = set(tables.metadata.tables) & set(inspected.get_table_names(schema))
            name = tables.versions.name
            columns = [column["name"] for column in inspected.get_columns(name, schema)] if name in present else []
        # First: a ledger of another version may have other tables.
        if columns == [column.name for column in tables.versions.columns]:
            self._check_version()
        if present and len(present) < len(tables.metadata.tables):
            raise LedgerSetupError(
                f"the database has a table {min(present)} but not all of a ledger's. Give the ledger a database or "
                "a schema of its own"
            )
        if not present:
            self._create()

    def _create(self) -> None:
        """Make the tables; if another process was quicker, take its."""
        try:
            with self.begin() as connection:
                if self.kind == "sqlite":
                    # Its driver begins no transaction for a CREATE, and another process would see half of the tables.
                    connection.exec_driver_sql("BEGIN IMMEDIATE")
                check_new_ledger(connection)
                # Unchecked: a check finds what is elsewhere on the search path.
                tables.metadata.create_all(connection, checkfirst=False)
                connection.execute(tables.versions.insert(), {"schema_version": tables.SCHEMA_VERSION})
        except LedgerError:
            with self.begin() as connection:
                if set(tables.metadata.tables) - set(inspect(connection).get_table_names(own_schema(connection))):
                    raise
            self._check_version()

    def _check_version(self) -> None:
        with self.begin() as connection:
            found = connection.execute(select(tables.versions.c.schema_version)).scalars().all()
        if list(found) != [tables.SCHEMA_VERSION]:
            shown = ", ".join(map(str, found)) or "none"
            raise LedgerSetupError(
                f"the tables of the ledger are of version {shown}, but this package writes version "
                f"{tables.SCHEMA_VERSION}. Use the package that made them, or give it a database of its own"
            )


def any_of(database: Database, column: ColumnElement[str], values: Sequence[str]) -> tuple[Any, dict[str, Any]]:
    """Return the condition that a column is one of many texts, and its parameters."""
    if database.kind == "postgresql":
        listed = cast(bindparam("any_of", type_=Text()), JSON)
        # As an array, which is looked up in an index; a subquery may be joined by reading both sides a thousand times.
        each = select(func.json_array_elements_text(listed)).scalar_subquery()
        return column == any_(func.array(each, type_=ARRAY(Text))), {"any_of": json.dumps(values)}
    return column.in_(bindparam("any_of", expanding=True)), {"any_of": list(values)}


@lru_cache
def _json(value: object) -> str:
    """Write a time as `tables.UTCDateTime` keeps it."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None).isoformat()
    raise TypeError(f"no column of a ledger holds a {type(value).__name__}")


def _plain(value: Any) -> Any:
    return _json(value) if isinstance(value, datetime) else value


def _on_connect(connection: Any, _: Any) -> None:
    """Have SQLite write over what is wiped, and keep psycopg 3 from preparing statements.

    PostgreSQL would go on with what was quick when a table was empty.
    """
    if hasattr(connection, "prepare_threshold"):
        connection.prepare_threshold = None
    elif type(connection).__module__ == "sqlite3":
        connection.execute("PRAGMA secure_delete = ON")


def _reason(error: SQLAlchemyError) -> str:
    """Return the kind of failure, and the database's own words where those cannot quote a row."""
    if not isinstance(error, DBAPIError) or error.orig is None:
        return type(error).__name__
    code = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    reason = f"{type(error.orig).__name__} ({code})" if code else type(error.orig).__name__
    is_harmless = code is None or code[:2] in CODES_WITHOUT_VALUES
    if is_harmless and type(error).__name__ in ERRORS_WITHOUT_VALUES:
        reason += f": {str(error.orig).strip().splitlines()[0]}" if str(error.orig).strip() else ""
    return reason
