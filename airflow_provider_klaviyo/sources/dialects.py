"""How each database's driver says what an error is about, since PEP 249 gives errors classes and no codes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

__all__ = ["is_about_the_query", "is_refused_write", "sqlstate_of"]

SQLSTATE: Final = re.compile(r"[0-9A-Z]{5}")
READ_ONLY_STATE: Final = "25006"
# Classes of SQLSTATE: no data (Snowflake's for a table that there is not), connection, authorization, catalog, schema,
# syntax or access rule, resources, operator.
ABOUT_NO_ROW: Final = {"02", "08", "28", "3D", "3F", "42", "53", "57"}
# DuckDB's classes; those for values are its ConversionException and InvalidInputException.
DUCKDB: Final = {"BinderException", "CatalogException", "ParserException", "PermissionException", "SyntaxException"}
# Of Trino (error_name), of Athena, and of Spark, which write them before their texts.
# https://github.com/trinodb/trino/blob/master/core/trino-spi/src/main/java/io/trino/spi/StandardErrorCode.java
NAMES: Final = {
    *("AMBIGUOUS_NAME", "CATALOG_NOT_FOUND", "COLUMN_NOT_FOUND", "FUNCTION_NOT_FOUND", "MISSING_CATALOG_NAME"),
    *("MISSING_COLUMN_NAME", "MISSING_SCHEMA_NAME", "PARSE_SYNTAX_ERROR", "PERMISSION_DENIED", "SCHEMA_NOT_FOUND"),
    *("SYNTAX_ERROR", "TABLE_NOT_FOUND", "TABLE_OR_VIEW_NOT_FOUND", "UNRESOLVED_COLUMN", "UNRESOLVED_ROUTINE"),
}
# Such as: FAILED: SYNTAX_ERROR: line 1:8 (Athena); [TABLE_OR_VIEW_NOT_FOUND] The table (Spark); 400 Syntax error:
# Expected (BigQuery); ORA-00942: table (Oracle, whose numbers 900 to 999 are all about the text of a statement).
BEGINNINGS: Final = re.compile(
    rf"(?:\d{{3}} |FAILED: )*\[?(?:(?:{'|'.join(sorted(NAMES))})\b|Syntax error:|Unrecognized name:|"
    r"Not found: (?:Table|Dataset|Project) |ORA-009\d\d:)"
)
# MySQL's for an unknown column or function, and for no right to them, which are an OperationalError.
MYSQL: Final = {1044, 1045, 1046, 1049, 1054, 1142, 1143, 1305, 1370}
MYSQL_DRIVERS: Final = {"MySQLdb", "mysql", "pymysql"}
MYSQL_READ_ONLY: Final = 1792


def sqlstate_of(error: Exception) -> str | None:
    """Return SQL's own code: psycopg's `sqlstate`, psycopg2's `pgcode`, or what ODBC and Redshift put into `args`."""
    inside = error.args[0] if error.args else None
    if isinstance(inside, Mapping):
        inside = inside.get("C")
    for state in (getattr(error, "sqlstate", None), getattr(error, "pgcode", None), inside):
        if isinstance(state, str) and SQLSTATE.fullmatch(state):
            return state
    return None


def is_refused_write(error: Exception) -> bool:
    """Tell whether a statement was refused because a source's transaction is read-only."""
    return sqlstate_of(error) == READ_ONLY_STATE or (_is_mysqls(error) and error.args[0] == MYSQL_READ_ONLY)


def is_about_the_query(error: Exception, *, in_doubt: bool) -> bool:
    """Tell whether an error is about the query, the connection or the server, and so quotes no row.

    :param in_doubt: what to say of errors whose class alone speaks for it.
    """
    state = sqlstate_of(error)
    if state is not None:
        return state[:2] in ABOUT_NO_ROW
    if getattr(error, "error_name", None) in NAMES or type(error).__name__ in DUCKDB:
        return True
    if BEGINNINGS.match(str(error)) or (_is_mysqls(error) and error.args[0] in MYSQL):
        return True
    # SQLite's own errors have a code; those of its driver, such as for text that is not UTF-8, quote the row.
    return in_doubt and (type(error).__name__ == "ProgrammingError" or hasattr(error, "sqlite_errorcode"))


def _is_mysqls(error: Exception) -> bool:
    return bool(error.args) and type(error).__module__.split(".")[0] in MYSQL_DRIVERS
