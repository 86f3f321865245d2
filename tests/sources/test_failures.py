"""Drivers of all databases: what of their errors is told, and what is worth another try."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from airflow_provider_klaviyo.sources.errors import SourceError, SourceUnavailableError
from airflow_provider_klaviyo.sources.failures import query_failure

QUOTED = "cannot read the value jane@example.com"


class DatabaseError(Exception):
    """As PEP 249 has them in each driver."""


class OperationalError(DatabaseError):
    sqlstate: object = None


class ProgrammingError(DatabaseError):
    sqlstate: object = None


class DataError(DatabaseError):
    pass


class InternalError(DatabaseError):
    pass


class IntegrityError(DatabaseError):
    pass


class NotSupportedError(DatabaseError):
    pass


class InvalidInput(ProgrammingError):  # noqa: N818 - as DuckDB has it
    pass


def of(state: object, base: type[Exception] = ProgrammingError, name: str = "sqlstate") -> Exception:
    error = base(QUOTED)
    setattr(error, name, state)
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (of("42P01"), "ProgrammingError 42P01: cannot"),
        (of("42P01", name="pgcode"), "ProgrammingError 42P01: cannot"),
        (of("08006", OperationalError), "OperationalError 08006: cannot"),
        (of("28P01", OperationalError), "OperationalError 28P01: cannot"),
        (of("57P03", OperationalError), "OperationalError 57P03: cannot"),
        (ProgrammingError(1146, QUOTED), "ProgrammingError 1146: "),
        (ProgrammingError({"C": "42601", "M": QUOTED}), "ProgrammingError 42601: "),
        (ProgrammingError("42S02", QUOTED), "ProgrammingError 42S02: "),
    ],
)
def test_what_is_about_the_query_is_told_while_it_is_started(error: Exception, said: str) -> None:
    told = str(query_failure(error, "the query", 0, is_starting=True))
    assert told.startswith(f"the query failed: {said}")
    assert QUOTED in told
    assert QUOTED not in str(query_failure(error, "the query", 0, is_starting=False))


@pytest.mark.parametrize(
    ("error", "said"),
    [
        # Snowflake's for a value that is no number: it runs the whole query before the first row.
        (of("22018"), "ProgrammingError 22018"),
        # Redshift's, whose driver has one class for everything.
        (ProgrammingError({"C": "22P02", "M": QUOTED}), "ProgrammingError 22P02"),
        # SQL Server's, which comes as if it was about the connection.
        (OperationalError(245, QUOTED.encode()), "OperationalError 245"),
        (OperationalError(QUOTED), "OperationalError"),
        (DataError("22018", QUOTED), "DataError 22018"),
        (DataError(QUOTED), "DataError"),
        (DatabaseError(QUOTED), "DatabaseError"),
        (InvalidInput(QUOTED), "InvalidInput"),
        (ValueError(QUOTED), "ValueError"),
        (OperationalError(True, QUOTED), "OperationalError"),
        (of(QUOTED, DataError), "DataError"),
        (of(QUOTED, OperationalError), "OperationalError"),
        (of("jane@", OperationalError), "OperationalError"),
        (DatabaseError(), "DatabaseError"),
    ],
)
@pytest.mark.parametrize("is_starting", [True, False])
def test_what_can_quote_a_row_is_not_told(error: Exception, said: str, *, is_starting: bool) -> None:
    told = str(query_failure(error, "the query", 1_234, is_starting=is_starting))
    assert told.startswith(f"the query failed after 1,234 rows: {said}. The database's own words are not shown")
    assert "jane" not in told


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ProgrammingError(), SourceError),
        (InvalidInput(), SourceError),
        (DataError(), SourceError),
        (IntegrityError(), SourceError),
        (NotSupportedError(), SourceError),
        (OperationalError(), SourceUnavailableError),
        (InternalError(), SourceUnavailableError),
        (DatabaseError(), SourceUnavailableError),
        (ConnectionResetError(), SourceUnavailableError),
        (ValueError(), SourceUnavailableError),
        (of("42601"), SourceError),
        (of("40001"), SourceUnavailableError),
        (of("57P01"), SourceUnavailableError),
        (of("55P03"), SourceUnavailableError),
        (ProgrammingError({"C": "08006"}), SourceUnavailableError),
    ],
)
def test_what_stays_wrong_is_not_tried_again(error: Exception, expected: type[Exception]) -> None:
    for is_starting in (True, False):
        assert type(query_failure(error, "the query", 0, is_starting=is_starting)) is expected


def test_sqlites_own_words_are_told_and_those_of_its_driver_are_not() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        with pytest.raises(sqlite3.OperationalError) as own:
            connection.execute("SELECT 1 FROM nobody")
        with pytest.raises(sqlite3.OperationalError) as drivers:
            connection.execute("SELECT CAST(x'ff' || 'jane@example.com' AS TEXT)").fetchall()
    assert "no such table: nobody" in str(query_failure(own.value, "the query", 0, is_starting=True))
    assert "jane" in str(drivers.value)
    assert "jane" not in str(query_failure(drivers.value, "the query", 0, is_starting=True))
