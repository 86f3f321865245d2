"""A ledger behind an Airflow connection of any SQL kind, opened for the account of a Klaviyo connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from airflow.providers.common.compat.sdk import AirflowException, AirflowNotFoundException, BaseHook

from airflow_provider_klaviyo.api.errors import KlaviyoConfigurationError
from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook
from airflow_provider_klaviyo.ledger.database import Database
from airflow_provider_klaviyo.ledger.errors import LedgerError, LedgerSetupError
from airflow_provider_klaviyo.ledger.ledger import Ledger

__all__ = ["open_ledger"]

BUSY_SECONDS: Final = 60


@contextmanager
def open_ledger(ledger_conn_id: str, klaviyo_conn_id: str, actor: str) -> Iterator[tuple[Ledger, KlaviyoHook]]:
    """Open a ledger, and a hook whose calls keep the ledger's pace; both are closed with the block.

    :param ledger_conn_id: of the database. The tables are made when it is first used.
    :param klaviyo_conn_id: of Klaviyo; it must say the account id and a fingerprint key.
    :param actor: who does what is recorded: the task.
    :raises KlaviyoConfigurationError: when a field of the Klaviyo connection is missing.
    :raises LedgerSetupError: when the database, or its contents, suit no ledger.
    :raises LedgerUnavailableError: when it cannot be reached.
    """
    asked = KlaviyoHook(klaviyo_conn_id)
    account_id = asked.get_settings().account_id
    if account_id is None:
        raise KlaviyoConfigurationError(
            f"Connection {klaviyo_conn_id!r}: a ledger needs the field 'Account id' (account_id), because it records "
            "whose profiles were deleted. It is shown in Klaviyo under Settings > Account > API keys, as the public key"
        )
    database = _database(ledger_conn_id)
    try:
        ledger = Ledger(database, account_id, asked.get_fingerprint_keys(), actor)
        with KlaviyoHook(klaviyo_conn_id, paces=ledger.paces) as hook:
            yield ledger, hook
    except LedgerError as error:
        raise _named(error, ledger_conn_id) from None
    finally:
        database.close()


def _database(ledger_conn_id: str) -> Database:
    try:
        return Database(_engine(ledger_conn_id))
    except LedgerError as error:
        raise _named(error, ledger_conn_id) from None


def _named(error: LedgerError, ledger_conn_id: str) -> LedgerError:
    """Return an error that names the ledger, and has nothing of what led to it: statements and rows hang there."""
    error.__context__ = error.__cause__ = None
    error.__traceback__ = None
    return type(error)(f"Ledger {ledger_conn_id!r}: {error}")


def _engine(ledger_conn_id: str) -> Any:
    from airflow.providers.common.sql.hooks.sql import DbApiHook

    try:
        hook = BaseHook.get_hook(ledger_conn_id)
    except AirflowNotFoundException as error:
        raise LedgerSetupError(
            "there is no such connection: create one to a database that may keep the ledger, such as PostgreSQL, or "
            "set ledger_conn_id to one that exists"
        ) from error
    except (AirflowException, ImportError) as error:
        raise LedgerSetupError(
            f"the connection's type has no hook here ({type(error).__name__}): is its provider installed?"
        ) from error
    if not isinstance(hook, DbApiHook):
        raise LedgerSetupError(f"the connection is no database: its hook is {type(hook).__name__}")
    # A database's error would otherwise show the values of a statement: people's addresses.
    options: dict[str, Any] = {"hide_parameters": True, "pool_pre_ping": True}
    if getattr(hook, "conn_type", "") == "sqlite":
        options["connect_args"] = {"timeout": BUSY_SECONDS}
    try:
        return hook.get_sqlalchemy_engine(options)
    except Exception as error:  # noqa: BLE001 - whatever a hook may raise that knows no SQLAlchemy
        reason = type(error).__name__
    raise LedgerSetupError(f"the connection's hook, {type(hook).__name__}, makes no SQLAlchemy engine ({reason})")
