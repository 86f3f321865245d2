"""The schema of a ledger's tables in PostgreSQL: the first of the search path, in which new tables are made."""

from __future__ import annotations

import logging

from sqlalchemy import text
from sqlalchemy.engine import Connection

from airflow_provider_klaviyo.ledger.errors import LedgerSetupError
from airflow_provider_klaviyo.ledger.tables import versions

__all__ = ["check_new_ledger", "own_schema"]

log = logging.getLogger(__name__)

LEDGERS = text(
    "SELECT n.nspname, pg_table_is_visible(c.oid) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relname = :name AND c.relkind IN ('r', 'p') ORDER BY 1"
)


def own_schema(connection: Connection) -> str | None:
    """Return the schema that the tables are in, or will be; None for SQLite, which has one.

    :raises LedgerSetupError: when the search path names none that exists.
    """
    if connection.dialect.name != "postgresql":
        return None
    schema, path = connection.execute(text("SELECT current_schema(), current_setting('search_path')")).one()
    if schema is None:
        raise LedgerSetupError(
            f"there is no schema that the search path names ({path}), or none that may be used: create it, or correct "
            "the options in the connection's extra"
        )
    return str(schema)


def check_new_ledger(connection: Connection) -> None:
    """Refuse to make a second ledger that would hide the first, and log that there is another one.

    :raises LedgerSetupError: when a schema further down the search path has a ledger.
    """
    schema = own_schema(connection)
    if schema is None:
        return
    others = connection.execute(LEDGERS, {"name": versions.name}).all()
    for other, is_visible in others:
        if is_visible and other != schema:
            raise LedgerSetupError(
                f"the search path has a ledger in schema {other}, and a new one would be made in schema {schema}: name "
                f'one schema in the connection\'s extra, such as {{"options": "-c search_path={other}"}} to go on with '
                "the one there is"
            )
    if others:
        log.warning(
            "Making the tables of a new ledger in schema %s. The database has another ledger, in schema %s",
            schema,
            ", ".join(other for other, _ in others),
        )
