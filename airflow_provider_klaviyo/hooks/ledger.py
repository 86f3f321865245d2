"""A ledger behind an Airflow connection of any SQL kind, opened for the account of a Klaviyo connection."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager

from airflow_provider_klaviyo.api.errors import KlaviyoConfigurationError
from airflow_provider_klaviyo.hooks.database import naming, open_database
from airflow_provider_klaviyo.hooks.klaviyo import KlaviyoHook
from airflow_provider_klaviyo.ledger.ledger import Ledger

__all__ = ["open_ledger"]


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
    with naming(ledger_conn_id), closing(open_database(ledger_conn_id, set_by="ledger_conn_id")) as database:
        ledger = Ledger(database, account_id, asked.get_fingerprint_keys(), actor)
        with KlaviyoHook(klaviyo_conn_id, paces=ledger.paces) as hook:
            yield ledger, hook
