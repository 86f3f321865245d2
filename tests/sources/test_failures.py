"""Drivers of all databases: what of their errors is told, and what is worth another try."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import pytest

from airflow_provider_klaviyo.sources.errors import SourceError, SourceUnavailableError
from airflow_provider_klaviyo.sources.failures import Stage, query_failure

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
    told = str(query_failure(error, "the query", 0, Stage.STARTING))
    assert told.startswith(f"the query failed: {said}")
    assert QUOTED in told
    assert QUOTED not in str(query_failure(error, "the query", 0, Stage.READING))


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
@pytest.mark.parametrize("stage", Stage)
def test_what_can_quote_a_row_is_not_told(error: Exception, said: str, stage: Stage) -> None:
    told = str(query_failure(error, "the query", 1_234, stage))
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
    for stage in Stage:
        assert type(query_failure(error, "the query", 0, stage)) is expected


def test_sqlites_own_words_are_told_and_those_of_its_driver_are_not() -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        with pytest.raises(sqlite3.OperationalError) as own:
            connection.execute("SELECT 1 FROM nobody")
        with pytest.raises(sqlite3.OperationalError) as drivers:
            connection.execute("SELECT CAST(x'ff' || 'jane@example.com' AS TEXT)").fetchall()
    assert "no such table: nobody" in str(query_failure(own.value, "the query", 0, Stage.STARTING))
    assert "jane" in str(drivers.value)
    assert "jane" not in str(query_failure(drivers.value, "the query", 0, Stage.STARTING))


class TrinoUserError(Exception):
    error_type = "USER_ERROR"

    def __init__(self, name: str) -> None:
        super().__init__(QUOTED)
        self.error_name = name


class ParserException(ProgrammingError):  # noqa: N818 - as DuckDB has it
    pass


class ConversionException(DataError):  # noqa: N818
    pass


def of_mysql(number: int) -> Exception:
    kind: type[Exception] = type("OperationalError", (OperationalError,), {"__module__": "MySQLdb.exceptions"})
    return kind(number, QUOTED)


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (TrinoUserError("SYNTAX_ERROR"), "TrinoUserError SYNTAX_ERROR"),
        (TrinoUserError("TABLE_NOT_FOUND"), "TrinoUserError TABLE_NOT_FOUND"),
        (ParserException(QUOTED), "ParserException"),
        (of_mysql(1054), "OperationalError 1054"),
        (OperationalError(f"FAILED: SYNTAX_ERROR: line 1:8: {QUOTED}"), "OperationalError"),
        (DatabaseError(f"[TABLE_OR_VIEW_NOT_FOUND] The table {QUOTED}"), "DatabaseError"),
        (DatabaseError(f"[UNRESOLVED_COLUMN.WITH_SUGGESTION] {QUOTED}"), "DatabaseError"),
        (DatabaseError(f"ORA-00942: {QUOTED}"), "DatabaseError"),
        (RuntimeError(f"400 Syntax error: {QUOTED} at [1:8]"), "RuntimeError"),
        (of("02000"), "ProgrammingError 02000"),
    ],
)
def test_what_a_code_says_of_the_query_is_told_before_the_first_row(error: Exception, named: str) -> None:
    for stage in (Stage.STARTING, Stage.WAITING):
        told = query_failure(error, "the query", 0, stage)
        assert str(told).startswith(f"the query failed: {named}: ")
        assert QUOTED in str(told)
        assert isinstance(told, SourceError)
    assert QUOTED not in str(query_failure(error, "the query", 1, Stage.READING))


@pytest.mark.parametrize(
    "error",
    [
        TrinoUserError("INVALID_CAST_ARGUMENT"),
        TrinoUserError("DIVISION_BY_ZERO"),
        ConversionException(QUOTED),
        of_mysql(1292),
        DatabaseError(f"[CAST_INVALID_INPUT] {QUOTED} SYNTAX_ERROR: x"),
        DatabaseError(f"ORA-01722: {QUOTED}"),
        RuntimeError(f"400 Bad int64 value: {QUOTED}"),
    ],
)
@pytest.mark.parametrize("stage", Stage)
def test_what_a_code_says_of_a_value_is_never_told(error: Exception, stage: Stage) -> None:
    assert "jane" not in str(query_failure(error, "the query", 0, stage))


def test_words_that_speak_for_the_query_by_their_class_alone_are_told_only_when_it_starts() -> None:
    error = ProgrammingError(QUOTED)
    assert QUOTED in str(query_failure(error, "the query", 0, Stage.STARTING))
    assert QUOTED not in str(query_failure(error, "the query", 0, Stage.WAITING))


@pytest.mark.parametrize(
    "parameters",
    [["jane@example.com"], {"who": "jane@example.com"}, ("x", "mple"), ["prefix jane@e"], [None, "value ja"]],
)
def test_words_that_quote_a_parameter_or_a_piece_of_one_are_not_told(parameters: object) -> None:
    told = query_failure(of("42601"), "the query", 0, Stage.STARTING, parameters)
    assert "jane" not in str(told)
    assert "not shown" in str(told)


def test_words_that_quote_no_parameter_are_told() -> None:
    assert QUOTED in str(query_failure(of("42601"), "the query", 0, Stage.STARTING, ["2026-11-01", 7, 2001, None, ""]))


def test_a_write_that_was_refused_says_what_to_do() -> None:
    for error in (of("25006"), of_mysql(1792)):
        told = query_failure(error, "the query", 0, Stage.READING)
        assert isinstance(told, SourceError)
        assert "it writes, and a source is only read" in str(told)
        assert "jane" not in str(told)
