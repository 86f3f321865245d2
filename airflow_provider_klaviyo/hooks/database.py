"""A ledger's database behind an Airflow connection of any SQL kind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException, BaseHook
from sqlalchemy import create_engine

from airflow_provider_klaviyo.hooks.extras import check_extra, connect_arguments, extra_of, sqlite_file
from airflow_provider_klaviyo.ledger.database import Database
from airflow_provider_klaviyo.ledger.errors import LedgerError, LedgerSetupError
from airflow_provider_klaviyo.tracebacks import clear_variables

__all__ = ["naming", "open_database"]


def open_database(conn_id: str, *, set_by: str) -> Database:
    """Open the database that may keep a ledger, and make the tables when it is first used.

    :param conn_id: of the database.
    :param set_by: the argument or the field that names it, for whoever has to correct it.
    :raises LedgerSetupError: when the database, or its contents, suit no ledger.
    :raises LedgerUnavailableError: when it cannot be reached.
    """
    hook = _hook(conn_id, set_by)
    connection = hook.get_connection(conn_id)
    extra = extra_of(connection)
    complete = connect_arguments(hook, connection, extra)
    engine = _engine(hook, extra)
    check_extra(hook, extra, engine)
    return Database(engine, complete)


@contextmanager
def naming(conn_id: str) -> Iterator[None]:
    """Have errors name the ledger, and have nothing of what led to them: statements and rows hang there."""
    try:
        yield
    except LedgerError as error:
        clear_variables(error)
        raise type(error)(f"Ledger {conn_id!r}: {error}") from None


def _hook(conn_id: str, set_by: str) -> Any:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    try:
        hook = BaseHook.get_hook(conn_id)
    except AirflowNotFoundException as error:
        raise LedgerSetupError(
            "there is no such connection: create one to a database that may keep the ledger, such as PostgreSQL, or "
            f"set {set_by} to one that exists"
        ) from error
    except (AirflowException, ImportError) as error:
        raise LedgerSetupError(
            f"the connection's type has no hook here ({type(error).__name__}): is its provider installed?"
        ) from error
    if not isinstance(hook, DbApiHook):
        raise LedgerSetupError(f"the connection is no database: its hook is {type(hook).__name__}")
    return hook


def _engine(hook: Any, extra: dict[str, Any]) -> Any:
    # A database's error would otherwise show the values of a statement: people's addresses.
    options = {"hide_parameters": True, "pool_pre_ping": True}
    try:
        if getattr(hook, "conn_type", "") == "sqlite":
            url, timeout = sqlite_file(hook.get_uri(), extra)
            return create_engine(url, connect_args={"timeout": timeout}, **options)
        return hook.get_sqlalchemy_engine(options)
    except LedgerSetupError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a hook may raise that knows no SQLAlchemy
        reason = type(error).__name__
    raise LedgerSetupError(f"the connection's hook, {type(hook).__name__}, makes no SQLAlchemy engine ({reason})")
